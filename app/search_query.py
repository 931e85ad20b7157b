"""The language that people search in: words, "phrases", OR, -minus, beginnings*.

Any text is a query. What has no meaning in its place (a lone operator, a quote that is not
closed) is overlooked, and so is all beyond the first hundred lexemes, or eight beginnings.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from .search_words import PLACES_CUT, is_unspaced, lexemes

_MOST_LEXEMES = 100
_MOST_BEGINNINGS = 8
_MOST_RANKING = 8
_QUOTES = '"“”„＂'
_TERM = re.compile(f"(-?)[{_QUOTES}]([^{_QUOTES}]*)[{_QUOTES}]?|([^\\s{_QUOTES}]+)")


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What to find, as a tsquery literal (`%s::tsquery`), and what to show of it.

    `ranking` is another: what results are ranked by, which is all of a short query, and any of the
    first words of a long one, since ranking by many takes long.
    Shown are `lexemes`, and those that start with one of `beginnings`. Where positions are cut
    (see PLACES_CUT), a phrase is found when its words are there.
    """

    literal: str
    ranking: str
    lexemes: frozenset[str]
    beginnings: tuple[str, ...]

    def names(self, lexeme: str) -> bool:
        """Whether a lexeme of a text is one that was asked for."""
        return lexeme in self.lexemes or lexeme.startswith(self.beginnings or ("\0",))


@dataclass(frozen=True, slots=True)
class _Term:
    """Lexemes, each with whether it is only a word's beginning."""

    parts: Sequence[tuple[str, bool]]
    is_phrase: bool = False
    is_excluded: bool = False

    def literal(self) -> str:
        operands = [_operand(part) for part in self.parts]
        everywhere = " & ".join(operands)
        if not self.is_phrase or len(operands) == 1:
            return f"({everywhere})"
        in_order = " <-> ".join(operands)
        if self.is_excluded:
            return f"({in_order})"
        return f"({in_order} | {everywhere} & '{PLACES_CUT}')"


def parse_search_query(text: str) -> SearchQuery | None:
    """The query that a text is; None when it names nothing to find."""
    alternatives, excluded = _combined(text)
    if not alternatives:
        return None
    wanted = [f"({' | '.join(term.literal() for term in terms)})" for terms in alternatives]
    without = [f"!{term.literal()}" for term in excluded]
    parts = [part for terms in alternatives for term in terms for part in term.parts]
    ranked = [_operand(part) for part in dict.fromkeys(parts)]
    return SearchQuery(
        literal=" & ".join([*wanted, *without]),
        ranking=" & ".join(wanted)
        if len(parts) <= _MOST_RANKING
        else " | ".join(ranked[:_MOST_RANKING]),
        lexemes=frozenset(lexeme for lexeme, is_beginning in parts if not is_beginning),
        beginnings=tuple(lexeme for lexeme, is_beginning in parts if is_beginning),
    )


def _combined(text: str) -> tuple[list[list[_Term]], list[_Term]]:
    """The terms that must all be found, each with its alternatives, and those that must not."""
    alternatives: list[list[_Term]] = []
    excluded: list[_Term] = []
    can_join = is_alternative = False
    for term in _terms(text):
        if term is None:
            is_alternative = can_join
        elif term.is_excluded:
            excluded.append(term)
            can_join = is_alternative = False
        else:
            if is_alternative:
                alternatives[-1].append(term)
            else:
                alternatives.append([term])
            can_join, is_alternative = True, False
    return alternatives, excluded


def _terms(text: str) -> Iterator[_Term | None]:
    """The terms of a query that have words at all; None for OR."""
    room, beginnings = _MOST_LEXEMES, _MOST_BEGINNINGS
    for minus, phrase, word in _TERM.findall(text):
        if word == "OR":
            yield None
            continue
        is_excluded = bool(minus) or (word[:1] == "-" and word[1:2] not in ("", "-"))
        found = list(islice(lexemes(phrase or word), room))
        room -= len(found)
        if found:
            parts = _parts(found, is_beginning=word.endswith("*"))
            kept = _with_beginnings(parts, beginnings)
            beginnings -= sum(is_beginning for _, is_beginning in kept)
            if kept == parts or (kept and not is_excluded):
                yield _Term(kept, is_phrase=bool(phrase), is_excluded=is_excluded)


def _parts(found: list[str], *, is_beginning: bool) -> list[tuple[str, bool]]:
    """A lone character of a script without spaces is in the index as the start of a pair.

    One before others may as well have been the end of a pair: it is left out.
    """
    parts = [(lexeme, len(lexeme) == 1 and is_unspaced(lexeme)) for lexeme in found]
    if is_beginning and len(found[-1]) > 1 and not is_unspaced(found[-1]):
        parts[-1] = (found[-1], True)
    return parts[1:] if len(parts) > 1 and len(found[0]) == 1 and parts[0][1] else parts


def _with_beginnings(parts: list[tuple[str, bool]], most: int) -> list[tuple[str, bool]]:
    """The parts before the first beginning too many."""
    places = [place for place, (_, is_beginning) in enumerate(parts) if is_beginning]
    return parts[: places[most]] if len(places) > most else parts


def _operand(part: tuple[str, bool]) -> str:
    lexeme, is_beginning = part
    return f"'{lexeme}':*" if is_beginning else f"'{lexeme}'"
