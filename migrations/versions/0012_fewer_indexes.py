"""An append writes no index that nothing reads: conversations' tags and metadata have none."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BY_GIN = {"ix_conversations_tags": "tags", "ix_conversations_metadata": "metadata"}


def upgrade() -> None:
    for name in BY_GIN:
        op.drop_index(name, "conversations")


def downgrade() -> None:
    for name, column in BY_GIN.items():
        op.create_index(name, "conversations", [column], postgresql_using="gin")
