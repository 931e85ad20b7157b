"""Another owner's rows are out of reach of every word, with row-level security and without."""

from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from psycopg2.errors import ForeignKeyViolation
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError

from app.errors import RecordNotFoundError, UnknownWordError
from app.repositories.words import shape_of
from app.sessions import OwnedSession

NOW = datetime(2026, 11, 21, tzinfo=UTC)


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


def relations_of(tables):
    """Every relation of every model: its repository, its name and the names of both owners."""
    for repository in tables.values():
        shape = shape_of(repository.model, repository.owner_column)
        for name, relation in shape.relations.items():
            yield repository, name, shape.related(name).owner, relation.uselist


def test_no_relation_of_any_model_includes_what_is_another_owners(life):
    mine, _theirs = life(), life()
    for repository, name, owner_column, is_list in relations_of(mine.tables):
        found = [getattr(each, name) for each in repository.find_many(include={name: True})]
        related = [each for some in found for each in (some if is_list else [some]) if each]
        assert related, name
        assert {getattr(each, owner_column) for each in related} == {mine.owner}


def test_no_filter_of_any_relation_finds_what_is_another_owners(life):
    mine, theirs = life(), life()
    for repository, name, owner_column, is_list in relations_of(mine.tables):
        has, has_not = ("some", "none") if is_list else ("is", "is_not")
        for where in ({owner_column: theirs.owner}, {owner_column: {"not": mine.owner}}):
            assert repository.count(where={name: {has: where}}) == 0
            assert repository.count(where={name: {has_not: where}}) == repository.count()


def test_no_word_of_an_include_leads_to_another_owner(life):
    mine, theirs = life(), life()
    stranger = {"conversation_id": theirs.talk.id, "id": theirs.answer.id}
    for words in (
        {"where": {"user_email": theirs.owner}},
        {"where": {"OR": [{"id": theirs.answer.id}, {"conversation_id": theirs.talk.id}]}},
        {"where": {"conversation": {"is": {"title": theirs.owner}}}},
        {"cursor": stranger},
        {"cursor": stranger, "order_by": {"rating": "desc"}, "take": -9},
        {"cursor": {"id": theirs.answer.id}, "distinct": ["role"]},
    ):
        (talk,) = mine.tables["conversations"].find_many(include={"messages": words})
        assert talk.messages == []


def test_nothing_is_connected_to_what_is_another_owners(life):
    mine, theirs = life(), life()
    tables, where = mine.tables, {"conversation_id": mine.talk.id, "id": mine.answer.id}
    stranger = {"conversation_id": theirs.talk.id, "id": theirs.question.id}
    mixed, chunk = stranger | {"conversation_id": mine.talk.id}, {"n": 1, "text": ""}
    for repository, key, data in (
        (tables["messages"], where, {"parent": {"connect": {"id": theirs.question.id}}}),
        (tables["messages"], where, {"parent": {"connect": stranger}, "seq": 9}),
        (tables["runs"], None, {"message": {"connect": stranger}, "lease_until": NOW}),
        (tables["runs"], None, {"message": {"connect": mixed}, "lease_until": NOW}),
        (tables["run_chunks"], None, {"run": {"connect": {"id": theirs.run.id}}} | chunk),
    ):
        with pytest.raises(IntegrityError) as refused:
            repository.update(where=key, data=data) if key else repository.create(data=data)
        assert isinstance(refused.value.orig, ForeignKeyViolation)
        repository.session.rollback()
    assert tables["messages"].find_unique(where=where).parent_id == mine.question.id
    assert theirs.tables["run_chunks"].count() == theirs.tables["runs"].count() == 1


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
