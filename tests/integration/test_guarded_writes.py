"""What is left of a write: no copy that is not sure, and a note with it where one is due."""

from types import SimpleNamespace
from uuid import UUID

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from app import create_app
from app.database import Database
from app.ids import new_id
from app.repositories.appending import NewMessage
from app.repositories.conversations import ConversationRepository
from app.repositories.messages import MessageRepository
from app.services.messages import Draft
from app.writes import NoGuard
from tests.apart import apart
from tests.evidence import Rows
from tests.streams import until


@pytest.fixture(scope="module")
def own_settings(settings):
    """Of a database where nobody else works: others would deliver the notes."""
    with apart(settings, "guarded") as own_settings:
        yield own_settings


@pytest.fixture(scope="module")
def app(own_settings):
    app = create_app(own_settings)
    yield app
    app.extensions["parley"].close()


@pytest.fixture(scope="module")
def parley(app):
    return app.extensions["parley"]


@pytest.fixture(scope="module")
def rows(own_settings):
    return Rows(own_settings.database_owner_url)


def append_and_end(database, owner, conversation_id, ending):
    """The statement takes effect; the thread never comes to say so."""
    with database.statement(owner) as session:
        session.told = raising(ending)
        append(session, conversation_id)


def append(session, conversation_id):
    message = NewMessage(id=new_id(), role="user", content="And now?")
    MessageRepository(session).append(conversation_id, [message], title=None, preview="")


def raising(error):
    def raise_it(*_):
        raise error

    return raise_it


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, RuntimeError])
def test_a_copy_is_not_given_back_after_a_statement_that_took_effect(ending, client, parley):
    conversation_id = client.create("Hello", "Good morning")["id"]
    before = client.messages(conversation_id)
    with pytest.raises(ending):
        append_and_end(parley.database, client.email, UUID(conversation_id), ending)
    assert len(client.messages(conversation_id)) == len(before) + 1


class Doubtful(NoGuard):
    """Redis answers nobody, neither before a commit nor after it."""

    is_doubtful = True


@pytest.fixture
def doubtful(own_settings):
    database = Database.from_settings(own_settings)
    database.guard_with(Doubtful())
    yield database
    database.close()


@pytest.fixture
def notes(rows, parley, monkeypatch):
    """How many notes there are of a conversation, as everybody else sees it; none is delivered."""
    monkeypatch.setattr(parley.copies.upkeep, "look", lambda: None)
    query = "SELECT count(*) FROM cache_outbox WHERE conversation_id = :conversation_id"
    return lambda conversation_id: rows.run(query, conversation_id=conversation_id)[0].count


def test_a_note_comes_with_its_transaction_and_not_before(doubtful, client, notes):
    """It could be delivered before there is anything to tell."""
    conversation_id, seen = UUID(client.create("Hello")["id"]), []
    event.listen(doubtful.engine, "commit", lambda _: seen.append(notes(conversation_id)))
    with doubtful.transaction(client.email) as session:
        ConversationRepository(session).trash(conversation_id)
    assert seen == [0]
    assert notes(conversation_id) == 1


def test_a_note_comes_with_its_statement_or_not_at_all(doubtful, client, notes):
    conversation_id = UUID(client.create("Hello")["id"])
    with doubtful.statement(client.email) as session:
        append(session, conversation_id)
    assert notes(conversation_id) == 1
    other = UUID(client.create("Hello")["id"])
    taken = NewMessage(id=UUID(client.messages(str(other))[0]["id"]), role="user", content="No.")
    with pytest.raises(IntegrityError), doubtful.statement(client.email) as session:
        MessageRepository(session).append(other, [taken], title=None, preview="")
    assert notes(other) == 0


class Unheard(Doubtful):
    """Redis has not heard of the end of any write."""

    def end(self, *_):
        return False


@pytest.fixture
def asked(doubtful, monkeypatch):
    """How often it was asked by itself whether a note is known."""
    doubtful.guard_with(Unheard())
    asked, operation = [], doubtful.operation
    monkeypatch.setattr(doubtful, "operation", lambda: asked.append(1) or operation())
    monkeypatch.setattr("app.database.time", SimpleNamespace(sleep=lambda _: None))
    return asked


WRITES = {
    "statement": append,
    "transaction": lambda session, it: ConversationRepository(session).trash(it),
}


@pytest.mark.parametrize("way", WRITES)
def test_where_an_older_note_is_known_a_write_in_doubt_hears_so_with_it(
    way, doubtful, asked, client, notes, rows
):
    known = "INSERT INTO cache_outbox (conversation_id, seen_at) VALUES (:it, '2026-01-01')"

    def is_heard():
        """Unless somebody's upkeep has delivered the known note before."""
        conversation_id = UUID(client.create("Hello")["id"])
        rows.run(known, it=new_id())
        asked.clear()
        with getattr(doubtful, way)(client.email) as session:
            WRITES[way](session, conversation_id)
        assert notes(conversation_id) == 1
        return asked == []

    until(is_heard)


@pytest.mark.parametrize("way", WRITES)
def test_without_a_known_note_a_write_in_doubt_asks_when_it_has_taken_effect(
    way, doubtful, asked, client, notes, rows
):
    conversation_id = UUID(client.create("Hello")["id"])
    rows.run("DELETE FROM cache_outbox WHERE seen_at IS NOT NULL")
    with getattr(doubtful, way)(client.email) as session:
        WRITES[way](session, conversation_id)
    assert notes(conversation_id) == 1
    assert asked == [1]


@pytest.mark.parametrize("surplus", [0, 1])
def test_a_write_of_more_than_a_copy_holds_leaves_no_copy(surplus, client, parley):
    conversation_id = UUID(client.create("Hello")["id"])
    drafts = [Draft(role="user", content="And now?")] * (parley.copies.most_told + surplus)

    def is_copied():
        return bool(parley.copies.cache.peek([conversation_id]))

    until(lambda: client.messages(str(conversation_id)) and is_copied())
    parley.services.tree.append(client.email, str(conversation_id), drafts)
    assert is_copied() is not bool(surplus)
