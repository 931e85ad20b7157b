"""What was said, for reading: a conversation and its newest messages, from a copy if there is one.

Where there is none, record and messages come from PostgreSQL in one statement, as one snapshot.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ..cache.values import CachedMessages, Snapshot, Stamp
from ..clock import parse
from ..database import Database
from ..errors import RecordNotFoundError
from ..json_text import loads
from ..repositories.conversations import ConversationRepository
from ..repositories.tree import TreeRepository
from ..revisions import Revision
from ..transcript import Transcript, Turn
from .copies import Copies

_TURN = 2  # a question and its answer


@dataclass(frozen=True, slots=True)
class Reading:
    """A conversation at one revision, its newest messages beside it: JSON, ready to be sent."""

    conversation_id: UUID
    revision: Revision
    record: bytes
    messages: bytes

    def fields(self) -> dict[str, Any]:
        """The conversation without its messages, by its members' names; times are moments."""
        fields: dict[str, Any] = loads(self.record)
        return fields | {name: parse(fields[name]) for name in ("created_at", "updated_at")}

    def turns(self) -> list[Turn]:
        """The messages, oldest first."""
        return [Turn.from_json(turn) for turn in loads(self.messages)]


class HistoryService:
    """RecordNotFoundError: the conversation is absent or not the owner's."""

    def __init__(self, database: Database, copies: Copies) -> None:
        self._database = database
        self._copies = copies

    def read(self, owner: str, conversation_id: UUID, *, limit: int) -> Reading:
        """A conversation with its last messages."""
        newest = self._newest(owner, conversation_id, limit)
        return Reading(conversation_id, _revision(newest), newest.record, newest.array)

    def revision(self, owner: str, conversation_id: UUID) -> Revision:
        """The state of a conversation."""
        return _revision(self._newest(owner, conversation_id, 1))

    def before(
        self, owner: str, conversation_id: UUID, message_id: UUID, *, count: int
    ) -> Transcript:
        """The `count` turns that led to a message, oldest first, whatever branch is shown."""
        shown = self._newest(owner, conversation_id, count + _TURN).loads() if count else []
        ids = [turn["id"] for turn in shown]
        led = shown[: ids.index(str(message_id))] if str(message_id) in ids else []
        if not count or len(led) >= count or (led and led[0]["parent_id"] is None):
            return Transcript(tuple(Turn.from_json(turn) for turn in led[-count:]))
        with self._database.statement(owner) as session:
            path = TreeRepository(session).path(conversation_id, message_id, count + 1)
        return Transcript(tuple(path[:-1]))

    def forget(self, *conversation_ids: UUID) -> None:
        """Removes copies of conversations that were deleted past the guard of writes."""
        self._copies.forget(*conversation_ids)

    def snapshot(self, owner: str, conversation_id: UUID, count: int) -> Snapshot:
        """A conversation and its last `count` messages as PostgreSQL has them now."""
        with self._database.statement(owner) as session:
            row = ConversationRepository(session).snapshot(conversation_id, count + 1)
        if row is None:
            raise RecordNotFoundError
        items = row.messages.encode().split(b"\n") if row.messages else []
        stamp = Stamp(str(conversation_id), owner, row.revision, str(row.rev))
        return Snapshot(stamp, row.record.encode(), items[-count:], len(items) <= count)

    def _newest(self, owner: str, conversation_id: UUID, count: int) -> CachedMessages:
        found = self._copies.find(owner, conversation_id, count)
        if isinstance(found, CachedMessages):
            return found
        snapshot = self.snapshot(owner, conversation_id, max(count, self._copies.limit))
        found(snapshot)
        return snapshot.newest(count)


def _revision(newest: CachedMessages) -> Revision:
    return Revision(newest.stamp.version, UUID(newest.stamp.rev))
