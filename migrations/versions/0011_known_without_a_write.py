"""A write in an outage of Redis asks whether its note is known: where it is, nothing is written.

And old notes are looked for with one new note of a hundred.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_KNOWN = """
CREATE OR REPLACE FUNCTION parley_changes_are_known(seconds double precision) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $${body}$$
"""
_SEEN = """
    UPDATE cache_outbox SET seen_at = clock_timestamp() WHERE note IN (
        SELECT n.note FROM cache_outbox n WHERE n.seen_at IS NULL{where}
        FOR UPDATE SKIP LOCKED LIMIT 500);"""
_EXISTS = """
    SELECT EXISTS (
        SELECT FROM cache_outbox
        WHERE seen_at < clock_timestamp() - make_interval(secs => seconds))"""
# A note that somebody has seen was there for all looks that began later; where an older one was
# seen long enough ago, it does not matter who has seen this one.
KNOWN = _KNOWN.format(body=_SEEN.format(where=f" AND NOT ({_EXISTS})") + _EXISTS)
FORMER_KNOWN = _KNOWN.format(body=_SEEN.format(where="") + _EXISTS)

_NOTE = """
CREATE OR REPLACE FUNCTION parley_note_changes(ids uuid[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $${body}$$
"""
_OLD = """note IN (
        SELECT o.note FROM (
            SELECT note, created_at FROM cache_outbox ORDER BY note LIMIT 100) o
        WHERE o.created_at < now() - interval '10 days')"""
NOTE = _NOTE.format(
    body=f"""
    WITH added AS (
        INSERT INTO cache_outbox (conversation_id) SELECT DISTINCT unnest(ids) RETURNING note)
    DELETE FROM cache_outbox
    WHERE EXISTS (SELECT FROM added WHERE note % 100 = 0) AND {_OLD}
"""
)
FORMER_NOTE = _NOTE.format(
    body=f"""
    DELETE FROM cache_outbox WHERE {_OLD};
    INSERT INTO cache_outbox (conversation_id) SELECT DISTINCT unnest(ids)
"""
)


def upgrade() -> None:
    op.execute(KNOWN)
    op.execute(NOTE)


def downgrade() -> None:
    op.execute(FORMER_KNOWN)
    op.execute(FORMER_NOTE)
