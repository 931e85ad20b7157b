"""What a watcher of a run hears, whatever the wire form: ids first, the end last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

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
    """The passages that the answer is based on."""

    items: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is stored as `turn`; comes after the commit, never before."""

    turn: Turn
    revision: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer ended badly; `message` is a sentence for people, `turn` what is stored, if known.

    `status` is the answer's, `error_class` one stable word.
    """

    status: str
    error_class: str
    message: str
    turn: Turn | None = None
    revision: int | None = None


WireEvent = Started | Text | Reasoning | Passages | Done | Failed
ENDINGS = (Done, Failed)
