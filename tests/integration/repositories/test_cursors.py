"""Pages from a cursor, both ways, held against a model of sorting; the same for each parent."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.repositories.conversations import ConversationRepository
from app.repositories.messages import MessageRepository
from app.repositories.users import UserRepository

DIRECTIONS = st.sampled_from(["asc", "desc"])
NULLABLE = DIRECTIONS | st.builds(
    lambda sort, nulls: {"sort": sort, "nulls": nulls},
    DIRECTIONS,
    st.sampled_from(["first", "last"]),
)
TERMS = st.fixed_dictionaries({"preview": NULLABLE}) | st.fixed_dictionaries(
    {"is_pinned": DIRECTIONS}
)
ORDERS = st.lists(TERMS, max_size=2, unique_by=lambda term: next(iter(term)))
ROWS = st.lists(
    st.fixed_dictionaries(
        {"id": st.uuids(), "preview": st.sampled_from([None, "x", "y"]), "is_pinned": st.booleans()}
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda row: row["id"],
)


@pytest.fixture(scope="module")
def session(database):
    """A user's own session for all examples."""
    owner = f"{uuid4().hex}@example.com"
    with database.statement(owner) as session:
        UserRepository(session).create(data={"email": owner})
        yield session


def ordered(rows, order_by):
    """Sorted by the last term first: Python's sorting keeps the order of equals."""
    tiebreaker = {"id": "desc" if order_by and "desc" in str(order_by[-1]) else "asc"}
    for term in reversed([*order_by, tiebreaker]):
        ((name, said),) = term.items()
        words = said if isinstance(said, dict) else {"sort": said}
        is_descending = words["sort"] == "desc"
        empty = [row for row in rows if row[name] is None]
        full = [row for row in rows if row[name] is not None]
        full.sort(key=lambda row, name=name: row[name], reverse=is_descending)
        is_first = words.get("nulls", "first" if is_descending else "last") == "first"
        rows = empty + full if is_first else full + empty
    return rows


def expected(rows, at, take, skip, where):
    """The ids of a page from the row `at`, forwards or backwards."""
    there = [row["id"] for row in (rows[at:] if take > 0 else rows[at::-1]) if fits(row, where)]
    page = there[skip : skip + abs(take)]
    return page if take > 0 else page[::-1]


def fits(row, where):
    return all(row[name] == value for name, value in where.items())


@given(ROWS, ORDERS, st.integers(0, 1), st.sampled_from([{}, {"is_pinned": True}]))
def test_pages_from_any_row_are_those_of_the_sorted_rows(session, rows, order_by, skip, where):
    conversations = ConversationRepository(session)
    conversations.delete_many(where={"source": None})
    conversations.create_many(data=rows)
    rows = ordered(rows, order_by)
    for at, row in enumerate(rows):
        for take in (2, 99, -2, -99):
            page = {
                "where": where | {"source": None},
                "order_by": order_by,
                "cursor": {"id": row["id"]},
            }
            page |= {"take": take, "skip": skip}
            wanted = expected(rows, at, take, skip, where)
            assert [found.id for found in conversations.find_many(**page)] == wanted
        assert conversations.count(**page) == len(wanted)


@pytest.fixture(scope="module")
def talks(session):
    """Ids of conversations of five, two and no messages with ties and NULLs in `rating`."""
    made = []
    for ratings in ((5, None, 5, 1, None), (None, 5), ()):
        talk = ConversationRepository(session).create(
            data={"source": "talks", "source_id": uuid4().hex}
        )
        made.append(talk.id)
        for seq, rating in enumerate(ratings, 1):
            data = {"conversation_id": talk.id, "seq": seq, "content": "", "rating": rating}
            MessageRepository(session).create(data=data | {"role": ["user", "tool"][seq % 2]})
    return made


PAGES = st.fixed_dictionaries(
    {},
    optional={
        "where": st.sampled_from([{"rating": 5}, {"role": "user"}, {"seq": {"gt": 2}}]),
        "order_by": st.sampled_from(
            [
                {"seq": "desc"},
                {"rating": "asc"},
                [{"role": "desc"}, {"rating": "asc"}],
                {"id": "asc"},
            ]
        ),
        "take": st.integers(-3, 3),
        "skip": st.integers(0, 2),
        "cursor": st.fixed_dictionaries({"seq": st.integers(1, 4)}),
        "distinct": st.sampled_from([["role"], ["rating"], ["rating", "role"]]),
    },
)


@given(PAGES)
def test_an_included_page_is_each_parents_own(session, talks, page):
    conversations, messages = ConversationRepository(session), MessageRepository(session)
    found = conversations.find_many(where={"id": {"in": talks}}, include={"messages": page})
    for talk in found:
        within = {"conversation_id": talk.id}
        alone = {"order_by": {"seq": "asc"}} | page
        alone["where"] = page.get("where", {}) | within
        if "cursor" in page:
            alone["cursor"] = page["cursor"] | within
        wanted = [message.seq for message in messages.find_many(**alone)]
        assert [message.seq for message in talk.messages] == wanted
