"""A subscription to channels of Redis that come and go, in one thread on one connection."""

import threading
import time
from collections.abc import Callable
from contextlib import closing

import structlog
from redis.client import PubSub

from .connections import FAULTS
from .servers import connect

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.05
SWEEP_SECONDS = 1.0
"""How often to look for channels that nobody wants any more."""
SILENCE_SECONDS = 0.5
"""A connection that says nothing for so long is asked; and given up, if it says no more."""
RETRY_SECONDS = 0.25
DISTRUST_SECONDS = 5.0
"""After an interruption it takes so long until all who publish have noticed that it is over."""
_NEVER = float("inf")

Heard = Callable[[str | None, bytes | None], None]


class Subscription:
    """Follows `channels()`, and gives `heard` each message, with its channel.

    `heard(channel, None)`: something may have been missed there; `heard(None, None)`: anywhere.
    """

    def __init__(self, url: str, channels: Callable[[], set[str]], heard: Heard) -> None:
        self._servers = connect(url, max_connections=1, socket_timeout=1.0, connect_timeout=0.5)
        self._channels = channels
        self._heard = heard
        self._subscribed: set[str] = set()
        self._trusted_from = 0.0
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Sees to it that somebody listens: the thread begins in the process that needs it."""
        with self._lock:
            self._wanted.set()
            if self._thread is None and not self._closing.is_set():
                name = "parley-subscription"
                self._thread = threading.Thread(target=self._listen, name=name, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Ends the thread, without waiting for it."""
        self._closing.set()
        self._wanted.set()

    def hears(self, channel: str) -> bool:
        """Whether a message to a channel, of whomever, would come here."""
        return channel in self._subscribed and time.monotonic() >= self._trusted_from

    def _listen(self) -> None:
        while not self._closing.is_set():
            self._wanted.wait()
            try:
                with closing(self._servers.pubsub()) as pubsub:
                    self._follow(pubsub)
            except FAULTS as error:
                self._lose(type(error).__name__)
            self._subscribed.clear()
        self._servers.disconnect()

    def _lose(self, fault: str) -> None:
        self._subscribed.clear()
        if self._trusted_from != _NEVER:
            log.warning("subscription_lost", error=fault)
            self._trusted_from = _NEVER
            self._heard(None, None)
        self._wanted.set()
        self._closing.wait(RETRY_SECONDS)

    def _follow(self, pubsub: PubSub) -> None:
        """Listens until nobody is there for whom it would. Raises one of FAULTS."""
        pulse, followed = _Pulse(), self._follow_wanted(pubsub, set())
        swept_at = time.monotonic()
        while followed and not self._closing.is_set():
            message = pubsub.get_message(timeout=TICK_SECONDS)
            pulse.feel(pubsub, is_alive=message is not None)
            if message:
                self._take(message["type"], message["channel"], message["data"])
            if not self._servers.is_current(pubsub):
                raise ConnectionError("The master is another.")
            if self._wanted.is_set() or time.monotonic() - swept_at >= SWEEP_SECONDS:
                followed = self._follow_wanted(pubsub, followed)
                swept_at = time.monotonic()

    def _follow_wanted(self, pubsub: PubSub, followed: set[str]) -> set[str]:
        """Asks for the channels that are wanted now, and no others; these."""
        self._wanted.clear()  # first: whoever comes now is heard of the next time
        wanted = self._channels()
        if added := wanted - followed:
            pubsub.subscribe(*added)  # type: ignore[no-untyped-call]
        if wanted and (dropped := followed - wanted):
            pubsub.unsubscribe(*dropped)  # type: ignore[no-untyped-call]
        return wanted

    def _take(self, kind: str, channel: bytes | None, data: bytes) -> None:
        name = channel.decode() if channel else ""
        if kind == "message":
            self._heard(name, data)
        elif kind == "subscribe":
            if self._trusted_from == _NEVER:
                self._trusted_from = time.monotonic() + DISTRUST_SECONDS
            self._subscribed.add(name)
            self._heard(name, None)
        elif kind == "unsubscribe":
            self._subscribed.discard(name)


class _Pulse:
    """Whether a connection is alive; half-open ones only look so."""

    def __init__(self) -> None:
        self._felt_at = time.monotonic()
        self._is_asked = False

    def feel(self, pubsub: PubSub, *, is_alive: bool) -> None:
        """Asks who has been silent for too long; TimeoutError when there was no answer."""
        silence = 0.0 if is_alive else time.monotonic() - self._felt_at
        if is_alive:
            self._felt_at, self._is_asked = time.monotonic(), False
        elif silence > 2 * SILENCE_SECONDS:
            raise TimeoutError
        elif silence > SILENCE_SECONDS and not self._is_asked:
            pubsub.ping()
            self._is_asked = True
