"""What is asked often is prepared once per connection, and never what somebody else prepared."""

import dataclasses
import gc
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from app import engine, lines
from app.database import Database, OwnedSession
from app.errors import AlreadySentError, UnavailableError
from app.ids import new_id
from app.json_text import loads
from app.repositories.appending import NewMessage
from app.repositories.conversations import ConversationRepository
from app.repositories.lists import ListRepository
from app.repositories.messages import MessageRepository
from app.statements import Statement
from tests.driver import asked_of
from tests.fixtures import SECRET
from tests.pgbouncer import CONNECTIONS, needs_pgbouncer, pgbouncer

PREPARED = "SELECT count(*) AS n FROM pg_prepared_statements WHERE name LIKE 'parley%%'"
PID = "SELECT pg_backend_pid() AS pid"
RETYPE = "ALTER TABLE conversations ALTER COLUMN preview TYPE {}"
OTHERS_NAME = Statement("others", "SELECT name FROM users WHERE email <> %(owner)s")


@pytest.fixture
def open_database(settings):
    """Opens the database anew, with one connection unless `changes` say otherwise."""
    opened = []

    def open_it(**changes):
        limits = {"db_pool_size": 1, "db_max_overflow": 0}
        opened.append(Database.from_settings(dataclasses.replace(settings, **limits | changes)))
        return opened[-1]

    yield open_it
    for database in opened:
        database.close()


@pytest.fixture
def patched(monkeypatch):
    """Changes what decides whether plans are kept."""

    def patch(**values):
        for name, value in values.items():
            monkeypatch.setattr(lines, name, value)

    return patch


@pytest.fixture(params=["kept", "made anew"])
def one(request, open_database, patched):
    """The database over one connection, whose plans are kept or not."""
    patched(_MANY_ROWS=-1 if request.param == "kept" else 1 << 40)
    return open_database()


@pytest.fixture
def made(client):
    return UUID(client.create(title="Hello")["id"])


def titles(database, owner, conversation_id):
    with database.statement(owner) as session:
        record = ConversationRepository(session).record(conversation_id)
        return record and record.title


def append(session, conversation_id, client_message_id=None):
    said = NewMessage(
        id=new_id(), role="user", content="And more", client_message_id=client_message_id
    )
    return MessageRepository(session).append(
        conversation_id, [said], title=None, preview="And more"
    )


def prepared(database):
    with database.operation() as session:
        return session.run(PREPARED, {})[0].n


def test_it_is_prepared_by_the_message_that_runs_it_first(one, email, made):
    with asked_of(one) as asked:
        assert [titles(one, email, made) for _ in range(3)] == ["Hello"] * 3
    texts = [text for text, _ in asked]
    assert len(texts) == 3
    assert [text.count("PREPARE ") for text in texts] == [1, 0, 0]
    assert [text.count("EXECUTE parley_record_") for text in texts] == [1, 1, 1]
    assert prepared(one) == 1


def test_owners_by_turns_over_one_connection_see_their_own_alone(one, client, stranger):
    theirs = {each: UUID(each.create(f"Of {each.email}")["id"]) for each in (client, stranger)}
    for _ in range(3):
        for reader in theirs:
            for owner, conversation_id in theirs.items():
                expected = f"Of {owner.email}" if owner is reader else None
                assert titles(one, reader.email, conversation_id) == expected


def test_the_wall_holds_for_what_is_prepared_and_asks_for_others(one, client, stranger):
    stranger.get("/conversations")
    for owner in (client.email, stranger.email):
        with one.statement(owner) as session:
            assert session.run(OTHERS_NAME, {"owner": owner}) == []
    with one.operation() as session:
        assert session.run(OTHERS_NAME, {"owner": "nobody"}) == []
        left = session.run("SELECT current_setting('app.user_email', true) AS owner", {})
    assert left[0].owner in {None, ""}
    with one.transaction(client.email) as session:
        assert session.run("SHOW enable_seqscan", {})[0].enable_seqscan == "on"
        assert session.run("SHOW plan_cache_mode", {})[0].plan_cache_mode == "auto"


def test_what_is_lost_is_prepared_again_and_nobody_hears_of_it(one, email, made, rows):
    assert titles(one, email, made) == "Hello"
    with one.operation() as session:
        session.run("DISCARD ALL", {})
    assert titles(one, email, made) == "Hello"
    with one.operation() as session:
        session.run("DEALLOCATE ALL", {})
    with one.transaction(email) as session:
        assert len(append(session, made)) == 1
        assert len(append(session, made)) == 1
    assert prepared(one) == 1
    (count,) = rows.run("SELECT message_count FROM conversations WHERE id = :id", id=made)
    assert count == (2,)


