"""A circuit breaker: when Redis keeps failing, don't even ask it for a while."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Literal, get_args

from .. import metrics

State = Literal["closed", "probing", "open"]


class Breaker:
    """Opens after `failures` errors in a row, then lets a probe through each `probe_after` seconds.

    Ask `allows()` before a call and report with `succeeded()` or `failed()` after it. A probe that
    never reports is given up after `probe_after` seconds. Safe to share between threads.
    """

    def __init__(
        self,
        failures: int = 5,
        probe_after: float = 1.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        name: str | None = "cache",
    ) -> None:
        """`name`: how the metrics call it; None: they do not tell of it."""
        self._failures = failures
        self._probe_after = probe_after
        self._clock = clock
        self._lock = Lock()
        self._errors = 0
        self._gauge = metrics.breaker_state.labels(name) if name else None
        self._turn("closed")

    @property
    def state(self) -> State:
        """`open` lasts until somebody asks after `probe_after`: time alone changes nothing."""
        return self._state

    def allows(self) -> bool:
        """Whether a call may be made now. True for one caller only when it is the probe."""
        with self._lock:
            return self._state == "closed" or self._starts_probe()

    def succeeded(self) -> None:
        """A call came back: whatever the state was, Redis answers again."""
        with self._lock:
            self._errors = 0
            if self._state != "closed":
                self._turn("closed")

    def failed(self) -> None:
        """A call failed. One that was sent before the breaker opened doesn't prolong the pause."""
        with self._lock:
            self._errors += 1
            if self._state == "probing" or (self._state == "closed" and self._is_enough()):
                self._turn("open")

    def _is_enough(self) -> bool:
        return self._errors >= self._failures

    def _starts_probe(self) -> bool:
        if self._clock() - self._since < self._probe_after:
            return False
        self._turn("probing")
        return True

    def _turn(self, state: State) -> None:
        self._state: State = state
        self._since = self._clock()
        if self._gauge:
            self._gauge.set(get_args(State).index(state))
