"""Repositories of one owner, and of somebody else, on the servers that all tests share."""

from uuid import uuid4

import pytest

from app.repositories.conversations import ConversationRepository
from app.repositories.messages import MessageRepository
from app.repositories.users import UserRepository
from tests.evidence import statements_of


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
def statements(database):
    """What reaches the database, statement by statement."""
    with statements_of(database) as seen:
        yield seen


def _say(messages, conversation, fields):
    connected = {"conversation": {"connect": {"id": conversation.id}}, "role": "user"}
    return messages.create(data=connected | fields)
