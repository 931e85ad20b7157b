"""The second wall: what PostgreSQL itself lets the application's role see and do."""

from contextlib import closing

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from app.repositories.messages import MessageRepository
from app.repositories.users import UserRepository
from app.search_words import any_of
from tests.evidence import Rows

NOT_OWNED = {"alembic_version"}
# Tables force row-level security, with one policy for everybody but their owner; partitions and
# children, too, since they can be read by name. A view is as good as its reader's rights.
UNWALLED = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND CASE
    WHEN c.relkind = 'v' THEN NOT coalesce((
        SELECT option_value::boolean FROM pg_options_to_table(c.reloptions)
        WHERE option_name = 'security_invoker'), false)
    WHEN c.relkind IN ('m', 'f') THEN true
    WHEN c.relname = ANY(%s) THEN (
        SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0)
        <> ARRAY['version_num']
    WHEN c.relkind IN ('r', 'p') THEN NOT (c.relrowsecurity AND c.relforcerowsecurity) OR NOT (
        SELECT count(*) = 1 AND bool_and(p.polcmd = '*' AND p.polroles = ARRAY[0::oid]
            AND qual ~ '^[(](user_)?email = current_setting[(]''app.user_email''::text, true[)][)]$'
            AND qual = coalesce(pg_get_expr(p.polwithcheck, c.oid), qual))
        FROM pg_policy p, pg_get_expr(p.polqual, c.oid) AS qual
        WHERE p.polrelid = c.oid AND p.polroles <> ARRAY[c.relowner])
    ELSE false END
"""
GRANTED = {
    "users": {
        "INSERT": "id email is_anonymous issuer subject name dept preferences",
        "UPDATE": "name dept preferences updated_at last_seen_at issuer subject",
    },
    "conversations": {"INSERT": "*", "UPDATE": "*", "DELETE": "*"},
    "messages": {"INSERT": "*", "UPDATE": "*"},
    "runs": {"INSERT": "*", "UPDATE": "attempt status lease_until stop_requested ended_at"},
    "run_chunks": {"INSERT": "*", "DELETE": "*"},
    "query_logs": {"INSERT": "*", "UPDATE": "query"},
    "idempotency_keys": {"INSERT": "*", "UPDATE": "status response finished_at"},
    "alembic_version": {},
}
GRANTS = """
SELECT c.relname, a.privilege_type, '*' FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner
UNION ALL
SELECT c.relname, a.privilege_type, string_agg(t.attname, ' ')
FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid, aclexplode(t.attacl) a
WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner GROUP BY 1, 2
"""
FORBIDDEN = (
    "ALTER TABLE conversations DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE conversations NO FORCE ROW LEVEL SECURITY",
    "DROP POLICY own_rows ON conversations",
    "CREATE POLICY all_rows ON conversations USING (true)",
    "ALTER POLICY own_rows ON conversations USING (true)",
    "ALTER TABLE conversations OWNER TO parley_app",
    "SET row_security = off; SELECT count(*) FROM conversations",
    "SET ROLE parley_owner",
    "SET ROLE postgres",
    "SET ROLE pg_read_all_data",
    "SET ROLE pg_database_owner",
    "SET session_replication_role = replica",
    "ALTER SYSTEM SET row_security = off",
    "ALTER DATABASE {database} SET row_security = off",
    "ALTER DATABASE {database} OWNER TO parley_app",
    "ALTER SCHEMA public OWNER TO parley_app",
    "ALTER ROLE parley_owner SET app.user_email = 'a@example.com'",
    "ALTER FUNCTION parley_search_messages SECURITY INVOKER",
    "ALTER FUNCTION parley_search_messages SET search_path = pg_temp",
    "SET SESSION AUTHORIZATION parley_owner",
    "SET session_authorization = 'postgres'",
    "ALTER ROLE parley_app BYPASSRLS",
    "ALTER ROLE parley_app SUPERUSER",
    "GRANT parley_owner TO parley_app",
    "CREATE ROLE somebody",
    "CREATE TABLE mine (id int)",
    "CREATE TEMP TABLE conversations (id int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION parley_claim_expired_runs(max_runs integer) "
    "RETURNS TABLE (run_id uuid, owner text, attempt integer) LANGUAGE sql AS 'SELECT'",
    "DROP TABLE messages",
    "TRUNCATE messages",
    "DELETE FROM users",
    "DELETE FROM messages",
    "DELETE FROM runs",
    "DELETE FROM idempotency_keys",
    "UPDATE runs SET user_email = user_email",
    "UPDATE runs SET message_id = id",
    "UPDATE idempotency_keys SET request_sha256 = ''",
    "UPDATE run_chunks SET text = ''",
    "UPDATE users SET daily_quota = NULL",
    "INSERT INTO users (id, email, role) VALUES (gen_random_uuid(), 'a@example.com', 'admin')",
    "INSERT INTO users (id, email, is_active) VALUES (gen_random_uuid(), 'a@example.com', true)",
    "INSERT INTO users (id, email, daily_quota) VALUES (gen_random_uuid(), 'a@b.com', 9)",
    "CREATE TRIGGER t BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION now()",
    "CREATE VIEW mine AS TABLE messages",
    "UPDATE users SET is_active = true",
    "UPDATE users SET role = 'admin'",
    "UPDATE users SET email = 'somebody@example.com'",
    "DELETE FROM query_logs",
    "UPDATE query_logs SET tokens_used = 0",
    "UPDATE alembic_version SET version_num = '0'",
    "COPY conversations TO PROGRAM 'cat'",
    "SELECT pg_read_file('/etc/passwd')",
)
# Each job that works across owners, or past the policies, with all that it takes and gives.
WORKS_AS_OWNER = {
    "parley_claim_expired_runs(max_runs integer)": (
        "TABLE(run_id uuid, owner text, attempt integer)"
    ),
    "parley_search_messages(query tsquery, asked text, max_results integer)": (
        "TABLE(conversation_id uuid, message_id uuid, title text, role text, content text, "
        "created_at timestamp with time zone, rank real)"
    ),
}
FUNCTIONS = """
SELECT format('%s(%s)', proname, pg_get_function_identity_arguments(oid)) AS signature,
    pg_get_function_result(oid) AS result, proowner::regrole::text AS owner, proconfig,
    ARRAY(SELECT grantee::regrole::text FROM aclexplode(proacl)) AS executors
