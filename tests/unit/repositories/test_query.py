"""The vocabulary's words as SQL, without a database."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import postgresql

from app.errors import SetupError, UnknownWordError
from app.models import Conversation, IdempotencyKey, Message, QueryLog, User
from app.repositories.data import changed, created
from app.repositories.paging import Page, select_page
from app.repositories.query import Scope, condition, loads, unique
from app.repositories.words import Place, shape_of

OWNER = "ann@example.com"
ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
MOMENT = datetime(2026, 11, 21, tzinfo=UTC)


def scope_of(model, owner_column="user_email"):
    return Scope(model, shape_of(model, owner_column), OWNER)


def sql_of(clause):
    compiled = clause.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    return " ".join(str(compiled).replace("%%", "%").split())


def said(where, model=Conversation):
    return sql_of(condition(scope_of(model), where)).replace(f"{model.__tablename__}.", "")


def paged(**page):
    return sql_of(select_page(scope_of(Conversation), Page(**page))).partition(" WHERE ")[2]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
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
            {"title": {"contains": "50%_/\\", "mode": "default"}},
            r"(title LIKE '%' || '50/%/_//\' || '%' ESCAPE '/')",
        ),
        (
            {"title": {"contains": "A%", "mode": "insensitive"}},
            "title ILIKE '%' || 'A/%' || '%' ESCAPE '/'",
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
    ],
)
def test_filters_become_sql(where, expected):
    assert said(where) == expected


def test_the_column_metadata_is_known_by_its_attribute():
    compiled = condition(scope_of(Conversation), {"details": {"equals": {"a": 1}}}).compile(
        dialect=postgresql.dialect()
    )
    assert "conversations.metadata = " in str(compiled)
    assert compiled.params == {"metadata_1": {"a": 1}}


def test_a_json_column_takes_a_dict_after_not_as_a_value():
    compiled = condition(scope_of(Conversation), {"details": {"not": {"not": 1}}}).compile(
        dialect=postgresql.dialect()
    )
    assert compiled.params == {"metadata_1": {"not": 1}}


@pytest.mark.parametrize(
    ("word", "operator"), [("has", "@>"), ("has_every", "@>"), ("has_some", "&&"), ("equals", "=")]
)
def test_list_filters_become_array_operators(word, operator):
    value = "a" if word == "has" else ["a"]
    clause = condition(scope_of(Conversation), {"tags": {word: value}})
    compiled = clause.compile(dialect=postgresql.dialect())
    assert f"conversations.tags {operator} " in str(compiled)
    assert list(compiled.params.values()) == [["a"]]


@pytest.mark.parametrize(
    ("word", "shape"),
    [("some", "EXISTS"), ("none", "NOT (EXISTS"), ("every", "NOT (EXISTS")],
)
def test_a_relation_filter_is_an_exists_with_the_owner_inside(word, shape):
    sql = said({"messages": {word: {"content": "hi"}}})
    assert sql.startswith((shape, f"({shape}"))
    assert f"messages_1.user_email = '{OWNER}'" in sql
    is_negative = "IS NOT true" in sql
    assert is_negative == (word == "every")


def test_relation_filters_nest_without_mixing_up_tables():
    sql = said({"messages": {"some": {"conversation": {"is": {"title": "a"}}}}})
    assert "FROM messages AS messages_1" in sql
    assert "FROM conversations AS conversations_1" in sql
    assert "conversations_1.title = 'a'" in sql
    assert sql.count(f"user_email = '{OWNER}'") == 2


@pytest.mark.parametrize(
    ("word", "value", "is_negated"),
    [("is", {}, False), ("is", None, True), ("is_not", {}, True), ("is_not", None, False)],
)
def test_a_relation_to_one_is_or_is_not_there(word, value, is_negated):
    sql = said({"conversation": {word: value}}, Message)
    assert ("NOT (EXISTS" in sql) == is_negated


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


def test_an_order_that_is_unique_already_gets_no_tiebreaker():
    statement = select_page(
        scope_of(Message), Page(order_by=[{"conversation_id": "asc"}, {"seq": "asc"}])
    )
    assert sql_of(statement).endswith("ORDER BY messages.conversation_id ASC, messages.seq ASC")


def test_a_tiebreaker_is_the_key_that_needs_the_fewest_columns_more():
    statement = select_page(scope_of(Message), Page(order_by={"seq": "desc"}))
    assert sql_of(statement).endswith("ORDER BY messages.seq DESC, messages.conversation_id DESC")


@pytest.mark.parametrize(
    ("model", "owner_column", "where", "fields"),
    [
        (Conversation, "user_email", {"id": ID}, ("id",)),
        (Conversation, "user_email", {"id": ID, "user_email": OWNER}, ("id",)),
        (
            Conversation,
            "user_email",
            {"source": "s", "source_id": "1"},
            ("user_email", "source", "source_id"),
        ),
        (Message, "user_email", {"conversation_id": ID, "seq": 1}, ("conversation_id", "seq")),
        (
            Message,
            "user_email",
            {"conversation_id": ID, "client_message_id": "c"},
            ("conversation_id", "client_message_id"),
        ),
        (
            Message,
            "user_email",
            {"conversation_id": ID, "parent_id": None},
            ("conversation_id", "parent_id"),
        ),
        (IdempotencyKey, "user_email", {"key": "k"}, ("user_email", "key")),
        (User, "email", {"email": OWNER}, ("email",)),
        (User, "email", {"issuer": "i", "subject": "s"}, ("issuer", "subject")),
    ],
)
def test_unique_keys_come_from_the_tables_constraints_and_indexes(
    model, owner_column, where, fields
):
    key, _condition = unique(scope_of(model, owner_column), where)
    assert key.fields == fields


def test_a_partial_unique_index_brings_its_predicate_along():
    scope = scope_of(Message)
    _key, is_live = unique(scope, {"conversation_id": ID, "parent_id": None})
    assert "messages.parent_id IS NULL AND status = 'streaming'" in sql_of(is_live)


@pytest.mark.parametrize(
    ("model", "where"),
    [
        (Conversation, {"title": "a"}),
        (Conversation, {"id": ID, "title": "a"}),
        (Conversation, {"user_email": OWNER}),
        (Conversation, {}),
        (Message, {"id": ID}),
    ],
)
def test_what_is_no_unique_key_is_refused_with_the_known_keys(model, where):
    with pytest.raises(UnknownWordError, match=r"is no unique key; known are: \(.*id\)"):
        unique(scope_of(model), where)


@pytest.mark.parametrize(
    ("where", "word", "place", "known"),
    [
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
    ],
)
def test_an_unknown_filter_word_is_refused_by_name_place_and_alternatives(
    where, word, place, known
):
    with pytest.raises(UnknownWordError) as refusal:
        condition(scope_of(Conversation), where)
    message = str(refusal.value)
    assert message.startswith(f"Unknown word {word} {place}")
    assert known in message.partition("known are:")[2]


@pytest.mark.parametrize(
    "where",
    [
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
    ],
)
def test_a_word_with_something_that_it_does_not_take_is_refused(where):
    with pytest.raises(UnknownWordError, match=r"where.*(takes|known are)"):
        condition(scope_of(Conversation), where)


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


def test_nested_includes_are_bounded():
    include = {"messages": True}
    for _ in range(100):
        include = {"messages": {"include": {"conversation": {"include": include}}}}
    with pytest.raises(UnknownWordError, match="nested deeper than 32 levels"):
        loads(scope_of(Conversation), include)


def test_thirty_two_levels_are_taken():
    where = {"title": "a"}
    for _ in range(32):
        where = {"NOT": where}
    assert said(where) == "title = 'a'"


@pytest.mark.parametrize(
    ("include", "word"),
    [({"runs": True}, "runs"), ({"title": True}, "title"), ({"messages": {"take": 1}}, "take")],
)
def test_an_unknown_include_is_refused(include, word):
    with pytest.raises(UnknownWordError, match=f"Unknown word '{word}' in include"):
        loads(scope_of(Conversation), include)


@pytest.mark.parametrize("include", ["messages", {"messages": 1}, {"messages": None}])
def test_an_include_of_the_wrong_shape_is_refused(include):
    with pytest.raises(UnknownWordError, match=r"include.* takes a dict"):
        loads(scope_of(Conversation), include)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ({"order_by": {"titel": "asc"}}, r"Unknown word 'titel' in order_by\[0\].*title"),
        ({"order_by": {"messages": "asc"}}, r"Unknown word 'messages' in order_by\[0\]"),
        ({"order_by": [{"id": "asc"}, {"title": "up"}]}, r"'up' in order_by\[1\].title.*asc, desc"),
        ({"order_by": {"title": {"sort": "asc"}}}, r"in order_by\[0\].title.*asc, desc"),
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
    ],
)
def test_an_unknown_word_about_pages_is_refused(page, message):
    with pytest.raises(UnknownWordError, match=message):
        paged(**page)


def test_created_rows_belong_to_the_sessions_owner():
    assert created(scope_of(Conversation), {"title": "a"}) == {"title": "a", "user_email": OWNER}


@pytest.mark.parametrize("owner", ["bob@example.com", None, {"set": "bob@example.com"}])
def test_data_that_names_another_owner_is_refused(owner):
    for say in (created, changed):
        with pytest.raises(UnknownWordError, match=r"data\.user_email names another owner"):
            say(scope_of(QueryLog), {"user_email": owner})


def test_connecting_to_another_owner_is_refused():
    target = {"id": ID, "user_email": "bob@example.com"}
    with pytest.raises(UnknownWordError, match="another owner"):
        created(scope_of(Message), {"conversation": {"connect": target}})


def test_connect_becomes_the_foreign_keys_columns():
    values = created(scope_of(Message), {"conversation": {"connect": {"id": ID}}})
    assert values == {"conversation_id": ID, "user_email": OWNER}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"message_count": {"increment": 2}}, "conversations.message_count + 2"),
        ({"message_count": {"decrement": 2}}, "conversations.message_count - 2"),
    ],
)
def test_changes_become_sql(data, expected):
    (change,) = changed(scope_of(Conversation), data).values()
    assert sql_of(change) == expected


def test_set_says_the_same_as_a_plain_value():
    scope = scope_of(Conversation)
    data = {"title": "a", "message_count": 1, "tags": ["x"], "ended_at": MOMENT}
    words = {name: {"set": value} for name, value in data.items()}
    assert changed(scope, words) == changed(scope, data) == data
    assert created(scope, words) == created(scope, data)


def test_a_dict_for_a_json_column_is_the_value():
    assert changed(scope_of(Conversation), {"details": {"set": 1}}) == {"details": {"set": 1}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"titel": "a"}, "Unknown word 'titel' in data; known are: .*title"),
        ({"metadata": {}}, "Unknown word 'metadata' in data"),
        ({"messages": {"create": []}}, "Unknown word 'messages' in data"),
        ({"title": {"push": "a"}}, "Unknown word 'push' in data.title; known are: set"),
        ({"title": {"increment": 1}}, "Unknown word 'increment' in data.title"),
        ({"revision": {"divide": 1}}, "'divide' in data.revision; known are: decrement, inc"),
        ({"revision": {"increment": 1, "set": 1}}, "data.revision takes a value or exactly one"),
        ({"revision": {}}, "data.revision takes a value or exactly one"),
        ({"revision": {"increment": None}}, "data.revision.increment takes a value"),
        ({"revision": {"increment": "1"}}, "data.revision.increment takes a value"),
        ({"tags": {"push": 1}}, "data.tags.push takes a value"),
        ({"tags": {"push": ["a", 1]}}, r"data.tags.push\[1\] takes a value"),
        ({"tags": "a"}, "data.tags takes a value"),
        ({"title": 1}, "data.title takes a value"),
        ([], "data takes a dict"),
    ],
)
def test_unknown_data_words_are_refused(data, message):
    with pytest.raises(UnknownWordError, match=message):
        changed(scope_of(Conversation), data)


def test_a_new_row_has_nothing_to_increment():
    with pytest.raises(UnknownWordError, match="'increment' in data.revision; known are: set"):
        created(scope_of(Conversation), {"revision": {"increment": 1}})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"conversation": {"create": {}}}, "'create' in data.conversation; known are: connect"),
        ({"conversation": ID}, "data.conversation takes a dict"),
        ({"conversation": {}}, "data.conversation takes .* connect"),
        ({"conversation": {"connect": {}}}, "data.conversation.connect takes id as well"),
        ({"conversation": {"connect": {"title": "a"}}}, "Unknown word 'title'"),
        ({"conversation": {"connect": {"id": None}}}, "data.conversation.connect.id takes"),
        (
            {"conversation_id": ID, "conversation": {"connect": {"id": ID}}},
            "data.conversation_id takes one value",
        ),
    ],
)
def test_unknown_words_about_connecting_are_refused(data, message):
    with pytest.raises(UnknownWordError, match=message):
        created(scope_of(Message), data)


def test_a_model_without_an_owner_has_no_repository():
    with pytest.raises(SetupError, match="User has no column user_email"):
        shape_of(User)


def test_a_place_reads_as_a_path():
    place = Place("where").into("AND").item(0).at("title")
    assert (str(place), place.depth) == ("where.AND[0].title", 1)


def test_every_page_has_the_owner_in_it():
    assert paged().startswith(f"conversations.user_email = '{OWNER}'")
    assert paged(distinct=["title"]).count(f"user_email = '{OWNER}'") == 2
    assert "WHERE" in sql_of(select(Conversation).where(scope_of(Conversation).owned()))
