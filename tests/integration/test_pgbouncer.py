"""The whole application behind a PgBouncer whose few connections are shared by transactions."""

from contextlib import closing

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from tests.client import Client
from tests.pgbouncer import CONNECTIONS, left_behind, needs_pgbouncer, pgbouncer

pytestmark = needs_pgbouncer


@pytest.fixture(scope="module")
def url(settings):
    with pgbouncer(settings.database_url) as url:
        yield url


@pytest.fixture
def crowded(make_app, url):
    """An application with more connections than PgBouncer has."""
    return make_app(database_url=url, db_pool_size=2 * CONNECTIONS)


def test_a_conversation_is_had_found_and_thrown_away(crowded, email):
    ann, bob = Client(crowded, email), Client(crowded, f"other.{email}")
    made = ann.create("A pelican nests here", "It does")
    asked = ann.ask("Which bird nests here?", conversation_id=made["id"])
    assert "pelican" in asked.json["message"]["content"]
    assert asked.json["message"]["contexts"][0]["conversation_id"] == made["id"]
    assert len(ann.messages(made["id"])) == 4
    assert [item["id"] for item in ann.get("/conversations").json["conversations"]] == [made["id"]]
    assert bob.get("/conversations").json["conversations"] == []
    assert bob.get(f"/conversations/{made['id']}").status_code == 404
    assert ann.delete(f"/conversations/{made['id']}").status_code == 200
    assert ann.get(f"/conversations/{made['id']}").status_code == 404


def test_nothing_is_left_in_any_shared_connection(crowded, url, email):
    client = Client(crowded, email)
    for n in range(4 * CONNECTIONS):
        client.create(f"Hello {n}")
    assert left_behind(url) == {(None, 0)}


def test_time_limits_that_pgbouncer_ignores_are_missed_unless_the_role_has_them(
    make_app, settings, url, caplog
):
    assert _misses_limits(make_app, url, caplog)
    name = make_url(settings.database_url).database
    limited = f'ALTER ROLE parley_app IN DATABASE "{name}" {{}} statement_timeout'
    with closing(psycopg2.connect(settings.database_url.replace("+psycopg2", ""))) as connection:
        connection.autocommit = True
        connection.cursor().execute(limited.format("SET") + " = '7s'")
        try:
            with pgbouncer(settings.database_url) as url:
                assert not _misses_limits(make_app, url, caplog)
        finally:
            connection.cursor().execute(limited.format("RESET"))


def _misses_limits(make_app, url, caplog):
    caplog.clear()
    make_app(database_url=url).extensions["parley"].database.check_role()
    return [record for record in caplog.records if "timeouts_missing" in str(record.msg)]
