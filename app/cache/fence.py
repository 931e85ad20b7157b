"""The FAST protocol: copies of conversations in Redis that are never older than what was committed.

The steps of docs/cache-strategy.md, one script each. Every method is bounded in time and raises
nothing; a Failure says that Redis may or may not have heard of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from .client import Failure, RedisClient
from .lanes import Command
from .scripts import BEGIN, DROP, END, FILL, READ
from .values import MAX_BYTES, SCHEMA, Frame, decode

MARK_SECONDS = 30
"""Longer than any single statement may take (DB_STATEMENT_TIMEOUT)."""
LEASE_SECONDS = 10
FLOOR_SECONDS = 60
GONE = 2**53 - 1
"""The version of a conversation that is no more: above all that any had."""

_HEAD_BYTES = 24  # "V ", a version, a line feed
_STATE, _VALUE = b"S", b"V"
_WORDS = {
    word.encode(): word
    for word in ("stored", "fenced", "kept", "dropped", "prevented", "absent", "refused")
}
_OUTCOMES = {b"L": True, b"M": False}  # leased, or marked by a writer


class Leased(NamedTuple):
    """There is no value: `nonce` may fill it, None: nobody may now."""

    nonce: str | None


class Ending(NamedTuple):
    """What a writer tells after its commit; `value`: b"" when it does not know it."""

    version: int
    value: bytes = b""


class Fence:
    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def begin(
        self,
        epoch: str,
        token: str,
        conversation_ids: Sequence[UUID],
        *,
        mark_ms: int,
        is_wanted: bool,
    ) -> list[bytes] | Failure:
        """Marks conversations before a commit. What was there so far, where it is wanted."""
        key_ms = max(mark_ms, FLOOR_SECONDS * 1000)
        arguments = (token, mark_ms, key_ms, int(is_wanted), MAX_BYTES + _HEAD_BYTES)
        replies = self._run(BEGIN, epoch, dict.fromkeys(conversation_ids, arguments))
        if isinstance(replies, Failure) or all(not it or it[:1] == _VALUE for it in replies):
            return replies
        return self._client.disbelieve()

    def drop(self, epoch: str, conversation_ids: Sequence[UUID]) -> None:
        """Removes values, and nothing that writers and other readers have left."""
        self._run(DROP, epoch, dict.fromkeys(conversation_ids, ()))

    def remove(self, epoch: str, conversation_ids: Sequence[UUID]) -> bool:
        """Whether Redis confirmed that it holds nothing of these conversations."""
        keys = [("UNLINK", key_of(epoch, it)) for it in conversation_ids]
        return not isinstance(self._client.ask_all(*keys), Failure)

    def end(
        self, epoch: str, token: str, endings: Mapping[UUID, Ending], *, ttl_ms: int
    ) -> list[str] | Failure:
        """Tells what became of marked conversations, or of any, without a mark of one's own.

        `stored`, `fenced`, `kept`, `dropped`, `prevented` (it was older) or `absent` for each.
        """
        lifetimes = (FLOOR_SECONDS * 1000, ttl_ms)
        arguments = {it: (token, at.version, *lifetimes, at.value) for it, at in endings.items()}
        return self._told(self._run(END, epoch, arguments))

    def read(
        self, epoch: str, conversation_id: UUID, name: Callable[[], str], *, is_likely: bool
    ) -> bytes | Leased | Failure:
        """What `value_in` takes; or the lease to fill it, unless a writer is about to commit.

        `name` gives the lease a name that nobody else's has. `is_likely`: that there is a value;
        it is had more cheaply then, and a lease at the price of a second round trip.
        """
        if is_likely:
            found = self._get(epoch, conversation_id)
            if isinstance(found, Failure) or (found and not is_state(found)):
                return found
        lifetimes = (LEASE_SECONDS * 1000, FLOOR_SECONDS * 1000)
        arguments = (nonce := name(), *lifetimes, MAX_BYTES + _HEAD_BYTES)
        replies = self._run(READ, epoch, {conversation_id: arguments})
        if isinstance(replies, Failure):
            return replies
        (reply,) = replies
        return Leased(nonce if _OUTCOMES[reply] else None) if reply in _OUTCOMES else reply

    def peek(self, epoch: str, conversation_id: UUID) -> bytes:
        """What is there; b"" also where it is of another type."""
        found = self._get(epoch, conversation_id)
        return b"" if isinstance(found, Failure) else found

    def fill(
        self, epoch: str, conversation_id: UUID, nonce: str, ending: Ending, *, ttl_ms: int
    ) -> str | Failure:
        """`stored`, or `refused` when the lease is not `nonce`'s any more."""
        arguments = (nonce, ending.version, ttl_ms, ending.value)
        outcomes = self._told(self._run(FILL, epoch, {conversation_id: arguments}))
        return outcomes if isinstance(outcomes, Failure) else outcomes[0]

    def _get(self, epoch: str, conversation_id: UUID) -> bytes | Failure:
        return self._client.get(key_of(epoch, conversation_id), max_bytes=MAX_BYTES + _HEAD_BYTES)

    def _told(self, replies: list[bytes] | Failure) -> list[str] | Failure:
        """What became of each, in a word of ours: another one answers another question."""
        if isinstance(replies, Failure):
            return replies
        words = [_WORDS.get(reply, "") for reply in replies]
        return words if all(words) else self._client.disbelieve()

    def _run(
        self, script: str, epoch: str, arguments: Mapping[UUID, Command]
    ) -> list[bytes] | Failure:
        keys = {key_of(epoch, it): given for it, given in arguments.items()}
        return self._client.run_script(script, keys)


def prefix_of(epoch: str) -> str:
    """What the keys of all conversations begin with."""
    return f"h:{SCHEMA}:{epoch}:{{"


def key_of(epoch: str, conversation_id: UUID) -> str:
    """Where a conversation is; the braces make a Redis Cluster look at its id alone."""
    return f"{prefix_of(epoch)}{conversation_id}}}"


def is_state(stored: bytes) -> bool:
    """Whether there is no value: what writers and readers have left instead."""
    return stored[:1] == _STATE


def value_in(stored: bytes) -> Frame:
    """The value that is stored at a key. ValueError: it is none of ours."""
    start = stored.find(b"\n") + 1
    frame = decode(stored, start)
    if stored[:start] != b"V %d\n" % frame.stamp.version:
        raise ValueError("the version is another one's")
    return frame
