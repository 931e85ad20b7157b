"""Who may do what: the application's grants, and row-level security forced on every table.

A row is visible when its owner is the one that travels with the statement; nobody is '', and
nobody owns a row. The tables' owner passes, for functions that must work across owners.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPLICATION = "parley_app"
OWNER_COLUMNS = {
    "users": "email",
    "conversations": "user_email",
    "messages": "user_email",
    "runs": "user_email",
    "run_chunks": "user_email",
    "query_logs": "user_email",
    "idempotency_keys": "user_email",
}
GRANTS = {
    "users": "SELECT, INSERT, UPDATE (name, dept, preferences, updated_at, last_seen_at)",
    "conversations": "SELECT, INSERT, UPDATE, DELETE",
    "messages": "SELECT, INSERT, UPDATE, DELETE",
    "runs": "SELECT, INSERT, UPDATE, DELETE",
    "run_chunks": "SELECT, INSERT, DELETE",
    # Append-only, but for the text that goes when its conversation does.
    "query_logs": "SELECT, INSERT, UPDATE (query)",
    "idempotency_keys": "SELECT, INSERT, UPDATE, DELETE",
}


def upgrade() -> None:
    for table, column in OWNER_COLUMNS.items():
        own = f"{column} = current_setting('app.user_email', true)"
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON {table} USING ({own}) WITH CHECK ({own})")
        op.execute(f"CREATE POLICY maintenance ON {table} TO CURRENT_USER USING (true)")
        op.execute(f"GRANT {GRANTS[table]} ON {table} TO {APPLICATION}")
    op.execute(f"GRANT SELECT ON alembic_version TO {APPLICATION}")


def downgrade() -> None:
    op.execute(f"REVOKE ALL ON alembic_version FROM {APPLICATION}")
    for table in OWNER_COLUMNS:
        op.execute(f"REVOKE ALL ON {table} FROM {APPLICATION}")
        op.execute(f"DROP POLICY maintenance ON {table}")
        op.execute(f"DROP POLICY own_rows ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
