"""The part of a text that shows why it was found, as HTML.

Words are looked for as the index folds them, so that what found a text is what is marked.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from html import escape

from .breaks import next_break, previous_break
from .search_query import SearchQuery
from .search_words import Located, located

READ = 20_000
"""So many characters of a text are looked through; one found by what comes later shows its start.

It bounds the time that a search takes, however long the texts are that it finds.
"""
_LENGTH = 200
_LEAD = 60
_ELLIPSIS = "…"
_BLANKS = re.compile(r"\s+")


def snippet(text: str, query: SearchQuery) -> str:
    """Some 200 characters around the place with most of what was asked for.

    Safe HTML on one line: all is escaped but `<mark>…</mark>` around each find.
    """
    at_most = len(query.lexemes) + len(query.beginnings)
    found = _best(_named(text[:READ], query), at_most)
    start, end = _edges(text, found[0].start if found else 0, found[-1].end if found else 0)
    marked = _marked(text[start:end], query)
    return f"{_ELLIPSIS if start else ''}{marked}{_ELLIPSIS if end < len(text) else ''}"


def _named(text: str, query: SearchQuery) -> Iterator[Located]:
    return (place for place in located(text) if query.names(place.lexeme))


def _best(found: Iterable[Located], at_most: int) -> list[Located]:
    """The neighbours, close enough for one snippet, with most different lexemes.

    The first that have `at_most` are best: reading ends there.
    """
    best: list[Located] = []
    most = 0
    near: deque[Located] = deque()
    for place in found:
        near.append(place)
        while place.end - near[0].start > _LENGTH - _LEAD and len(near) > 1:
            near.popleft()
        different = len({each.lexeme for each in near})
        if different > most:
            best, most = list(near), different
        if most == at_most:
            break
    return best


def _edges(text: str, first: int, last: int) -> tuple[int, int]:
    """Where a snippet that shows `first` to `last` begins and ends: between words, if it can."""
    start = max(min(first - _LEAD, len(text) - _LENGTH), 0)
    end = min(start + _LENGTH, len(text))
    start = next_break(text, start, first) if start else 0
    return start, previous_break(text, end, max(last, start)) if end < len(text) else end


def _marked(text: str, query: SearchQuery) -> str:
    html, done = [], 0
    for start, end in _joined(_named(text, query)):
        html += [_plain(text[done:start]), f"<mark>{_plain(text[start:end])}</mark>"]
        done = end
    return "".join([*html, _plain(text[done:])]).strip()


def _joined(found: Iterable[Located]) -> list[tuple[int, int]]:
    """Spans that touch or overlap, as pairs of characters do, as one."""
    spans: list[tuple[int, int]] = []
    for place in found:
        if spans and place.start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], place.end))
        else:
            spans.append((place.start, place.end))
    return spans


def _plain(text: str) -> str:
    return escape(_BLANKS.sub(" ", text))
