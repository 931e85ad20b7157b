"""The responder for when no model is set up: it quotes the user's own history."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ..breaks import next_break, previous_break
from ..clock import timestamp
from ..search_words import lexemes
from ..transcript import Role
from .base import Contexts, Event, Finish, Prompt, TextDelta

_NO_MODEL = "No language model is set up here"
_FOUND = f"{_NO_MODEL}, so these are the passages of your own history that fit best."
_NOTHING = (
    f"{_NO_MODEL}, and nothing in your history fits this question. Your message is saved.\n\n"
    "To get answers from a model, whoever runs this server sets RESPONDER=openai, "
    "OPENAI_BASE_URL and OPENAI_MODEL."
)
_MOST_PASSAGES = 3
_ASKED_FOR = 10
_LONGEST_QUOTE = 300
_LEAD = 80
_LONGEST_WORD = 60
_LONGEST_READ = 20_000
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Passage:
    """A message of the user's history that fits a question; a higher `rank` fits better."""

    conversation_id: UUID
    message_id: UUID
    title: str | None
    role: Role
    content: str
    created_at: datetime
    rank: float


# Passages of an owner's history for a question, at most so many, best first.
Search = Callable[[str, str, int], Sequence[Passage]]


class RecallResponder:
    """Quotes up to three passages of the user's history and says that no model is set up."""

    def __init__(self, search: Search) -> None:
        """`search(owner_email, question, limit)` finds passages of that owner only."""
        self._search = search

    def stream(self, prompt: Prompt) -> Iterator[Event]:
        quotes = self._quotes(prompt)
        if quotes:
            yield Contexts([context_of(passage, quote) for passage, quote in quotes])
        yield from _words(_answer(quotes))
        yield Finish("stop", model="recall")

    def _quotes(self, prompt: Prompt) -> list[tuple[Passage, str]]:
        # The question itself is in the history by now, and so may be answers of this responder.
        found = self._search(prompt.user_email, prompt.question, _ASKED_FOR)
        telling = [passage for passage in found if _is_telling(passage, prompt.question)]
        return [
            (passage, excerpt(passage.content, prompt.question))
            for passage in telling[:_MOST_PASSAGES]
        ]


def excerpt(text: str, question: str, *, limit: int = _LONGEST_QUOTE) -> str:
    """At most `limit` characters of a text, on one line, around what the question asks for.

    Cut at spaces; in writing without spaces, at any character that stands on its own.
    """
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    room = limit - 2 * len(_ELLIPSIS)
    start = max(min(_place(line, question) - _LEAD, len(line) - room), 0)
    end = min(start + room, len(line))
    start = next_break(line, start, len(line)) if start else 0
    end = previous_break(line, end, start) if end < len(line) else end
    cut = line[start:end].strip()
    return f"{_ELLIPSIS if start else ''}{cut}{_ELLIPSIS if end < len(line) else ''}"


def _place(line: str, question: str) -> int:
    """Where the longest word that line and question have in common first stands; 0 if nowhere."""
    asked = frozenset(lexemes(question[:_LONGEST_READ]))
    best, place = 0, 0
    for word in re.finditer(rf"\S{{1,{_LONGEST_WORD}}}", line[:_LONGEST_READ]):
        length = max((len(shared) for shared in asked.intersection(lexemes(word[0]))), default=0)
        if length > best:
            best, place = length, word.start()
    return place


def _is_telling(passage: Passage, question: str) -> bool:
    is_echo = passage.content.strip() == question.strip()
    return not is_echo and not passage.content.startswith(_NO_MODEL)


def context_of(passage: Passage, quote: str) -> dict[str, Any]:
    """A passage as it is shown with an answer, by a quote from it."""
    return {
        "source": "history",
        "conversation_id": str(passage.conversation_id),
        "message_id": str(passage.message_id),
        "title": passage.title,
        "role": passage.role,
        "text": quote,
        "created_at": timestamp(passage.created_at),
        "score": passage.rank,
    }


def _answer(quotes: Sequence[tuple[Passage, str]]) -> str:
    if not quotes:
        return _NOTHING
    return "\n\n".join([_FOUND, *(_quoted(passage, quote) for passage, quote in quotes)])


def _quoted(passage: Passage, quote: str) -> str:
    title = " ".join((passage.title or "").split()) or "Untitled conversation"
    said = "you wrote" if passage.role == "user" else "the answer was"
    return f"**{title}**, {timestamp(passage.created_at)[:10]}, {said}:\n> {quote}"


def _words(text: str) -> Iterator[TextDelta]:
    for word in re.findall(r"\S+\s*", text):
        yield TextDelta(word)
