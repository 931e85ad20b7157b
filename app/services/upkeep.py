"""What keeps copies true: it delivers what Redis may have missed, and names the database's epoch.

Twice a second, in each process. Copies are served only for a while after a look that found nothing
left to deliver, and not when a doubt has come up since.
"""

import threading
from collections.abc import Callable
from contextlib import suppress

import structlog

from ..cache.fast import FastCache
from ..database import Database
from ..errors import UnavailableError, places
from ..repositories.outbox import forget, standing

log = structlog.get_logger(__name__)

EVERY_SECONDS = 0.5
CLOSING_SECONDS = 1.0
_NOTES_AT_ONCE = 500


class UpkeepService:
    def __init__(
        self, database: Database, cache: FastCache, *, every_seconds: float = EVERY_SECONDS
    ) -> None:
        self._database = database
        self._cache = cache
        self._every_seconds = every_seconds
        self._starting = threading.Lock()
        self._is_started = self._is_starting = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Looks once, then starts the thread that goes on with it: once in a process."""
        if self._is_started:
            return
        with self._starting:
            if not self._is_started:
                self._look(self._has_delivered)
                self._start_thread()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._repeat, name="parley-upkeep", daemon=True)
        with suppress(RuntimeError):  # no more threads now: whoever reads next tries again
            thread.start()
            self._thread, self._is_started = thread, True

    def start_soon(self) -> None:
        """The same, without waiting for the first look: for who may hold a connection."""
        if not (self._is_started or self._is_starting):
            self._is_starting = True
            with suppress(RuntimeError):  # no more threads: the process ends
                threading.Thread(target=self.start, name="parley-upkeep", daemon=True).start()

    def close(self) -> None:
        """Ends the thread and its connection. A look that hangs is waited for CLOSING_SECONDS."""
        self._closing.set()
        if self._thread:
            self._thread.join(CLOSING_SECONDS)
        if not (self._thread and self._thread.is_alive()):  # it closes its connection itself
            self._database.close()

    def look(self) -> None:
        """Delivers what is left to deliver. Raises nothing: what fails leaves a doubt."""
        self._look(self._deliver_all)

    def _look(self, work: Callable[[], object]) -> None:
        try:
            work()
        except UnavailableError:
            self._cache.doubt()
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing may be served
            self._cache.doubt()
            log.error("upkeep_failed", error=type(error).__name__, where=places(error))

    def _deliver_all(self) -> None:
        while self._has_delivered() and not self._closing.is_set():
            pass

    def _has_delivered(self) -> bool:
        """Delivers some notes; whether there may be more."""
        look = self._cache.look()
        with self._database.operation() as session:
            rows = standing(session, _NOTES_AT_ONCE)
        epoch, noted = rows[0].epoch, [row for row in rows if row.note]
        if not noted:
            self._cache.trust(epoch, look)
            return False
        self._cache.distrust(epoch, look)
        if not self._cache.relay(epoch, {row.conversation_id: row.version for row in noted}):
            return False
        with self._database.operation() as session:
            return forget(session, [row.note for row in noted]) > 0

    def _repeat(self) -> None:
        while not self._closing.wait(self._every_seconds):
            self.look()
        self._database.close()
