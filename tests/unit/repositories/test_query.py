"""Filters as SQL, without a database."""

import re
from uuid import UUID

import pytest
from sqlalchemy.dialects import postgresql

from app.errors import UnknownWordError
from app.models import Conversation, Message
from app.repositories.query import condition
from tests.refusals import refusal_of

from . import OWNER, scope_of, sql_of

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def said(where, model=Conversation):
    return sql_of(condition(scope_of(model), where)).replace(f"{model.__tablename__}.", "")


FILTERS = [
    ({"title": "a"}, "title = 'a'"),
    ({"title": None}, "title IS NULL"),
    ({"title": {"equals": "a"}}, "title = 'a'"),
    ({"title": {"equals": None}}, "title IS NULL"),
    ({"title": {"not": "a"}}, "title != 'a'"),
    ({"title": {"not": None}}, "title IS NOT NULL"),
    ({"title": {"not": {"in": ["a", "b"]}}}, "(title NOT IN ('a', 'b'))"),
    ({"title": {"in": ("a", "b")}}, "title IN ('a', 'b')"),
    ({"title": {"not_in": ["a"]}}, "(title NOT IN ('a'))"),
    ({"revision": {"lt": 1}}, "revision < 1"),
    ({"revision": {"lte": 1, "gt": 0}}, "revision <= 1 AND revision > 0"),
    ({"revision": {"gte": 1}}, "revision >= 1"),
    ({"is_pinned": True}, "is_pinned = true"),
    ({"title": {"contains": "a"}}, "(title LIKE '%' || 'a' || '%' ESCAPE '/')"),
    ({"title": {"startswith": "a"}}, "(title LIKE 'a' || '%' ESCAPE '/')"),
    ({"title": {"endswith": "a"}}, "(title LIKE '%' || 'a' ESCAPE '/')"),
    (
        {"title": {"contains": "50%_/", "mode": "default"}},
        "(title LIKE '%' || '50/%/_//' || '%' ESCAPE '/')",
    ),
    (
        {"title": {"contains": "A%", "mode": "insensitive"}},
        "(title ILIKE '%' || 'A/%' || '%' ESCAPE '/')",
    ),
    ({"title": {"equals": "A", "mode": "insensitive"}}, "lower(title) = lower('A')"),
    ({"title": {"in": ["A"], "mode": "insensitive"}}, "lower(title) IN (lower('A'))"),
    ({"title": {"not": None, "mode": "insensitive"}}, "title IS NOT NULL"),
    (
        {"title": {"not": {"equals": "A"}, "mode": "insensitive"}},
        "lower(title) != lower('A')",
    ),
    ({"tags": {"is_empty": True}}, "(cardinality(tags) = 0) = true"),
    ({"tags": None}, "tags IS NULL"),
    ({"AND": [{"title": "a"}, {"is_pinned": True}]}, "title = 'a' AND is_pinned = true"),
    ({"AND": {"title": "a"}, "is_pinned": True}, "title = 'a' AND is_pinned = true"),
    ({"OR": [{"title": "a"}, {"title": "b"}]}, "title = 'a' OR title = 'b'"),
    ({"OR": {"title": "a"}}, "title = 'a'"),
    (
        {"NOT": {"title": "a", "mode": "fast"}},
        "NOT (title = 'a' AND mode = 'fast')",
    ),
    ({"NOT": [{"title": "a"}, {"title": "b"}]}, "title != 'a' AND title != 'b'"),
    ({"AND": []}, "true"),
    ({"OR": []}, "false"),
    ({"NOT": []}, "true"),
    ({}, "true"),
    (None, "true"),
]


def test_filters_become_sql():
    for where, expected in FILTERS:
        assert said(where) == expected, where


def test_a_json_column_takes_a_dict_after_not_as_a_value():
    compiled = condition(scope_of(Conversation), {"details": {"not": {"not": 1}}}).compile(
        dialect=postgresql.dialect()
    )
    assert compiled.params == {"metadata_1": {"not": 1}}


def test_the_column_metadata_is_known_by_its_attribute():
    compiled = condition(scope_of(Conversation), {"details": {"equals": {"a": 1}}}).compile(
        dialect=postgresql.dialect()
    )
    assert "conversations.metadata = " in str(compiled)
    assert compiled.params == {"metadata_1": {"a": 1}}


def test_list_filters_become_array_operators():
    for word, operator in (("has", "@>"), ("has_every", "@>"), ("has_some", "&&"), ("equals", "=")):
        value = "a" if word == "has" else ["a"]
        clause = condition(scope_of(Conversation), {"tags": {word: value}})
        compiled = clause.compile(dialect=postgresql.dialect())
        assert f"conversations.tags {operator} " in str(compiled), word
        assert list(compiled.params.values()) == [["a"]], word


def test_a_relation_filter_is_an_exists_with_the_owner_inside():
    for word, shape in (("some", "EXISTS"), ("none", "NOT (EXISTS"), ("every", "NOT (EXISTS")):
        sql = said({"messages": {word: {"content": "hi"}}})
        assert sql.startswith((shape, f"({shape}")), word
        assert f"messages_1.user_email = '{OWNER}'" in sql, word
        is_negative = "IS NOT true" in sql
        assert is_negative == (word == "every"), word


