"""An answer while it is being written: what a responder's events add up to."""

import re
import time
from dataclasses import dataclass, field
from typing import Any

from ..responders.base import (
    Contexts,
    Event,
    Finish,
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


@dataclass(slots=True)
class Answer:
    """Collects events up to `max_bytes` of text and reasoning; then it is full."""

    max_bytes: int
    model: str | None = None
    contexts: list[dict[str, Any]] | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    first_token_ms: int | None = None
    _started: float = field(default_factory=time.monotonic)
    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _bytes: int = 0

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def is_full(self) -> bool:
        return self._bytes >= self.max_bytes

    def take(self, event: Event) -> WireEvent | None:
        """Adds an event; what of it the watchers are to hear, if anything."""
        match event:
            case TextDelta(text) if text:
                return self._take_text(text)
            case ReasoningDelta(text) if text:
                return self._take_reasoning(text)
            case Contexts(items):
                self.contexts = [dict(check_storable(item)) for item in items]
                return Passages(self.contexts)
            case Usage():
                self.usage = event
            case Finish(reason, model):
                self.finish_reason = "length" if self.is_full else reason
                self.model = model or self.model
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

    def _take_text(self, text: str) -> WireEvent:
        if self.first_token_ms is None:
            self.first_token_ms = round((time.monotonic() - self._started) * 1000)
        kept = self._room_for(text)
        self._text.append(kept)
        return Text(kept)

    def _take_reasoning(self, text: str) -> WireEvent:
        kept = self._room_for(text)
        self._reasoning.append(kept)
        return Reasoning(kept)

    def _room_for(self, text: str) -> str:
        """The text as it can be stored, cut at a character where the limit is reached."""
        encoded = _UNSTORABLE.sub("\ufffd", text).encode()
        kept = encoded[: self.max_bytes - self._bytes]
        self._bytes += len(kept)
        if len(kept) == len(encoded):
            return encoded.decode()
        self._bytes = self.max_bytes
        self.finish_reason = "length"
        return kept.decode(errors="ignore")
