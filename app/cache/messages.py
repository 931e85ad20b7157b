"""The message cache, strict form: a value counts only for the revision PostgreSQL has just named.

The caller reads (version, rev) of the conversation from PostgreSQL in each request, where it also
authorises; the cache saves reading and serialising the messages. Whatever is lost, late or swapped
in Redis, a value that names another conversation, owner or revision is never served.

A value is one string at `h:<schema>:{<conversation id>}`:

    header \\n array \\n checksum

- header: one line of JSON: `conversation_id`, `owner`, `version`, `rev`, `complete_from_start`
  (the list starts at the conversation's first message), `sizes` (bytes of each message, so that
  the newest k can be cut out unparsed; their count is n).
- array: the messages as one JSON array without spaces between them, oldest first.
- checksum: CRC-32 of all before the last line feed, 8 hex digits. It finds accidents, not forgers.
"""

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson

from .client import Failure, RedisClient

SCHEMA = 2
"""Raise it with every change to the shape of a value or of a message in it."""

MAX_BYTES = 8 * 1024 * 1024
"""Larger values are neither stored nor accepted."""

MAX_HEADER_BYTES = 128 * 1024
"""The same for headers: some 20,000 messages, and parsed in milliseconds."""

_CHECKSUM_BYTES = 9


class Miss(StrEnum):
    """Why a read was not served."""

    DISABLED = "disabled"
    ABSENT = "absent"
    OTHER_VERSION = "other_version"
    OTHER_OWNER = "other_owner"
    OTHER_CONVERSATION = "other_conversation"
    TOO_SHORT = "too_short"
    UNDECODABLE = "undecodable"
    OVERSIZE = "oversize"
    AWAY = "away"


_HOSTILE = {Miss.OTHER_OWNER, Miss.OTHER_CONVERSATION}
_REMOVED = _HOSTILE | {Miss.UNDECODABLE, Miss.OVERSIZE}


@dataclass(frozen=True, slots=True)
class Stamp:
    """Whose messages these are, and of which revision."""

    conversation_id: str
    owner: str
    version: int
    rev: str


@dataclass(frozen=True, slots=True)
class CachedMessages:
    """The newest `count` messages as one JSON array, oldest first, ready for a socket.

    `complete_from_start`: there are none before them.
    """

    array: bytes
    count: int
    complete_from_start: bool

    def loads(self) -> list[dict[str, Any]]:
        """The messages as objects."""
        messages: list[dict[str, Any]] = orjson.loads(self.array)
        return messages


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded value; `array` still is bytes."""

    stamp: Stamp
    array: bytes
    sizes: list[int]
    complete_from_start: bool

    def newest(self, count: int) -> CachedMessages | None:
        """The newest `count` messages, all if there are no more, None when too few are here."""
        hidden = len(self.sizes) - count
        if hidden > 0:
            return CachedMessages(self._after(hidden), count, complete_from_start=False)
        if hidden < 0 and not self.complete_from_start:
            return None
        return CachedMessages(self.array, len(self.sizes), self.complete_from_start)

    def _after(self, hidden: int) -> bytes:
        start = 1 + sum(self.sizes[:hidden]) + hidden
        return b"[" + (self.array[start:] or b"]")


class MessageCache:
    """Newest messages of conversations in Redis, for `ttl` seconds ± 10 %. Raises nothing.

    `limit` is how many messages a read asks for by default, and what a fill should at least bring.
    Counts `read` (`hit` or a Miss), `fill` (`stored`, `failed`, `oversize`) and `hostile` (a Miss)
    in the client's counts. `jitter` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        ttl: float = 3600,
        limit: int = 50,
        enabled: bool = True,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.limit = limit
        self._client = client
        self._ttl = ttl
        self._enabled = enabled
        self._jitter = jitter

    def read(
        self,
        conversation_id: UUID,
        owner: str,
        *,
        version: int,
        rev: UUID,
        limit: int | None = None,
    ) -> CachedMessages | None:
        """The newest `limit` messages (1 or more) at exactly this revision, or None.

        `version` and `rev` must come from PostgreSQL's primary, in this request, with the owner
        in the query.
        """
        wanted = Stamp(str(conversation_id), owner, version, str(rev))
        found = self._find(wanted, self.limit if limit is None else limit)
        if isinstance(found, Miss):
            self._missed(found, wanted.conversation_id)
            return None
        self._client.counts.add("read", "hit")
        return found

    def fill(
        self,
        conversation_id: UUID,
        owner: str,
        items: Sequence[bytes],
        *,
        version: int,
        rev: UUID,
        complete_from_start: bool,
    ) -> bool:
        """Store `items`, the newest messages, each one JSON text, oldest first; True when stored.

        Only committed data from the primary; the revision read before the messages, or in one
        statement with them: the other order would label old messages with a new revision.
        """
        if not self._enabled:
            return False
        stamp = Stamp(str(conversation_id), owner, version, str(rev))
        value = encode(stamp, items, complete_from_start=complete_from_start)
        outcome = self._store(_key(stamp.conversation_id), value)
        self._client.counts.add("fill", outcome)
        return outcome == "stored"

    def drop(self, *conversation_ids: UUID) -> bool:
        """Forget conversations; True when Redis confirmed it. For deletion and change of owner."""
        keys = (_key(str(conversation_id)) for conversation_id in conversation_ids)
        return self._enabled and self._client.unlink(*keys)

    def _find(self, wanted: Stamp, limit: int) -> CachedMessages | Miss:
        if not self._enabled:
            return Miss.DISABLED
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
            self._client.distrust()
        if miss in _REMOVED:
            self._client.unlink(_key(conversation_id))

    def _store(self, key: str, value: bytes) -> str:
        if len(value) > MAX_BYTES or value.index(b"\n") > MAX_HEADER_BYTES:
            return "oversize"
        ttl_ms = round(self._ttl * 1000 * (0.9 + 0.2 * self._jitter()))
        return "stored" if self._client.set(key, value, ttl_ms=ttl_ms) else "failed"


