"""Searching on a real PostgreSQL: every query is taken, and the index is what answers it."""

import re
from uuid import uuid4

import psycopg2
import pytest
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st

from app.composition import migrations_folder
from app.repositories import search as searching
from app.repositories.search import SearchFilter, SearchRepository
from app.search_query import parse_search_query
from app.search_words import search_words
from tests.client import Client

FILL = """
INSERT INTO users (id, email)
SELECT gen_random_uuid(), 'searcher' || n || '-{run}@example.com' FROM generate_series(1, 40) n;
INSERT INTO conversations (id, user_email, title, title_words)
SELECT gen_random_uuid(), email, 'Talk ' || n, to_tsvector('simple', 'Talk ' || n)
FROM users, generate_series(1, 10) n WHERE email LIKE 'searcher%{run}%';
INSERT INTO messages (conversation_id, id, user_email, seq, role, content, search_words)
SELECT c.id, gen_random_uuid(), c.user_email, n, 'user', said, to_tsvector('simple', said)
FROM conversations c, generate_series(1, 20) n,
    concat('common ', repeat('word ', 20), 'rare', n) AS said
WHERE c.user_email LIKE 'searcher%{run}%';
"""
INDEX = "ix_messages_search"
LIMITS = {"max_scanned": 0, "max_ranked": 5000, "max_read": 5000, "max_results": 21}

scalars = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
scripts = st.sampled_from(
    "aZ9'\\:*&|!<>()-\"“ OR  éđא\u05b8\u200cہहि\u094dกำ\u0e48한中々かがｶﾞー👍\u0301½ﷺ"
)
texts = st.one_of(st.text(scalars, max_size=60), st.text(scripts, max_size=60))


@pytest.fixture(scope="module")
def cursor(app, database_urls):
    """As the tables' owner."""
    connection = psycopg2.connect(database_urls.owner)
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


@pytest.fixture(scope="module")
def searcher(cursor):
    """One of forty who each said the same 200 things in ten conversations."""
    run = uuid4().hex
    cursor.execute(FILL.format(run=run))
    cursor.execute("VACUUM ANALYZE users, conversations, messages")
    yield f"searcher1-{run}@example.com"
    cursor.execute("DELETE FROM users WHERE email LIKE %s", [f"searcher%{run}%"])


@given(st.lists(texts, min_size=50, max_size=50))
def test_every_text_is_a_query_that_postgresql_takes(cursor, several):
    queries = [query for query in map(parse_search_query, several) if query]
    literals = [query.literal for query in queries]
    cursor.execute("SELECT count(q::tsquery) FROM unnest(%s::text[]) AS q", [literals])
    assert cursor.fetchone() == (len(literals),)


@given(st.lists(texts, min_size=50, max_size=50))
def test_a_text_is_found_by_each_of_its_words_and_as_a_phrase(cursor, several):
    asked = []
    for text in several:
        plain = [word for word in re.split(r'[\s"“”„＂]+', text) if word != "OR"]
        for said in (*(word.lstrip("-") for word in plain), f'"{" ".join(plain)}"'):
            if query := parse_search_query(said):
                asked.append((search_words(text), query.literal))
    cursor.execute(
        "SELECT t, q FROM unnest(%s::text[], %s::text[]) AS a (t, q) "
        "WHERE NOT t::tsvector @@ q::tsquery",
        [list(column) for column in zip(*asked, strict=True)] or [[], []],
    )
    assert cursor.fetchall() == []


def test_ten_thousand_words_are_a_query_too(cursor):
    words = [f"w{number}" for number in range(10_000)]
    for text in (" ".join(words), f'"{" ".join(words)}"', " OR ".join(words), '"a b" -c ' * 5000):
        cursor.execute("SELECT %s::tsquery", [parse_search_query(text).literal])


NARROWED = {
    "words": {},
    "a phrase": {"query": '"word rare7" -nothing'},
    "a beginning": {"query": "rar*"},
    "a beginning, of few messages": {"query": "rar*", "max_scanned": 2000},
    "conversation": {"in_conversation": str(uuid4())},
    "role, tag and time": {"of_role": "user", "with_tag": "x", "since": "2001-01-01"},
    "a later page": {"after_rank": 0.1, "after_created_at": "now", "after_id": str(uuid4())},
}


