"""The second wall: what PostgreSQL itself lets the application's role see and do."""

import json
from contextlib import closing

import psycopg2
import pytest

from app.repositories.messages import MessageRepository
from app.repositories.users import UserRepository
from app.search_words import any_of

# Nobody's rows, with all that they tell; the outbox's are not even the application's to read.
NOT_OWNED = {
    "alembic_version": ["version_num"],
    "cache_outbox": ["note", "conversation_id", "created_at", "seen_at"],
}
# Tables force row-level security, with one policy for everybody but their owner; partitions and
# children, too, since they can be read by name. A view is as good as its reader's rights.
UNWALLED = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND CASE
    WHEN c.relkind = 'v' THEN NOT coalesce((
        SELECT option_value::boolean FROM pg_options_to_table(c.reloptions)
        WHERE option_name = 'security_invoker'), false)
    WHEN c.relkind IN ('m', 'f') THEN true
    WHEN %(not_owned)s::jsonb ? c.relname THEN (
        SELECT jsonb_agg(attname ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = c.oid AND attnum > 0) <> %(not_owned)s::jsonb -> c.relname::text
    WHEN c.relkind IN ('r', 'p') THEN NOT (c.relrowsecurity AND c.relforcerowsecurity) OR NOT (
        SELECT count(*) = 1 AND bool_and(p.polcmd = '*' AND p.polroles = ARRAY[0::oid]
            AND qual ~ '^[(](user_)?email = current_setting[(]''app.user_email''::text, true[)][)]$'
            AND qual = coalesce(pg_get_expr(p.polwithcheck, c.oid), qual))
        FROM pg_policy p, pg_get_expr(p.polqual, c.oid) AS qual
        WHERE p.polrelid = c.oid AND p.polroles <> ARRAY[c.relowner])
    ELSE false END
"""


@pytest.fixture
def talkative(client, rows):
    """Somebody who has rows in every table."""
    made = client.create("A pelican nests here", "It does")
    assert client.ask("Which bird?", conversation_id=made["id"]).status_code == 200
    rows.run(
        "INSERT INTO run_chunks SELECT id, 0, user_email, 'pelican' FROM runs "
        "WHERE user_email = :email",
        email=client.email,
    )
    rows.run(
        "INSERT INTO idempotency_keys (user_email, key, request_sha256, status) "
        "VALUES (:email, 'key', '', 'started')",
        email=client.email,
    )
    return client


@pytest.fixture
def draft(database_urls, app):
    """The tables' owner, in a transaction that comes to nothing."""
    with closing(psycopg2.connect(database_urls.owner)) as connection:
        yield connection.cursor()


def unwalled(cursor):
    """Names of all relations that could show a row to somebody else than its owner."""
    cursor.execute(UNWALLED, {"not_owned": json.dumps(NOT_OWNED)})
    return {name for (name,) in cursor.fetchall()}


def test_every_table_forces_a_policy_that_asks_for_the_owner_alone(draft):
    assert unwalled(draft) == set()


@pytest.mark.parametrize(
    ("statement", "hole"),
    [
        ("CREATE TABLE t (owner text)", {"t"}),
        ("CREATE TABLE t (id int); ALTER TABLE t ENABLE ROW LEVEL SECURITY", {"t"}),
        ("ALTER TABLE messages NO FORCE ROW LEVEL SECURITY", {"messages"}),
        ("CREATE POLICY open ON messages USING (is_active)", {"messages"}),
        ("CREATE POLICY open ON messages TO parley_app USING (true)", {"messages"}),
        ("DROP POLICY own_rows ON messages", {"messages"}),
        ("ALTER POLICY own_rows ON messages USING (true)", {"messages"}),
        ("ALTER POLICY own_rows ON messages WITH CHECK (true)", {"messages"}),
        ("CREATE TABLE child () INHERITS (messages)", {"child"}),
        (
            "CREATE TABLE t (email text) PARTITION BY LIST (email); "
            "CREATE TABLE part PARTITION OF t FOR VALUES IN ('a'); "
            "ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; "
            "CREATE POLICY own_rows ON t USING (email = current_setting('app.user_email', true))",
            {"part"},
        ),
        ("CREATE VIEW v AS TABLE messages", {"v"}),
        ("CREATE VIEW v WITH (security_invoker = false) AS TABLE messages", {"v"}),
        ("CREATE VIEW v WITH (security_invoker) AS TABLE messages", set()),
        ("CREATE MATERIALIZED VIEW m AS TABLE messages", {"m"}),
        ("CREATE SCHEMA other CREATE TABLE t (id int)", {"t"}),
        ("ALTER TABLE alembic_version ADD user_email text", {"alembic_version"}),
    ],
)
def test_a_hole_in_the_wall_is_found(draft, statement, hole):
    draft.execute("SET LOCAL lock_timeout = '5s'; " + statement)
    assert unwalled(draft) == hole


def test_an_owner_sees_own_rows_alone_and_nobody_sees_any(talkative, stranger, rows, connection):
    stranger.create("Hello")
    expectations = {talkative.email: {talkative.email}, stranger.email: {stranger.email}}
    expectations |= {"": set(), "%": set(), "*": set(), talkative.email.upper(): set()}
    for table, column in rows.owned_tables():
        assert rows.of(talkative.email)[table], f"{table} has no row to hide"
        for somebody, visible in expectations.items():
            found = _as(connection, somebody, f"SELECT DISTINCT {column} FROM {table}")
            assert {owner for (owner,) in found} <= visible
        assert _as(connection, talkative.email, f"SELECT {column} FROM {table}")


def test_nobody_is_who_never_said_a_name(talkative, rows, connection):
    with connection.cursor() as cursor:
        for table, _ in rows.owned_tables():
            cursor.execute(f"SELECT count(*) FROM {table}")
            assert cursor.fetchone() == (0,)


def _as(connection, somebody, statement):
    with connection.cursor() as cursor:
        named = cursor.mogrify("SELECT set_config('app.user_email', %s, true);", [somebody])
        cursor.execute(named + statement.encode())
        return cursor.fetchall() if cursor.description else cursor.rowcount


def test_a_row_can_not_be_made_or_moved_into_somebody_elses_name(
    talkative, stranger, connection, rows
):
    stranger.get("/conversations")
    before = rows.of(talkative.email)
    for statement in (
        "INSERT INTO conversations (id, user_email) VALUES (gen_random_uuid(), '{0}')",
        "INSERT INTO users (id, email) VALUES (gen_random_uuid(), 'x{0}')",
        "INSERT INTO query_logs (id, user_email, conversation_id, message_id, status, "
        "contexts_retrieved) VALUES (gen_random_uuid(), '{0}', gen_random_uuid(), "
        "gen_random_uuid(), 'complete', 0)",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            _as(connection, stranger.email, statement.format(talkative.email))
    assert _as(connection, stranger.email, "UPDATE messages SET content = 'mine'") == 0
    assert _as(connection, stranger.email, "DELETE FROM conversations") == 0
    assert rows.of(talkative.email) == before


@pytest.mark.parametrize(
    "query", ["'pelican'", "!'zzz'", "'pelican' | !'zzz'", "'@{0}'", "!!'@{0}' | !'@{1}'"]
)
def test_a_search_finds_nothing_of_others(database, connection, talkative, stranger, query):
    stranger.create("Nothing about birds")
    words = query.format(talkative.email, stranger.email)
    with database.statement(talkative.email) as session:
        found = MessageRepository(session).search(any_of("pelican"), asked="", take=9)
        assert [row.content for row in found] == ["A pelican nests here"]
    with database.statement(stranger.email) as session:
        found = MessageRepository(session).search(words, asked="", take=100)
        assert {row.content for row in found} <= {"Nothing about birds"}
    search = "SELECT * FROM parley_search_messages($${}$$::tsquery, '', 100)"
    for nobody in ("", "%", "' | '"):
        assert _as(connection, nobody, search.format(words)) == []


def test_who_claims_abandoned_runs_learns_no_text(connection, talkative, rows):
    abandoned = (
        "UPDATE runs SET status = 'running', lease_until = '-infinity' WHERE user_email = :email"
    )
    rows.run(abandoned, email=talkative.email)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN; SELECT * FROM parley_claim_expired_runs(1000)")
        fields, claimed = [column.name for column in cursor.description], cursor.fetchall()
        cursor.execute("ROLLBACK")
    rows.run("DELETE FROM conversations WHERE user_email = :email", email=talkative.email)
    assert fields == ["run_id", "owner", "attempt", "cause"]
    assert talkative.email in {owner for _, owner, *_ in claimed}


def test_who_keeps_for_runs_learns_no_more_than_whether_they_are_held(connection, talkative, rows):
    lapsed = "UPDATE runs SET status = 'running', lease_until = now() WHERE user_email = :email"
    ((run_id, attempt),) = rows.run(f"{lapsed} RETURNING id, attempt", email=talkative.email)
    keep = "BEGIN; SELECT * FROM parley_keep_runs(%s::uuid[], %s, %s, '{0}', '{forged}', 30)"
    told = []
    with connection.cursor() as cursor:
        for owner in (talkative.email, "mallory@example.com", "", "%"):
            cursor.execute(keep, ([str(run_id)], [owner], [attempt]))
            fields, kept = [column.name for column in cursor.description], cursor.fetchall()
            told.append(kept[0][1])
            cursor.execute("ROLLBACK")
    rows.run("DELETE FROM conversations WHERE user_email = :email", email=talkative.email)
    assert fields == ["run_id", "lease"]
    assert told == ["held", "lost", "lost", "lost"]


def test_statistics_show_no_value_of_a_column(connection, draft, talkative):
    analysed = ["messages", "conversations", "users"]
    draft.execute(f"ANALYZE {', '.join(analysed)}")
    draft.connection.commit()
    draft.execute("SELECT relname FROM pg_class WHERE reltuples > 0")
    assert {name for (name,) in draft.fetchall()} >= {*analysed}
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public'")
        assert {name for (name,) in cursor.fetchall()} <= NOT_OWNED.keys()


def test_who_was_deactivated_can_not_come_back_by_being_seen(database, talkative, rows):
    rows.run("UPDATE users SET is_active = false WHERE email = :email", email=talkative.email)
    anybody = {"is_anonymous": False, "issuer": None, "subject": None, "dept": None}
    with database.statement(talkative.email) as session:
        assert UserRepository(session).see(**anybody, name="New") is False
