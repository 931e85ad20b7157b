"""`include` as SQL, without a database."""

import re
from uuid import UUID

import pytest

from app.errors import UnknownWordError
from app.models import Conversation, Message
from app.repositories.loading import loads
from tests.refusals import refusal_of

from . import OWNER, scope_of, sql_of

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def loaded(include, model=Conversation):
    (load,) = loads(scope_of(model), include)
    return sql_of(load.statement)


def test_related_records_are_selected_for_each_parent_with_the_owner_in_it():
    sql = loaded({"messages": {"where": {"rating": 5}, "take": 2, "skip": 1}})
    assert "FROM unnest(" in sql
    assert "JOIN LATERAL (SELECT messages.conversation_id" in sql
    assert f"WHERE messages.user_email = '{OWNER}'" in sql
    assert "messages.conversation_id = parents.conversation_id" in sql
    assert "messages.user_email = parents.user_email" in sql
    assert "LIMIT 2 OFFSET 1) AS " in sql


def test_every_subquery_of_an_include_keeps_to_the_parent_and_the_owner():
    words = {"cursor": {"seq": 3}, "distinct": ["role"], "order_by": {"parent_id": "desc"}}
    sql = loaded({"messages": words})
    assert sql.count(f"user_email = '{OWNER}'") == 3
    assert sql.count(".conversation_id = parents.conversation_id") == 3
    assert sql.count("unnest(") == 1


def test_what_is_not_asked_for_is_not_loaded():
    assert loads(scope_of(Conversation), {"messages": False}) == []
    assert loads(scope_of(Conversation), None) == []


UNKNOWN = [
    ({"run": True}, "Unknown word 'run' in include; known are: messages, runs, user"),
    ({"title": True}, "Unknown word 'title' in include"),
    ({"messages": {"limit": 1}}, "'limit' in include.messages; known are: cursor, distinct"),
    ({"messages": {"where": {"x": 1}}}, "'x' in include.messages.where"),
    ({"messages": {"order_by": {"x": "asc"}}}, r"'x' in include.messages.order_by\[0\]"),
    ({"messages": {"take": "1"}}, "include.messages.take takes a whole number"),
    ({"messages": {"skip": -1}}, "include.messages.skip takes"),
    ({"messages": {"distinct": ["x"]}}, r"'x' in include.messages.distinct\[0\]"),
    ({"messages": {"cursor": {"title": "a"}}}, "'title' in include.messages.cursor"),
    ({"messages": {"cursor": {"conversation_id": ID}}}, "in include.messages.cursor is no"),
    ({"messages": {"include": {"x": True}}}, "'x' in include.messages.include"),
    ({"user": {"take": 1}}, "'take' in include.user; known are: include, where"),
    ({"messages": 1}, "include.messages takes a dict"),
    ({"messages": None}, "include.messages takes a dict"),
    ("messages", "include takes a dict"),
]


def test_unknown_words_of_include_are_refused():
    for include, message in UNKNOWN:
        refusal = refusal_of(UnknownWordError, loads, scope_of(Conversation), include)
        assert re.search(message, refusal), include


def test_nesting_is_bounded():
    include = {"messages": True}
    for _ in range(100):
        include = {"messages": {"include": {"conversation": {"include": include}}}}
    with pytest.raises(UnknownWordError, match="nested deeper than 32 levels"):
        loads(scope_of(Conversation), include)


def test_a_relation_to_itself_is_taken_both_ways():
    sql = loaded({"parent": {"where": {"role": "user"}}}, Message)
    assert "messages.id = parents.id" in sql
    sql = loaded({"children": True}, Message)
    assert "messages.parent_id = parents.parent_id" in sql
    assert "messages.seq ASC" in sql
