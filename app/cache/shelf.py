"""Connections that are at hand: used a moment ago, and well then."""

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from redis import ConnectionPool

from .connections import MasterPool

IDLE_SECONDS = 1.0
MOST = 16


class Shelf:
    """Takes connections out of a pool, and keeps a few that were well for who comes next.

    Before each use the pool looks whether the other side has closed a connection, or sent what
    nobody asked for: a call to the system for what hardly happens within a second. Whoever gets
    such a connection here finds out by the answer. Of connections to a master none is kept: it may
    be the master no more.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        *,
        clock: Callable[[], float] = time.monotonic,
        name_process: Callable[[], int] = os.getpid,
    ) -> None:
        """What is kept counts as used in the pool: it is a quarter of it at most."""
        self._pool = pool
        self._clock = clock
        self._name_process = name_process
        self._most = 0 if isinstance(pool, MasterPool) else min(MOST, pool.max_connections // 4)
        self._kept: deque[tuple[Any, float]] = deque()
        self._pid = name_process()

    def take(self) -> Any:
        """A connection for one use; it must come back by `keep` or by `give_up`."""
        if self._pid != self._name_process():
            self._kept = deque()  # those were our parent's
            self._pid = self._name_process()
        now = self._clock()
        while self._kept:
            try:
                connection, heard_at = self._kept.pop()
            except IndexError:  # somebody was faster
                break
            if now - heard_at < IDLE_SECONDS:
                return connection
            self._pool.release(connection)
        return self._pool.get_connection()

    def keep(self, connection: Any) -> None:
        """All that was asked on it has been answered."""
        if len(self._kept) < self._most:
            self._kept.append((connection, self._clock()))
        else:
            self._pool.release(connection)

    def give_up(self, connection: Any) -> None:
        """An answer may still come on it, or it is closed."""
        connection.disconnect()
        self._pool.release(connection)

    def clear(self) -> None:
        """Closes what is kept."""
        while self._kept:
            try:
                connection, _ = self._kept.pop()
            except IndexError:
                return
            self.give_up(connection)
