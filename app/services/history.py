"""What was said, for reading: a conversation's row and the newest turns, from the cache if it can.

The row is read in every request: it authorises, and its revision says whether the cached
messages are as new as PostgreSQL's.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ..cache.messages import CachedMessages, MessageCache
from ..database import Database
from ..json_text import dumps
from ..repositories.conversations import ConversationRepository
from ..repositories.messages import MessageRepository
from ..repositories.tree import TreeRepository
from ..transcript import Transcript, Turn

_TURN = 2  # a question and its answer


@dataclass(frozen=True, slots=True)
class Reading:
    """A conversation's row with the newest messages of its active path as a JSON array."""

    record: Any
    messages: bytes


class HistoryService:
    def __init__(self, database: Database, cache: MessageCache) -> None:
        self._database = database
        self._cache = cache

    def read(self, owner: str, conversation_id: UUID, *, limit: int) -> Reading:
        """A conversation with its last messages. RecordNotFoundError: absent or not the owner's."""
        record = self._record(owner, conversation_id)
        return Reading(record, self._newest(owner, record, limit).array)

    def before(
        self, owner: str, conversation_id: UUID, message_id: UUID, *, count: int
    ) -> Transcript:
        """The `count` turns that led to a message, oldest first, whatever branch is shown."""
        record = self._record(owner, conversation_id)
        if not count:
            return Transcript()
        shown = self._newest(owner, record, count + _TURN).loads()
        ids = [turn["id"] for turn in shown]
        led = shown[: ids.index(str(message_id))] if str(message_id) in ids else []
        if len(led) >= count or (led and led[0]["parent_id"] is None):
            return Transcript(tuple(Turn.from_json(turn) for turn in led[-count:]))
        with self._database.statement(owner) as session:
            path = TreeRepository(session).path(conversation_id, message_id, count + 1)
        return Transcript(tuple(path[:-1]))

    def forget(self, *conversation_ids: UUID) -> None:
        """Drops what the cache holds of conversations."""
        if conversation_ids:
            self._cache.drop(*conversation_ids)

    def _record(self, owner: str, conversation_id: UUID) -> Any:
        with self._database.statement(owner) as session:
            return ConversationRepository(session).record_or_raise(conversation_id)

    def _newest(self, owner: str, record: Any, count: int) -> CachedMessages:
        version = {"version": record.revision, "rev": record.rev}
        found = self._cache.read(record.id, owner, **version, limit=count)
        return found or self._filled(owner, record, count)

    def _filled(self, owner: str, record: Any, count: int) -> CachedMessages:
        """The newest messages from PostgreSQL, read after the revision: never the other order."""
        kept = max(count, self._cache.limit)
        with self._database.statement(owner) as session:
            turns = MessageRepository(session).tail(record.id, kept + 1)
        items = [dumps(turn) for turn in turns[-kept:]]
        is_whole = len(turns) <= kept
        self._cache.fill(
            record.id,
            owner,
            items,
            version=record.revision,
            rev=record.rev,
            complete_from_start=is_whole,
        )
        newest = items[-count:]
        array = b"[%b]" % b",".join(newest)
        return CachedMessages(array, len(newest), is_whole and len(newest) == len(items))
