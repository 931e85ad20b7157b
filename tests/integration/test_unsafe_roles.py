"""A database role or a table that row-level security does not bind is refused at the start."""

import json
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from app import Parley
from app.embedded import servers
from app.errors import UnsafeRoleError
from app.roles import RoleGuard

TABLES = ("conversations", "messages")
MIGHTY = {
    "mighty": ("SUPERUSER", "mighty is a superuser"),
    "sly": ("BYPASSRLS IN ROLE parley_app", "sly has BYPASSRLS"),
    "maker": ("CREATEROLE", "maker has CREATEROLE"),
    "copyist": ("REPLICATION", "copyist has REPLICATION"),
    "reader": ("IN ROLE pg_read_server_files", "reader is a member of pg_read_server_files"),
    "kin": ("IN ROLE parley_owner", "kin is a member of parley_owner, which owns the tables"),
    "distant": ("NOINHERIT IN ROLE kin", "distant is a member of parley_owner, which owns the tab"),
    "friend": ("NOINHERIT IN ROLE sly", "friend is a member of sly, which has BYPASSRLS"),
    "disguised": ("SUPERUSER", "parley_app: disguised is a superuser"),
}
OPENED = {
    "ALTER TABLE messages DISABLE ROW LEVEL SECURITY": "messages does not force row-level security",
    "ALTER TABLE messages NO FORCE ROW LEVEL SECURITY": "messages does not force row-level securit",
    "CREATE POLICY open ON messages USING (true)": "messages has the policy open",
    "CREATE POLICY open ON messages TO parley_app USING (1 = 1)": "messages has the policy open",
    "CREATE POLICY open ON messages FOR INSERT WITH CHECK (true)": "messages has the policy open",
    "ALTER POLICY own ON messages WITH CHECK (true)": "messages has the policy own",
    "ALTER TABLE messages RENAME TO hidden; CREATE VIEW messages AS TABLE hidden": "messages does",
}
HARMLESS = (
    "CREATE POLICY open ON messages TO parley_owner USING (true)",
    "CREATE POLICY more ON messages AS RESTRICTIVE USING (true)",
    "CREATE TABLE elsewhere (id int)",
    "DROP TABLE messages",
)
WALLED = """
CREATE TABLE {0} (user_email text);
ALTER TABLE {0} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON {0} USING (user_email = current_setting('app.user_email', true));
"""


@pytest.fixture(scope="module")
def cluster():
    """URLs of a PostgreSQL of our own by role: `postgres` is its superuser. No tables."""
    with ExitStack() as stack:
        data = Path(stack.enter_context(TemporaryDirectory(prefix="parley-roles-")))
        given = {"REDIS_URL": "redis://127.0.0.1:1"}
        urls = stack.enter_context(servers(data, given, durable=False))
        passwords = json.loads((data / "passwords.json").read_text())
        owner = make_url(urls["DATABASE_OWNER_URL"])
        yield {
            role: owner.set(username=role, password=password).render_as_string(hide_password=False)
            for role, password in passwords.items()
        }


@pytest.fixture
def tables(cluster):
    """The tables as the migrations wall them; gone afterwards."""
    with closing(psycopg2.connect(cluster["parley_owner"])) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("".join(WALLED.format(name) for name in TABLES))
        yield cursor
        cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        cursor.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")


@pytest.fixture
def refusal(cluster):
    """What RoleGuard says of a role's new connection; None: let in."""

    def ask(role, password=None):
        url = make_url(cluster.get(role, cluster["parley_app"]))
        url = url.set(username=role, password=password or url.password)
        with closing(psycopg2.connect(url.render_as_string(hide_password=False))) as connection:
            try:
                RoleGuard(TABLES).check(connection)
            except UnsafeRoleError as error:
                return str(error)

    return ask


@pytest.fixture
def roles(cluster):
    """The roles of MIGHTY; gone afterwards."""
    with closing(psycopg2.connect(cluster["postgres"])) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for role, (rights, _) in MIGHTY.items():
            cursor.execute(f"CREATE ROLE {role} LOGIN {rights} PASSWORD 'secret'")
        cursor.execute("ALTER ROLE disguised SET role = 'parley_app'")
        cursor.execute("GRANT CONNECT ON DATABASE parley TO PUBLIC")
        yield
        cursor.execute(f"DROP ROLE {', '.join(MIGHTY)}")


def test_the_tables_owner_is_no_role_to_serve_with(settings, app):
    with pytest.raises(UnsafeRoleError, match=r"role parley_owner: .*parley_owner owns the tables"):
        Parley(settings=replace(settings, database_url=settings.database_owner_url)).application()


def test_a_role_that_could_walk_around_the_wall_is_refused_by_name(roles, tables, refusal):
    assert refusal("parley_app") is None
    for role, (_, fault) in MIGHTY.items():
        assert fault in refusal(role, "secret")


def test_before_the_first_migration_who_could_own_the_tables_is_refused(cluster, refusal):
    assert refusal("parley_app") is None
    assert "parley_owner owns the database" in refusal("parley_owner")
    with closing(psycopg2.connect(cluster["postgres"])) as connection:
        connection.autocommit = True
        connection.cursor().execute("ALTER SCHEMA public OWNER TO parley_app")
        assert "parley_app owns the schema" in refusal("parley_app")
        connection.cursor().execute("ALTER SCHEMA public OWNER TO pg_database_owner")


@pytest.mark.parametrize("statement", OPENED)
def test_a_table_whose_wall_has_a_hole_is_refused_by_name(tables, refusal, statement):
    tables.execute(statement)
    assert OPENED[statement] in refusal("parley_app")


@pytest.mark.parametrize("statement", HARMLESS)
def test_what_does_not_concern_the_role_is_no_fault(tables, refusal, statement):
    tables.execute(statement)
    assert refusal("parley_app") is None


def test_a_connection_without_time_limits_is_logged_once(settings, app, cluster, caplog):
    guard = RoleGuard(TABLES)
    for limit in ("1000", "0", "0"):
        options = f"-c statement_timeout={limit}"
        with closing(psycopg2.connect(cluster["parley_app"], options=options)) as connection:
            guard.check(connection)
        heard = [record for record in caplog.records if "timeouts_missing" in str(record.msg)]
        assert len(heard) == (limit == "0")
