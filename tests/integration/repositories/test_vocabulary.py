"""The words that find rows, on a real PostgreSQL, as the application's role."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from app.errors import RecordNotFoundError
from app.models import IdempotencyKey
from app.repositories.base import Repository

MOMENT = datetime(2026, 11, 21, 10, tzinfo=UTC)


def titles(records):
    return [record.title for record in records]


def test_a_record_is_found_by_each_of_its_unique_keys(conversations, messages, say):
    made = conversations.create(data={"source": "s", "source_id": "1"})
    said = say(made, 7, "hi", client_message_id="c")
    assert conversations.find_unique(where={"id": made.id}).id == made.id
    assert conversations.find_unique(where={"source": "s", "source_id": "1"}).id == made.id
    within = {"conversation_id": made.id}
    for key in ({"id": said.id}, {"seq": 7}, {"client_message_id": "c"}):
        assert messages.find_unique(where=within | key).content == "hi"


def test_a_partial_unique_key_names_only_rows_that_it_holds_for(conversations, messages, say):
    made = conversations.create(data={})
    say(made, 1, "done")
    live = {"conversation_id": made.id, "parent_id": None}
    assert messages.find_unique(where=live) is None
    say(made, 2, "live", status="streaming")
    assert messages.find_unique(where=live).content == "live"


def test_the_owners_part_of_a_key_may_be_left_out(session, owner):
    class Keys(Repository[IdempotencyKey]):
        model = IdempotencyKey

    data = {"key": "k", "request_sha256": b"1", "status": "started"}
    Keys(session).create(data=data)
    assert Keys(session).find_unique(where={"key": "k"}).user_email == owner
    assert Keys(session).find_unique(where={"key": "k", "user_email": owner}) is not None
    assert Keys(session).find_unique(where={"key": "k", "user_email": "bob@example.com"}) is None


def test_what_is_not_there_is_none_or_raises(conversations):
    absent = {"id": uuid4()}
    assert conversations.find_unique(where=absent) is None
    assert conversations.find_first(where=absent) is None
    for find in (conversations.find_unique_or_raise, conversations.find_first_or_raise):
        with pytest.raises(RecordNotFoundError):
            find(where=absent)


def test_what_is_there_does_not_raise(conversations):
    made = conversations.create(data={})
    for find in (conversations.find_unique_or_raise, conversations.find_first_or_raise):
        assert find(where={"id": made.id}).id == made.id


def test_find_first_takes_order_skip_and_cursor(conversations):
    _a, b, _c = [conversations.create(data={"title": name}) for name in "abc"]
    order = {"title": "desc"}
    assert conversations.find_first(order_by=order).title == "c"
    assert conversations.find_first(order_by=order, skip=1).title == "b"
    assert conversations.find_first(order_by=order, cursor={"id": b.id}, skip=1).title == "a"
    assert conversations.find_first(distinct=["mode"], skip=1) is None
    assert conversations.find_first_or_raise(distinct=["title"], skip=1).title == "b"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"title": "Ab"}, "Ab"),
        ({"title": None}, ""),
        ({"title": {"equals": "Ab"}}, "Ab"),
        ({"title": {"equals": None}}, ""),
        ({"title": {"equals": "AB", "mode": "insensitive"}}, "Ab"),
        ({"title": {"not": "Ab"}}, "abc 50% x_y xzy \\"),
        ({"title": {"not": None}}, "Ab abc 50% x_y xzy \\"),
        ({"title": {"not": {"contains": "b"}}}, "50% x_y xzy \\"),
        ({"title": {"not": {"contains": "B"}, "mode": "insensitive"}}, "50% x_y xzy \\"),
        ({"title": {"not": {"not": "Ab"}}}, "Ab"),
        ({"title": {"in": ["Ab", "50%", "none"]}}, "Ab 50%"),
        ({"title": {"in": []}}, "nothing"),
        ({"title": {"in": ["AB"], "mode": "insensitive"}}, "Ab"),
        ({"title": {"not_in": ["Ab", "50%"]}}, "abc x_y xzy \\"),
        ({"title": {"not_in": []}, "NOT": {"title": None}}, "Ab abc 50% x_y xzy \\"),
        ({"title": {"contains": "b"}}, "Ab abc"),
        ({"title": {"contains": "B"}}, "nothing"),
        ({"title": {"contains": "B", "mode": "insensitive"}}, "Ab abc"),
        ({"title": {"contains": "B", "mode": "default"}}, "nothing"),
        ({"title": {"contains": "%"}}, "50%"),
        ({"title": {"contains": "x_"}}, "x_y"),
        ({"title": {"contains": "X_", "mode": "insensitive"}}, "x_y"),
        ({"title": {"contains": "\\"}}, "\\"),
        ({"title": {"startswith": "a"}}, "abc"),
        ({"title": {"startswith": "A", "mode": "insensitive"}}, "Ab abc"),
        ({"title": {"startswith": "%"}}, "nothing"),
        ({"title": {"startswith": "\\"}}, "\\"),
        ({"title": {"endswith": "%"}}, "50%"),
        ({"title": {"endswith": "C", "mode": "insensitive"}}, "abc"),
        ({"title": {"endswith": "_y"}}, "x_y"),
        ({"message_count": {"lt": 2}}, "Ab abc"),
        ({"message_count": {"lte": 2}}, "Ab abc 50%"),
        ({"message_count": {"gt": 4}}, "xzy \\ "),
        ({"message_count": {"gte": 4, "lt": 6}}, "x_y xzy \\"),
        ({"AND": [{"title": {"contains": "b"}}, {"message_count": 0}]}, "Ab"),
        ({"AND": {"title": "Ab"}}, "Ab"),
        ({"OR": [{"title": "Ab"}, {"title": "50%"}]}, "Ab 50%"),
        ({"NOT": {"title": {"contains": "b"}}}, "50% x_y xzy \\"),
        ({"NOT": [{"title": "Ab"}, {"title": "abc"}]}, "50% x_y xzy \\"),
        ({"OR": [{"title": "Ab"}, {"AND": [{"title": "abc"}, {"NOT": {"title": "z"}}]}]}, "Ab abc"),
        ({"OR": []}, "nothing"),
    ],
)
def test_filters_choose_rows(conversations, where, expected):
    names = ["Ab", "abc", "50%", "x_y", "xzy", "\\", None]
    counts = [0, 1, 2, 4, 5, 5, 6]
    for name, count in zip(names, counts, strict=True):
        conversations.create(data={"title": name, "message_count": count})
    found = conversations.find_many(where=where)
    wanted = [] if expected == "nothing" else expected.split(" ")
    assert [record.title or "" for record in found] == wanted


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"has": "x"}, "x xy"),
        ({"has_every": ["x", "y"]}, "xy"),
        ({"has_every": []}, "x xy none"),
        ({"has_some": ["y", "z"]}, "xy"),
        ({"has_some": []}, ""),
        ({"is_empty": True}, "none"),
        ({"is_empty": False}, "x xy"),
        ({"equals": ["x"]}, "x"),
        (["x", "y"], "xy"),
        ([], "none"),
        (None, ""),
    ],
)
def test_list_filters_choose_rows(conversations, words, expected):
    for name, tags in {"x": ["x"], "xy": ["x", "y"], "none": []}.items():
        conversations.create(data={"title": name, "tags": tags})
    assert titles(conversations.find_many(where={"tags": words})) == expected.split()


def test_times_booleans_and_json_are_compared(conversations):
    made = conversations.create(
        data={"ended_at": MOMENT, "is_pinned": True, "details": {"a": [1, None]}}
    )
    conversations.create(data={})
    for where in (
        {"ended_at": {"lte": MOMENT, "gt": MOMENT - timedelta(seconds=1)}},
        {"is_pinned": True},
        {"is_pinned": {"not": False}},
        {"details": {"equals": {"a": [1, None]}}},
        {"details": {"not": {}}},
        {"id": {"in": [made.id, uuid4()]}},
    ):
        assert [record.id for record in conversations.find_many(where=where)] == [made.id]


def test_none_in_a_json_column_is_null(conversations, messages, say):
    made = conversations.create(data={})
    said = say(made, 1, "hi", parts=None)
    where = {"conversation_id": made.id, "id": said.id}
    assert messages.count(where={"parts": None}) == 1
    assert messages.update(where=where, data={"parts": [{"a": 1}]}).parts == [{"a": 1}]
    assert messages.count(where={"parts": {"not": None}}) == 1
    messages.update(where=where, data={"parts": None})
    assert messages.count(where={"parts": None}) == 1
