"""Words for full text, in every script, and within what PostgreSQL takes."""

import re
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from app.search_words import any_of, lexemes, search_words

often = settings(max_examples=max(30, settings().max_examples))

LITERAL = re.compile(r"(?:'[^' \\]+':[1-9]\d*(?:,[1-9]\d*)*(?: |$))*")

WORDS = {
    "English": ("The QUICK brown-fox", ["the", "quick", "brown", "fox"]),
    "apostrophe": ("don't, isn’t, Hawaiʻi", ["don", "t", "isn", "t", "hawai", "i"]),
    "quotes and backslashes": (r"it''s \'a\\b\'", ["it", "s", "a", "b"]),
    "code": ("snake_case(x2) -> e_1", ["snake", "case", "x2", "e", "1"]),
    "Vietnamese": ("Đường phố Tiếng Việt", ["duong", "pho", "tieng", "viet"]),
    "German": ("Straße GRÜN Äpfel", ["strasse", "grun", "apfel"]),
    "French": ("L'ŒUVRE ça où", ["l", "oeuvre", "ca", "ou"]),
    "Polish and Danish": ("Łódź Ærø", ["lodz", "aero"]),
    "Turkish": ("İstanbul ILIK ılık", ["istanbul", "ilik", "ilik"]),
    "Greek": ("ΣΊΣΥΦΟΣ Σίσυφος", ["σισυφοσ", "σισυφοσ"]),
    "Russian": ("Ёлка ёлка", ["елка", "елка"]),
    "Hebrew": ("שָׁלוֹם", ["שלום"]),
    "Arabic": ("العَرَبِيَّة أحمد", ["العربيه", "احمد"]),
    "Arabic stretched": ("كـــتاب", ["كتاب"]),
    "Persian": ("می\u200cخواهم کتاب\u200cها", ["مي", "خواهم", "كتاب", "ها"]),
    "Hindi": ("हिन्दी में", ["हिन्दी", "में"]),
    "Hindi with joiners": ("क्\u200dष क्\u200cष क्ष", ["क्ष", "क्ष", "क्ष"]),
    "Tamil": ("தமிழ்", ["தமிழ்"]),
    "Chinese": ("我爱北京。天安门", ["我爱", "爱北", "北京", "天安", "安门"]),
    "one Chinese character": ("茶", ["茶"]),
    "Chinese beyond the first plane": ("𠮷野家", ["𠮷野", "野家"]),
    "Japanese": ("東京タワーへ", ["東京", "京タ", "タワ", "ワー", "ーへ"]),
    "half-width kana": ("ｶﾞｷﾞ", ["ガギ"]),
    "Thai": ("กาแฟ", ["กา", "าแ", "แฟ"]),
    "Lao": ("ລາວ", ["ລາ", "າວ"]),
    "Khmer with breaks": ("ខ្មែ\u200bរ", ["ខ្", "្ម", "មែ", "រ"]),
    "Burmese": ("မြန်", ["မြ", "ြန", "န်"]),
    "Korean": ("한국어 단어", ["한국어", "단어"]),
    "mixed scripts": ("798艺术 GPT模型v2", ["798", "艺术", "gpt", "模型", "v2"]),
    "digits": ("3.14 １２ ١٢٣ ۴۵ ๑๒", ["3", "14", "12", "123", "45", "12"]),
    "fractions and powers": ("12½ x²", ["12", "1", "2", "x2"]),
    "compatibility forms": ("ﬁnd ℌello™", ["find", "hello"]),
    "emoji": ("🎉 ok 👨\u200d👩\u200d👧 👍🏽 1️⃣", ["ok", "1"]),
    "invisible characters": ("hel\u00adlo wor\u2060ld \u202eabc", ["hello", "world", "abc"]),
    "control characters": ("\x00a\x07b\x7fc\x85d", ["a", "b", "c", "d"]),
    "lone surrogate": ("a\ud800b", ["a", "b"]),
    "blanks": (" \t\n\u3000\u00a0", []),
    "nothing": ("", []),
}


def test_text_is_cut_into_folded_words():
    for name, (text, words) in WORDS.items():
        expected = [unicodedata.normalize("NFC", word) for word in words]
        assert list(lexemes(text)) == expected, name


