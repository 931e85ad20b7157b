"""What responders retrieved, in Redis: JSON that names its place and its owner, and never pickle.

A value is one string at `r:<form>:{<name>}`, a header of one line of JSON and a body:

    {"name", "owner", "marks", "is_packed", "size", "crc"} \\n body

- name, owner: where it belongs and to whom (null: to everybody); compared on each hit.
- marks: of each tag the mark that it had before the result was computed.
- is_packed, size: whether the body is compressed (zlib), and how long it is when it is not.
- crc: CRC-32 of the body. It finds accidents, not forgers.

A tag's mark is a random word at `g:<form>:{<digest>}`. To invalidate a tag is to give it another:
what was computed before does not fit any more, also when it is stored later. A mark that is gone
(evicted, expired, lost with its server) is made anew, and fits nothing that was there before.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any
from uuid import uuid4

import orjson

from .client import Failure, RedisClient
from .lanes import Command

FORM = 1
"""Raise it with every change to the shape of a value."""
MAX_BYTES = 4 * 1024 * 1024
"""Longer results are neither stored nor accepted."""
MAX_STORED_BYTES = 1024 * 1024
"""The same for a value as it stands in Redis."""
PACKED_FROM_BYTES = 4096
_MARK_MS = 7 * 86_400_000
_MARK_BYTES = 32


class Missed(StrEnum):
    """Why nothing was found."""

    DISABLED = "disabled"
    ABSENT = "absent"
    INVALIDATED = "invalidated"
    OTHER_NAME = "other_name"
    OTHER_OWNER = "other_owner"
    UNDECODABLE = "undecodable"
    OVERSIZE = "oversize"
    AWAY = "away"


# An error within a pipeline ends its connection, before all replies are read.
_REFUSED = (Failure.WRONG_TYPE, Failure.CONNECTION)
_HOSTILE = {Missed.OTHER_NAME, Missed.OTHER_OWNER}
_REMOVED = _HOSTILE | {Missed.UNDECODABLE, Missed.OVERSIZE}


@dataclass(frozen=True, slots=True)
class Found:
    """`value`: what was kept, or None; `marks`: of the tags, to keep another, or None: nowhere."""

    value: Any = None
    marks: Mapping[str, str] | None = None


class ResultCache:
    """Raises nothing.

    Counts `result` (`hit` or why not), `result_kept` (`stored`, `failed`, `oversize`) and `hostile`
    in the client's counts.
    """

    def __init__(self, client: RedisClient, *, enabled: bool = True) -> None:
        self._client = client
        self._enabled = enabled

    def find(self, name: str, owner: str | None, tags: Sequence[str]) -> Found:
        """What is kept under a name for an owner, as long as none of its tags was invalidated.

        Otherwise the marks under which it may be kept, if there is a Redis.
        """
        replies = self._look(name, tags)
        if isinstance(replies, Missed):
            return self._missed(replies, name)
        value, *words = replies
        marks = dict(zip(tags, map(_mark_of, words), strict=True))
        judged = _judge(value, _Wanted(name, owner, marks))
        if isinstance(judged, Missed):
            self._missed(judged, name)
            return Found(marks=self._whole(marks))
        self._client.counts.add("result", "hit")
        return Found(judged)

    def keep(
        self, name: str, owner: str | None, value: bytes, *, marks: Mapping[str, str], ttl: float
    ) -> bool:
        """Whether JSON was stored; `marks` are those that were found before it was computed."""
        outcome = "oversize"
        if len(value) <= MAX_BYTES:
            stored = encode(name, owner, value, marks=marks)
            if len(stored) <= MAX_STORED_BYTES:
                is_stored = self._client.set(_key(name), stored, ttl_ms=round(ttl * 1000) or 1)
                outcome = "stored" if is_stored else "failed"
        self._client.counts.add("result_kept", outcome)
        return outcome == "stored"

    def invalidate(self, *tags: str) -> bool:
        """Forgets whatever was kept under any of these tags; whether Redis confirmed it."""
        commands = [("SET", _mark_key(tag), _new_mark(), "PX", _MARK_MS) for tag in tags]
        if not self._enabled or not commands:
            return self._enabled
        return not isinstance(self._client.ask_all(*commands), Failure)

    def _look(self, name: str, tags: Sequence[str]) -> list[bytes] | Missed:
        """What stands at the name's key and at the tags', as far as it can be what we stored."""
        if not self._enabled:
            return Missed.DISABLED
        marks = [_mark_key(tag) for tag in tags]
        asked: list[Command] = [("GETRANGE", _key(name), 0, MAX_STORED_BYTES)]
        asked += [("GETRANGE", key, 0, _MARK_BYTES) for key in marks]
        replies = self._client.ask_all(*asked)
        if replies in _REFUSED and self._replaced(_key(name), *marks):
            return Missed.UNDECODABLE
        if isinstance(replies, Failure):
            return Missed.AWAY
        if len(replies) != len(asked) or not all(isinstance(reply, bytes) for reply in replies):
            self._client.distrust()
            return Missed.UNDECODABLE
        return replies

    def _replaced(self, *keys: str) -> bool:
        """Whether something at these keys was no string, and is gone now."""
        removed = False
        for key in keys:
            failure = self._client.get(key, max_bytes=0)
            if failure is Failure.WRONG_TYPE:
                removed = self._client.unlink(key) or removed
            elif isinstance(failure, Failure):
                break
        return removed

    def _missed(self, missed: Missed, name: str) -> Found:
        self._client.counts.add("result", missed)
        if missed in _HOSTILE:
            self._client.counts.add("hostile", missed)
            self._client.distrust()
        if missed in _REMOVED:
            self._client.unlink(_key(name))
        return Found()

    def _whole(self, marks: Mapping[str, str]) -> Mapping[str, str] | None:
        """The marks, with those made that are not there: by whoever comes first. None: no Redis."""
        absent = [_mark_key(tag) for tag, mark in marks.items() if not mark]
        if not absent:
            return marks
        makes = [("SET", key, _new_mark(), "PX", _MARK_MS, "NX") for key in absent]
        reads = [("GETRANGE", key, 0, _MARK_BYTES) for key in absent]
        replies = self._client.ask_all(*makes, *reads)
        if isinstance(replies, Failure):
            return None
        made = iter(map(_mark_of, replies[len(makes) :]))
        whole = {tag: mark or next(made, "") for tag, mark in marks.items()}
        if all(whole.values()):
            return whole
        self._client.unlink(*absent)  # what stands there is none of ours
        return None


def encode(name: str, owner: str | None, value: bytes, *, marks: Mapping[str, str]) -> bytes:
    """A value as the module describes it."""
    is_packed = len(value) > PACKED_FROM_BYTES
    body = zlib.compress(value, 1) if is_packed else value
    header = {
        "name": name,
        "owner": owner,
        "marks": dict(marks),
        "is_packed": is_packed,
        "size": len(value),
        "crc": zlib.crc32(body),
    }
    return b"%b\n%b" % (orjson.dumps(header), body)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a value must say of itself."""

    name: str
    owner: str | None
    marks: Mapping[str, str]


