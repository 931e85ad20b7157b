"""The words that make, change and delete rows."""

from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from app.errors import RecordNotFoundError, UnknownWordError
from app.repositories.users import UserRepository


def test_create_gives_the_whole_record(conversations, owner):
    made = conversations.create(data={"title": "a", "tags": ["x"], "details": {"a": 1}})
    assert (made.title, made.tags, made.details) == ("a", ["x"], {"a": 1})
    assert (made.user_email, made.storage_state, made.revision) == (owner, "live", 1)
    assert conversations.find_unique(where={"id": made.id}).title == "a"


def test_create_many_counts_and_fills_in_what_rows_leave_out(conversations, owner):
    rows = [{"title": "a"}, {"tags": ["x"]}, {"details": {"a": 1}, "revision": 5}, {}]
    assert conversations.create_many(data=rows) == 4
    found = conversations.find_many()
    assert len({record.id for record in found}) == 4
    assert [record.revision for record in found] == [1, 1, 5, 1]
    assert [record.tags for record in found] == [[], ["x"], [], []]
    assert {record.user_email for record in found} == {owner}
    assert conversations.create_many(data=[]) == 0


def test_create_many_skips_duplicates_when_told(conversations):
    rows = [{"source": "s", "source_id": str(n)} for n in range(3)]
    assert conversations.create_many(data=rows[:2]) == 2
    with pytest.raises(IntegrityError):
        conversations.create_many(data=rows)
    conversations.session.rollback()
    assert conversations.create_many(data=rows, skip_duplicates=True) == 1


def test_update_gives_the_changed_record(conversations):
    made = conversations.create(data={"tags": ["x"], "message_count": 5})
    data = {
        "title": {"set": "b"},
        "message_count": {"increment": 2},
        "total_tokens": {"decrement": 0},
        "tags": {"push": "y"},
        "details": {"a": 1},
    }
    changed = conversations.update(where={"id": made.id}, data=data)
    assert (changed.title, changed.message_count, changed.tags) == ("b", 7, ["x", "y"])
    assert (changed.total_tokens, changed.details) == (0, {"a": 1})
    changed = conversations.update(
        where={"id": made.id},
        data={"tags": {"push": ["z", "x"]}, "message_count": {"decrement": 7}},
    )
    assert (changed.message_count, changed.tags) == (0, ["x", "y", "z", "x"])
    changed = conversations.update(where={"id": made.id}, data={"tags": {"set": []}, "title": None})
    assert (changed.tags, changed.title) == ([], None)


def test_numbers_are_multiplied_and_divided(conversations):
    made = conversations.create(data={"message_count": 7})
    for data, expected in (({"multiply": 3}, 21), ({"divide": 2}, 10)):
        changed = conversations.update(where={"id": made.id}, data={"message_count": data})
        assert changed.message_count == expected


def test_an_update_without_data_changes_nothing(conversations):
    made = conversations.create(data={"title": "a"})
    assert conversations.update(where={"id": made.id}, data={}).title == "a"


def test_what_is_not_there_can_not_be_updated_or_deleted(conversations):
    with pytest.raises(RecordNotFoundError):
        conversations.update(where={"id": uuid4()}, data={"title": "a"})
    with pytest.raises(RecordNotFoundError):
        conversations.delete(where={"id": uuid4()})


def test_update_many_and_delete_many_count(conversations):
    conversations.create_many(data=[{"title": name} for name in "abc"])
    where = {"title": {"in": ["a", "b"]}}
    assert conversations.update_many(where=where, data={"revision": {"increment": 1}}) == 2
    assert conversations.count(where={"revision": 2}) == 2
    assert conversations.update_many(data={"is_pinned": True}) == 3
    assert conversations.delete_many(where=where) == 2
    assert conversations.count() == 1
    assert conversations.delete_many() == 1
    assert conversations.count() == 0


def test_delete_gives_what_was_deleted(conversations):
    made = conversations.create(data={"title": "a"})
    assert conversations.delete(where={"id": made.id}).title == "a"
    assert conversations.find_unique(where={"id": made.id}) is None


def test_upsert_creates_and_then_updates(conversations):
    where = {"source": "s", "source_id": "1"}
    data = {
        "create": {"title": "a", "details": {"a": 1}},
        "update": {"title": "b", "message_count": {"increment": 3}, "details": {"b": [1]}},
    }
    first, second, third = (conversations.upsert(where=where, data=data) for _ in range(3))
    assert (first.title, first.message_count, first.details) == ("a", 0, {"a": 1})
    assert (second.title, second.message_count, second.details) == ("b", 3, {"b": [1]})
    assert (third.id, third.source_id, third.message_count) == (first.id, "1", 6)
    assert conversations.count() == 1


def test_upsert_knows_partial_keys_and_changes_nothing_without_data(conversations, messages):
    made = conversations.create(data={})
    create = {"seq": 1, "role": "user", "content": "a"}
    where = {"conversation_id": made.id, "client_message_id": "c"}
    for content in ("a", "b"):
        data = {"create": {**create, "content": content}, "update": {}}
        assert messages.upsert(where=where, data=data).content == "a"
    live = {"conversation_id": made.id, "parent_id": None}
    create = {"seq": 2, "role": "assistant", "content": "", "status": "streaming"}
    for content in ("", "b"):
        data = {"create": create, "update": {"content": "b"}}
        assert messages.upsert(where=live, data=data).content == content


def test_users_are_owned_by_their_address(session, owner):
    where, users = {"email": owner}, UserRepository(session)
    data = {"create": {}, "update": {"name": "Ann"}}
    assert users.upsert(where=where, data=data).name == "Ann"
    assert users.find_unique(where=where).name == "Ann"
    assert users.count() == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"create": {}}, "data takes both create and update"),
        ({"create": {}, "update": {}, "delete": {}}, "Unknown word 'delete' in data"),
        ({"create": {"titel": ""}, "update": {}}, r"'titel' in data\.create"),
        ({"create": {}, "update": {"titel": ""}}, r"'titel' in data\.update"),
        ({"create": {"source": "t"}, "update": {}}, r"data\.create\.source takes"),
        ({"create": [], "update": {}}, r"data\.create takes a dict"),
    ],
)
def test_unknown_words_of_upsert_are_refused(conversations, data, message):
    with pytest.raises(UnknownWordError, match=message):
        conversations.upsert(where={"source": "s", "source_id": "1"}, data=data)
