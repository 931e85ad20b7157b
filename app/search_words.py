"""Full text made by the application: words of any script as PostgreSQL's tsvector and tsquery.

No text-search configuration takes part, so every database gives the same answer. Case, accents
(đ too), compatibility forms and digits are folded. Scripts written without spaces are cut into
overlapping pairs of characters. A lexeme is letters, digits and marks only: nothing to escape.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple
from unicodedata import category, combining, decimal, normalize

# PostgreSQL's limits, and what is safely below them: positions beyond 16,383 count as 16,383,
# 255 of a lexeme are kept, a lexeme has less than 2,046 bytes, all together less than 1,048,576.
_LAST_POSITION = 16_383
_POSITIONS_OF_A_LEXEME = 255
_LONGEST_WORD = 255
_BYTES_OF_LEXEMES = 1_000_000
PLACES_CUT = "…"
"""The lexeme, no word of any text, of texts in which not every word has all of its positions."""
_WORDS_READ = 1_000_000  # a limit on time: some 6 MB of English
_OVERHEAD_OF_A_LEXEME = 5  # its alignment, the number of its positions and the first of them

_MEMOISED = 0x20000  # the planes that hold nearly all scripts; it bounds the memory for folds

_IGNORED = re.compile(
    "[\u034f\u0640\u115f\u1160\u17b4\u17b5\u180b-\u180f\u20dd-\u20e4\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
_LETTERS = str.maketrans(
    {"đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ł": "l", "ø": "o", "ŧ": "t", "æ": "ae", "œ": "oe"}
    | {"þ": "th", "ʻ": " ", "ʼ": " ", "ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه"}
)
_BREAK = "\u200b"  # zero-width space: where Thai and Khmer writers end a word
_NON_JOINER = "\u200c"
_ARABIC_NON_JOINER = re.compile("(?<=[\u0600-\u077f])\u200c")

# Marks behind one letter, which normalising sorts in quadratic time: 30 are enough for any script
# (the Stream-Safe Text Format of UAX 15).
_MANY_MARKS = re.compile(r"([^\w ]{30})[^\w ]+")

# Thai, Lao, Burmese, Khmer, kana, bopomofo and Han.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
_RUN = re.compile(f"([{_UNSPACED}]+)|([^ {_UNSPACED}]+)")
_WRITTEN = re.compile("[^ ]+")
# Texts are read in pieces that end between words; a piece never has more than 32,768 characters.
_PIECE = re.compile(r".{1,16384}[^\s。，、]{0,16384}", re.DOTALL)

# English, French, Spanish, German and Vietnamese, as folded; none that means more elsewhere.
_FUNCTION_WORDS_TEXT = (
    "an and are as at be but by can did do does for from had has have how if in into is it its me "
    "my no not of on or our so that the their them then there they this to was we were what when "
    "where which who why will with would you your au aux dans de del der des das du ein eine el "
    "en est et il ist la las le les los mit que qui un una und une von cac cho cua mot nhung va voi"
)
_FUNCTION_WORDS = frozenset(_FUNCTION_WORDS_TEXT.split())


def search_words(text: str) -> str:
    """A tsvector literal (`%s::tsvector`) of any text: words with positions, `'hello':1 'you':2`.

    Never refused by PostgreSQL: what is beyond its limits is not indexed. It leaves some 15,000
    bytes of a tsvector's room for what a caller adds.
    """
    placed = _placed(text)
    return " ".join([f"'{lexeme}':{positions}" for lexeme, positions in placed.items()])


def any_of(text: str, limit: int = 12) -> str:
    """A tsquery literal (`%s::tsquery`) for documents with any of the text's most telling words.

    Long words come first. One-letter Latin words and function words don't count; '' when no word
    is left. A query that isn't '' matches the `search_words` of the same text.
    """
    telling = sorted(filter(_is_telling, _placed(text)), key=_weight, reverse=True)
    return " | ".join(f"'{lexeme}'" for lexeme in telling[: max(limit, 0)])


def lexemes(text: str) -> Iterator[str]:
    """The folded words of a text in their order, as indexed: the n-th has position n.

    One written word can be several lexemes (`798艺术馆`: `798`, `艺术`, `术馆`); in a query they
    follow each other.
    """
    for piece in _PIECE.finditer(text):
        folded = _fold(piece.group())
        if folded.isascii():
            yield from [word[:_LONGEST_WORD] for word in folded.split()]
        else:
            for unspaced, word in _RUN.findall(folded):
                yield from _pairs(unspaced) if unspaced else (word[:_LONGEST_WORD],)


class Located(NamedTuple):
    """A lexeme, and where what it was folded from begins and ends in the text."""

    lexeme: str
    start: int
    end: int


def located(text: str) -> Iterator[Located]:
    """What `lexemes` gives, each with its place; an accent's own character belongs to it."""
    for piece in _PIECE.finditer(text):
        parts = [_FOLDS[ord(character)] for character in piece.group()]
        places = [piece.start() + n for n, part in enumerate(parts) for _ in part]
        places.append(piece.end())
        for written in _WRITTEN.finditer("".join(parts)):
            yield from _located_in(written.group(), places[written.start() : written.end() + 1])


