"""What the cache holds of a conversation: its record and its newest messages, ready for a socket.

A value is one string:

    header \\n record \\n array \\n checksum

- header: one line of JSON: `conversation_id`, `owner`, `version` and `rev` (the revision),
  `complete_from_start` (the array starts at the conversation's first message), `sizes` (bytes of
  each message, so that the newest can be cut out, and others put behind them, unparsed).
- record: the conversation without its messages, one JSON object in one line.
- array: the messages of the shown branch as one JSON array without spaces between them, oldest
  first.
- checksum: CRC-32 of all before the last line feed, 8 hex digits. It finds accidents, not forgers.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

SCHEMA = 3
"""Raise it with every change to the shape of a value, of a record, or of a message in it."""

MAX_BYTES = 8 * 1024 * 1024
"""Larger values are neither stored nor accepted."""

MAX_HEADER_BYTES = 128 * 1024
"""The same for headers: some 20,000 messages, and parsed in milliseconds."""

_CHECKSUM_BYTES = 9
_random = Random()  # noqa: S311 - of our own: Python's is for whoever counts on what it gives


@dataclass(frozen=True, slots=True)
class Stamp:
    """Whose messages these are, and of which revision."""

    conversation_id: str
    owner: str
    version: int
    rev: str


@dataclass(frozen=True, slots=True)
class CachedMessages:
    """A conversation at one revision with its newest `count` messages, oldest first, as JSON.

    `complete_from_start`: there are none before them.
    """

    stamp: Stamp
    record: bytes
    array: bytes
    count: int
    complete_from_start: bool

    def loads(self) -> list[dict[str, Any]]:
        """The messages as objects."""
        messages: list[dict[str, Any]] = orjson.loads(self.array)
        return messages


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A conversation at one revision, as one statement read it from the primary."""

    stamp: Stamp
    record: bytes
    items: Sequence[bytes]
    complete_from_start: bool

    def newest(self, count: int) -> CachedMessages:
        """The newest `count` messages, or as many as there are here."""
        items = self.items[-count:]
        is_whole = self.complete_from_start and len(items) == len(self.items)
        array = b"[%b]" % b",".join(items)
        return CachedMessages(self.stamp, self.record, array, len(items), is_whole)

    def encoded(self) -> bytes:
        """The value that stands for it."""
        complete = self.complete_from_start
        return encode(self.stamp, self.record, self.items, complete_from_start=complete)


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded value; `record` and `array` still are bytes."""

    stamp: Stamp
    record: bytes
    array: bytes
    sizes: list[int]
    complete_from_start: bool

    def newest(self, count: int) -> CachedMessages | None:
        """The newest `count` messages, all if there are no more, None when too few are here."""
        hidden = len(self.sizes) - count
        if hidden > 0:
            return self._shown(self._after(hidden), count, is_whole=False)
        if hidden < 0 and not self.complete_from_start:
            return None
        return self._shown(self.array, len(self.sizes), is_whole=self.complete_from_start)

    def items(self) -> list[bytes]:
        """The messages, each as JSON, oldest first."""
        items, start = [], 1
        for size in self.sizes:
            items.append(self.array[start : start + size])
            start += size + 1
        return items

    def _shown(self, array: bytes, count: int, *, is_whole: bool) -> CachedMessages:
        return CachedMessages(self.stamp, self.record, array, count, is_whole)

    def _after(self, hidden: int) -> bytes:
        start = 1 + sum(self.sizes[:hidden]) + hidden
        return b"[" + (self.array[start:] or b"]")


def encode(
    stamp: Stamp, record: bytes, items: Sequence[bytes], *, complete_from_start: bool
) -> bytes:
    """A value as the module describes it. Record and `items` are JSON texts, oldest first."""
    facts = {name: getattr(stamp, name) for name in Stamp.__slots__}
    facts |= {"complete_from_start": complete_from_start, "sizes": [len(item) for item in items]}
    header = orjson.dumps(facts)
    sealed = b"%b\n%b\n[%b]" % (header, record, b",".join(items))
    return b"%b\n%08x" % (sealed, zlib.crc32(sealed))


def jitter() -> float:
    """A number from 0 to 1, another one each time."""
    return _random.random()


def lifetime_ms(ttl: float, number: float) -> int:
    """For how long a value is kept: `ttl` seconds, less or more by a tenth at most."""
    return round(ttl * 1000 * (0.9 + 0.2 * number))


def is_oversize(value: bytes) -> bool:
    """Whether a value must not be stored."""
    return len(value) > MAX_BYTES or value.index(b"\n") > MAX_HEADER_BYTES


def decode(value: bytes, start: int = 0) -> Frame:
    """The value that `encode` made, from `start` on; ValueError when it made no such value."""
    end = len(value) - _CHECKSUM_BYTES
    if value[max(end, 0) :] != b"\n%08x" % zlib.crc32(memoryview(value)[start:end]):
        raise ValueError("the checksum is wrong")
    header_end = value.find(b"\n", start, end)
    record_end = value.find(b"\n", header_end + 1, end)
    if record_end < 0 or not 0 <= header_end - start <= MAX_HEADER_BYTES:
        raise ValueError("the header is wrong")
    header = _fields(orjson.loads(memoryview(value)[start:header_end]))
    sizes, complete = header.pop("sizes"), header.pop("complete_from_start")
    record, array = value[header_end + 1 : record_end], value[record_end + 1 : end]
    if len(array) != 2 + sum(sizes) + max(len(sizes) - 1, 0):
        raise ValueError("the sizes are wrong")
    return Frame(Stamp(**header), record, array, sizes, complete)


_FIELDS: Mapping[str, type] = {
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
