"""What a write tells about a conversation: to who keeps copies of it, before and after the commit.

A `Guard` stands between writers and copies: it is told before a commit which conversations will
be others, and after it what became of them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from .revisions import Revision

FRESH_SECONDS = 1.5
"""Whoever shows copies has found the outbox empty within so many seconds."""
KNOWN_SECONDS = 1.6
"""A note that is as old as that keeps everybody from showing copies."""


class Said(NamedTuple):
    """A message of the shown branch as JSON, whose first member is its id."""

    message_id: UUID
    json: bytes


@dataclass(frozen=True, slots=True)
class Written:
    """A conversation as a write has left it.

    `revision`: None when it is gone. With a `record` (the conversation without its messages, as
    JSON) it tells all that is new: messages of the shown branch that are `changed`, and those
    that are `appended` to it, which are all that there are where `is_whole`. It `takes_away` where
    something that was said before may not be there any more.
    """

    revision: Revision | None
    record: bytes | None = None
    changed: Sequence[Said] = ()
    appended: Sequence[Said] = ()
    is_whole: bool = False
    takes_away: bool = False


class Changes:
    """What one unit of work has changed so far."""

    def __init__(self) -> None:
        self._created: set[UUID] = set()
        self._written: dict[UUID, Written | None] = {}

    @property
    def conversation_ids(self) -> frozenset[UUID]:
        return frozenset(self._written)

    @property
    def written(self) -> dict[UUID, Written]:
        """What is known of changed conversations."""
        return {it: written for it, written in self._written.items() if written}

    @property
    def untold(self) -> list[UUID]:
        """Changed conversations of which it is not known what they are now."""
        return [it for it, written in self._written.items() if written is None]

    def create(self, conversation_id: UUID) -> None:
        """A conversation was made, without messages as yet."""
        self._created.add(conversation_id)

    def change(self, *conversation_ids: UUID) -> None:
        """Conversations are others now, whatever was told of them before."""
        self._written.update(dict.fromkeys(conversation_ids))

    def tell(self, conversation_id: UUID, written: Written) -> None:
        """A conversation is now as it is said here; that is all only of a first change."""
        if conversation_id in self._written:
            former = self._written[conversation_id]
            takes_away = written.takes_away or former is None or former.takes_away
            written = Written(written.revision, takes_away=takes_away)
        elif conversation_id in self._created:
            written = replace(written, is_whole=True)
        self._written[conversation_id] = written


class Guard(Protocol):
    """Raises nothing: a write does not fail for its copies."""

    @property
    def most_told(self) -> int:
        """How many new messages of a write it makes something of; 0: of none, nor of the rest."""
        ...

    def begin(self, owner: str, conversation_ids: Collection[UUID], /, *, is_told: bool) -> Any:
        """Before the commit: nothing old may be shown from its end on. `is_told`: see Written.

        What it gives back goes to `end`. Its `is_doubtful` says that a copy may have been
        missed: then the write has to note its conversations in the outbox.
        """
        ...

    def end(self, begun: Any, written: Mapping[UUID, Written], /) -> bool:
        """After the commit; conversations that are not named are as they were.

        Whether all copies are right: else its conversations must be noted in the outbox, and
        nobody be told of the write for KNOWN_SECONDS, in which all who keep copies look there.
        """
        ...


class NoGuard:
    """For where nobody keeps copies."""

    most_told = 0
    is_doubtful = False

    def begin(self, _owner: str, _conversation_ids: Collection[UUID], /, **_: Any) -> Any:
        return self

    def end(self, _begun: Any, _written: Mapping[UUID, Written], /) -> bool:
        """There is nobody to tell."""
        return True