def test_composed_and_decomposed_spellings_are_the_same_words():
    for name, (text, _words) in WORDS.items():
        composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
        assert list(lexemes(composed)) == list(lexemes(decomposed)), name


def test_vietnamese_is_the_same_with_and_without_marks():
    assert search_words("Đặng Thị Hương ở Huế") == search_words("dang thi huong o hue")


def test_marks_that_are_vowels_or_tones_tell_words_apart():
    assert list(lexemes("की")) != list(lexemes("कू"))
    assert list(lexemes("ข้าว")) != list(lexemes("ข่าว"))
    assert list(lexemes("が")) != list(lexemes("か"))


def test_literal_has_each_word_with_all_its_positions():
    assert search_words("Hello, world! Hello 世界") == "'hello':1,3 'world':2 '世界':4"
    assert search_words("") == ""


def test_first_255_positions_of_a_word_are_kept():
    literal = search_words("again " * 300)
    assert literal.endswith(" '…':1"), "and that others are missing is said"
    positions = literal.removesuffix(" '…':1").removeprefix("'again':").split(",")
    assert positions == [str(position) for position in range(1, 256)]


def test_positions_end_at_16383_and_later_words_are_still_found():
    literal = search_words("a " * 16_381 + "before last later a later")
    assert literal.endswith("'before':16382 'last':16383 'later':16383 '…':1")


def test_long_word_is_cut_to_255_characters():
    assert list(lexemes("x" * 3_000)) == ["x" * 255]
    assert len(next(lexemes("𐐨" * 3_000)).encode()) == 1_020


def test_text_is_read_across_the_pieces_that_it_is_folded_in():
    words = [f"wort{number}" for number in range(20_000)]
    assert list(lexemes(" ".join(words))) == words
    assert list(lexemes("\n".join(words).replace("o", "ö"))) == words
    chinese = "春眠不觉晓处处闻啼鸟" * 1_600
    assert len(list(lexemes(f"{chinese}，{chinese}"))) == 2 * (len(chinese) - 1)


def test_distinct_words_end_before_a_tsvector_is_full():
    literal = search_words(" ".join(f"{number:0200d}" for number in range(6_000)))
    assert 900_000 < len(literal) < 1_048_576


def test_any_of_puts_long_words_first_and_leaves_out_function_words():
    assert any_of("What is the capital of Vietnam?") == "'capital' | 'vietnam'"
    assert any_of("Where is 北京 in A?") == "'北京'"


def test_any_of_has_no_more_words_than_asked_for():
    assert any_of("alpha beta gamma delta", limit=2) == "'alpha' | 'gamma'"
    assert any_of(" ".join(f"word{number}" for number in range(50))).count("|") == 11
    assert any_of("alpha", limit=0) == ""


def test_any_of_is_empty_when_no_telling_word_is_left():
    for text in ("", "?!", "🎉", "a I", "the of and", "L'un et la"):
        assert any_of(text) == "", text


def test_any_of_names_a_repeated_word_once():
    assert any_of("Hanoi hanoi HÀ NỘI hànội") == "'hanoi' | 'noi' | 'ha'"


@often
@given(st.text(max_size=60))
def test_any_text_gives_a_literal_of_words_that_need_no_escape(text):
    assert LITERAL.fullmatch(search_words(text))
    for lexeme in lexemes(text):
        assert {unicodedata.category(character)[0] for character in lexeme} <= set("LNM")
        assert 0 < len(lexeme.encode()) < 2_046


@often
@given(st.text(max_size=60))
def test_folded_words_fold_to_themselves(text):
    for lexeme in lexemes(text):
        assert list(lexemes(lexeme)) == [lexeme]


@often
@given(st.text(max_size=60), st.integers(0, 12))
def test_any_of_is_drawn_from_the_words_of_the_text(text, limit):
    chosen = any_of(text, limit).split(" | ") if any_of(text, limit) else []
    assert len(chosen) == len(set(chosen)) <= limit
    assert {lexeme.strip("'") for lexeme in chosen} <= set(lexemes(text))


def test_marks_in_their_thousands_behind_a_letter_are_as_good_as_thirty():
    """Normalising sorts them, in quadratic time."""
    marks = "\u0e48\u0e38" * 15
    assert list(lexemes(f"ก{marks * 1000} น้ำ")) == list(lexemes(f"ก{marks} น้ำ"))
