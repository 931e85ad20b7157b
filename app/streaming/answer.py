"""An answer while it is being written: what a responder's events add up to."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from ..json_text import dumps, loads
from ..responders.base import (
    Contexts,
    Event,
    Finish,
    FinishReason,
    Prompt,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from ..storable import check_storable
from ..transcript import estimate_tokens
from .events import Passages, Reasoning, Text, WireEvent

# PostgreSQL stores no NUL and UTF-8 knows no lone surrogate: a model's slip must not cost a text.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MOST_TOKENS = 2**30  # prompt and completion together fit PostgreSQL's integer
_LONGEST_NAME = 200


@dataclass(slots=True)
class Answer:
    """Collects events up to `max_bytes` of text and reasoning; full when some had to be cut."""

    max_bytes: int
    model: str | None = None
    contexts: list[dict[str, Any]] | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    first_token_ms: int | None = None
    is_full: bool = False
    _started: float = field(default_factory=time.monotonic)
    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _bytes: int = 0

    @property
    def text(self) -> str:
        return "".join(self._text)

    def take(self, event: Event) -> WireEvent | None:
        """Adds an event; what of it the watchers are to hear, if anything.

        TypeError, ValueError, MalformedError: contexts that are no JSON objects for our store.
        """
        match event:
            case TextDelta(text) if text:
                return self._take_text(text)
            case ReasoningDelta(text) if text:
                return self._take_reasoning(text)
            case Contexts(items) if items:
                self.contexts = [_as_json(item) for item in items]
                return Passages(self.contexts)
            case Usage(int(asked), int(said)) if _are_counts(asked, said):
                self.usage = event
            case Finish(reason, model):
                known = reason if reason in get_args(FinishReason) else "other"
                self.finish_reason = "length" if self.is_full else known
                self.model = _name(model) or self.model
        return None

    def parts(self) -> list[dict[str, Any]] | None:
        """Typed parts where there is more than one text."""
        if not self._reasoning:
            return None
        reasoning = {"type": "reasoning", "text": "".join(self._reasoning)}
        return [reasoning, {"type": "text", "text": self.text}]

    def count(self, prompt: Prompt) -> Usage:
        """Tokens used: the provider's count, or an estimate where there is none."""
        if self.usage:
            return self.usage
        asked = estimate_tokens(prompt.question) + estimate_tokens(prompt.system_prompt or "")
        history = sum(estimate_tokens(turn.content) for turn in prompt.history.turns)
        return Usage(asked + history, estimate_tokens(self.text))

    def _take_text(self, text: str) -> WireEvent | None:
        if self.first_token_ms is None:
            self.first_token_ms = round((time.monotonic() - self._started) * 1000)
        kept = self._room_for(text)
        self._text.append(kept)
        return Text(kept) if kept else None

    def _take_reasoning(self, text: str) -> WireEvent | None:
        kept = self._room_for(text)
        self._reasoning.append(kept)
        return Reasoning(kept) if kept else None

    def _room_for(self, text: str) -> str:
        """The text as it can be stored, cut at a character where the limit is reached."""
        encoded = _storable(text).encode()
        kept = encoded[: self.max_bytes - self._bytes]
        self._bytes += len(kept)
        if len(kept) == len(encoded):
            return encoded.decode()
        self._bytes = self.max_bytes
        self.is_full = True
        self.finish_reason = "length"
        return kept.decode(errors="ignore")


def _storable(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


def _are_counts(*tokens: int) -> bool:
    return all(0 <= number < _MOST_TOKENS for number in tokens)


def _name(model: object) -> str | None:
    return _storable(model)[:_LONGEST_NAME] if isinstance(model, str) else None


def _as_json(item: object) -> dict[str, Any]:
    """A context as JSON keeps it: passages cut from documents do hold NULs."""
    if not isinstance(item, Mapping):
        raise TypeError("A context must be a JSON object.")
    return cast(dict[str, Any], loads(dumps(check_storable(_mended(item)))))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, Mapping):
        return {_mended(name): _mended(inner) for name, inner in value.items()}
    return [_mended(inner) for inner in value] if isinstance(value, list | tuple) else value
