"""The runs of this process, and the two threads that look after them and after everybody's.

The keeper keeps each run's text and lease at least every second. The reaper ends, every ten
seconds, runs whose process died: any worker's, with the text that was kept.
"""

import threading
from collections.abc import Callable
from uuid import UUID

import structlog

from ..errors import UnavailableError, places
from .run import Run

log = structlog.get_logger(__name__)

KEEP_SECONDS = 1.0
REAP_SECONDS = 10.0


class Runner:
    """`reap` ends expired runs of any owner and returns how many; it may raise UnavailableError."""

    def __init__(
        self,
        reap: Callable[[], int],
        *,
        keep_seconds: float = KEEP_SECONDS,
        reap_seconds: float = REAP_SECONDS,
    ) -> None:
        self._reap = reap
        self._keep_seconds = keep_seconds
        self._reap_seconds = reap_seconds
        self._live: dict[UUID, Run] = {}
        self._closing = threading.Event()
        self._started = threading.Lock()
        self._is_started = False

    def start(self) -> None:
        """Starts keeper and reaper, once in a process."""
        with self._started:
            if not self._is_started:
                self._is_started = True
                self._every(self._keep_seconds, self._keep, "parley-keeper")
                self._every(self._reap_seconds, self._reap_expired, "parley-reaper")

    def close(self) -> None:
        """Ends keeper and reaper; runs go on to their own end."""
        self._closing.set()

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

    def find(self, message_id: UUID) -> Run | None:
        """The live run, in this process, that writes a message."""
        return self._live.get(message_id)

    def _generate(self, run: Run) -> None:
        try:
            run.generate()
        finally:
            run.abandon()
            self._live.pop(run.ticket.message_id, None)

    def _keep(self) -> None:
        for run in list(self._live.values()):
            _guarded(run.flush)

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
