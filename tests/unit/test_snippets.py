"""What of a text is shown when it was found."""

import re
from html import unescape
from unicodedata import category

from hypothesis import given
from hypothesis import strategies as st

from app.search_query import parse_search_query
from app.search_words import lexemes, located
from app.snippets import READ, snippet

FILLER = "nothing to be seen here, " * 40

MARKED = {
    "English": ("The QUICK brown fox", "quick", "The <mark>QUICK</mark> brown fox"),
    "accents": ("Ở phố Huế", "pho hue", "Ở <mark>phố</mark> <mark>Huế</mark>"),
    "accents that were typed": ("Pho in Hue", "phở huế", "<mark>Pho</mark> in <mark>Hue</mark>"),
    "loose accents": ("cafe\u0301 noir", "café", "<mark>cafe\u0301</mark> noir"),
    "ligatures": ("ﬁnd it", "find", "<mark>ﬁnd</mark> it"),
    "fractions": ("12½ cups", "2", "12<mark>½</mark> cups"),
    "Chinese": ("我爱北京天安门", "北京天安", "我爱<mark>北京天安</mark>门"),
    "one character": ("我爱茶馆。茶", "茶", "我爱<mark>茶馆</mark>。<mark>茶</mark>"),
    "mixed scripts": ("在798艺术区", "798艺术", "在<mark>798艺术</mark>区"),
    "half-width kana": ("ｶﾞｷﾞ です", "ガギ", "<mark>ｶﾞｷﾞ</mark> です"),
    "Thai": ("ดื่มกาแฟร้อน", "กาแฟ", "ดื่ม<mark>กาแฟ</mark>ร้อน"),
    "Persian": ("می\u200cخواهم", "خواهم", "می\u200c<mark>خواهم</mark>"),
    "Korean, decomposed": ("\u1112\u1161\u11ab국", "한국", "<mark>\u1112\u1161\u11ab국</mark>"),
    "a beginning": ("teapots, tea_time", "tea*", "<mark>teapots</mark>, <mark>tea</mark>_time"),
    "not what must not be": ("tea with milk", "tea -milk", "<mark>tea</mark> with milk"),
    "blanks": (" one \n\n two\tthree ", "two", "one <mark>two</mark> three"),
    "HTML": (
        "<script>alert('tea') & \"more\"</script><mark>",
        "tea script",
        "&lt;<mark>script</mark>&gt;alert(&#x27;<mark>tea</mark>&#x27;) &amp; &quot;more&quot;"
        "&lt;/<mark>script</mark>&gt;&lt;mark&gt;",
    ),
    "nothing of it": ("something else", "tea", "something else"),
}  # fmt: skip


def shown(text, asked):
    return snippet(text, parse_search_query(asked))


def visible(html):
    return unescape(re.sub("</?mark>", "", html)).strip("…")


def test_what_was_found_is_marked():
    for name, (text, asked, expected) in MARKED.items():
        assert shown(text, asked) == expected, name


def test_a_long_text_is_cut_around_the_place_where_most_words_meet():
    html = shown(f"tea {FILLER}Cups of green tea with sugar. {FILLER}sugar", "sugar green tea")
    assert "Cups of <mark>green</mark> <mark>tea</mark> with <mark>sugar</mark>. nothing" in html
    assert re.fullmatch(r"…\w.*\S…", html)
    assert 150 < len(visible(html)) <= 200
    assert set(visible(html).split()) <= set((FILLER + "Cups of green tea with sugar.").split())


def test_the_beginning_and_the_end_are_shown_whole():
    assert shown(f"Tea {FILLER}", "tea").startswith("<mark>Tea</mark> nothing")
    assert re.fullmatch(r"…\w.* with <mark>tea</mark>", shown(f"{FILLER} with tea", "tea"))


def test_writing_without_spaces_is_cut_between_characters():
    html = shown("ที่นี่" * 100 + "กาแฟ" + "ที่นี่" * 100, "กาแฟ")
    assert "<mark>กาแฟ</mark>" in html
    assert category(visible(html)[0])[0] == "L"
    assert 150 < len(visible(html)) <= 200


def test_what_lies_too_deep_shows_how_the_text_begins():
    assert "<mark>" in shown(f"{'filler ' * (READ // 7 - 10)} tea", "tea")
    html = shown(f"{'filler ' * (READ // 7 + 10)} tea", "tea")
    assert html.startswith("filler filler")
    assert "<mark>" not in html


scalars = st.characters(exclude_categories=["Cs"])
scripts = st.sampled_from(
    "aZ9'<>&\"\n éđßא\u05b8ا\u064b\u200cہहि\u094dกำ\u0e48한\u1112\u1161\u11ab中々かがｶﾞー\u0301½ﷺﬁ"
)
texts = st.one_of(st.text(scalars), st.text(scripts, max_size=60), st.text(scripts, min_size=300))


@given(texts)
def test_every_lexeme_has_its_place_in_the_text(text):
    places = list(located(text))
    assert [place.lexeme for place in places] == list(lexemes(text))
    for lexeme, start, end in places:
        assert 0 <= start < end <= len(text)
        assert lexeme in "".join(lexemes(text[start:end]))


@given(texts, st.text(scripts, max_size=10))
def test_a_snippet_is_a_part_of_its_text_on_one_line_with_balanced_marks(text, asked):
    query = parse_search_query(f"{asked} a 中国")
    html = snippet(text, query)
    assert re.fullmatch(r"(?:[^<>\"'\n]|<mark>[^<>\"'\n]+</mark>)*", html)
    assert visible(html).strip() in re.sub(r"\s+", " ", text)
    assert len(visible(html)) <= 200