def _judge(value: bytes, wanted: _Wanted) -> Any:
    """What is kept in a value, if it is the one that is wanted, or Missed."""
    if not value or len(value) > MAX_STORED_BYTES:
        return Missed.OVERSIZE if value else Missed.ABSENT
    try:
        header, body = _opened(value)
        return _difference(header, wanted) or _unpacked(body, header)
    except (ValueError, TypeError, LookupError, zlib.error):
        return Missed.UNDECODABLE


def _difference(header: Mapping[str, Any], wanted: _Wanted) -> Missed | None:
    if header["name"] != wanted.name:
        return Missed.OTHER_NAME
    if header["owner"] != wanted.owner:
        return Missed.OTHER_OWNER
    is_marked = all(wanted.marks.values()) and header["marks"] == wanted.marks
    return None if is_marked else Missed.INVALIDATED


def _opened(value: bytes) -> tuple[dict[str, Any], bytes]:
    line, _, body = value.partition(b"\n")
    header = orjson.loads(line)
    if not isinstance(header, dict) or header["crc"] != zlib.crc32(body):
        raise ValueError("the value is not whole")
    return header, body


def _unpacked(body: bytes, header: Mapping[str, Any]) -> Any:
    """What the body's JSON says; it is inflated no further than it may be long."""
    size, is_packed = header["size"], header["is_packed"]
    if type(size) is not int or type(is_packed) is not bool or not 0 < size <= MAX_BYTES:
        raise ValueError("the size is wrong")
    if is_packed:
        inflating = zlib.decompressobj()
        body = inflating.decompress(body, size + 1)
        if not inflating.eof or inflating.unused_data:
            raise ValueError("the body goes on")
    if len(body) != size:
        raise ValueError("the size is wrong")
    return orjson.loads(body)


def _new_mark() -> str:
    return uuid4().hex


def _mark_of(reply: object) -> str:
    if not isinstance(reply, bytes) or len(reply) != _MARK_BYTES:
        return ""
    return reply.decode("ascii", "replace")


def _key(name: str) -> str:
    return f"r:{FORM}:{{{name}}}"


def _mark_key(tag: str) -> str:
    return f"g:{FORM}:{{{sha256(tag.encode()).hexdigest()}}}"
