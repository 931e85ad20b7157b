"""Data as values and SQL expressions, without a database."""

import re
from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.errors import UnknownWordError
from app.models import Conversation, Message, QueryLog
from app.repositories.data import changed, created
from tests.refusals import refusal_of

from . import OWNER, scope_of, sql_of

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
OTHER_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8058")
MOMENT = datetime(2026, 11, 21, tzinfo=UTC)


def test_created_rows_belong_to_the_sessions_owner():
    assert created(scope_of(Conversation), {"title": "a"}) == {"title": "a", "user_email": OWNER}


def test_data_that_names_another_owner_is_refused():
    for owner in ("bob@example.com", None, {"set": "bob@example.com"}):
        for say in (created, changed):
            message = refusal_of(UnknownWordError, say, scope_of(QueryLog), {"user_email": owner})
            assert "data.user_email names another owner" in message, owner


def test_connecting_to_another_owner_is_refused():
    target = {"id": ID, "user_email": "bob@example.com"}
    with pytest.raises(UnknownWordError, match="another owner"):
        created(scope_of(Message), {"conversation": {"connect": target}})


def test_connect_becomes_the_foreign_keys_columns():
    values = created(scope_of(Message), {"conversation": {"connect": {"id": ID}}})
    assert values == {"conversation_id": ID, "user_email": OWNER}


def test_two_connections_may_agree_on_what_they_share():
    connected = {"conversation": {"connect": {"id": ID}}}
    connected["parent"] = {"connect": {"conversation_id": ID, "id": OTHER_ID}}
    values = created(scope_of(Message), connected)
    assert values == {"conversation_id": ID, "parent_id": OTHER_ID, "user_email": OWNER}


def test_what_both_rows_call_alike_need_not_be_said():
    values = changed(scope_of(Message), {"parent": {"connect": {"id": ID}}})
    assert values == {"parent_id": ID}


def test_disconnect_empties_the_foreign_key_and_leaves_what_both_rows_share():
    ((name, value),) = changed(scope_of(Message), {"parent": {"disconnect": True}}).items()
    assert (name, sql_of(value)) == ("parent_id", "NULL")


UNDISCONNECTED = [
    (Message, {"parent": {"disconnect": False}}, "data.parent.disconnect takes True"),
    (Message, {"parent": {"disconnect": True, "connect": {"id": ID}}}, "exactly one of"),
    (Message, {"conversation": {"disconnect": True}}, "'disconnect' in data.conversation"),
    (QueryLog, {"user": {"disconnect": True}}, "'disconnect' in data.user"),
]


def test_only_a_key_that_may_be_null_and_is_not_the_owners_is_disconnected():
    for model, data, message in UNDISCONNECTED:
        refusal = refusal_of(UnknownWordError, changed, scope_of(model), data)
        assert re.search(message, refusal), data


def test_changes_become_sql():
    for word, sign in {"increment": "+", "decrement": "-", "multiply": "*", "divide": "/"}.items():
        (change,) = changed(scope_of(Conversation), {"message_count": {word: 2}}).values()
        assert sql_of(change) == f"conversations.message_count {sign} 2"


def test_set_says_the_same_as_a_plain_value():
    scope = scope_of(Conversation)
    data = {"title": "a", "message_count": 1, "tags": ["x"], "ended_at": MOMENT}
    words = {name: {"set": value} for name, value in data.items()}
    assert changed(scope, words) == changed(scope, data) == data
    assert created(scope, words) == created(scope, data)


def test_a_dict_for_a_json_column_is_the_value():
    assert changed(scope_of(Conversation), {"details": {"set": 1}}) == {"details": {"set": 1}}


UNKNOWN = [
    ({"titel": "a"}, "Unknown word 'titel' in data; known are: .*title"),
    ({"metadata": {}}, "Unknown word 'metadata' in data"),
    ({"messages": {"create": []}}, "Unknown word 'messages' in data"),
    ({"title": {"push": "a"}}, "Unknown word 'push' in data.title; known are: set"),
    ({"title": {"increment": 1}}, "Unknown word 'increment' in data.title"),
    ({"revision": {"power": 1}}, "'power' in data.revision; known are: decrement, divide, inc"),
    ({"revision": {"divide": 0}}, "data.revision.divide takes a number that is not 0"),
    ({"revision": {"multiply": "2"}}, "data.revision.multiply takes a value"),
    ({"revision": {"increment": 1, "set": 1}}, "data.revision takes a value or exactly one"),
    ({"revision": {}}, "data.revision takes a value or exactly one"),
    ({"revision": {"increment": None}}, "data.revision.increment takes a value"),
    ({"revision": {"increment": "1"}}, "data.revision.increment takes a value"),
    ({"tags": {"push": 1}}, "data.tags.push takes a value"),
    ({"tags": {"push": ["a", 1]}}, r"data.tags.push\[1\] takes a value"),
    ({"tags": "a"}, "data.tags takes a value"),
    ({"title": 1}, "data.title takes a value"),
    ([], "data takes a dict"),
]


def test_unknown_data_words_are_refused():
    for data, message in UNKNOWN:
        refusal = refusal_of(UnknownWordError, changed, scope_of(Conversation), data)
        assert re.search(message, refusal), data


def test_a_new_row_has_nothing_to_increment():
    with pytest.raises(UnknownWordError, match=r"'increment' in data\.revision; known are: set"):
        created(scope_of(Conversation), {"revision": {"increment": 1}})


UNCONNECTED = [
    ({"conversation": {"create": {}}}, "'create' in data.conversation; known are: connect"),
    ({"conversation": ID}, "data.conversation takes a dict"),
    ({"conversation": {}}, "data.conversation takes .* connect"),
    ({"conversation": {"connect": {}}}, "data.conversation.connect takes id as well"),
    ({"conversation": {"connect": {"title": "a"}}}, "Unknown word 'title'"),
    ({"conversation": {"connect": {"id": None}}}, "data.conversation.connect.id takes"),
    (
        {"conversation_id": OTHER_ID, "conversation": {"connect": {"id": ID}}},
        "data.conversation_id takes one value",
    ),
    (
        {"parent_id": None, "parent": {"connect": {"id": ID}}},
        "data.parent_id takes one value",
    ),
    ({"parent": {"connect": {"conversation_id": ID}}}, "data.parent.connect takes id as well"),
    ({"parent": {"disconnect": True}}, "'disconnect' in data.parent; known are: connect"),
    ({"user": {"connect": {}}}, "data.user.connect takes email as well"),
    ({"user": {"connect": {"email": "bob@example.com"}}}, "names another owner"),
    ({"children": {"connect": [{"id": ID}]}}, "Unknown word 'children' in data"),
]


def test_unknown_words_about_connecting_are_refused():
    for data, message in UNCONNECTED:
        refusal = refusal_of(UnknownWordError, created, scope_of(Message), data)
        assert re.search(message, refusal), data
