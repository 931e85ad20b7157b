"""Titles and previews."""

from hypothesis import given
from hypothesis import strategies as st

from app.services.wording import (
    _MARKDOWN,
    _MARKS,
    PREVIEW_LENGTH,
    TITLE_LENGTH,
    preview_of,
    title_of,
)

TITLES = [
    ("Where is Huế?", "Where is Huế?"),
    ("  \n\n Where   is\tHuế?\nAnd Hội An?", "Where is Huế?"),
    ("# A heading", "A heading"),
    ("- **bold** and `code`, ~~gone~~", "bold and code, gone"),
    ("See [the map](https://example.com/a)", "See the map"),
    ("", None),
    ("   \n ", None),
    ("***", None),
    ("***\nWhere is Huế?", "Where is Huế?"),
    ("```python\nprint(1)\n```", "print(1)"),
    ("```", None),
    ("> - quoted", "quoted"),
    ("**bold**, *soft*, __bold__ and _soft_!", "bold, soft, bold and soft!"),
    ("-5 °C is cold", "-5 °C is cold"),
    ("#42 is done", "#42 is done"),
    ("What is 2*3, or 2 * 3?", "What is 2*3, or 2 * 3?"),
    ("What does snake_case_name do?", "What does snake_case_name do?"),
]


def test_a_title_is_the_first_line_without_markdown():
    for text, title in TITLES:
        assert title_of(text) == title, text


@given(st.text(st.characters(exclude_characters=_MARKS)))
def test_without_a_mark_there_is_no_markdown(text):
    assert _MARKDOWN.search(text) is None


def test_a_long_title_is_cut_at_a_word():
    title = title_of("What would you pack for three rainy weeks in the north of Vietnam?")
    assert title == "What would you pack for three rainy weeks in the…"
    assert len(title) <= TITLE_LENGTH


def test_a_long_word_is_cut_anywhere():
    assert title_of("x" * 99) == "x" * (TITLE_LENGTH - 1) + "…"


def test_a_preview_is_one_line():
    assert preview_of("a\n\n b\tc ") == "a b c"
    assert preview_of("word " * 99).endswith("word…")


@given(st.text())
def test_titles_and_previews_fit_and_have_no_line_breaks(text):
    title, preview = title_of(text), preview_of(text)
    assert title is None or 0 < len(title) <= TITLE_LENGTH
    assert len(preview) <= PREVIEW_LENGTH
    assert len((title or "").splitlines()) <= 1
    assert len(preview.splitlines()) <= 1
