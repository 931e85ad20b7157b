"""Migrations on a database of their own: up, down and up again, with rows in it."""

import dataclasses
from contextlib import closing
from urllib.parse import urlsplit

import flask_migrate
import psycopg2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg2 import sql
from sqlalchemy import create_engine

from app import create_app
from app.composition import migrations_folder, newest_migration
from app.embedded import create_database
from tests.client import Client

FINGERPRINT = """
SELECT md5(string_agg(line, E'\n' ORDER BY line)) FROM (
    SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable,
        column_default) AS line
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL
    SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT format('%s %s %s %s %s', tablename, policyname, roles, qual, with_check)
    FROM pg_policies
    UNION ALL
    SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('%s %s %s %s', relname, relacl, relrowsecurity, relforcerowsecurity)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
) AS lines
"""


@pytest.fixture
def empty(settings):
    """An application on a database that no migration has seen."""
    owner, app = settings.database_owner_url, settings.database_url
    plain = owner.replace("+psycopg2", "")
    name = urlsplit(plain).path.strip("/") + "_empty"
    _execute(plain, sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
    create_database(plain, name=name, app=urlsplit(app).username)
    made = create_app(
        dataclasses.replace(
            settings,
            database_url=urlsplit(app)._replace(path=f"/{name}").geturl(),
            database_owner_url=urlsplit(owner)._replace(path=f"/{name}").geturl(),
        )
    )
    yield made
    made.extensions["parley"].close()
    _execute(plain, sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


@pytest.fixture
def as_owner(empty):
    """Runs a statement as the tables' owner and gives its first row."""

    def run(statement):
        return _execute(_owner_url(empty), statement)

    return run


def test_up_down_and_up_again_on_a_filled_database_gives_the_same_schema(empty, as_owner):
    with empty.app_context():
        flask_migrate.upgrade()
        once = as_owner(FINGERPRINT)
        Client(empty, "somebody@example.com").create("Hello", "Hello to you")
        assert as_owner("SELECT count(*) FROM messages") == (2,)
        flask_migrate.downgrade(revision="base")
        assert as_owner("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == (1,)
        flask_migrate.upgrade()
    assert as_owner(FINGERPRINT) == once
    assert Client(empty, "somebody-else@example.com").create("Hello again", "And to you")


def test_each_step_down_and_up_again_keeps_the_conversations(empty, as_owner):
    with empty.app_context():
        flask_migrate.upgrade()
        made = Client(empty, "somebody@example.com").create("Hello", "Hello to you")
        flask_migrate.downgrade(revision="0001")
        flask_migrate.upgrade()
    read = Client(empty, "somebody@example.com").get(f"/conversations/{made['id']}")
    assert read.json == made


def test_models_and_migrations_do_not_drift(empty):
    with empty.app_context():
        flask_migrate.upgrade()
    engine = create_engine(empty.extensions["parley"].operations.owner_url())
    opts = {"compare_type": True, "compare_server_default": True, "include_name": _has_model}
    with closing(engine.connect()) as connection:
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, empty.extensions["parley"].metadata) == []
    engine.dispose()


def _has_model(name, kind, _parents):
    """The outbox is worked by its functions alone."""
    return (kind, name) != ("table", "cache_outbox")


def test_a_database_without_migrations_is_not_ready(empty):
    answer = empty.test_client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json["migrations"] == "behind"


def test_migrations_are_numbered_in_one_line():
    script = ScriptDirectory(str(migrations_folder()))
    numbers = [revision.revision for revision in script.walk_revisions()]
    assert numbers == [f"{n:04}" for n in range(len(numbers), 0, -1)]
    assert newest_migration() == numbers[0]


def _owner_url(app):
    return app.extensions["parley"].operations.owner_url().replace("+psycopg2", "")


def _execute(url, statement):
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone() if cursor.description else None
    finally:
        connection.close()
