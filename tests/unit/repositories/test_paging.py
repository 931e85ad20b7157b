"""Pages as SQL, without a database."""

import re
from uuid import UUID

from app.errors import UnknownWordError
from app.models import Conversation, Message
from app.repositories.paging import Page, count_page, select_page
from tests.refusals import refusal_of

from . import OWNER, scope_of, sql_of

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def paged(**page):
    return sql_of(select_page(scope_of(Conversation), Page(**page))).partition(" WHERE ")[2]


def test_a_cursor_in_one_direction_is_a_row_comparison_with_a_subquery():
    sql = paged(order_by={"updated_at": "desc"}, cursor={"id": ID}, take=2, skip=1)
    assert "(conversations.updated_at, conversations.id) <= (SELECT" in sql
    assert "ORDER BY conversations.updated_at DESC, conversations.id DESC" in sql
    assert sql.endswith("LIMIT 2 OFFSET 1")
    assert sql.count(f"'{OWNER}'") == 2


def test_a_cursor_in_mixed_directions_compares_column_by_column():
    order_by = [{"is_pinned": "desc"}, {"updated_at": "asc"}]
    sql = paged(order_by=order_by, cursor={"id": ID})
    assert "EXISTS (SELECT" in sql
    assert "conversations.is_pinned < conversations_1.is_pinned" in sql
    assert "conversations_1.updated_at < conversations.updated_at" in sql


def test_a_negative_take_reads_backwards():
    sql = paged(order_by={"updated_at": "desc"}, cursor={"id": ID}, take=-2)
    assert ") >= (SELECT" in sql
    assert "ORDER BY conversations.updated_at ASC, conversations.id ASC LIMIT 2" in sql


def test_nulls_stand_where_they_are_told_to():
    for nulls, sort, expected in (
        ("first", "asc", "ASC NULLS FIRST"),
        ("last", "desc", "DESC NULLS LAST"),
        ("last", "asc", "ASC"),
        ("first", "desc", "DESC"),
    ):
        sql = paged(order_by={"title": {"sort": sort, "nulls": nulls}})
        assert f"ORDER BY conversations.title {expected}, " in sql
        turned = paged(order_by={"title": {"sort": sort, "nulls": nulls}}, take=-1)
        assert ("NULLS" in turned) == ("NULLS" in sql)


def test_a_count_sorts_only_when_rows_are_left_out():
    count = sql_of(count_page(scope_of(Conversation), Page(where={"title": "a"})))
    assert "ORDER BY" not in count
    assert f"user_email = '{OWNER}'" in count
    count = sql_of(count_page(scope_of(Conversation), Page(take=2)))
    assert "ORDER BY conversations.id ASC LIMIT 2" in count


def test_an_order_that_is_unique_already_gets_no_tiebreaker():
    statement = select_page(
        scope_of(Message), Page(order_by=[{"conversation_id": "asc"}, {"seq": "asc"}])
    )
    assert sql_of(statement).endswith("ORDER BY messages.conversation_id ASC, messages.seq ASC")


def test_a_tiebreaker_is_the_key_that_needs_the_fewest_columns_more():
    statement = select_page(scope_of(Message), Page(order_by={"seq": "desc"}))
    assert sql_of(statement).endswith("ORDER BY messages.seq DESC, messages.conversation_id DESC")


UNKNOWN = [
    ({"order_by": {"titel": "asc"}}, r"Unknown word 'titel' in order_by\[0\].*title"),
    ({"order_by": {"messages": "asc"}}, r"Unknown word 'messages' in order_by\[0\]"),
    ({"order_by": [{"id": "asc"}, {"title": "up"}]}, r"'up' in order_by\[1\].title.*asc, desc"),
    ({"order_by": {"title": {"nulls": "last"}}}, r"in order_by\[0\].title.*asc, desc"),
    ({"order_by": {"title": {"sort": "asc", "nulls": "up"}}}, r"in order_by\[0\].title.nulls"),
    ({"order_by": {"id": {"sort": "asc", "nulls": "last"}}}, r"'nulls' in order_by\[0\].id"),
    ({"order_by": {"title_words": "asc"}}, r"Unknown word 'title_words' in order_by\[0\]"),
    ({"order_by": {"title": "asc", "id": "asc"}}, "exactly one field"),
    ({"order_by": {}}, "exactly one field"),
    ({"order_by": ["title"]}, "takes a dict"),
    ({"order_by": "title"}, "order_by takes"),
    ({"distinct": ["titel"]}, r"Unknown word 'titel' in distinct\[0\]"),
    ({"distinct": "title"}, "distinct takes a list"),
    ({"cursor": {"title": "a"}}, "title in cursor is no unique key"),
    ({"cursor": {"titel": "a"}}, "Unknown word 'titel' in cursor"),
    ({"cursor": {"id": None}}, "cursor.id takes"),
    ({"cursor": ID}, "cursor takes a dict"),
    ({"skip": -1}, "skip takes"),
    ({"skip": "1"}, "skip takes"),
    ({"take": 1.5}, "take takes"),
    ({"take": True}, "take takes"),
]


def test_an_unknown_word_about_pages_is_refused():
    for page, message in UNKNOWN:
        assert re.search(message, refusal_of(UnknownWordError, paged, **page)), page


def test_every_page_has_the_owner_in_it():
    assert paged().startswith(f"conversations.user_email = '{OWNER}'")
    assert paged(distinct=["title"]).count(f"user_email = '{OWNER}'") == 2
