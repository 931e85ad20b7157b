"""Copies in Redis, for operators: whether they are true, and filling them before anybody asks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ..cache.values import Frame, Snapshot
from ..database import Database
from ..errors import RecordNotFoundError, SetupError, UnavailableError
from ..json_text import loads
from ..repositories.outbox import recent
from .copies import FastCopies
from .history import HistoryService
from .privileges import insist_on_owner

_AT_ONCE = 100
_LOOKS = 3  # at a copy that differs: its conversation may have changed between two looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A copy that is not what PostgreSQL says: which version it has, and which there is.

    `copied`: None where it is damaged; `stored`: None where there is none, or nobody asked.
    """

    conversation_id: UUID
    copied: int | None
    stored: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Some copies, and those among them that are not true."""

    copies: int
    drifts: Sequence[Drift]


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """Conversations that were read, and how many of them had a copy already."""

    conversations: int
    copied_before: int


class CacheService:
    def __init__(self, database: Database, copies: FastCopies) -> None:
        """`database`: as the tables' owner, who sees all users' rows."""
        self._database = database
        self._cache = copies.cache
        self._upkeep = copies.upkeep
        self._history = HistoryService(database, copies)

    def verify(self, *, removes: bool = False) -> Iterator[Compared]:
        """All copies, some at a time. `removes` those that are not true.

        SetupError: this is not the tables' owner; UnavailableError: Redis does not tell.
        """
        self._insist()
        for ids in self._cache.stored(_AT_ONCE):
            yield self._compared(ids, removes=removes)

    def warm(self, *, hours: float, most: int) -> Iterator[Warmed]:
        """Copies the conversations of the last hours, newest first, as far as they are not."""
        self._insist()
        with self._database.operation() as session:
            rows = recent(session, hours=hours, most=most)
        for start in range(0, len(rows), _AT_ONCE):
            yield self._warmed(rows[start : start + _AT_ONCE])

    def _insist(self) -> None:
        with self._database.operation() as session:
            insist_on_owner(session)
        self._upkeep.look()
        if not self._cache.is_trusted:
            raise SetupError(
                "It is not known which copies may be shown: Redis has to be told of changes first."
            )

    def _compared(self, ids: Sequence[UUID], *, removes: bool) -> Compared:
        frames = self._frames(ids)
        found = [self._drift(it, frame) for it, frame in frames.items() if frame]
        damaged = [it for it, frame in frames.items() if frame is None]
        drifts = [drift for drift in found if drift]
        drifts += [Drift(conversation_id=it, copied=None, stored=None) for it in damaged]
        if removes:
            self._cache.forget([drift.conversation_id for drift in drifts])
        return Compared(copies=len(frames), drifts=drifts)

    def _drift(self, conversation_id: UUID, frame: Frame | None) -> Drift | None:
        for _ in range(_LOOKS):
            if frame is None:
                return None
            stored = self._stored(conversation_id, frame)
            if stored is not None and _is_same(stored, frame):
                return None
            before, frame = frame, self._frames([conversation_id]).get(conversation_id)
            if frame and frame.stamp == before.stamp:
                version = stored.stamp.version if stored else None
                copied = frame.stamp.version
                return Drift(conversation_id=conversation_id, copied=copied, stored=version)
        return None

    def _frames(self, ids: Sequence[UUID]) -> Mapping[UUID, Frame | None]:
        frames = self._cache.peek(ids)
        if frames is None:
            raise UnavailableError("Redis does not answer.")
        return frames

    def _stored(self, conversation_id: UUID, frame: Frame) -> Snapshot | None:
        try:
            return self._history.snapshot(frame.stamp.owner, conversation_id, len(frame.sizes))
        except RecordNotFoundError:
            return None

    def _warmed(self, rows: Sequence[Any]) -> Warmed:
        copied = self._frames([row.id for row in rows])
        for row in rows:
            if not copied.get(row.id):
                self._warm(row.user_email, row.id)
        return Warmed(conversations=len(rows), copied_before=sum(map(bool, copied.values())))

    def _warm(self, owner: str, conversation_id: UUID) -> None:
        try:
            self._history.revision(owner, conversation_id)
        except RecordNotFoundError:  # it has just been deleted
            return


def _is_same(stored: Snapshot, frame: Frame) -> bool:
    """Whether both say the same: members may stand in another order, numbers in another form."""
    if stored.complete_from_start != frame.complete_from_start:
        return False
    said = (stored.stamp, *map(loads, (stored.record, *stored.items)))
    return said == (frame.stamp, *map(loads, (frame.record, *frame.items())))
