"""The owner travels with each statement and never stays behind in a pooled connection.

POOLED_REQUESTS=50000 asks as often; POOLED_SEED=… repeats an order. `pytest -s` shows both.
"""

import os
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError

from app.database import Database
from app.errors import UnavailableError
from tests.pgbouncer import CONNECTIONS, left_behind, needs_pgbouncer, pgbouncer

pytestmark = pytest.mark.usefixtures("unmeasured")
USERS = 1_000
REQUESTS = int(os.environ.get("POOLED_REQUESTS", "2000"))


def test_the_owner_does_not_survive_in_the_pooled_connection(settings, crowd):
    database = Database.from_settings(replace(settings, db_pool_size=1, db_max_overflow=0))
    left = "SELECT current_setting('app.user_email', true)"
    for open_session in (database.statement, database.transaction):
        with open_session(crowd[0]) as session:
            assert session.run("SELECT count(*) FROM messages", {})[0].count > 0
        with database.engine.connect() as connection:
            assert connection.exec_driver_sql(left).scalar() in {None, ""}
            assert connection.exec_driver_sql("SELECT count(*) FROM messages").scalar() == 0
        with suppress(DBAPIError), open_session(crowd[0]) as session:
            session.run("SELECT 1 / 0", {})
        with database.engine.connect() as connection:
            assert connection.exec_driver_sql(left).scalar() in {None, ""}
    database.close()


def test_over_one_connection_statements_take_effect_at_once_and_transactions_whole(settings, crowd):
    database = Database.from_settings(replace(settings, db_pool_size=1, db_max_overflow=0))
    rename = "UPDATE users SET name = %(name)s RETURNING name"
    shown = "SELECT name FROM users"
    owner = crowd[1]
    for n in range(3):
        with suppress(UnavailableError), database.statement(owner) as session:
            session.run(rename, {"name": f"kept {n}"})
            raise UnavailableError
        with suppress(UnavailableError), database.transaction(owner) as session:
            session.run(rename, {"name": "lost"})
            raise UnavailableError
        with database.transaction(owner) as session:
            assert session.run(shown, {})[0].name == f"kept {n}"
            session.run(rename, {"name": f"changed {n}"})
        with database.statement(owner) as session:
            assert session.run(shown, {})[0].name == f"changed {n}"
    database.close()


@pytest.fixture(scope="module")
def crowd(rows):
    """A thousand users with a conversation and a message each."""
    mark = uuid4().hex
    owners = [f"{n}.{mark}@example.com" for n in range(USERS)]
    rows.run(
        "INSERT INTO users (id, email) SELECT gen_random_uuid(), unnest(CAST(:owners AS text[]))",
        owners=owners,
    )
    made = "INSERT INTO conversations (id, user_email) SELECT gen_random_uuid(), email FROM users "
    rows.run(made + "WHERE email = ANY(:owners)", owners=owners)
    rows.run(
        "INSERT INTO messages (conversation_id, id, user_email, seq, role, content) "
        "SELECT id, gen_random_uuid(), user_email, 1, 'user', user_email FROM conversations "
        "WHERE user_email = ANY(:owners)",
        owners=owners,
    )
    yield owners
    rows.run("DELETE FROM users WHERE email = ANY(:owners)", owners=owners)


@pytest.fixture(params=["directly", pytest.param("behind PgBouncer", marks=needs_pgbouncer)])
def url(request, settings):
    """The database by a pool of ours of two connections, or by one of PgBouncer's."""
    if request.param == "directly":
        yield settings.database_url
        return
    with pgbouncer(settings.database_url) as url:
        yield url


def test_a_thousand_users_over_two_connections_see_no_row_of_each_other(settings, crowd, url):
    size = CONNECTIONS if url == settings.database_url else 4 * CONNECTIONS
    limits = {"db_pool_size": size, "db_max_overflow": 0, "db_pool_timeout": 600}
    database = Database.from_settings(replace(settings, database_url=url, **limits))
    seed = int(os.environ.get("POOLED_SEED", random.randrange(2**32)))
    dice = random.Random(seed)
    visits = [(dice.choice(_SEEN), crowd[n % USERS]) for n in range(REQUESTS)]
    dice.shuffle(visits)
    with ThreadPoolExecutor(4 * CONNECTIONS) as threads:
        seen = list(threads.map(lambda visit: visit[0](database, visit[1]), visits))
    database.close()
    foreign = [n for n, (_, owner) in enumerate(visits) if seen[n] != {owner}]
    print(f"seed {seed}: {len(foreign)} foreign in {len(seen):,}")
    assert len(seen) == REQUESTS
    assert foreign == []
    assert left_behind(url) == {(None, 0)}


def _visible(session):
    rows = session.run("SELECT user_email FROM messages UNION ALL SELECT email FROM users", {})
    return {row.user_email for row in rows}


def _one_statement(database, owner):
    with database.statement(owner) as session:
        return _visible(session)


def _transaction(database, owner):
    with database.transaction(owner) as session:
        return _visible(session) | _visible(session)


def _after_an_error(database, owner):
    with suppress(DBAPIError), database.transaction(owner) as session:
        _visible(session)
        session.run("SELECT 1 / 0", {})
    return _one_statement(database, owner)


def _after_a_rollback(database, owner):
    with suppress(UnavailableError), database.transaction(owner) as session:
        session.run("UPDATE messages SET content = ''", {})
        raise UnavailableError
    return _transaction(database, owner)


def _after_a_rollback_within(database, owner):
    with database.transaction(owner) as session:
        before = _visible(session)
        session.rollback()
        return before | _visible(session)


_SEEN = (
    _one_statement,
    _transaction,
    _after_an_error,
    _after_a_rollback,
    _after_a_rollback_within,
)
