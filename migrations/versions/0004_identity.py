"""Who a user is: an address pinned to its first subject, or a visitor without one."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

APPLICATION = "parley_app"


def upgrade() -> None:
    op.create_check_constraint(
        op.f("ck_users_subject"), "users", "(issuer IS NULL) = (subject IS NULL)"
    )
    op.create_check_constraint(
        op.f("ck_users_is_anonymous"), "users", "is_anonymous = (email LIKE 'anon:%')"
    )
    op.execute(f"GRANT UPDATE (issuer, subject) ON users TO {APPLICATION}")


def downgrade() -> None:
    op.execute(f"REVOKE UPDATE (issuer, subject) ON users FROM {APPLICATION}")
    op.drop_constraint(op.f("ck_users_is_anonymous"), "users", type_="check")
    op.drop_constraint(op.f("ck_users_subject"), "users", type_="check")
