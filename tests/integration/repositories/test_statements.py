"""One statement for each method, and none for a word that is not known."""

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.errors import UnknownWordError
from app.repositories.conversations import ConversationRepository
from app.repositories.messages import MessageRepository


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda it: it.find_unique(where={"titel": 1}), "'titel' in where"),
        (lambda it: it.find_unique_or_raise(where={"title": "a"}), "no unique key"),
        (lambda it: it.find_unique(where={"id": uuid4()}, include={"run": True}), "'run'"),
        (lambda it: it.find_first(where={"titel": 1}), "'titel' in where"),
        (lambda it: it.find_first(skip=-1), "skip takes"),
        (lambda it: it.find_many(order_by={"title": "up"}), "'up' in order_by"),
        (lambda it: it.find_many(distinct=["titel"]), "'titel' in distinct"),
        (lambda it: it.find_many(cursor={"title": "a"}), "no unique key"),
        (lambda it: it.count(where={"titel": 1}), "'titel' in where"),
        (lambda it: it.create(data={}, include={"run": True}), "'run' in include"),
        (lambda it: it.update(where={"id": uuid4()}, data={}, include={"a": True}), "'a' in inc"),
        (
            lambda it: it.upsert(
                where={"id": uuid4()}, data={"create": {}, "update": {}}, include={"a": True}
            ),
            "'a' in include",
        ),
        (lambda it: it.create(data={"titel": 1}), "'titel' in data"),
        (lambda it: it.create_many(data=[{}, {"titel": 1}]), r"'titel' in data\[1\]"),
        (lambda it: it.create_many(data={"title": "a"}), "data takes a list"),
        (lambda it: it.update(where={"title": "a"}, data={}), "no unique key"),
        (lambda it: it.update(where={"id": uuid4()}, data={"titel": 1}), "'titel' in data"),
        (lambda it: it.update_many(where={"titel": 1}, data={}), "'titel' in where"),
        (lambda it: it.update_many(data={"titel": 1}), "'titel' in data"),
        (lambda it: it.delete(where={"title": "a"}), "no unique key"),
        (lambda it: it.delete_many(where={"titel": 1}), "'titel' in where"),
        (lambda it: it.delete_many(where={"title": {}}), "where.title takes"),
    ],
)
def test_every_method_refuses_unknown_words_before_the_database(
    conversations, statements, call, message
):
    with pytest.raises(UnknownWordError, match=message):
        call(conversations)
    assert statements == []


ONE_STATEMENT = {
    "find_unique": lambda it, made: it.find_unique(where={"id": made.id}),
    "find_unique_or_raise": lambda it, made: it.find_unique_or_raise(where={"id": made.id}),
    "find_first": lambda it, made: it.find_first(order_by={"title": "asc"}),
    "find_first_or_raise": lambda it, made: it.find_first_or_raise(),
    "find_many": lambda it, made: it.find_many(
        cursor={"id": made.id}, distinct=["title"], where={"messages": {"none": {}}}, take=-1
    ),
    "count": lambda it, made: it.count(where={"title": "a"}),
    "count of a page": lambda it, made: it.count(take=3, skip=1, cursor={"id": made.id}) + 1,
    "create": lambda it, made: it.create(data={"title": "b"}),
    "create_many": lambda it, made: it.create_many(data=[{"title": str(n)} for n in range(1500)]),
    "create_many that skips": lambda it, made: it.create_many(
        data=[{"id": made.id}, {}], skip_duplicates=True
    ),
    "update": lambda it, made: it.update(where={"id": made.id}, data={"title": "b"}),
    "update_many": lambda it, made: it.update_many(data={"title": "b"}),
    "upsert": lambda it, made: it.upsert(
        where={"id": made.id}, data={"create": {}, "update": {"title": "b"}}
    ),
    "delete": lambda it, made: it.delete(where={"id": made.id}),
    "delete_many": lambda it, made: it.delete_many(where={"title": "a"}),
}


@pytest.mark.parametrize("method", ONE_STATEMENT)
def test_each_method_is_one_statement(conversations, statements, method):
    made = conversations.create(data={"title": "a"})
    statements.clear()
    assert ONE_STATEMENT[method](conversations, made) is not None
    assert len(statements) == 1


@pytest.mark.parametrize("find", ["find_unique", "find_first", "find_many"])
def test_each_included_relation_is_one_statement_more(conversations, statements, find, say):
    made = conversations.create(data={"title": "a"})
    say(made, 1, "hi")
    statements.clear()
    getattr(conversations, find)(where={"id": made.id}, include={"messages": True})
    assert len(statements) == 2


def test_an_included_relation_is_one_statement_however_many_parents(conversations, statements):
    conversations.create_many(data=[{} for _ in range(1100)])
    statements.clear()
    include = {"messages": {"take": 1}, "user": {"include": {"query_logs": True}}}
    found = conversations.find_many(include=include)
    assert len(statements) == 4
    assert len({id(record.user) for record in found}) == 1


def test_nothing_is_asked_for_nobody(conversations, messages, say, statements):
    assert conversations.find_many(include={"messages": {"include": {"parent": True}}}) == []
    made = conversations.create(data={}, include={"messages": {"include": {"parent": True}}})
    assert len(statements) == 3
    say(made, 1, "a root has no parent")
    statements.clear()
    messages.find_many(include={"parent": True})
    assert len(statements) == 1


def test_a_failed_unit_of_work_leaves_nothing(database, owner):
    twice = [{"id": uuid4()}] * 2

    def work():
        with database.transaction(owner) as session:
            ConversationRepository(session).create(data={})
            ConversationRepository(session).create_many(data=twice)

    with pytest.raises(IntegrityError):
        work()
    with database.statement(owner) as session:
        assert ConversationRepository(session).count() == 0


def test_a_connection_does_not_keep_its_owner(database, owner, others):
    theirs = others.session.owner
    for _ in range(3):
        for who, expected in ((owner, 0), (theirs, 1)):
            with database.transaction(who) as session:
                assert ConversationRepository(session).count() == expected
                assert MessageRepository(session).count() == expected
    with database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM conversations")) == 0


def test_the_owner_stands_in_every_statement(conversations, statements, owner, say):
    made = conversations.create(data={"title": "a"})
    say(made, 1, "hi")
    statements.clear()
    where = {"messages": {"some": {"conversation": {"is": {"title": "a"}}}}}
    conversations.find_many(where=where, cursor={"id": made.id}, include={"messages": True})
    page, included = statements
    assert page.count("user_email = %(user_email") == 4
    assert included.count("user_email = %(user_email") == 1
    statements.clear()
    words = {"where": where["messages"]["some"], "cursor": {"seq": 1}, "distinct": ["role"]}
    conversations.find_first(include={"messages": words | {"order_by": {"rating": "asc"}}})
    assert statements[1].count("user_email = %(user_email") == 4
