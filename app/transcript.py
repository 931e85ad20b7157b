"""Transcript, Turn and Under: the one in-memory form of a conversation.

Cache, responders, API, importers and exporters all speak it. A `Turn` is one message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from .clock import parse

Role = Literal["user", "assistant", "system", "tool"]
Status = Literal["complete", "streaming", "interrupted", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message as it is shown. `contexts` are the passages an answer was based on.

    `is_active`: it is of the branch that is shown.
    """

    id: UUID
    seq: int
    parent_id: UUID | None
    role: Role
    content: str
    status: Status
    created_at: datetime
    is_active: bool = True
    parts: Sequence[Mapping[str, Any]] | None = None
    client_message_id: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    error_class: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens_used: int | None = None
    usage_is_estimated: bool = False
    latency_ms: int | None = None
    first_token_ms: int | None = None
    contexts: Sequence[Mapping[str, Any]] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Turn":
        """The turn whose JSON form (its fields, by name) `fields` is."""
        parent_id = fields["parent_id"]
        return cls(
            **{
                **fields,
                "id": UUID(fields["id"]),
                "parent_id": parent_id and UUID(parent_id),
                "created_at": parse(fields["created_at"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Under:
    """The message that new ones follow; None: they begin anew, with a root of their own."""

    parent_id: UUID | None


@dataclass(frozen=True, slots=True)
class Transcript:
    """Turns in the order they were said, oldest first."""

    turns: tuple[Turn, ...] = ()

    def last(self, count: int, *, max_tokens: int) -> "Transcript":
        """At most `count` turns from the end that together stay within `max_tokens`."""
        kept: list[Turn] = []
        for turn in reversed(self.turns[-count:] if count else ()):
            max_tokens -= estimate_tokens(turn.content)
            if max_tokens < 0:
                break
            kept.append(turn)
        return Transcript(tuple(reversed(kept)))


def estimate_tokens(text: str) -> int:
    """Tokens of a text when nobody counted them: one for each four characters, rounded up."""
    return -(-len(text) // 4)
