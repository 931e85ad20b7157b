"""The second wall: what PostgreSQL itself lets the application's role see and do."""

from contextlib import closing

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from app.database import NOBODY
from app.repositories.messages import MessageRepository
from app.repositories.runs import RunRepository
from app.repositories.users import UserRepository
from app.search_words import any_of
from tests.evidence import Rows

NOT_OWNED = {"alembic_version"}
USERS = 1_000


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


def test_every_table_with_an_owner_has_a_policy_that_nobody_escapes(rows):
    owned = {name for name, _ in rows.owned_tables()}
    assert owned >= {"users", "conversations", "messages", "runs", "run_chunks", "query_logs"}
    secured = rows.run(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "AND relrowsecurity AND relforcerowsecurity"
    )
    assert {row.relname for row in secured} == owned
    for table, column in rows.owned_tables():
        policies = rows.run(
            "SELECT qual, with_check, cmd FROM pg_policies "
            "WHERE tablename = :table AND NOT roles <@ ARRAY['parley_owner'::name]",
            table=table,
        )
        own = f"({column} = current_setting('app.user_email'::text, true))"
        assert [tuple(policy) for policy in policies] == [(own, own, "ALL")]


def test_every_table_has_an_owner_or_is_known_to_have_none(rows):
    tables = rows.run(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f') "
        "AND relnamespace = 'public'::regnamespace"
    )
    assert {row.relname for row in tables} == {name for name, _ in rows.owned_tables()} | NOT_OWNED


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
    "statement",
    [
        "ALTER TABLE conversations DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE conversations NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY own_rows ON conversations",
        "CREATE POLICY all_rows ON conversations USING (true)",
        "ALTER POLICY own_rows ON conversations USING (true)",
        "ALTER TABLE conversations OWNER TO parley_app",
        "SET row_security = off; SELECT count(*) FROM conversations",
        "SET ROLE parley_owner",
        "SET ROLE postgres",
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
        "UPDATE users SET is_active = true",
        "UPDATE users SET role = 'admin'",
        "UPDATE users SET email = 'somebody@example.com'",
        "DELETE FROM query_logs",
        "UPDATE query_logs SET tokens_used = 0",
        "UPDATE alembic_version SET version_num = '0'",
        "COPY conversations TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
def test_the_applications_role_may_not(connection, statement):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), connection.cursor() as cursor:
        cursor.execute(statement)


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
def test_a_search_finds_nothing_of_others(database, talkative, stranger, query):
    stranger.create("Nothing about birds")
    words = query.format(talkative.email, stranger.email)
    with database.statement(talkative.email) as session:
        found = MessageRepository(session).search(any_of("pelican"), asked="", take=9)
        assert [row.content for row in found] == ["A pelican nests here"]
    with database.statement(stranger.email) as session:
        found = MessageRepository(session).search(words, asked="", take=100)
        assert {row.content for row in found} <= {"Nothing about birds"}
    for nobody in (NOBODY, "%", "' | '"):
        with database.statement(nobody) as session:
            assert MessageRepository(session).search(words, asked="", take=100) == []


def test_who_claims_abandoned_runs_learns_no_text(database, talkative, rows):
    abandoned = (
        "UPDATE runs SET status = 'running', lease_until = '-infinity' WHERE user_email = :email"
    )
    rows.run(abandoned, email=talkative.email)
    with database.transaction(NOBODY) as session:
        claimed = RunRepository(session).claim_expired(1000)
        session.rollback()
    rows.run("DELETE FROM conversations WHERE user_email = :email", email=talkative.email)
    assert talkative.email in {run.owner for run in claimed}
    assert {tuple(run._fields) for run in claimed} == {("run_id", "owner", "attempt")}


def test_functions_that_work_across_owners_are_closed_to_others_and_to_tricks(rows):
    functions = rows.run(
        "SELECT proname, proowner::regrole::text AS owner, proconfig, "
        "has_function_privilege('public', oid, 'EXECUTE') AS is_open "
        "FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    )
    assert {function.proname for function in functions} >= {"parley_search_messages"}
    for function in functions:
        assert (function.owner, function.is_open) == ("parley_owner", False)
        assert function.proconfig == ["search_path=public, pg_temp"]


def test_who_was_deactivated_can_not_come_back_by_being_seen(database, talkative, rows):
    rows.run("UPDATE users SET is_active = false WHERE email = :email", email=talkative.email)
    anybody = {"is_anonymous": False, "issuer": None, "subject": None, "dept": None}
    with database.statement(talkative.email) as session:
        assert UserRepository(session).see(**anybody, name="New") is False
