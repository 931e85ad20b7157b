"""The key of a request and its effect: both are there, or neither is, whoever comes meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from uuid import UUID, uuid4

import pytest

from app.errors import KeyReusedError, RecordNotFoundError, UnavailableError
from app.repositories.conversations import ConversationRepository
from app.services.once import Effect, Once, OnceService
from tests.client import Client
from tests.driver import statements_of
from tests.streams import until

WAITING = "SELECT FROM pg_locks WHERE NOT granted AND :pid = ANY (pg_blocking_pids(pid))"


class Rename:
    """Renames a conversation, when it is let; its result is the title."""

    def __init__(self, conversation_id, title, *, fails=None):
        self.pid, self.begun, self.let = None, Event(), Event()
        self.effect = Effect(self._work, lambda _: {}, self._recall)
        self._named = {"where": {"id": conversation_id}}
        self._title = title
        self._fails = fails

    def _work(self, session):
        ConversationRepository(session).update_many(**self._named, data={"title": self._title})
        self.pid = session.run("SELECT pg_backend_pid()", {})[0][0]
        self.begun.set()
        assert self.let.wait(20)
        if self._fails:
            self._fails(session)
        return self._title

    def _recall(self, session, _):
        return ConversationRepository(session).find_unique_or_raise(**self._named).title


@pytest.fixture
def once(database):
    return OnceService(database)


@pytest.fixture
def made(app, email):
    return UUID(Client(app, email).create("Hello")["id"])


@pytest.fixture
def key():
    return Once(str(uuid4()), b"request")


@pytest.fixture
def race(once, made, email, key, rows):
    """What comes of two requests with one key, of which the first waits until the other does."""

    def run(*, fails=None):
        first, second = Rename(made, "first", fails=fails), Rename(made, "second")
        second.let.set()
        with ThreadPoolExecutor() as pool:
            one = pool.submit(once.run, email, key, first.effect)
            assert first.begun.wait(20)
            other = pool.submit(once.run, email, key, second.effect)
            until(lambda: rows.run(WAITING, pid=first.pid))
            first.let.set()
        return one, other

    return run


def refuse(_):
    raise RecordNotFoundError


def end_the_connection(session):
    session.run("SELECT pg_terminate_backend(pg_backend_pid())", {})


def titles(rows, email):
    sql = "SELECT title FROM conversations WHERE user_email = :email"
    return [row.title for row in rows.run(sql, email=email)]


def keys(rows, email):
    sql = "SELECT status, response FROM idempotency_keys WHERE user_email = :email"
    return [tuple(row) for row in rows.run(sql, email=email)]


def test_who_comes_meanwhile_waits_and_gets_the_same(race, rows, email):
    one, other = race()
    assert (one.result(), other.result()) == ("first", "first")
    assert titles(rows, email) == ["first"]
    assert keys(rows, email) == [("finished", {})]


@pytest.mark.parametrize(
    ("fails", "error"),
    [(refuse, RecordNotFoundError), (end_the_connection, UnavailableError)],
)
def test_when_the_first_fails_the_next_takes_effect(race, rows, email, fails, error):
    one, other = race(fails=fails)
    with pytest.raises(error):
        one.result()
    assert other.result() == "second"
    assert titles(rows, email) == ["second"]
    assert keys(rows, email) == [("finished", {})]


def test_a_connection_that_ends_leaves_neither_key_nor_effect(once, made, email, key, rows):
    rename = Rename(made, "first", fails=end_the_connection)
    rename.let.set()
    with pytest.raises(UnavailableError):
        once.run(email, key, rename.effect)
    assert titles(rows, email) == ["Hello"]
    assert keys(rows, email) == []


def test_another_request_with_the_key_is_refused(once, made, email, key, rows):
    first, other = Rename(made, "first"), Rename(made, "other")
    for rename in (first, other):
        rename.let.set()
    once.run(email, key, first.effect)
    with pytest.raises(KeyReusedError):
        once.run(email, Once(key.key, b"another request"), other.effect)
    assert titles(rows, email) == ["first"]


def test_without_a_key_nothing_is_kept_and_no_statement_added(once, made, email, database, rows):
    rename = Rename(made, "first")
    rename.let.set()
    with statements_of(database) as seen:
        assert [once.run(email, None, rename.effect) for _ in range(2)] == ["first"] * 2
    assert len(seen) == 4  # the effect itself has two
    assert keys(rows, email) == []


def test_the_same_key_of_another_user_is_another_key(once, app, made, email, key, rows):
    stranger = Client(app, f"{uuid4().hex}@example.com")
    theirs = UUID(stranger.create("Hello")["id"])
    for owner, place in ((email, made), (stranger.email, theirs)):
        rename = Rename(place, "Renamed")
        rename.let.set()
        assert once.run(owner, key, rename.effect) == "Renamed"
        assert titles(rows, owner) == ["Renamed"]