def test_within_a_transaction_what_is_lost_undoes_it_and_the_next_one_goes_on(one, email, made):
    assert titles(one, email, made) == "Hello"

    def work():
        with one.transaction(email) as session:
            assert append(session, made)
            session.run("DEALLOCATE ALL", {})
            ConversationRepository(session).record(made)

    with pytest.raises(UnavailableError):
        work()
    with one.transaction(email) as session:
        assert ConversationRepository(session).record(made).message_count == 0


def test_another_type_of_a_column_is_followed(one, email, made, rows):
    assert titles(one, email, made) == "Hello"
    try:
        rows.run(RETYPE.format("varchar(500)"))
        assert titles(one, email, made) == "Hello"
        with one.transaction(email) as session:
            assert ConversationRepository(session).record(made).title == "Hello"
    finally:
        rows.run(RETYPE.format("text"))
    assert titles(one, email, made) == "Hello"
    rows.run("ALTER TABLE conversations ADD COLUMN more text")
    assert titles(one, email, made) == "Hello"
    rows.run("ALTER TABLE conversations DROP COLUMN more")
    assert titles(one, email, made) == "Hello"


def test_tables_that_grew_are_noticed_and_plans_are_kept_from_then_on(one, email, made, patched):
    patched(_MANY_ROWS=1 << 40)
    with asked_of(one) as asked:
        assert titles(one, email, made) == "Hello"
        patched(_MANY_ROWS=-1)
        assert titles(one, email, made) == "Hello"
        patched(_LOOK_SECONDS=0.0)
        assert titles(one, email, made) == "Hello"
    first, second, looked, last = [text for text, _ in asked]
    assert "reltuples" in looked
    assert ["force_custom_plan" in text for text in (first, second)] == [True, True]
    assert last.startswith("DEALLOCATE ALL; PREPARE ")
    assert "force_generic_plan" in last


@pytest.mark.parametrize("is_known", [False, True])
def test_what_fails_leaves_a_connection_as_good_as_before(one, email, made, is_known):
    for open_session in (one.statement, one.transaction):
        name = uuid4().hex
        if is_known:
            with one.statement(email) as session:
                assert append(session, made)
        with one.statement(email) as session:
            assert append(session, made, name)
        with pytest.raises(AlreadySentError), open_session(email) as session:
            append(session, made, name)
        with open_session(email) as session:
            assert append(session, made)
    one.engine.dispose()
    for _ in range(2):  # what fails when it is prepared is no reason to prepare it twice
        with pytest.raises(AlreadySentError), one.statement(email) as session:
            append(session, made, name)
    with one.statement(email) as session:
        assert append(session, made)
    assert prepared(one) == 1


def test_a_session_that_nobody_closed_leaves_transactions_whole(one, email, made):
    session = OwnedSession(one.engine.execution_options(isolation_level="AUTOCOMMIT"), email)
    assert ConversationRepository(session).record(made)
    del session
    gc.collect()

    def work():
        with one.transaction(email) as session:
            assert append(session, made)
            raise UnavailableError

    with pytest.raises(UnavailableError):
        work()
    with one.statement(email) as session:
        assert MessageRepository(session).tail(made, 9) == []


def test_what_postgresql_refuses_is_told_in_sqlalchemys_words_without_a_value(one, email):
    with pytest.raises(IntegrityError) as refused, one.statement(email) as session:
        ConversationRepository(session).create_once(
            {"id": new_id(), "title": "secret", "title_source": "nobody", "title_words": ""}
            | dict.fromkeys(("mode", "model", "system_prompt", "source_id"))
            | {"tags": [], "metadata": "{}", "source": "none"}
        )
    assert refused.value.orig.diag.constraint_name == "ck_conversations_title_source"
    assert "secret" not in str(refused.value).replace(str(refused.value.orig), "")


