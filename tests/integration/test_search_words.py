"""PostgreSQL takes every literal that the application makes for full text."""

import random
import string

import psycopg2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.search_words import any_of, lexemes, search_words

# What the index adds to each row: the longest owner as one more lexeme.
INDEXED = "%s::tsvector || array_to_tsvector(ARRAY['@' || repeat('x', 254)])"

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


def letters(seed, count, length):
    source = random.Random(seed)
    return ["".join(source.choices(string.ascii_lowercase, k=length)) for _ in range(count)]


HUGE = {
    "random words": lambda: " ".join(random.Random(1).choices(letters(2, 40_000, 5), k=850_000)),
    "distinct words": lambda: " ".join(f"w{number}" for number in range(700_000)),
    "distinct long words": lambda: " ".join(f"{number:0255d}" for number in range(20_000)),
    "distinct short words": lambda: " ".join(letters(3, 1_250_000, 3)),
    "one word": lambda: "again " * 850_000,
    "one letter": lambda: "a " * 2_500_000,
    "no blank": lambda: "a" * 5_000_000,
    "Chinese": lambda: "".join(
        map(chr, random.Random(4).choices(range(0x4E00, 0x9FA6), k=1_700_000))
    ),
    "Vietnamese": lambda: "Đường phố Hà Nội, tiếng Việt. " * 125_000,
    "expanding": lambda: "\ufdfa" * 1_700_000,
}


@pytest.mark.parametrize("make", HUGE.values(), ids=HUGE.keys())
def test_five_megabytes_are_accepted_with_room_for_the_owner(cursor, make):
    text = make()
    assert len(text.encode()) >= 4_800_000
    literal, query = search_words(text), any_of(text)
    assert answer(cursor, f"length({INDEXED})", literal) > 1
    assert query == "" or answer(cursor, f"({INDEXED}) @@ %s::tsquery", literal, query)


def test_index_takes_a_full_tsvector(cursor):
    literal = search_words(HUGE["distinct words"]())
    cursor.execute("CREATE TEMPORARY TABLE entries (words tsvector)")
    cursor.execute("CREATE INDEX ON entries USING gin (words)")
    cursor.execute("INSERT INTO entries VALUES (%s::tsvector)", [literal])
    assert answer(cursor, "count(*) FROM entries WHERE words @@ '''w7'''::tsquery") == 1
    cursor.execute("DROP TABLE entries")
