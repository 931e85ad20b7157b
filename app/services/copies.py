"""Copies of conversations in Redis, in each of the ways of CACHE_MODE.

Each says what it has, or gives what is to be called with a snapshot that was read instead; and
each is a Guard of the database's writes.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from ..cache.client import RedisClient
from ..cache.fast import FastCache
from ..cache.fence import MARK_SECONDS
from ..cache.handles import Begun
from ..cache.messages import MessageCache
from ..cache.values import CachedMessages, Snapshot
from ..database import Database
from ..repositories.conversations import ConversationRepository
from ..revisions import Revision
from ..settings import Settings
from ..writes import Guard, NoGuard, Written
from .upkeep import UpkeepService

Fill = Callable[[Snapshot], object]


class Copies(Guard, Protocol):
    @property
    def limit(self) -> int:
        """How many messages a snapshot should bring at least."""
        ...

    def find(self, owner: str, conversation_id: UUID, count: int, /) -> CachedMessages | Fill:
        """The newest `count` messages, or what takes a snapshot. May raise RecordNotFoundError."""
        ...

    def forget(self, *conversation_ids: UUID) -> None:
        """Removes what there is of conversations."""
        ...

    def start(self) -> None:
        """Begins to keep copies, once in a process; without it that begins with the first read."""
        ...

    def close(self) -> None:
        """Ends what was started."""
        ...


class FastCopies:
    """Nothing is asked of PostgreSQL; see cache.fast."""

    def __init__(self, cache: FastCache, upkeep: UpkeepService) -> None:
        """`upkeep`: without it nothing is served."""
        self.limit = cache.limit
        self.most_told = cache.most
        self.cache = cache
        self.upkeep = upkeep

    def find(self, owner: str, conversation_id: UUID, count: int) -> CachedMessages | Fill:
        self.upkeep.start()
        found = self.cache.read(conversation_id, owner, count)
        if isinstance(found, CachedMessages):
            return found
        return partial(self.cache.fill, found) if found else _leave

    def begin(self, owner: str, conversation_ids: Collection[UUID], *, is_told: bool) -> Begun:
        self.upkeep.start_soon()
        return self.cache.begin(owner, conversation_ids, is_told=is_told)

    def end(self, begun: Begun, written: Mapping[UUID, Written]) -> bool:
        return self.cache.end(begun, written)

    def forget(self, *conversation_ids: UUID) -> None:
        self.cache.forget(conversation_ids)

    def start(self) -> None:
        self.upkeep.start()

    def close(self) -> None:
        self.upkeep.close()


class _Unkept(NoGuard):
    """Copies that need no upkeep."""

    def start(self) -> None:
        """There is nothing to start."""

    def close(self) -> None:
        """There is nothing to end."""


class StrictCopies(_Unkept):
    """Each read asks PostgreSQL for the revision; see cache.messages."""

    def __init__(self, cache: MessageCache, database: Database) -> None:
        self.limit = cache.limit
        self._cache = cache
        self._database = database

    def find(self, owner: str, conversation_id: UUID, count: int) -> CachedMessages | Fill:
        with self._database.statement(owner) as session:
            record = ConversationRepository(session).record_or_raise(conversation_id)
        version, rev = Revision.of(record)
        found = self._cache.read(conversation_id, owner, version=version, rev=rev, limit=count)
        return found or self._cache.fill

    def end(self, _begun: Any, written: Mapping[UUID, Written], /) -> bool:
        """What was taken out of a conversation must not lie in Redis any longer."""
        self.forget(*(it for it, after in written.items() if after.takes_away))
        return True

    def forget(self, *conversation_ids: UUID) -> None:
        if conversation_ids:
            self._cache.drop(*conversation_ids)


class NoCopies(_Unkept):
    """PostgreSQL is asked for everything."""

    limit = 0

    def find(self, _owner: str, _conversation_id: UUID, _count: int, /) -> Fill:
        return _leave

    def forget(self, *conversation_ids: UUID) -> None:
        """There is nothing to forget."""


def _leave(_snapshot: Snapshot) -> None:
    """Nobody may fill now."""


def copies_of(settings: Settings, redis: RedisClient, database: Database) -> Copies:
    """The copies of conversations that Redis keeps, in the way of the settings."""
    ttl, limit = settings.redis_cache_ttl, settings.redis_cache_limit
    if not settings.uses_redis:
        return NoCopies()
    if settings.copies_strictly:
        return StrictCopies(MessageCache(redis, ttl=ttl, limit=limit), database)
    cache = FastCache(redis, ttl=ttl, limit=limit, mark_seconds=_longest_write(settings))
    # A connection of its own: a look must not wait for those who wait for it.
    alone = replace(settings, db_pool_size=1, db_max_overflow=0)
    return FastCopies(cache, UpkeepService(Database.from_settings(alone), cache))


def _longest_write(settings: Settings) -> float:
    """Seconds from when a write is begun to its commit: it may wait for a connection first."""
    return max(MARK_SECONDS, 2 * settings.db_statement_timeout + settings.db_pool_timeout)