def encode(stamp: Stamp, items: Sequence[bytes], *, complete_from_start: bool) -> bytes:
    """A value as the module describes it. `items` are JSON texts, oldest first."""
    facts = {"complete_from_start": complete_from_start, "sizes": [len(item) for item in items]}
    sealed = b"%b\n[%b]" % (orjson.dumps(asdict(stamp) | facts), b",".join(items))
    return b"%b\n%08x" % (sealed, zlib.crc32(sealed))


def decode(value: bytes) -> Frame:
    """The value that `encode` made; ValueError when it made no such value."""
    sealed = memoryview(value)[:-_CHECKSUM_BYTES]
    if value[-_CHECKSUM_BYTES:] != b"\n%08x" % zlib.crc32(sealed):
        raise ValueError("the checksum is wrong")
    line, _, array = sealed.tobytes().partition(b"\n")
    if len(line) > MAX_HEADER_BYTES:
        raise ValueError("the header is too long")
    header = _fields(orjson.loads(line))
    sizes = header.pop("sizes")
    if len(array) != 2 + sum(sizes) + max(len(sizes) - 1, 0):
        raise ValueError("the sizes are wrong")
    complete = header.pop("complete_from_start")
    return Frame(Stamp(**header), array, sizes, complete)


_FIELDS = {
    "conversation_id": str,
    "owner": str,
    "version": int,
    "rev": str,
    "complete_from_start": bool,
    "sizes": list,
}


def _fields(header: object) -> dict[str, Any]:
    if not isinstance(header, dict) or {name: type(it) for name, it in header.items()} != _FIELDS:
        raise ValueError("the header is wrong")
    if not all(type(size) is int and size > 0 for size in header["sizes"]):
        raise ValueError("the sizes are wrong")
    return header


def _judge(value: bytes, wanted: Stamp, limit: int) -> CachedMessages | Miss:
    try:
        frame = decode(value)
    except ValueError:
        return Miss.UNDECODABLE
    return _difference(frame.stamp, wanted) or frame.newest(limit) or Miss.TOO_SHORT


def _difference(found: Stamp, wanted: Stamp) -> Miss | None:
    if found.conversation_id != wanted.conversation_id:
        return Miss.OTHER_CONVERSATION
    if found.owner != wanted.owner:
        return Miss.OTHER_OWNER
    return None if found == wanted else Miss.OTHER_VERSION


def _key(conversation_id: str) -> str:
    return f"h:{SCHEMA}:{{{conversation_id}}}"
