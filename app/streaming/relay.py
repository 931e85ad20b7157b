"""Carries the live wires of this process's runs to Redis, for watchers elsewhere and for repair.

A wire that somebody elsewhere watches is carried each time, any other now and then. All go in one
pipeline. While Redis is away nothing is carried; when it is back, a wire is carried again from its
first event, so that there never is a gap in it.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from threading import Lock
from uuid import UUID

from ..cache.client import Failure, RedisClient
from ..cache.lanes import Command
from .entries import encode, key_of, stop_key_of, watch_key_of
from .events import Failed, Heard, Text
from .outcome import FENCED
from .run import Run
from .wire import Wire

CARRY_SECONDS = 0.05
UNWATCHED_SECONDS = 1.0
LIFETIME_SECONDS = 120
"""How long a wire stays after its last event, while its run is not known to be over."""
AFTERMATH_SECONDS = 30
"""How long it stays after its end: what is stored says the same."""

_REST_SECONDS = 1.0
_ASK_SECONDS = 0.5


@dataclass(slots=True)
class _Carried:
    """How far a run's wire is carried: `position` events, `offset` characters of text.

    `flags`: the keys that are there when it is to stop, and while it is watched elsewhere.
    """

    run_id: UUID
    wire: Wire
    key: str
    flags: tuple[str, str]
    position: int = 0
    offset: int = 0
    due_at: float = 0.0
    is_watched: bool = False
    is_broken: bool = False

    @classmethod
    def of(cls, run: Run) -> "_Carried":
        run_id = run.ticket.run_id
        flags = (stop_key_of(run_id), watch_key_of(run_id))
        return cls(run_id, run.wire, key_of(run_id), flags)

    def is_due(self, now: float) -> bool:
        is_urgent = self.is_watched or self.wire.is_ended or now >= self.due_at
        return is_urgent and self.wire.size > self.position


class Relay:
    """Raises nothing: a wire that can't be carried is watched over the database."""

    def __init__(
        self, client: RedisClient | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`client`: None where no Redis is used."""
        self._client = client
        self._clock = clock
        self._carried: dict[UUID, _Carried] = {}
        self._carrying = Lock()
        self._rests_until = 0.0
        self._asks_at = 0.0

    def carry(self, runs: Iterable[Run]) -> set[UUID]:
        """Carries what is new on the wires of runs; the ids of those that were told to stop."""
        with self._carrying:
            for run in runs:
                if run.ticket.run_id not in self._carried and not run.wire.is_ended:
                    self._carried[run.ticket.run_id] = _Carried.of(run)
            return self._carry()

    def stop(self, run_ids: Sequence[UUID]) -> None:
        """Tells the processes that carry these runs that their users want no more of them."""
        lifetime = LIFETIME_SECONDS * 1000
        if self._client and run_ids:
            self._client.ask_all(
                *(("SET", stop_key_of(run_id), 1, "PX", lifetime) for run_id in run_ids)
            )

    def _carry(self) -> set[UUID]:
        now = self._clock()
        if self._client is None or now < self._rests_until:
            self._forget(it for it in list(self._carried.values()) if it.wire.is_ended)
            return set()
        if not self._send(self._client, [it for it in self._carried.values() if it.is_due(now)]):
            return set()
        return self._told_to_stop(self._client) if now >= self._asks_at else set()

    def _send(self, client: RedisClient, due: Sequence[_Carried]) -> bool:
        """Whether what is due was carried."""
        news = [(it, it.wire.since(it.position)) for it in due]
        commands = [command for it, heard in news for command in self._commands(it, heard)]
        replies = client.ask_all(*commands) if commands else []
        if isinstance(replies, Failure):
            self._break_off()
            return False
        for it, heard in news:
            it.position += len(heard)
            it.offset += _characters(heard)
            it.due_at = self._clock() + UNWATCHED_SECONDS
            it.is_broken = False
        self._forget(it for it, heard in news if it.wire.is_ended and it.position == it.wire.size)
        return True

    def _commands(self, it: _Carried, heard: Sequence[Heard]) -> list[Command]:
        """What carries new events of a wire, and lets it expire in time."""
        ending = heard[-1].event
        is_taken_back = isinstance(ending, Failed) and ending.error_class == FENCED.error_class
        commands: list[Command] = []
        if it.is_broken or is_taken_back:  # nothing stays of what is taken back
            commands.append(("UNLINK", it.key))
        carried = heard[-1:] if is_taken_back else heard
        commands.append(("XADD", it.key, "*", *encode(carried, it.offset)))
        lifetime = AFTERMATH_SECONDS if it.wire.is_ended else LIFETIME_SECONDS
        commands.append(("EXPIRE", it.key, lifetime))
        return commands

    def _told_to_stop(self, client: RedisClient) -> set[UUID]:
        """Who is told to stop; and it is noted who is watched elsewhere."""
        self._asks_at = self._clock() + _ASK_SECONDS
        asked = list(self._carried.values())
        groups = client.together(flag for it in asked for flag in it.flags) if asked else []
        replies = client.ask_all(*(("MGET", *group) for group in groups)) if groups else []
        if isinstance(replies, Failure):
            return set()
        raised = _named(groups, replies)
        for it in asked:
            it.is_watched = it.flags[1] in raised
        return {it.run_id for it in asked if it.flags[0] in raised}

    def _break_off(self) -> None:
        """Whatever is known of Redis is uncertain now: wires are carried anew, after a rest."""
        self._rests_until = self._clock() + _REST_SECONDS
        for it in self._carried.values():
            it.position = it.offset = 0
            it.due_at = 0.0
            it.is_broken = True

    def _forget(self, over: Iterable[_Carried]) -> None:
        """Forgets what is carried to its end, or is over and can't be: it is stored by now."""
        for it in over:
            del self._carried[it.run_id]


def _named(groups: Sequence[Sequence[str]], replies: Sequence[Sequence[object]]) -> set[str]:
    """The keys, of some that were asked for in groups, that there are."""
    flags = zip(chain(*groups), chain(*replies), strict=True)
    return {key for key, value in flags if value}


def _characters(heard: Sequence[Heard]) -> int:
    return sum(len(item.event.text) for item in heard if isinstance(item.event, Text))
