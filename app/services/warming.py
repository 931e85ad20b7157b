"""Copies of what a user is likely to open next, made while they look at their list."""

import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import structlog

from ..errors import RecordNotFoundError, UnavailableError, places
from .history import HistoryService

log = structlog.get_logger(__name__)

_MOST_WAITING = 100  # lists; what comes beyond is not copied before it is opened


class Warming:
    def __init__(self, history: HistoryService, count: int) -> None:
        """`count`: how many conversations of each list, the first."""
        self._history = history
        self._count = count
        self._waiting: queue.Queue[tuple[str, Sequence[UUID]] | None] = queue.Queue(_MOST_WAITING)
        self._starting = threading.Lock()
        self._is_started = False
        self._closing = threading.Event()

    def warm(self, owner: str, conversation_ids: Sequence[UUID]) -> None:
        """Has the first of them copied soon; nobody waits for it."""
        self._start()
        with suppress(queue.Full):
            self._waiting.put_nowait((owner, conversation_ids[: self._count]))

    def close(self) -> None:
        """Ends the thread with what it is at."""
        self._closing.set()
        with suppress(queue.Full):
            self._waiting.put_nowait(None)

    def _start(self) -> None:
        with self._starting:
            if not self._is_started:
                threading.Thread(target=self._work, name="parley-warming", daemon=True).start()
                self._is_started = True

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