def test_relation_filters_nest_without_mixing_up_tables():
    sql = said({"messages": {"some": {"conversation": {"is": {"title": "a"}}}}})
    assert "FROM messages AS messages_1" in sql
    assert "FROM conversations AS conversations_1" in sql
    assert "conversations_1.title = 'a'" in sql
    assert sql.count(f"user_email = '{OWNER}'") == 2


def test_a_relation_to_one_is_or_is_not_there():
    for word, value in (("is", {}), ("is_not", None), ("is", None), ("is_not", {})):
        is_negated = (word == "is") == (value is None)
        sql = said({"conversation": {word: value}}, Message)
        assert ("NOT (EXISTS" in sql) == is_negated, (word, value)


UNKNOWN = [
    ({"titel": "a"}, "'titel'", "in where;", "title"),
    ({"metadata": {}}, "'metadata'", "in where;", "details"),
    ({"AND": [{}, {"x": 1}]}, "'x'", "in where.AND[1];", "title"),
    ({"title": {"like": "a"}}, "'like'", "in where.title;", "contains"),
    ({"title": {"has": "a"}}, "'has'", "in where.title;", "contains"),
    ({"title": {"not": {"is": 1}}}, "'is'", "in where.title.not;", "equals"),
    ({"title": {"equals": "a", "mode": "fuzzy"}}, "'fuzzy'", "in where.title.mode;", "default"),
    ({"revision": {"contains": 1}}, "'contains'", "in where.revision;", "gte"),
    ({"revision": {"equals": 1, "mode": "default"}}, "'mode'", "in where.revision;", "gte"),
    ({"is_pinned": {"lt": True}}, "'lt'", "in where.is_pinned;", "equals"),
    ({"tags": {"contains": "a"}}, "'contains'", "in where.tags;", "has_every"),
    ({"details": {"a": 1}}, "'a'", "in where.details;", "equals"),
    ({"messages": {"any": {}}}, "'any'", "in where.messages;", "some"),
    ({"messages": {"is": {}}}, "'is'", "in where.messages;", "every"),
    ({"messages": {"some": {"x": 1}}}, "'x'", "in where.messages.some;", "content"),
    ({1: "a"}, "1", "in where;", "title"),
]


def test_an_unknown_filter_word_is_refused_by_name_place_and_alternatives():
    for where, word, place, known in UNKNOWN:
        message = refusal_of(UnknownWordError, condition, scope_of(Conversation), where)
        assert message.startswith(f"Unknown word {word} {place}"), where
        assert known in message.partition("known are:")[2], where


UNFIT = [
    {"title": 1},
    {"title": {}},
    {"title": {"mode": "insensitive"}},
    {"title": {"in": "abc"}},
    {"title": {"in": None}},
    {"title": {"in": ["a", None]}},
    {"title": {"not_in": {"a": 1}}},
    {"title": {"lt": None}},
    {"title": {"contains": None}},
    {"title": {"contains": ["a"]}},
    {"title": {"not": {}}},
    {"title": {"equals": "a", "mode": ["insensitive"]}},
    {"id": str(ID)},
    {"revision": "1"},
    {"revision": True},
    {"is_pinned": 1},
    {"created_at": "2026-11-21"},
    {"tags": "a"},
    {"tags": {"has": ["a"]}},
    {"tags": {"has_every": "a"}},
    {"tags": {"has_some": [1]}},
    {"tags": {"is_empty": 1}},
    {"AND": "a"},
    {"AND": ["a"]},
    {"OR": None},
    {"NOT": [None]},
    {"messages": {}},
    {"messages": []},
    {"messages": {"some": None}},
    {"messages": {"some": []}},
    "title",
]


def test_a_word_with_something_that_it_does_not_take_is_refused():
    for where in UNFIT:
        message = refusal_of(UnknownWordError, condition, scope_of(Conversation), where)
        assert re.search(r"where.*(takes|known are)", message), where


def test_a_refusal_does_not_repeat_what_people_said():
    with pytest.raises(UnknownWordError) as refusal:
        condition(scope_of(Conversation), {"revision": "my secret"})
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "nested",
    [
        lambda where: {"NOT": where},
        lambda where: {"AND": [where]},
        lambda where: {"messages": {"some": {"conversation": {"is": where}}}},
    ],
)
def test_nesting_is_bounded(nested):
    where = {"title": "a"}
    for _ in range(1000):
        where = nested(where)
    with pytest.raises(UnknownWordError, match="nested deeper than 32 levels"):
        condition(scope_of(Conversation), where)


def test_nested_negations_of_a_field_are_bounded():
    words = {"equals": "a"}
    for _ in range(1000):
        words = {"not": words}
    with pytest.raises(UnknownWordError, match="nested deeper than 32 levels"):
        condition(scope_of(Conversation), {"title": words})


def test_thirty_two_levels_are_taken():
    where = {"title": "a"}
    for _ in range(32):
        where = {"NOT": where}
    assert said(where) == "title = 'a'"
