"""What people type to search, as a tsquery."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from app.search_query import parse_search_query
from app.search_words import PLACES_CUT

often = settings(max_examples=max(30, settings().max_examples))

# Without the brackets that a single term does not need.
QUERIES = {
    "hello World": "hello & world",
    '"hello World"': "hello <-> world",
    "“hello world„": "hello <-> world",
    '"not closed': "not <-> closed",
    'pre"in quotes"post': "pre & (in <-> quotes) & post",
    "tea OR coffee milk": "(tea | coffee) & milk",
    "tea OR coffee OR milk": "tea | coffee | milk",
    'tea OR "black coffee"': "(tea | (black <-> coffee))",
    "tea or coffee": "tea & or & coffee",
    '"OR"': "or",
    "OR tea OR": "tea",
    "tea OR -milk coffee": "tea & coffee & !milk",
    "tea -milk OR coffee": "tea & coffee & !milk",
    'tea -milk -"two sugars"': "tea & !milk & !(two <-> sugars)",
    "--force - -- e-mail": "force & (e & mail)",
    "-milk": None,
    '-milk -"two sugars" OR': None,
    "begin*": "begin:*",
    "e-mail*": "e & mail:*",
    "a* b*c *d": "a & (b & c) & d",
    "ĐƯỜNG Phố": "duong & pho",
    "don't": "don & t",
    "北京天安门": "北京 & 京天 & 天安 & 安门",
    '"北京天安"': "北京 <-> 京天 <-> 天安",
    "茶 茶* 北京*": "茶:* & 茶:* & 北京",
    '"第 3 章"': "3 <-> 章:*",
    "啊，景点 3章": "景点 & (3 & 章:*)",
    "я α": "я & α",
    "กาแฟ": "กา & าแ & แฟ",
    "798艺术": "798 & 艺术",
    r"'; DROP TABLE x --\\ :*!&|<->() ''": "drop & table & x",
    '\'\\:*&|!<>()* "" " \u200b 🎉 \u0301': None,
    "": None,
}


def plain(literal):
    """A tsquery literal without quotes and without brackets around one operand."""
    text = re.sub(r"\((.*?<->.*?) \| [^()|]+ & …\)", r"(\1)", literal.replace("'", ""))
    while (less := re.sub(r"\(([^()&|<]+)\)|\((\([^()]*\))\)", r"\1\2", text)) != text:
        text = less
    return re.sub(r"^\(([^()]*)\)$", r"\1", text)


def test_a_text_is_read_as_a_query():
    for text, expected in QUERIES.items():
        query = parse_search_query(text)
        assert (query and plain(query.literal)) == expected, text


def test_a_phrase_may_be_anywhere_where_positions_are_cut_but_not_what_must_not_be():
    query = parse_search_query('"a b" OR c -"d e"')
    wanted = f"('a' <-> 'b' | 'a' & 'b' & '{PLACES_CUT}') | ('c')"
    assert query.literal == f"({wanted}) & !('d' <-> 'e')"


def test_what_was_asked_for_is_named_and_what_must_not_be_is_not():
    query = parse_search_query('Phở "bò viên" OR gà* 茶 -tái')
    assert [
        word for word in ("pho", "bo", "vien", "ga", "gao", "茶馆") if not query.names(word)
    ] == []
    assert [word for word in ("tai", "pha", "p", "g", "馆茶", "") if query.names(word)] == []
    assert not parse_search_query("tea").names("teapot")


def test_of_ten_thousand_words_the_first_hundred_count():
    words = [f"w{number}" for number in range(10_000)]
    for text in (" ".join(words), f'"{" ".join(words)}"', " OR ".join(words)):
        assert parse_search_query(text).lexemes == frozenset(words[:100])


@often
@given(st.text())
def test_whatever_it_is_a_query_is_made_of_lexemes_and_operators_alone(text):
    query = parse_search_query(text)
    if query:
        assert re.fullmatch(r"(?:'[^'\\\s]+'(?::\*)?|[()!&|]| |<->)+", query.literal)


def test_of_very_many_beginnings_the_first_count():
    hours = "1月-3月15日、10月16日-12月:7:00—19:30；3月16日-4月、9月-10月15日：7:00-20:00"
    query = parse_search_query(hours)
    assert len(query.beginnings) == 8
    assert "'15'" in query.literal
    assert (
        parse_search_query(" ".join(f"w{number}*" for number in range(20))).literal.count(":*") == 8
    )
    several = " ".join(f"w{number}*" for number in range(8))
    assert "!" not in parse_search_query(f"{several} -other*").literal
