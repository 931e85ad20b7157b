"""A write in an outage of Redis hears in its own round trip that its note is known."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_NOTE = """
CREATE OR REPLACE FUNCTION parley_note_changes(ids uuid[]) RETURNS void
LANGUAGE {language} VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $${body}$$
"""
_ADDED = """
    WITH added AS (
        INSERT INTO cache_outbox (conversation_id) SELECT DISTINCT unnest(ids) RETURNING note)"""
_OLD = """note IN (
        SELECT o.note FROM (
            SELECT note, created_at FROM cache_outbox ORDER BY note LIMIT 100{locked}) o
        WHERE o.created_at < now() - interval '10 days')"""
# PL/pgSQL plans once a connection what SQL plans at each call.
NOTE = _NOTE.format(
    language="plpgsql",
    body=f"""
DECLARE is_due boolean;
BEGIN
    {_ADDED}
    SELECT bool_or(note % 100 = 0) INTO is_due FROM added;
    IF is_due THEN
        DELETE FROM cache_outbox WHERE {_OLD.format(locked=" FOR UPDATE SKIP LOCKED")};
    END IF;
END
""",
)
FORMER_NOTE = _NOTE.format(
    language="sql",
    body=f"""{_ADDED}
    DELETE FROM cache_outbox
    WHERE EXISTS (SELECT FROM added WHERE note % 100 = 0) AND {_OLD.format(locked="")}
""",
)
# Nobody removes the older note until this transaction has ended: then the new one is there.
IN_DOUBT = """
CREATE FUNCTION parley_note_in_doubt(ids uuid[], seconds double precision) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM parley_note_changes(ids);
    PERFORM FROM cache_outbox
    WHERE seen_at < clock_timestamp() - make_interval(secs => seconds)
    ORDER BY note LIMIT 1 FOR KEY SHARE SKIP LOCKED;
    IF FOUND THEN
        RAISE NOTICE 'parley: known';
    END IF;
END
$$
"""
# A note that a write counts on is left for another time. Nobody waits for another here.
FORGET = """
CREATE FUNCTION parley_forget_changes(notes bigint[]) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM cache_outbox WHERE note IN (
            SELECT o.note FROM cache_outbox o WHERE o.note = ANY (notes)
            ORDER BY o.note FOR UPDATE SKIP LOCKED)
        RETURNING note)
    SELECT count(*) FROM gone
$$
"""
FORMER_FORGET = """
CREATE FUNCTION parley_forget_changes(notes bigint[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    DELETE FROM cache_outbox WHERE note = ANY (notes)
$$
"""
_IN_DOUBT = "parley_note_in_doubt(uuid[], double precision)"
_FORGET = "parley_forget_changes(bigint[])"


def _make(signature: str, sql: str) -> None:
    op.execute(sql)
    op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO parley_app")


def upgrade() -> None:
    op.execute(NOTE)
    _make(_IN_DOUBT, IN_DOUBT)
    op.execute(f"DROP FUNCTION {_FORGET}")
    _make(_FORGET, FORGET)


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {_FORGET}")
    _make(_FORGET, FORMER_FORGET)
    op.execute(f"DROP FUNCTION {_IN_DOUBT}")
    op.execute(FORMER_NOTE)
