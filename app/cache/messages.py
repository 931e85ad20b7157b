"""The message cache, strict form: a value counts only for the revision PostgreSQL has just named.

The caller reads the revision of the conversation from PostgreSQL in each request, where it also
authorises; the cache saves reading and serialising the messages. Whatever is lost, late or swapped
in Redis, a value that names another conversation, owner or revision is never served.
"""

from collections.abc import Callable
from enum import StrEnum
from uuid import UUID

from .client import Failure, RedisClient
from .values import (
    MAX_BYTES,
    SCHEMA,
    CachedMessages,
    Snapshot,
    Stamp,
    decode,
    is_oversize,
    jitter,
    lifetime_ms,
)


class Miss(StrEnum):
    """Why a read was not served."""

    ABSENT = "absent"
    OTHER_VERSION = "other_version"
    OTHER_OWNER = "other_owner"
    OTHER_CONVERSATION = "other_conversation"
    TOO_SHORT = "too_short"
    UNDECODABLE = "undecodable"
    OVERSIZE = "oversize"
    AWAY = "away"
    MARKED = "marked"
    DOUBTED = "doubted"


_HOSTILE = {Miss.OTHER_OWNER, Miss.OTHER_CONVERSATION}
_REMOVED = _HOSTILE | {Miss.UNDECODABLE, Miss.OVERSIZE}


class MessageCache:
    """Newest messages of conversations in Redis, for `ttl` seconds ± 10 %. Raises nothing.

    `limit` is how many messages a fill should at least bring.
    Counts `read` (`hit` or a Miss), `fill` (`stored`, `failed`, `oversize`) and `hostile` (a Miss)
    in the client's counts. `jitter` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        ttl: float = 3600,
        limit: int = 50,
        jitter: Callable[[], float] = jitter,
    ) -> None:
        self.limit = limit
        self._client = client
        self._ttl = ttl
        self._jitter = jitter

    def read(
        self,
        conversation_id: UUID,
        owner: str,
        *,
        version: int,
        rev: UUID,
        limit: int,
    ) -> CachedMessages | None:
        """The newest `limit` messages (1 or more) at exactly this revision, or None.

        `version` and `rev` must come from PostgreSQL's primary, in this request, with the owner
        in the query.
        """
        wanted = Stamp(str(conversation_id), owner, version, str(rev))
        found = self._find(wanted, limit)
        if isinstance(found, Miss):
            self._missed(found, wanted.conversation_id)
            return None
        self._client.counts.add("read", "hit")
        return found

    def fill(self, snapshot: Snapshot) -> bool:
        """Stores the newest messages; True when stored."""
        outcome = self._store(_key(snapshot.stamp.conversation_id), snapshot.encoded())
        self._client.counts.add("fill", outcome)
        return outcome == "stored"

    def drop(self, *conversation_ids: UUID) -> bool:
        """Forget conversations; True when Redis confirmed it. For deletion and change of owner."""
        keys = (_key(str(conversation_id)) for conversation_id in conversation_ids)
        return self._client.unlink(*keys)

    def _find(self, wanted: Stamp, limit: int) -> CachedMessages | Miss:
        reply = self._client.get(_key(wanted.conversation_id), max_bytes=MAX_BYTES)
        if isinstance(reply, Failure):
            return Miss.UNDECODABLE if reply is Failure.WRONG_TYPE else Miss.AWAY
        if len(reply) > MAX_BYTES:
            return Miss.OVERSIZE
        return _judge(reply, wanted, limit) if reply else Miss.ABSENT

    def _missed(self, miss: Miss, conversation_id: str) -> None:
        self._client.counts.add("read", miss)
        if miss in _HOSTILE:
            self._client.counts.add("hostile", miss)
        if miss in _HOSTILE or miss is Miss.UNDECODABLE:  # or it answers another question
            self._client.distrust()
        if miss in _REMOVED:
            self._client.unlink(_key(conversation_id))

    def _store(self, key: str, value: bytes) -> str:
        if is_oversize(value):
            return "oversize"
        ttl_ms = lifetime_ms(self._ttl, self._jitter())
        return "stored" if self._client.set(key, value, ttl_ms=ttl_ms) else "failed"


def _judge(value: bytes, wanted: Stamp, limit: int) -> CachedMessages | Miss:
    try:
        frame = decode(value)
    except ValueError:
        return Miss.UNDECODABLE
    return _difference(frame.stamp, wanted) or frame.newest(limit) or Miss.TOO_SHORT


def _difference(found: Stamp, wanted: Stamp) -> Miss | None:
    if hostile := difference(found, wanted.conversation_id, wanted.owner):
        return hostile
    return None if found == wanted else Miss.OTHER_VERSION


def difference(found: Stamp, conversation_id: str, owner: str) -> Miss | None:
    """Whether a value is another conversation's, or another owner's."""
    if found.conversation_id != conversation_id:
        return Miss.OTHER_CONVERSATION
    return Miss.OTHER_OWNER if found.owner != owner else None


def _key(conversation_id: str) -> str:
    return f"s:{SCHEMA}:{{{conversation_id}}}"