def plans(cursor, owner, *, query="common rare7", **narrowed):
    """How a search was done, as the function's owner: with what is asked known, and without."""
    cursor.execute(
        "SELECT prosrc, proargnames[:pronargs], proargtypes::regtype[]::text[] FROM pg_proc "
        "WHERE proname = 'parley_search'"
    )
    body, names, types = cursor.fetchone()
    asked = parse_search_query(query)
    values = {"query": asked.literal, "ranking": asked.ranking, **LIMITS, **narrowed}
    for place, name in enumerate(names, 1):
        body = re.sub(rf"\b(?<!\.){name}\b", f"${place}", body)
    cursor.execute("SELECT set_config('app.user_email', %s, false)", [owner])
    cursor.execute(f"PREPARE searching ({', '.join(types)}) AS {body}")
    for mode in ("force_custom_plan", "force_generic_plan"):
        cursor.execute(f"SET plan_cache_mode = {mode}")
        given = ", ".join(["%s"] * len(names))
        cursor.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE searching ({given})",
            [values.get(n) for n in names],
        )
        yield list(nodes(cursor.fetchone()[0][0]["Plan"]))
    cursor.execute("DEALLOCATE searching; RESET plan_cache_mode; RESET app.user_email")


def nodes(plan):
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


@pytest.mark.parametrize("narrowed", NARROWED.values(), ids=NARROWED.keys())
def test_words_and_owner_meet_within_the_index(cursor, searcher, narrowed):
    """All forty have said each of these words: what the index gives is one's own already."""
    own = 200 if narrowed.get("query") == "rar*" else 10
    for plan in list(plans(cursor, searcher, **narrowed)):
        (scan,) = [node for node in plan if node.get("Index Name") == INDEX]
        assert "array_to_tsvector" in scan["Index Cond"]
        assert scan["Actual Rows"] == own
        seen = [(node["Node Type"], node.get("Relation Name")) for node in plan]
        assert ("Bitmap Heap Scan", "messages") in seen
        assert [node for node in seen if node[0] == "Seq Scan"] == []


def call(cursor, owner, query):
    """The rows that the function gives the application's role in somebody's name."""
    named = cursor.mogrify("SELECT set_config('app.user_email', %s, true);", [owner])
    values = [query, query, *[None] * 8, *LIMITS.values()]
    search = f"SELECT * FROM parley_search({', '.join(['%s'] * len(values))})"
    cursor.execute(named + cursor.mogrify(search, values))
    return cursor.fetchall()


def test_the_applications_role_searches_by_the_index_alone(connection, cursor, searcher):
    """What PostgreSQL counted, not what it planned."""
    before = scans(cursor)
    with connection.cursor() as own:
        for number in range(1, 21):
            assert len(call(own, searcher, f"'common' & 'rare{number}'")) == 10
        own.execute("SELECT pg_stat_force_next_flush()")
    by_index, by_table = (now - then for now, then in zip(scans(cursor), before, strict=True))
    assert (by_index, by_table) == (20, 0)


def scans(cursor):
    """How often the index, and the whole table, was read so far."""
    cursor.execute(
        "SELECT pg_stat_clear_snapshot(), (SELECT idx_scan FROM pg_stat_user_indexes "
        "WHERE indexrelname = %s), (SELECT seq_scan FROM pg_stat_user_tables "
        "WHERE relname = 'messages')",
        [INDEX],
    )
    return cursor.fetchone()[1:]


def test_a_search_without_an_owner_finds_nothing(connection, searcher):
    with connection.cursor() as own:
        for nobody in ("", "%", "' | '", searcher.upper()):
            for literal in ("'common'", f"'@{searcher}'", "!'nothing'"):
                assert call(own, nobody, literal) == []


def test_of_very_many_matches_the_newest_are_ranked(database, searcher, monkeypatch):
    monkeypatch.setattr(searching, "MOST_RANKED", 7)
    with database.statement(searcher) as session:
        found = SearchRepository(session).search(
            parse_search_query("common"), narrowed=SearchFilter(), cursor=None, take=100, read=9
        )
    assert len(found) == 7
    assert {row.text for row in found} == {"common wo"}


def test_texts_that_were_stored_before_are_found_by_their_phrases_too(app, cursor, email):
    Client(app, email).create("on the way " * 300 + "over the hill", title="Walks")
    cursor.execute(migration("0007").UNMARK)
    found = [search(app, email, '"over the hill"')]
    cursor.execute(migration("0007").MARK)
    found += [search(app, email, '"over the hill"'), search(app, email, '"hill over"')]
    assert found == [0, 1, 1], "where positions are cut, their order is not known"


def migration(number):
    return ScriptDirectory(str(migrations_folder())).get_revision(number).module


def search(app, email, text):
    """How many results it has."""
    return len(Client(app, email).get("/search", query_string={"q": text}).json["results"])
