"""Repositories of one owner, and of somebody else, on the servers that all tests share."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from app.models import IdempotencyKey, QueryLog, Run, RunChunk
from app.repositories.base import Repository
from app.repositories.conversations import ConversationRepository
from app.repositories.messages import MessageRepository
from app.repositories.users import UserRepository
from tests.driver import statements_of


def repository_of(kind):
    """The vocabulary for a model that has no repository of its own."""
    return type(f"{kind.__name__}s", (Repository,), {"model": kind})


def everything(session):
    """A repository for every table with an owner, by the table's name."""
    made = [UserRepository, ConversationRepository, MessageRepository]
    made += map(repository_of, (Run, RunChunk, QueryLog, IdempotencyKey))
    return {kind.model.__tablename__: kind(session) for kind in made}


@pytest.fixture
def life(work, person):
    """Makes a user with a row in every table: the repositories, and ids of what there is."""

    with ExitStack() as opened:

        def make():
            session = opened.enter_context(work(person()))
            return _lived(everything(session), session.owner)

        yield make


@pytest.fixture
def work(database):
    """Opens a unit of work for an owner."""
    return database.statement


@pytest.fixture
def person(work):
    """Makes a user and says the address."""

    def make():
        owner = f"{uuid4().hex}@example.com"
        with work(owner) as session:
            UserRepository(session).create(data={"email": owner})
        return owner

    return make


@pytest.fixture
def owner(person):
    return person()


@pytest.fixture
def session(work, owner):
    with work(owner) as session:
        yield session


@pytest.fixture
def conversations(session):
    return ConversationRepository(session)


@pytest.fixture
def messages(session):
    return MessageRepository(session)


@pytest.fixture
def say(messages):
    """Makes a message of a conversation, `seq` and `content` given."""

    def make(conversation, seq, content, **fields):
        return _say(messages, conversation, {"seq": seq, "content": content, **fields})

    return make


@pytest.fixture
def others(work, person):
    """Somebody else's repository of conversations: one, titled and saying `theirs`."""
    with work(person()) as session:
        conversations = ConversationRepository(session)
        made = conversations.create(data={"title": "theirs"})
        _say(MessageRepository(session), made, {"seq": 1, "content": "theirs"})
        yield conversations


@pytest.fixture
def letters(conversations):
    """Titles a to f; ties and NULLs in `preview`, ties in `is_pinned`."""
    previews = ["x", None, "x", "y", None, "w"]
    pins = [True, False, True, False, True, False]
    for name, preview, pin in zip("abcdef", previews, pins, strict=True):
        conversations.create(data={"title": name, "preview": preview, "is_pinned": pin})
    return conversations


@pytest.fixture
def statements(database, session):
    """What reaches the database, statement by statement."""
    session.close()  # it takes another connection then, which is listened to
    with statements_of(database) as seen:
        yield seen


def _lived(tables, owner):
    talk = tables["conversations"].create(data={"title": owner})
    question = _say(tables["messages"], talk, {"seq": 1, "content": "?"})
    parent = {"connect": {"id": question.id}}
    answer = _say(tables["messages"], talk, {"seq": 2, "content": "!", "parent": parent})
    message = {"connect": {"conversation_id": talk.id, "id": answer.id}}
    lease_until = datetime.now(UTC) + timedelta(hours=1)  # no reaper's yet
    run = tables["runs"].create(data={"message": message, "lease_until": lease_until})
    chunk = {"run": {"connect": {"id": run.id}}, "n": 0, "text": "!"}
    tables["run_chunks"].create(data=chunk)
    ids = {"conversation_id": talk.id, "message_id": answer.id}
    tables["query_logs"].create(data=ids | {"contexts_retrieved": 0, "status": "complete"})
    key = {"key": "k", "request_sha256": b"1", "status": "started"}
    tables["idempotency_keys"].create(data=key)
    return SimpleNamespace(
        owner=owner, tables=tables, talk=talk, question=question, answer=answer, run=run
    )


def _say(messages, conversation, fields):
    connected = {"conversation": {"connect": {"id": conversation.id}}, "role": "user"}
    return messages.create(data=connected | fields)
