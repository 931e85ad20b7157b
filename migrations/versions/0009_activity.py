"""How many conversations are active: one number of all users together, for the metrics.

A BRIN index finds the newest messages: they lie together, and it is a few kB that a write rarely
touches.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INDEX = """
CREATE INDEX ix_messages_created_at ON messages USING brin (created_at)
WITH (autosummarize = 'on')
"""
ACTIVITY = """
CREATE FUNCTION parley_activity() RETURNS TABLE (active_conversations bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT count(DISTINCT conversation_id) FROM messages
    WHERE created_at >= now() - interval '15 minutes'
$$
"""


def upgrade() -> None:
    op.execute(INDEX)
    op.execute(ACTIVITY)
    op.execute("REVOKE ALL ON FUNCTION parley_activity() FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION parley_activity() TO parley_app")


def downgrade() -> None:
    op.execute("DROP FUNCTION parley_activity()")
    op.execute("DROP INDEX ix_messages_created_at")