def test_a_connection_that_broke_is_replaced_and_all_is_prepared_anew(one, email, made):
    assert titles(one, email, made) == "Hello"
    end = Statement("end", "SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(UnavailableError), one.statement(email) as session:
        session.run(end, {})
    assert titles(one, email, made) == "Hello"
    with one.statement(email) as session:
        with suppress(DBAPIError):
            session.run(end, {})
        assert ConversationRepository(session).record(made).title == "Hello"
    assert prepared(one) == 1


def test_a_pool_that_broke_costs_one_request(open_database, email, made, connection):
    several = open_database(db_pool_size=3)
    with ExitStack() as opened:
        sessions = [opened.enter_context(several.statement(email)) for _ in range(3)]
        pids = [session.run(PID, {})[0].pid for session in sessions]
        assert all(ConversationRepository(session).record(made) for session in sessions)
    assert len(set(pids)) == 3
    connection.cursor().execute("SELECT pg_terminate_backend(unnest(%s))", [pids])
    with pytest.raises(UnavailableError):
        titles(several, email, made)
    with ExitStack() as opened:
        sessions = [opened.enter_context(several.statement(email)) for _ in range(3)]
        assert all(ConversationRepository(session).record(made) for session in sessions)


def test_many_threads_over_few_connections_get_their_own(open_database, client, stranger):
    few = open_database(db_pool_size=2, db_pool_timeout=60)
    theirs = [(it.email, UUID(it.create(f"Of {it.email}")["id"])) for it in (client, stranger)]
    dice = random.Random(5)
    visits = [dice.choice(theirs) for _ in range(400)]

    def visit(place):
        owner, conversation_id = place
        with few.statement(owner) as session:
            page = ListRepository(session).page("newest", {"is_archived": False}, take=9)
            record = ConversationRepository(session).record(conversation_id)
        return {record.title, *(loads(each)["title"] for each in page)}

    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(visit, visits))
    assert seen == [{f"Of {owner}"} for owner, _ in visits]


# Killed while it waits; what PostgreSQL answers then must not be taken for another's answer.
UNDER_GEVENT = """
from gevent import monkey; monkey.patch_all()
from psycogreen.gevent import patch_psycopg; patch_psycopg()
import gevent, os
from app.database import Database
from app.settings import Settings
from app.statements import Statement
nap = Statement("nap", "SELECT pg_sleep(%(seconds)s), %(owner)s::text AS owner")
database = Database.from_settings(Settings.from_environ())
def ask(owner, seconds):
    with database.statement(owner) as session:
        return session.run(nap, {"owner": owner, "seconds": seconds})[0].owner
assert ask("first", 0) == "first"
killed = [gevent.spawn(ask, "killed", 0.4) for _ in range(2)]
gevent.sleep(0.1)
gevent.killall(killed)
owners = [str(n) for n in range(40)]
asked = [gevent.spawn(ask, owner, 0.01) for owner in owners]
gevent.joinall(asked, raise_error=True)
assert [one.value for one in asked] == owners
database.close()
"""


def test_under_gevent_nobody_gets_the_answer_to_who_was_killed(settings):
    environ = os.environ | {
        "DATABASE_URL": settings.database_url,
        "DB_POOL_SIZE": "2",
        "DB_MAX_OVERFLOW": "0",
        "SERVICE_AUTH_SECRET": SECRET,
        "SERVICE_AUTH_ISSUER": "tests",
        "SERVICE_AUTH_AUDIENCE": "parley",
    }
    subprocess.run([sys.executable, "-c", UNDER_GEVENT], env=environ, check=True, timeout=60)


@pytest.fixture
def behind(settings):
    with pgbouncer(settings.database_url) as url:
        yield url


@needs_pgbouncer
@pytest.mark.parametrize("is_asked_for", [True, False])
def test_behind_pgbouncer_nothing_is_prepared_whatever_is_set(
    open_database, behind, email, made, caplog, is_asked_for
):
    many = {"db_pool_size": 2 * CONNECTIONS, "database_url": behind}
    database = open_database(**many, db_prepare=is_asked_for)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: titles(database, email, made), range(40)))
    assert found == ["Hello"] * 40
    with database.transaction(email) as session:
        assert session.run(PREPARED, {})[0].n == 0
    told = [record for record in caplog.records if "statements_not_prepared" in str(record.msg)]
    assert len(told) == int(is_asked_for)


@needs_pgbouncer
def test_a_pooler_that_is_not_seen_costs_time_and_nothing_else(
    open_database, behind, client, stranger, monkeypatch
):
    monkeypatch.setattr(engine, "_is_direct", lambda _connection: True)
    many = {"db_pool_size": 4 * CONNECTIONS, "database_url": behind}
    database = open_database(**many)
    theirs = [(it.email, UUID(it.create(f"Of {it.email}")["id"])) for it in (client, stranger)]
    dice = random.Random(7)
    visits = [dice.choice(theirs) for _ in range(200)]

    def visit(place):
        if dice.random() < 0.3:
            with database.statement(place[0]) as session:
                assert append(session, place[1])
        return titles(database, *place)

    with ThreadPoolExecutor(4 * CONNECTIONS) as threads:
        seen = list(threads.map(visit, visits))
    assert seen == [f"Of {owner}" for owner, _ in visits]
