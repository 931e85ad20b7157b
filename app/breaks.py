"""Where a text may be cut: between words, or else between characters that stand on their own."""

import re
from unicodedata import category

_LONGEST_WORD = 60
_BLANKS = re.compile(r"\s+")
_JOINERS = "\u200d\ufe0e\ufe0f"


def next_break(text: str, at: int, limit: int) -> int:
    """The first place at or after `at`, but not after `limit`, for a piece to begin."""
    blank = _BLANKS.search(text, at - 1, min(at + _LONGEST_WORD, limit))
    if blank:
        return blank.end()
    while at < limit and _is_joined(text, at):
        at += 1
    return at


def previous_break(text: str, at: int, limit: int) -> int:
    """The last place at or before `at`, but not before `limit`, for a piece to end."""
    for blank in range(at, max(at - _LONGEST_WORD, limit - 1), -1):
        if text[blank].isspace():
            return blank
    while at > limit and _is_joined(text, at):
        at -= 1
    return at


def _is_joined(text: str, at: int) -> bool:
    """Whether the character there belongs to the one before it: accents, vowel signs, emoji."""
    here, before = text[at], text[at - 1]
    is_mark = category(here)[0] == "M" or here in _JOINERS or "\U0001f3fb" <= here <= "\U0001f3ff"
    return is_mark or before == "\u200d"
