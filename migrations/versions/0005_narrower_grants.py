"""What the application's role does not do, it may not do.

It makes users, but neither administrators nor quotas; it moves runs along, but neither forgets
them nor gives them away. Rows of theirs go with their conversation, as the tables' owner.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

APPLICATION = "parley_app"
# A list of columns narrows what 0002 granted for the whole table.
NARROWED = {
    "users": {"INSERT": "(id, email, is_anonymous, issuer, subject, name, dept, preferences)"},
    "messages": {"DELETE": None},
    "runs": {"UPDATE": "(attempt, status, lease_until, stop_requested, ended_at)", "DELETE": None},
    "idempotency_keys": {"UPDATE": "(status, response, finished_at)", "DELETE": None},
}


def upgrade() -> None:
    for table, rights in NARROWED.items():
        for right, columns in rights.items():
            op.execute(f"REVOKE {right} ON {table} FROM {APPLICATION}")
            if columns:
                op.execute(f"GRANT {right} {columns} ON {table} TO {APPLICATION}")


def downgrade() -> None:
    for table, rights in NARROWED.items():
        for right in rights:
            op.execute(f"REVOKE {right} ON {table} FROM {APPLICATION}")
            op.execute(f"GRANT {right} ON {table} TO {APPLICATION}")
