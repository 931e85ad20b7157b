"""What a watcher of a run hears, whatever the wire form: ids first, the end last.

Tool calls, their results, steps and data are the responder's own events, passed on as they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from ..responders.base import Data, Step, ToolCall, ToolResult
from ..transcript import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Question and empty answer are stored: nothing of them can be lost any more."""

    conversation_id: UUID
    message_id: UUID
    user_message_id: UUID
    revision: int
    title: str | None


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of the model's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class Passages:
    """The passages that the answer is based on; those that come last count."""

    items: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is stored as `turn`; comes after the commit, never before."""

    turn: Turn
    revision: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer ended otherwise; `message` is a sentence for people, `turn` what is stored.

    `status` is the answer's (`interrupted`, `failed` or `cancelled`), `error_class` one stable
    word. Without a turn nothing more is known of the answer.
    """

    status: str
    error_class: str
    message: str
    turn: Turn | None = None
    revision: int | None = None


WireEvent = (
    Started | Text | Reasoning | Passages | ToolCall | ToolResult | Step | Data | Done | Failed
)
ENDINGS = (Done, Failed)
SAYINGS = (Text, Reasoning)
"""What is said in pieces: two that follow each other say the same as one."""


class Heard(NamedTuple):
    """An event and its number on the run's wire, counted from 0.

    No number: it was put together from what is stored, and stands at no place on a wire.
    """

    event: WireEvent
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """An answer as one watcher hears it: `started`, and what comes; None is a silence.

    The events begin with `started` itself, unless the watcher heard the first of them before.
    """

    started: Started
    events: Iterator[Heard | None]
