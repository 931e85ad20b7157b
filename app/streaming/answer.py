"""An answer while it is being written: what a responder's events add up to."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast, get_args

from ..json_text import dumps, loads
from ..responders.base import (
    Contexts,
    Data,
    Event,
    Finish,
    FinishReason,
    Prompt,
    ReasoningDelta,
    Step,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from ..storable import check_storable, mended
from ..transcript import estimate_tokens
from .events import Passages, Reasoning, Text, WireEvent
from .parts import Parts

_MOST_TOKENS = 2**30  # prompt and completion together fit PostgreSQL's integer
_LONGEST_NAME = 200
_FREE_PARTS = 100
_PART_BYTES = 64  # of JSON around what is said

_Part = Step | ToolCall | ToolResult | Data


@dataclass(slots=True)
class Answer:
    """Collects events up to `max_bytes` of what they say; full when some had to be cut."""

    max_bytes: int
    model: str | None = None
    contexts: list[dict[str, Any]] | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    first_token_ms: int | None = None
    is_full: bool = False
    _started: float = field(default_factory=time.monotonic)
    _text: list[str] = field(default_factory=list)
    _parts: Parts = field(default_factory=Parts)
    _bytes: int = 0
    _charged: int = _FREE_PARTS

    @property
    def text(self) -> str:
        return "".join(self._text)

    def parts(self) -> list[dict[str, Any]] | None:
        """Typed parts where there is more than one text."""
        return self._parts.as_json()

    def take(self, event: Event) -> WireEvent | None:
        """Adds an event; what of it the watchers are to hear, if anything.

        TypeError, ValueError, MalformedError: what should be JSON is none for our store.
        """
        match event:
            case TextDelta(text) if text:
                return self._take_text(text)
            case ReasoningDelta(text) if text:
                return self._take_reasoning(text)
            case Contexts(items) if items:
                return self._take_contexts(items)
            case Step() | ToolCall() | ToolResult() | Data():
                return self._take_part(event)
            case Usage(int(asked), int(said)) if _are_counts(asked, said):
                self.usage = event
            case Finish(reason, model):
                known = reason if reason in get_args(FinishReason) else "other"
                self.finish_reason = "length" if self.is_full else known
                self.model = _name(model) or self.model
        return None

    def count(self, prompt: Prompt) -> Usage:
        """Tokens used: the provider's count, or an estimate where there is none."""
        if self.usage:
            return self.usage
        asked = estimate_tokens(prompt.question) + estimate_tokens(prompt.system_prompt or "")
        history = sum(estimate_tokens(turn.content) for turn in prompt.history.turns)
        return Usage(asked + history, estimate_tokens(self.text))

    def _take_text(self, text: str) -> WireEvent | None:
        self._note_beginning()
        if kept := self._room_for(text):
            self._text.append(kept)
            self._say("text", kept)
        return Text(kept) if kept else None

    def _take_reasoning(self, text: str) -> WireEvent | None:
        if kept := self._room_for(text):
            self._say("reasoning", kept)
        return Reasoning(kept) if kept else None

    def _take_contexts(self, items: Sequence[Mapping[str, Any]]) -> WireEvent | None:
        contexts = [_as_object(item) for item in items]
        if not self._has_room_for(contexts):
            return None
        self.contexts = contexts
        return Passages(contexts)

    def _take_part(self, event: _Part) -> WireEvent | None:
        self._note_beginning()
        _check_names(event)
        part = replace(event, **{name: _as_json(value) for name, value in asdict(event).items()})
        if not (self._parts.accepts(part) and self._has_room_for(asdict(part))):
            return None
        self._parts.add(part)
        self._charge_for_parts()
        return part

    def _say(self, kind: str, text: str) -> None:
        self._parts.say(kind, text)
        self._charge_for_parts()

    def _charge_for_parts(self) -> None:
        """Many parts that say next to nothing take room, too."""
        if len(self._parts) > self._charged:
            self._charged = len(self._parts)
            self._bytes = min(self._bytes + _PART_BYTES, self.max_bytes)

    def _note_beginning(self) -> None:
        if self.first_token_ms is None:
            self.first_token_ms = round((time.monotonic() - self._started) * 1000)

    def _has_room_for(self, value: Any) -> bool:
        """Takes the room that JSON needs; what is no text is whole, or left out."""
        size = len(dumps(value))
        if size > self.max_bytes - self._bytes:
            self._fill_up()
            return False
        self._bytes += size
        return True

    def _room_for(self, text: str) -> str:
        """The text as it can be stored, cut at a character where the limit is reached."""
        encoded: bytes = mended(text).encode()
        kept = encoded[: self.max_bytes - self._bytes]
        self._bytes += len(kept)
        if len(kept) == len(encoded):
            return encoded.decode()
        self._fill_up()
        return kept.decode(errors="ignore")

    def _fill_up(self) -> None:
        self._bytes = self.max_bytes
        self.is_full = True
        self.finish_reason = "length"


def _are_counts(*tokens: int) -> bool:
    return all(type(number) is int and 0 <= number < _MOST_TOKENS for number in tokens)


def _name(model: object) -> str | None:
    return mended(model)[:_LONGEST_NAME] if isinstance(model, str) else None


def _as_object(item: object) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise TypeError("A context must be a JSON object.")
    return cast(dict[str, Any], _as_json(item))


def _check_names(part: _Part) -> None:
    """TypeError: what a client knows the part by is no text."""
    named = (getattr(part, name, None) for name in ("call_id", "name", "data_id", "error"))
    if not all(isinstance(name, str | None) for name in named):
        raise TypeError("A part's names must be text.")


def _as_json(value: object) -> Any:
    """A value as JSON keeps it: passages cut from documents do hold NULs."""
    return loads(dumps(check_storable(_harmless(mended(value)))))


def _harmless(value: Any) -> Any:
    """Without names that the AI SDK throws at, and the whole answer with them.

    They could change an object's prototype: `__proto__`, and a `constructor` with a `prototype`.
    """
    if isinstance(value, dict):
        return {_safe(name, inner): _harmless(inner) for name, inner in value.items()}
    return [_harmless(inner) for inner in value] if isinstance(value, list) else value


def _safe(name: str, value: Any) -> str:
    is_constructor = name == "constructor" and isinstance(value, dict) and "prototype" in value
    return f"_{name}" if name == "__proto__" or is_constructor else name
