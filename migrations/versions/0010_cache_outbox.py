"""The outbox of the cache: conversations whose change Redis may have missed.

There is a row only where Redis did not answer a writer, and for what was deleted. The functions
work across owners, and tell nothing but ids and numbers of revisions.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OUTBOX = """
CREATE TABLE cache_outbox (
    note bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_cache_outbox PRIMARY KEY,
    conversation_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz)
"""
UNSEEN = "CREATE INDEX ix_cache_outbox_unseen ON cache_outbox (note) WHERE seen_at IS NULL"
# Nothing here waits for another writer: rows are added. Those of ten days ago are older than
# any copy; they are left where nobody keeps copies that need them.
NOTE = """
CREATE FUNCTION parley_note_changes(ids uuid[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    DELETE FROM cache_outbox WHERE note IN (
        SELECT o.note FROM (
            SELECT note, created_at FROM cache_outbox ORDER BY note LIMIT 100) o
        WHERE o.created_at < now() - interval '10 days');
    INSERT INTO cache_outbox (conversation_id) SELECT DISTINCT unnest(ids)
$$
"""
# An epoch is a history of this database: another one begins with a failover or a restore, where
# revisions may come again with other content. Fails on a standby: nothing is cached from there.
STANDING = """
CREATE FUNCTION parley_cache_standing(max_notes integer)
RETURNS TABLE (epoch text, conversation_id uuid, note bigint, version bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    UPDATE cache_outbox SET seen_at = clock_timestamp() WHERE note IN (
        SELECT n.note FROM cache_outbox n WHERE n.seen_at IS NULL
        ORDER BY n.note LIMIT max_notes FOR UPDATE SKIP LOCKED);
    SELECT s.system_identifier || '-' || d.oid || '-'
            || left(pg_walfile_name(pg_current_wal_lsn()), 8),
        o.conversation_id, o.note, c.revision
    FROM pg_control_system() s
        JOIN pg_database d ON d.datname = current_database()
        LEFT JOIN (
            SELECT n.conversation_id, n.note FROM cache_outbox n
            ORDER BY n.note LIMIT max_notes) o ON true
        LEFT JOIN conversations c ON c.id = o.conversation_id
$$
"""
# A note that somebody has seen was there for all looks that began later: whoever serves copies has
# found the outbox empty within less than so many seconds.
KNOWN = """
CREATE FUNCTION parley_changes_are_known(seconds double precision) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    UPDATE cache_outbox SET seen_at = clock_timestamp() WHERE note IN (
        SELECT n.note FROM cache_outbox n WHERE n.seen_at IS NULL FOR UPDATE SKIP LOCKED LIMIT 500);
    SELECT EXISTS (
        SELECT FROM cache_outbox
        WHERE seen_at < clock_timestamp() - make_interval(secs => seconds))
$$
"""
FORGET = """
CREATE FUNCTION parley_forget_changes(notes bigint[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    DELETE FROM cache_outbox WHERE note = ANY (notes)
$$
"""
# Whatever deletes them, a cascade or somebody by hand: what was erased is read nowhere any more.
DELETED = """
CREATE FUNCTION parley_note_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM parley_note_changes(ARRAY(SELECT id FROM gone));
    RETURN NULL;
END
$$
"""
TRIGGER = """
CREATE TRIGGER note_deleted AFTER DELETE ON conversations REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION parley_note_deleted()
"""
FUNCTIONS = {
    "parley_note_changes(uuid[])": NOTE,
    "parley_cache_standing(integer)": STANDING,
    "parley_changes_are_known(double precision)": KNOWN,
    "parley_forget_changes(bigint[])": FORGET,
}


def upgrade() -> None:
    op.execute(OUTBOX)
    op.execute(UNSEEN)
    for signature, sql in FUNCTIONS.items():
        op.execute(sql)
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO parley_app")
    op.execute(DELETED)
    op.execute("REVOKE ALL ON FUNCTION parley_note_deleted() FROM PUBLIC")
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER note_deleted ON conversations")
    op.execute("DROP FUNCTION parley_note_deleted()")
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    op.execute("DROP TABLE cache_outbox")