def is_unspaced(lexeme: str) -> bool:
    """Whether a lexeme is in a script that is written without spaces."""
    run = _RUN.match(lexeme)
    return run is not None and run[1] is not None


def _placed(text: str) -> dict[str, str]:
    """Lexemes with their positions (`1,7,12`), within PostgreSQL's limits."""
    placed: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    room, position = _BYTES_OF_LEXEMES, 0
    for position, lexeme in enumerate(islice(lexemes(text), _WORDS_READ), 1):
        if lexeme not in placed:
            room -= len(lexeme.encode()) + _OVERHEAD_OF_A_LEXEME
            if room < 0:
                break
            placed[lexeme] = str(position if position < _LAST_POSITION else _LAST_POSITION)
        elif position <= _LAST_POSITION:
            repeated.setdefault(lexeme, [placed[lexeme]]).append(str(position))
    for lexeme, positions in repeated.items():
        placed[lexeme] = ",".join(positions[:_POSITIONS_OF_A_LEXEME])
    most = max(map(len, repeated.values()), default=0)
    if position > _LAST_POSITION or most > _POSITIONS_OF_A_LEXEME:
        placed[PLACES_CUT] = "1"
    return placed


def _located_in(written: str, places: list[int]) -> Iterator[Located]:
    """The lexemes of what stands between two spaces; `places` has one more: where it ends."""
    folded = _normalised(written)
    # Else characters were composed or sorted: each lexeme has the whole for its place, then.
    is_in_step = folded == written.replace(_NON_JOINER, " ")
    for run in _RUN.finditer(folded):
        first, last = run.span()
        width = 2 if run[1] else last - first
        for start in range(first, max(first + 1, last - width + 1)):
            end = min(start + width, last)
            lexeme = folded[start:end][:_LONGEST_WORD]
            if is_in_step:
                yield Located(lexeme, places[start], max(places[end - 1] + 1, places[end]))
            else:
                yield Located(lexeme, places[0], max(places[-2] + 1, places[-1]))


def _weight(lexeme: str) -> int:
    """Its bytes in UTF-8. A pair of Chinese characters thus weighs as much as a six-letter word."""
    return len(lexeme.encode())


def _is_telling(lexeme: str) -> bool:
    is_one_letter = len(lexeme) == 1 and lexeme.isascii() and lexeme.isalpha()
    return not is_one_letter and lexeme not in _FUNCTION_WORDS and lexeme != PLACES_CUT


def _pairs(run: str) -> list[str]:
    """Overlapping pairs, so that any two neighbours are found; a lone character is itself."""
    return [run[at : at + 2] for at in range(len(run) - 1)] or [run]


class _Folds(dict[int, str]):
    """What each code point becomes, for str.translate; worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        folded = _fold_character(chr(code))
        if code < _MEMOISED:
            self[code] = folded
        return folded


_FOLDS = _Folds()


def _fold(text: str) -> str:
    """Words with spaces between them."""
    return _normalised(text.translate(_FOLDS))


def _normalised(folded: str) -> str:
    """What is left to do with neighbours when each character is folded: nothing in ASCII."""
    if folded.isascii():
        return folded
    if _NON_JOINER in folded:
        # In Persian it stands between a word and its ending; elsewhere it only shapes letters.
        folded = _ARABIC_NON_JOINER.sub(" ", folded).replace(_NON_JOINER, "")
    return normalize("NFC", _MANY_MARKS.sub(r"\1", folded))


def _fold_character(character: str) -> str:
    """Its plain form: '' when it is an accent or invisible, ' ' when it is not part of words."""
    if category(character) == "Cf" and character != _BREAK:
        return character if character == _NON_JOINER else ""
    if not _is_part_of_words(character):
        return " "
    bare = _without_accents(normalize("NFKD", character)).casefold()
    bare = _without_accents(normalize("NFKD", bare)).translate(_LETTERS)
    folded = normalize("NFC", "".join(_digit_or_letter(part) for part in bare))
    return f" {folded} " if " " in folded else folded  # 12½ is 12, 1 and 2, not 121


def _is_part_of_words(character: str) -> bool:
    return category(character)[0] in "LNM"


def _without_accents(text: str) -> str:
    return _IGNORED.sub("", "".join(part for part in text if not _is_accent(part)))


def _is_accent(character: str) -> bool:
    """By canonical combining class: 1 and 200–240 are accents, 10–36 Hebrew and Arabic points.

    The others are vowels, viramas and tones that make up the words of Indic and Thai scripts,
    and the voicing marks of kana.
    """
    combining_class = combining(character)
    return combining_class == 1 or 10 <= combining_class <= 36 or combining_class >= 200


def _digit_or_letter(character: str) -> str:
    digit = decimal(character, None)
    if digit is not None:
        return str(digit)
    return character if _is_part_of_words(character) else " "
