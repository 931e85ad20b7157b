"""The runs of this process, and the threads that look after them and after everybody's.

The keeper keeps each run's text and lease at least every second. The reaper ends, every ten
seconds, runs whose process died: any worker's, with all that is left of their answers. The courier
carries what runs say to Redis; the reader follows there what other processes' runs say.
"""

import threading
import time
from collections.abc import Callable, Mapping
from uuid import UUID

import structlog

from .. import metrics
from ..errors import UnavailableError, places
from .mirrors import FOLLOW_SECONDS, Mirrors
from .outcome import SHUT_DOWN, STOPPED, Outcome
from .relay import CARRY_SECONDS, Relay
from .run import Journal, Run, keep

log = structlog.get_logger(__name__)

KEEP_SECONDS = 1.0
REAP_SECONDS = 10.0
GRACE_SECONDS = 20.0
"""How long runs may go on when the process is asked to end."""

_ENDING_SECONDS = 5.0
_KEPT_AT_ONCE = 64


class Runner:
    """`reap` ends expired runs of any owner and returns how many; it may raise UnavailableError.

    `when_ending` is called, once or more often, when the process was asked to end.
    """

    def __init__(
        self,
        reap: Callable[[], int],
        *,
        journal: Journal,
        relay: Relay,
        mirrors: Mirrors,
        when_ending: Callable[[], None] | None = None,
        grace_seconds: float = GRACE_SECONDS,
        keep_seconds: float = KEEP_SECONDS,
        reap_seconds: float = REAP_SECONDS,
    ) -> None:
        self._reap = reap
        self._journal = journal
        self._relay = relay
        self._mirrors = mirrors
        self._grace_seconds = grace_seconds
        self._keep_seconds = keep_seconds
        self._reap_seconds = reap_seconds
        self._when_ending = when_ending
        self._ends_at: float | None = None
        self._live: dict[UUID, Run] = {}
        self._closing = threading.Event()
        self._started = threading.Lock()
        self._is_started = False

    def start(self) -> None:
        """Starts the threads, once in a process."""
        with self._started:
            if not self._is_started:
                self._is_started = True
                self._every(self._keep_seconds, self._keep, "parley-keeper")
                self._every(self._reap_seconds, self._reap_expired, "parley-reaper")
                self._every(CARRY_SECONDS, self._carry, "parley-courier")
                self._every(FOLLOW_SECONDS, self._mirrors.follow, "parley-reader")

    def close(self) -> None:
        """Ends the threads; runs go on to their own end."""
        self._closing.set()

    def end_soon(self, seconds: float | None = None) -> None:
        """Lets live runs go on for so long, by default `grace_seconds`, from the first call on.

        Safe in a signal handler.
        """
        if self._ends_at is None:
            self._ends_at = time.monotonic() + (self._grace_seconds if seconds is None else seconds)

    def drain(self) -> None:
        """Waits for the live runs; those that are not over in time end `interrupted`."""
        self.end_soon()
        self._wait(self._is_overdue)
        for run in self._unended():
            self._end(run, SHUT_DOWN)
        until = time.monotonic() + _ENDING_SECONDS
        self._wait(lambda: time.monotonic() >= until)
        _guarded(self._carry)

    def launch(self, run: Run) -> None:
        """Lets a run generate in a thread of its own (a greenlet under gevent).

        RuntimeError: there can be no more threads. Then nobody renews the run's lease.
        """
        self.start()
        name = f"run-{run.ticket.run_id}"
        thread = threading.Thread(target=self._generate, args=(run,), name=name, daemon=True)
        self._live[run.ticket.message_id] = run
        try:
            thread.start()
        except RuntimeError:
            del self._live[run.ticket.message_id]
            raise

    def asking(self, owner: str) -> int:
        """How many runs of an owner ask their responder now, erased conversations' included."""
        live = list(self._live.values())
        return sum(run.is_asking and run.ticket.owner == owner for run in live)

    def find(self, owner: str, message_id: UUID) -> Run | None:
        """The live run, in this process, that writes a message of an owner."""
        run = self._live.get(message_id)
        return run if run and run.ticket.owner == owner else None

    def stop(self, owner: str, runs: Mapping[UUID, UUID]) -> None:
        """Ends runs of which their owner wants no more, wherever they are: by run and message id.

        Those of this process at once, others when they hear of it.
        """
        self._relay.stop(list(runs))
        for message_id in runs.values():
            if (run := self.find(owner, message_id)) is not None:
                run.end(STOPPED)

    def _generate(self, run: Run) -> None:
        metrics.work.set("run")
        try:
            with metrics.runs_active.track_inprogress():
                run.generate()
        finally:
            run.abandon()
            self._live.pop(run.ticket.message_id, None)

    def _wait(self, is_over: Callable[[], bool]) -> None:
        """Waits until all live runs have ended, or else until it is over with the waiting."""
        while self._unended() and not is_over():
            time.sleep(CARRY_SECONDS)

    def _is_overdue(self) -> bool:
        return self._ends_at is not None and time.monotonic() >= self._ends_at

    def _keep(self) -> None:
        if self._ends_at is not None and self._when_ending:
            self._when_ending()
        if self._is_overdue():
            for run in self._unended():
                self._end(run, SHUT_DOWN)
        live = list(self._live.values())
        for start in range(0, len(live), _KEPT_AT_ONCE):
            for run in keep(self._journal, live[start : start + _KEPT_AT_ONCE]):
                self._end(run, STOPPED)

    def _carry(self) -> None:
        live = list(self._live.values())
        stopped = self._relay.carry(live)
        for run in live:
            if run.ticket.run_id in stopped:
                self._end(run, STOPPED)

    def _unended(self) -> list[Run]:
        return [run for run in list(self._live.values()) if not run.wire.is_ended]

    def _end(self, run: Run, outcome: Outcome) -> None:
        """Ends a run, once, in a thread of its own: it may have to wait for the store."""
        if not run.is_ending:
            threading.Thread(target=run.end, args=(outcome,), daemon=True).start()

    def _reap_expired(self) -> None:
        if count := self._reap():
            log.warning("runs_reaped", count=count)

    def _every(self, seconds: float, work: Callable[[], None], name: str) -> None:
        threading.Thread(target=self._repeat, args=(seconds, work), name=name, daemon=True).start()

    def _repeat(self, seconds: float, work: Callable[[], None]) -> None:
        while not self._closing.wait(seconds):
            _guarded(work)


def _guarded(work: Callable[[], None]) -> None:
    """Does a piece of upkeep; its failure must not end the upkeep of the others."""
    try:
        work()
    except UnavailableError:
        log.warning("store_away", thread=threading.current_thread().name)
    except Exception as error:  # noqa: BLE001 - without upkeep every answer is lost
        log.error("upkeep_failed", error=type(error).__name__, where=places(error))
