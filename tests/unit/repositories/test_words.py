"""What the vocabulary knows of the models."""

import re
from uuid import UUID

import pytest
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from app.errors import SetupError, UnknownWordError
from app.models import Conversation, IdempotencyKey, Message, User
from app.repositories.query import unique
from app.repositories.words import Place, shape_of
from tests.refusals import refusal_of

from . import OWNER, scope_of, sql_of

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


KEYS = [
    (Conversation, "user_email", {"id": ID}, ("id",)),
    (Conversation, "user_email", {"id": ID, "user_email": OWNER}, ("id",)),
    (
        Conversation,
        "user_email",
        {"source": "s", "source_id": "1"},
        ("user_email", "source", "source_id"),
    ),
    (Message, "user_email", {"conversation_id": ID, "seq": 1}, ("conversation_id", "seq")),
    (
        Message,
        "user_email",
        {"conversation_id": ID, "client_message_id": "c"},
        ("conversation_id", "client_message_id"),
    ),
    (
        Message,
        "user_email",
        {"conversation_id": ID, "parent_id": None},
        ("conversation_id", "parent_id"),
    ),
    (IdempotencyKey, "user_email", {"key": "k"}, ("user_email", "key")),
    (User, "email", {"email": OWNER}, ("email",)),
    (User, "email", {"issuer": "i", "subject": "s"}, ("issuer", "subject")),
]


def test_unique_keys_come_from_the_tables_constraints_and_indexes():
    for model, owner_column, where, fields in KEYS:
        key, _condition = unique(scope_of(model, owner_column), where)
        assert key.fields == fields, where


def test_a_partial_unique_index_brings_its_predicate_along():
    scope = scope_of(Message)
    _key, is_live = unique(scope, {"conversation_id": ID, "parent_id": None})
    assert "messages.parent_id IS NULL AND status = 'streaming'" in sql_of(is_live)


KEYLESS = [
    (Conversation, {"title": "a"}),
    (Conversation, {"id": ID, "title": "a"}),
    (Conversation, {"user_email": OWNER}),
    (Conversation, {}),
    (Message, {"id": ID}),
]


def test_what_is_no_unique_key_is_refused_with_the_known_keys():
    for model, where in KEYLESS:
        message = refusal_of(UnknownWordError, unique, scope_of(model), where)
        assert re.search(r"is no unique key; known are: \(.*id\)", message), where


def test_a_model_without_an_owner_has_no_repository():
    with pytest.raises(SetupError, match="User has no column user_email"):
        shape_of(User)


def test_a_relation_that_loses_the_owner_on_its_way_is_refused():
    class Base(DeclarativeBase):
        pass

    class Room(Base):
        __tablename__ = "rooms"
        id: Mapped[int] = mapped_column(primary_key=True)
        user_email: Mapped[str]

    class Chair(Base):
        __tablename__ = "chairs"
        id: Mapped[int] = mapped_column(primary_key=True)
        user_email: Mapped[str]
        room_id: Mapped[int] = mapped_column(ForeignKey("rooms.id"))
        room: Mapped[Room] = relationship()

    with pytest.raises(SetupError, match=r"Chair\.room does not join on the owner"):
        shape_of(Chair).related("room")


def test_a_place_reads_as_a_path():
    place = Place("where").into("AND").item(0).at("title")
    assert (str(place), place.depth) == ("where.AND[0].title", 1)
