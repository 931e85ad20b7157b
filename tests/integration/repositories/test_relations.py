"""Filters over relations, and the relations that a query includes."""

import pytest
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm.exc import DetachedInstanceError

from app.repositories.conversations import ConversationRepository


def titles(records):
    return [record.title for record in records]


@pytest.fixture
def talks(conversations, say):
    """`empty`; `good` with ratings 5 and 5; `mixed` with 5 and 1; `unrated` with 5 and NULL."""
    ratings = {"empty": (), "good": (5, 5), "mixed": (5, 1), "unrated": (5, None)}
    for name, given in ratings.items():
        made = conversations.create(data={"title": name})
        for seq, rating in enumerate(given, 1):
            say(made, seq, f"{name} {seq}", rating=rating)
    return conversations


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"some": {}}, "good mixed unrated"),
        ({"none": {}}, "empty"),
        ({"every": {}}, "empty good mixed unrated"),
        ({"some": {"rating": 5}}, "good mixed unrated"),
        ({"some": {"rating": 1}}, "mixed"),
        ({"none": {"rating": 1}}, "empty good unrated"),
        ({"every": {"rating": 5}}, "empty good"),
        ({"some": {}, "every": {"rating": {"gte": 5}}}, "good"),
        ({"some": {"AND": [{"rating": 5}, {"seq": 2}]}}, "good"),
        ({"some": {"conversation": {"is": {"title": "mixed"}}}}, "mixed"),
        ({"every": {"conversation": {"is_not": {"title": "good"}}}}, "empty mixed unrated"),
    ],
)
def test_relation_filters_choose_rows(talks, words, expected):
    assert titles(talks.find_many(where={"messages": words})) == expected.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"is": {"title": "good"}}, 2),
        ({"is_not": {"title": "good"}}, 4),
        ({"is": {}}, 6),
        ({"is": None}, 0),
        ({"is_not": None}, 6),
        ({"is": {"messages": {"some": {"rating": 1}}}}, 2),
    ],
)
def test_filters_of_a_relation_to_one_choose_rows(talks, messages, words, expected):
    assert messages.count(where={"conversation": words}) == expected


def test_relation_filters_choose_what_is_changed_and_deleted(talks):
    where = {"messages": {"some": {"rating": 1}}}
    assert talks.update_many(where=where, data={"is_pinned": True}) == 1
    assert titles(talks.find_many(where={"is_pinned": True})) == ["mixed"]
    assert talks.delete_many(where=where) == 1
    assert talks.count() == 3


def test_an_included_relation_is_there_and_in_order(talks, database):
    (found,) = talks.find_many(where={"title": "mixed"}, include={"messages": True})
    talks.session.close()
    assert [message.seq for message in found.messages] == [1, 2]


def test_includes_nest_and_choose(talks, messages):
    include = {"messages": {"where": {"rating": 5}, "include": {"conversation": True}}}
    found = talks.find_many(where={"title": "mixed"}, include=include)[0]
    assert [message.content for message in found.messages] == ["mixed 1"]
    assert found.messages[0].conversation.title == "mixed"
    first = messages.find_first(where={"content": "good 1"}, include={"conversation": True})
    assert first.conversation.title == "good"
    unique = {"conversation_id": first.conversation_id, "seq": 1}
    found = messages.find_unique(where=unique, include={"conversation": True})
    assert found.conversation.title == "good"


def test_a_tree_is_walked_up_and_down(conversations, messages, say):
    made = conversations.create(data={})
    root = say(made, 1, "root")
    for seq in (2, 3):
        say(made, seq, f"branch {seq}", parent={"connect": {"id": root.id}})
    down = {"children": {"order_by": {"seq": "desc"}, "include": {"parent": True}}}
    found = messages.find_first(where={"parent": {"is": None}}, include=down)
    assert [child.seq for child in found.children] == [3, 2]
    assert {child.parent.content for child in found.children} == {"root"}
    leaves = messages.find_many(where={"children": {"none": {}}}, include={"parent": True})
    assert [(leaf.seq, leaf.parent.seq) for leaf in leaves] == [(2, 1), (3, 1)]
    assert messages.count(where={"parent": {"is": {"children": {"some": {"seq": 3}}}}}) == 2
    (alone,) = messages.find_many(where={"seq": 1}, include={"parent": True})
    assert alone.parent is None


def test_a_branch_is_connected_elsewhere_and_cut_off(conversations, messages, say):
    made = conversations.create(data={})
    first, second, third = (say(made, seq, str(seq)) for seq in (1, 2, 3))
    where = {"conversation_id": made.id, "id": third.id}
    for parent in (first, second):
        data = {"parent": {"connect": {"id": parent.id}}}
        changed = messages.update(where=where, data=data, include={"parent": True})
        assert changed.parent.seq == parent.seq
    assert messages.update(where=where, data={"parent": {"disconnect": True}}).parent_id is None


def test_take_and_skip_are_meant_for_each_parent(talks):
    latest = {"order_by": {"seq": "desc"}, "take": 1}
    found = talks.find_many(include={"messages": latest})
    said = {talk.title: [message.content for message in talk.messages] for talk in found}
    assert said == {
        "empty": [],
        "good": ["good 2"],
        "mixed": ["mixed 2"],
        "unrated": ["unrated 2"],
    }
    for words, seqs in (
        ({"take": -1}, [2]),
        ({"skip": 1}, [2]),
        ({"take": 0}, []),
        ({"cursor": {"seq": 2}}, [2]),
        ({"cursor": {"seq": 1}, "skip": 1}, [2]),
        ({"cursor": {"seq": 2}, "take": -2}, [1, 2]),
        ({"distinct": ["role"]}, [1]),
    ):
        found = talks.find_many(where={"title": {"not": "empty"}}, include={"messages": words})
        assert [[m.seq for m in talk.messages] for talk in found] == [seqs] * 3, words


def test_what_is_made_changed_or_upserted_comes_with_what_is_included(conversations, owner):
    include = {"user": True, "messages": True}
    made = conversations.create(data={}, include=include)
    changed = conversations.update(where={"id": made.id}, data={}, include=include)
    words = {"create": {}, "update": {"title": "b"}}
    upserted = conversations.upsert(where={"id": made.id}, data=words, include=include)
    for record in (made, changed, upserted):
        assert (record.user.email, record.messages) == (owner, [])


def test_an_include_with_other_values_is_not_answered_from_a_cache(talks):
    for rating, expected in ((5, 1), (1, 1), (3, 0)):
        include = {"messages": {"where": {"rating": rating}}}
        found = talks.find_first(where={"title": "mixed"}, include=include)
        assert len(found.messages) == expected


def test_nothing_is_loaded_behind_ones_back(talks, messages, statements):
    found = talks.find_first(where={"title": "good"}, include={"messages": False})
    with pytest.raises(InvalidRequestError):
        _ = found.messages
    message = messages.find_first()
    with pytest.raises(InvalidRequestError):
        _ = message.conversation
    with pytest.raises(DetachedInstanceError):
        _ = message.search_words
    assert len(statements) == 2


def test_records_are_snapshots(conversations):
    first = conversations.create(data={"title": "a"})
    second = conversations.update(where={"id": first.id}, data={"title": "b"})
    assert (first.title, second.title) == ("a", "b")


def test_records_can_be_used_after_their_unit_of_work(database, owner):
    with database.transaction(owner) as session:
        made = ConversationRepository(session).create(data={"details": {"a": 1}})
    assert made.details == {"a": 1}
    assert made.created_at.tzinfo is not None
    assert made.tags == []
