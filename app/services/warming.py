"""Copies of what a user is likely to open next, made while they look at their list."""

import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import structlog

from ..errors import RecordNotFoundError, UnavailableError, places
from ..json_text import loads
from .history import HistoryService

log = structlog.get_logger(__name__)

CLOSING_SECONDS = 1.0
_MOST_WAITING = 100  # lists; what comes beyond is not copied before it is opened


class Warming:
    def __init__(self, history: HistoryService, count: int) -> None:
        """`count`: how many conversations of each list, the first."""
        self._history = history
        self._count = count
        self._waiting: queue.Queue[tuple[str, Sequence[UUID]] | None] = queue.Queue(_MOST_WAITING)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def warm(self, owner: str, listed: Sequence[bytes]) -> None:
        """Has the first of listed conversations, each as JSON, copied soon; nobody waits for it."""
        conversation_ids = [UUID(loads(each)["id"]) for each in listed[: self._count]]
        with suppress(queue.Full, RuntimeError):  # there is too much to do, or no more threads
            self._start()
            self._waiting.put_nowait((owner, conversation_ids))

    def close(self) -> None:
        """Ends the thread with what it is at; waits for that a while."""
        self._closing.set()
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        if self._thread:
            self._thread.join(CLOSING_SECONDS)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="parley-warming", daemon=True)
                thread.start()
                self._thread = thread

    def _work(self) -> None:
        while (listed := self._waiting.get()) and not self._closing.is_set():
            owner, conversation_ids = listed
            for conversation_id in conversation_ids:
                self._copy(owner, conversation_id)

    def _copy(self, owner: str, conversation_id: UUID) -> None:
        try:
            self._history.revision(owner, conversation_id)
        except (RecordNotFoundError, UnavailableError):
            return
        except Exception as error:  # noqa: BLE001 - the next one may be copied all the same
            log.error("warming_failed", error=type(error).__name__, where=places(error))