FROM pg_proc
WHERE prosecdef AND pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
"""


@pytest.fixture(scope="module")
def rows(app, settings):
    return Rows(settings.database_owner_url)


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
def connection(settings, app):
    """The application's role, as somebody would use it who got hold of its password."""
    with closing(psycopg2.connect(libpq(settings.database_url))) as connection:
        connection.autocommit = True
        yield connection


def libpq(url):
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def draft(settings, app):
    """The tables' owner, in a transaction that comes to nothing."""
    with closing(psycopg2.connect(libpq(settings.database_owner_url))) as connection:
        yield connection.cursor()


def unwalled(cursor):
    """Names of all relations that could show a row to somebody else than its owner."""
    cursor.execute(UNWALLED, [sorted(NOT_OWNED)])
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


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_applications_role_may_not(connection, statement):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), connection.cursor() as cursor:
        cursor.execute(statement.format(database=connection.info.dbname))


def test_the_applications_role_is_a_plain_one(connection):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication, "
            "(SELECT count(*) FROM pg_auth_members WHERE member = r.oid), "
            "(SELECT count(*) FROM pg_class WHERE relowner = r.oid) "
            "FROM pg_roles r WHERE rolname = current_user"
        )
        assert cursor.fetchone() == (False, 0, 0)


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
    assert fields == ["run_id", "owner", "attempt"]
    assert talkative.email in {owner for _, owner, _ in claimed}


def test_functions_that_work_as_the_tables_owner_are_known_and_closed_to_tricks(rows):
    functions = rows.run(FUNCTIONS.replace("::", "\\:\\:"))
    assert {function.signature: function.result for function in functions} == WORKS_AS_OWNER
    for function in functions:
        assert function.owner == "parley_owner"
        assert sorted(function.executors) == ["parley_app", "parley_owner"]
        assert function.proconfig == ["search_path=public, pg_temp"]


def test_the_application_has_the_rights_that_it_uses_and_no_other(connection):
    granted = {name: {} for name in GRANTED}
    with connection.cursor() as cursor:
        cursor.execute(GRANTS)
        for table, right, columns in cursor.fetchall():
            granted[table][right] = set(columns.split())
    for table, rights in GRANTED.items():
        expected = {right: set(columns.split()) for right, columns in rights.items()}
        assert granted[table] == expected | {"SELECT": {"*"}}, table


def test_statistics_show_no_value_of_a_column(connection, draft):
    draft.execute("ANALYZE messages, conversations, users")
    draft.connection.commit()
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public'")
        assert {name for (name,) in cursor.fetchall()} <= NOT_OWNED


def test_who_was_deactivated_can_not_come_back_by_being_seen(database, talkative, rows):
    rows.run("UPDATE users SET is_active = false WHERE email = :email", email=talkative.email)
    anybody = {"is_anonymous": False, "issuer": None, "subject": None, "dept": None}
    with database.statement(talkative.email) as session:
        assert UserRepository(session).see(**anybody, name="New") is False
