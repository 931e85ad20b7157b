"""Order, cursors, pages from both ends, and distinct."""

from uuid import uuid4

import pytest


def titles(records):
    return [record.title for record in records]


ORDERS = [
    (None, "abcdef"),
    ({"title": "asc"}, "abcdef"),
    ({"title": "desc"}, "fedcba"),
    ({"id": "desc"}, "fedcba"),
    ([{"is_pinned": "desc"}, {"title": "asc"}], "acebdf"),
    ([{"is_pinned": "desc"}, {"title": "desc"}], "ecafdb"),
    ({"is_pinned": "asc"}, "bdface"),
    ([{"is_pinned": "asc"}, {"title": "desc"}], "fdbeca"),
    ({"preview": "asc"}, "facdbe"),
    ({"preview": "desc"}, "ebdcaf"),
    ([{"preview": "asc"}, {"title": "desc"}], "fcadeb"),
    ([{"preview": "desc"}, {"title": "asc"}], "bedacf"),
]


@pytest.mark.parametrize(("order_by", "expected"), ORDERS)
def test_rows_come_in_order(letters, order_by, expected):
    assert "".join(titles(letters.find_many(order_by=order_by))) == expected


@pytest.mark.parametrize(("order_by", "expected"), ORDERS)
def test_a_cursor_starts_with_its_own_row_and_pages_leave_nothing_out(letters, order_by, expected):
    ids = {record.title: record.id for record in letters.find_many()}
    for n, name in enumerate(expected):
        page = {"order_by": order_by, "cursor": {"id": ids[name]}}
        assert "".join(titles(letters.find_many(**page))) == expected[n:]
        assert "".join(titles(letters.find_many(**page, take=2))) == expected[n : n + 2]
        following = letters.find_many(**page, take=2, skip=1)
        assert "".join(titles(following)) == expected[n + 1 : n + 3]


@pytest.mark.parametrize(("order_by", "expected"), ORDERS)
def test_a_negative_take_counts_from_the_end_and_keeps_the_order(letters, order_by, expected):
    ids = {record.title: record.id for record in letters.find_many()}
    assert "".join(titles(letters.find_many(order_by=order_by, take=-2))) == expected[-2:]
    skipped = letters.find_many(order_by=order_by, take=-2, skip=1)
    assert "".join(titles(skipped)) == expected[-3:-1]
    for n, name in enumerate(expected):
        page = {"order_by": order_by, "cursor": {"id": ids[name]}}
        before = letters.find_many(**page, take=-2)
        assert "".join(titles(before)) == expected[max(0, n - 1) : n + 1]
        previous = letters.find_many(**page, take=-2, skip=1)
        assert "".join(titles(previous)) == expected[max(0, n - 2) : n]


def test_take_and_skip_choose_a_page(letters):
    assert titles(letters.find_many(take=2)) == ["a", "b"]
    assert titles(letters.find_many(take=2, skip=3)) == ["d", "e"]
    assert titles(letters.find_many(skip=4)) == ["e", "f"]
    assert letters.find_many(take=0) == []


def test_a_cursor_goes_together_with_a_filter(letters):
    cursor = {"id": letters.find_first(where={"title": "b"}).id}
    found = letters.find_many(where={"is_pinned": True}, cursor=cursor, take=1)
    assert titles(found) == ["c"]


@pytest.mark.parametrize("order_by", [None, {"preview": "desc"}, {"preview": "asc"}])
def test_a_cursor_that_is_not_there_gives_nothing(letters, order_by):
    assert letters.find_many(cursor={"id": uuid4()}, order_by=order_by) == []


def test_a_cursor_may_be_any_unique_key(conversations, messages, say):
    made = conversations.create(data={})
    for seq in (1, 2, 3):
        say(made, seq, str(seq))
    cursor = {"conversation_id": made.id, "seq": 2}
    found = messages.find_many(order_by={"seq": "desc"}, cursor=cursor)
    assert [message.seq for message in found] == [2, 1]


@pytest.mark.parametrize(
    ("distinct", "order_by", "expected"),
    [
        (["is_pinned"], None, "ab"),
        (["is_pinned"], {"title": "desc"}, "fe"),
        (["preview"], {"title": "asc"}, "abdf"),
        (["preview"], {"title": "desc"}, "fedc"),
        (["preview", "is_pinned"], {"title": "asc"}, "abdef"),
        (["preview"], {"preview": "desc"}, "edcf"),
    ],
)
def test_distinct_keeps_the_first_of_those_that_are_equal(letters, distinct, order_by, expected):
    found = letters.find_many(distinct=distinct, order_by=order_by)
    assert "".join(titles(found)) == expected
    last = letters.find_many(distinct=distinct, order_by=order_by, take=-1)
    assert titles(last) == [expected[-1]]
    second = letters.find_many(distinct=distinct, order_by=order_by, take=1, skip=1)
    assert titles(second) == [expected[1]]


def test_distinct_goes_together_with_a_cursor_and_a_filter(letters):
    cursor = {"id": letters.find_first(where={"title": "b"}).id}
    found = letters.find_many(where={"title": {"not": "c"}}, distinct=["is_pinned"], cursor=cursor)
    assert titles(found) == ["b", "e"]
