"""Another owner's rows are out of reach of every word, with row-level security and without."""

from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError

from app.database import OwnedSession
from app.errors import RecordNotFoundError, UnknownWordError


@pytest.fixture(scope="module")
def unwalled(database_urls):
    """An engine that row-level security lets pass: it works as the tables' owner."""
    engine = create_engine(database_urls.owner, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture(params=["both walls", "the first wall alone"])
def work(request, database, unwalled):
    """Opens a unit of work for an owner, with row-level security and without."""

    @contextmanager
    def open_session(owner):
        with OwnedSession(unwalled, owner) as session:
            yield session

    return database.statement if request.param == "both walls" else open_session


def titles(records):
    return [record.title for record in records]


def test_another_owners_rows_are_never_there(conversations, others):
    theirs = others.find_first()
    where = {"id": theirs.id}
    assert conversations.find_unique(where=where) is None
    assert conversations.find_unique(where={**where, "user_email": theirs.user_email}) is None
    assert conversations.find_first(where=where) is None
    assert conversations.find_many(where={"user_email": theirs.user_email}) == []
    assert conversations.find_many(where={"OR": [where, {"NOT": where}]}) == []
    assert conversations.find_many(distinct=["title"]) == []
    assert conversations.count() == conversations.count(where=where) == 0


def test_another_owners_rows_are_never_changed(conversations, others):
    theirs = others.find_first()
    where, data = {"id": theirs.id}, {"title": "mine"}
    for change in (
        lambda: conversations.update(where=where, data=data),
        lambda: conversations.delete(where=where),
        lambda: conversations.upsert(where=where, data={"create": data, "update": data}),
    ):
        with pytest.raises(RecordNotFoundError):
            change()
    assert conversations.update_many(data=data) == 0
    assert conversations.update_many(where=where, data=data) == 0
    assert conversations.delete_many() == conversations.delete_many(where=where) == 0
    assert titles(others.find_many()) == ["theirs"]


def test_another_owners_row_is_no_cursor(letters, others):
    cursor = {"id": others.find_first().id}
    for order_by in (None, {"id": "desc"}, {"preview": "asc"}, {"preview": "desc"}):
        for take in (5, -5):
            assert letters.find_many(cursor=cursor, order_by=order_by, take=take) == []
        assert letters.find_first(cursor=cursor, order_by=order_by) is None


def test_another_owners_rows_are_seen_through_no_relation(
    database, conversations, messages, others, say
):
    theirs = others.find_first()
    mine = conversations.create(data={"title": "mine"})
    say(mine, 1, "mine")
    assert conversations.find_many(where={"messages": {"some": {"content": "theirs"}}}) == []
    assert conversations.count(where={"messages": {"none": {"content": "theirs"}}}) == 1
    assert conversations.count(where={"messages": {"every": {"content": "mine"}}}) == 1
    assert messages.count(where={"conversation": {"is": {"id": theirs.id}}}) == 0
    assert messages.count(where={"conversation": {"is_not": {"id": theirs.id}}}) == 1
    (found,) = conversations.find_many(include={"messages": True})
    assert [message.content for message in found.messages] == ["mine"]


def test_nothing_is_created_in_another_owners_conversation(conversations, messages, others, say):
    theirs = others.find_first()
    with pytest.raises(IntegrityError):
        say(theirs, 2, "mine")
    messages.session.rollback()
    mine = conversations.create(data={})
    said = say(mine, 1, "mine")
    where = {"conversation_id": mine.id, "id": said.id}
    with pytest.raises(IntegrityError):
        messages.update(where=where, data={"conversation": {"connect": {"id": theirs.id}}})
    messages.session.rollback()
    where = {"conversation_id": theirs.id, "seq": 1}
    data = {"create": {"role": "user", "content": "mine"}, "update": {"content": "mine"}}
    with pytest.raises(RecordNotFoundError):
        messages.upsert(where=where, data=data)
    assert others.count(where={"messages": {"every": {"content": "theirs"}}}) == 1


def test_a_row_can_not_be_given_away(conversations, others):
    theirs = others.find_first().user_email
    made = conversations.create(data={})
    for call in (
        lambda data: conversations.create(data=data),
        lambda data: conversations.create_many(data=[data]),
        lambda data: conversations.update(where={"id": made.id}, data=data),
        lambda data: conversations.update_many(data=data),
        lambda data: conversations.upsert(
            where={"id": made.id}, data={"create": data, "update": {}}
        ),
        lambda data: conversations.upsert(
            where={"id": made.id}, data={"create": {}, "update": data}
        ),
        lambda data: conversations.upsert(
            where={"id": made.id, **data}, data={"create": {}, "update": {}}
        ),
    ):
        with pytest.raises(UnknownWordError, match="another owner"):
            call({"user_email": theirs})
    assert others.count() == 1
