"""PostgreSQL takes every literal that the application makes for full text."""

import random

import psycopg2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.search_words import any_of, lexemes, search_words

# What the index adds to each row: the longest owner as one more lexeme.
INDEXED = "(words || array_to_tsvector(ARRAY['@' || repeat('x', 254)]))"

scalars = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
scripts = st.sampled_from(
    "aZ9'\\:*&|!<>() éđßşא\u05b8ا\u064b\u200cہहि\u094dกำ\u0e48한中々かがｶﾞー👍\u0301½ﷺ"
)
texts = st.one_of(st.text(scalars, max_size=60), st.text(scripts, max_size=60))


@pytest.fixture(scope="module")
def cursor(database_urls):
    connection = psycopg2.connect(database_urls.owner)
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


def answer(cursor, statement, *values):
    cursor.execute(f"SELECT {statement}", values)
    return cursor.fetchone()[0]


def stored(cursor, text):
    """Lexemes with their positions, as PostgreSQL keeps them."""
    cursor.execute("SELECT lexeme, positions FROM unnest(%s::tsvector)", [search_words(text)])
    return dict(cursor.fetchall())


def places(text):
    found = {}
    for position, lexeme in enumerate(lexemes(text), 1):
        found.setdefault(lexeme, []).append(position)
    return found


@settings(deadline=None, max_examples=300)
@given(texts)
@example("")
@example("'it''s' \\'quoted\\' :1A,2B")
def test_every_text_is_stored_with_exactly_its_words_and_positions(cursor, text):
    assert stored(cursor, text) == places(text)


@settings(deadline=None, max_examples=300)
@given(texts, st.integers(1, 12))
def test_any_of_a_text_finds_the_text(cursor, text, limit):
    query = any_of(text, limit)
    if query:
        assert answer(cursor, "%s::tsvector @@ %s::tsquery", search_words(text), query)


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from("春眠不觉カなกแข"), min_size=2, max_size=12), st.data())
def test_any_neighbours_are_found_in_scripts_without_spaces(cursor, text, data):
    first = data.draw(st.integers(0, len(text) - 2))
    last = data.draw(st.integers(first + 2, len(text)))
    phrase = " <-> ".join(f"'{word}'" for word in lexemes(text[first:last]))
    assert answer(cursor, "%s::tsvector @@ %s::tsquery", search_words(text), phrase)


HAN = range(0x4E00, 0x9FA6)
HUGE = {
    "distinct words": lambda: " ".join(f"w{number}" for number in range(700_000)),
    "Chinese": lambda: "".join(map(chr, random.Random(4).choices(HAN, k=1_700_000))),
}


@pytest.fixture
def index(cursor):
    cursor.execute("CREATE TEMPORARY TABLE entries (words tsvector)")
    cursor.execute(f"CREATE INDEX ON entries USING gin ({INDEXED})")
    yield
    cursor.execute("DROP TABLE entries")


@pytest.mark.parametrize("make", HUGE.values(), ids=HUGE.keys())
def test_five_megabytes_are_accepted_and_indexed_with_room_for_the_owner(cursor, index, make):
    text = make()
    assert len(text.encode()) >= 4_800_000
    literal, query = search_words(text), any_of(text)
    cursor.execute("INSERT INTO entries VALUES (%s::tsvector)", [literal])
    assert len(literal) > 900_000
    assert answer(cursor, f"count(*) FROM entries WHERE {INDEXED} @@ %s::tsquery", query) == 1
