"""What a process tells the others over Redis, joined: many announcements in one round trip."""

import threading
import time
from collections.abc import Collection
from uuid import UUID

import structlog

from ..errors import places
from .client import RedisClient

log = structlog.get_logger(__name__)

CARRY_SECONDS = 0.02
"""For so long announcements wait for others to go with."""
IDLE_SECONDS = 1.0


class Post:
    """Carries announcements in a thread of its own: whoever writes does not wait for that.

    The thread lives as long as there is something to carry, and IDLE_SECONDS longer.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._waiting: dict[str, set[UUID]] = {}
        self._is_carried = False

    def send(self, channel: str, conversation_ids: Collection[UUID]) -> None:
        """Has the conversations named to who listens to the channel, soon."""
        with self._lock:
            self._waiting.setdefault(channel, set()).update(conversation_ids)
            is_carried, self._is_carried = self._is_carried, True
            self._news.set()
        if not is_carried:
            self._start()

    def carry(self) -> None:
        """Publishes what waits. What Redis does not take is lost: listeners look all the same."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        told = [
            ("PUBLISH", channel, " ".join(map(str, conversation_ids)))
            for channel, conversation_ids in waiting.items()
        ]
        if told:
            self._redis.ask_all(*told)

    def _start(self) -> None:
        try:
            threading.Thread(target=self._repeat, name="parley-post", daemon=True).start()
        except RuntimeError:  # no more threads: the process ends
            self._is_carried = False
            self.carry()

    def _repeat(self) -> None:
        while self._has_news():
            time.sleep(CARRY_SECONDS)
            try:
                self.carry()
            except Exception as error:  # noqa: BLE001 - what comes next is to be carried, too
                log.error("announcements_lost", error=type(error).__name__, where=places(error))

    def _has_news(self) -> bool:
        """Waits a while; whether the thread is needed any longer."""
        self._news.wait(IDLE_SECONDS)
        with self._lock:
            self._news.clear()
            self._is_carried = bool(self._waiting)
            return self._is_carried
