"""An append writes no index that nothing reads: conversations' tags and metadata have none.

And conversations that came from nowhere else are not in the index of sources.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SOURCE = ["user_email", "source", "source_id"]
FORMER_SOURCE = "uq_conversations_user_email_source_source_id"
BY_GIN = {"ix_conversations_tags": "tags", "ix_conversations_metadata": "metadata"}


def upgrade() -> None:
    op.create_index(
        "uq_conversations_source",
        "conversations",
        SOURCE,
        unique=True,
        postgresql_where=sa.text("source_id IS NOT NULL"),
    )
    op.drop_constraint(FORMER_SOURCE, "conversations")
    for name in BY_GIN:
        op.drop_index(name, "conversations")


def downgrade() -> None:
    for name, column in BY_GIN.items():
        op.create_index(name, "conversations", [column], postgresql_using="gin")
    op.create_unique_constraint(FORMER_SOURCE, "conversations", SOURCE)
    op.drop_index("uq_conversations_source", "conversations")
