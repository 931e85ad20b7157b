"""Wires of runs that other processes write, as far as they can be followed in Redis.

One reader follows all of them. A mirror that loses its thread is closed: whoever watches it goes
on over the database. One that nobody watches any more is forgotten.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from ..cache.client import Failure, RedisClient
from ..cache.lanes import Command
from .entries import Entry, decode, key_of, watch_key_of
from .wire import Wire

FOLLOW_SECONDS = 0.03
_MOST_ENTRIES = 1000
_INTEREST_SECONDS = 2
_UNREADABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError)


class Mirror(Wire):
    """`place`: the id of the last entry in Redis that was read. `shows_interest_at`: when next."""

    def __init__(self) -> None:
        super().__init__()
        self.place: bytes | str = "0"
        self.shows_interest_at = 0.0
        self._next = 0

    def take(self, place: bytes, entry: Entry) -> None:
        """Publishes an entry's events; closed by the last one, and by a gap."""
        self.place = place
        if entry.first == self._next:
            for event, number in entry.heard:
                self.publish(event, number)
                self._next = (number or 0) + 1
        if entry.is_last or entry.first > self._next:
            self.close()


class Mirrors:
    """Raises nothing."""

    def __init__(self, client: RedisClient | None) -> None:
        self._client = client
        self._mirrors: WeakValueDictionary[UUID, Mirror] = WeakValueDictionary()
        self._reading = Lock()

    @property
    def is_possible(self) -> bool:
        """Whether there is a Redis to follow anything in."""
        return self._client is not None

    def find(self, run_id: UUID) -> Mirror | None:
        """The wire of a run, from its first event on; None when Redis does not have it whole."""
        with self._reading:
            known = self._mirrors.get(run_id)
            if known is not None and not known.is_closed:
                return known
            mirror = Mirror()
            if not self._read({run_id: mirror}) or not mirror.size:
                return None
            if not mirror.is_closed:
                self._mirrors[run_id] = mirror
            return mirror

    def follow(self) -> None:
        """Takes over what is new on all that are watched."""
        if not self._mirrors:
            return
        with self._reading:
            watched = dict(self._mirrors)
            if not self._read(watched):
                self._close(watched)

    def entries(self, run_id: UUID) -> list[Entry]:
        """What there is of a run's wire, gaps and all."""
        replies = self._ask(("XRANGE", key_of(run_id), "-", "+"))
        try:
            return [decode(fields) for _, fields in replies[0]] if replies else []
        except _UNREADABLE:
            return []

    def _read(self, watched: Mapping[UUID, Mirror]) -> bool:
        """Lets mirrors take what is new; False when Redis did not answer, or not to this."""
        mirrors = {key_of(run_id): mirror for run_id, mirror in watched.items()}
        groups = self._client.together(mirrors) if self._client else []
        reads = [_read([(key, mirrors[key].place) for key in group]) for group in groups]
        replies = self._ask(*reads, *self._interest(watched))
        try:
            for streams in replies[: len(reads)] if replies else ():
                for key, entries in streams:
                    _take(mirrors[key.decode()], entries)
        except _UNREADABLE:
            return False
        return replies is not None

    def _interest(self, watched: Mapping[UUID, Mirror]) -> Iterator[Command]:
        """What makes the runs' processes carry them without delay."""
        now = time.monotonic()
        for run_id, mirror in watched.items():
            if now >= mirror.shows_interest_at:
                mirror.shows_interest_at = now + _INTEREST_SECONDS
                yield "SET", watch_key_of(run_id), 1, "PX", 3000 * _INTEREST_SECONDS

    def _ask(self, *commands: Command) -> list[Any] | None:
        replies = self._client.ask_all(*commands) if self._client else Failure.BREAKER_OPEN
        return None if isinstance(replies, Failure) else replies

    def _close(self, watched: Mapping[UUID, Mirror]) -> None:
        for run_id, mirror in watched.items():
            mirror.close()
            self._mirrors.pop(run_id, None)


def _read(places: Sequence[tuple[str, bytes | str]]) -> Command:
    """What asks for all that came to streams after these places."""
    keys, after = zip(*places, strict=True)
    return ("XREAD", "COUNT", _MOST_ENTRIES, "STREAMS", *keys, *after)


def _take(mirror: Mirror, entries: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> None:
    for place, fields in entries:
        try:
            mirror.take(place, decode(fields))
        except _UNREADABLE:
            mirror.close()
