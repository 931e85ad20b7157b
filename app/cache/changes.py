"""Who watches a conversation in this process, and what wakes them when it changes.

An announcement says which conversations of an owner are not as they were, and nothing of what was
said. It goes to the watchers of this process directly and to the other processes through Redis,
soon after a commit, on a channel of the owner's. Whoever it wakes looks at PostgreSQL: one that is
lost is made up for by the next look, one that comes twice costs a look.
"""

import threading
import time
from collections.abc import Collection
from hashlib import sha256
from uuid import UUID
from weakref import WeakSet, WeakValueDictionary

from .client import RedisClient
from .post import Post
from .subscription import Subscription

JOIN_SECONDS = 0.05
"""Announcements that come so close upon another wake their watchers once."""
MOST_OF_AN_OWNER = 16


class Watcher:
    """Somebody who waits for news of a conversation, as long as there is a reference to them."""

    def __init__(
        self, hub: "ChangeHub", crowd: WeakSet["Watcher"], channel: str, conversation_id: UUID
    ) -> None:
        """`crowd`: who watches the channel; it is there as long as one of them."""
        self.channel = channel
        self.conversation_id = conversation_id
        self.is_over = False
        self._hub = hub
        self._crowd = crowd
        self._news = threading.Event()

    @property
    def hears_all(self) -> bool:
        """Whether an announcement of any process would reach the watcher now."""
        return self._hub.hears(self.channel)

    def wait(self, seconds: float) -> bool:
        """Whether there was news within so many seconds."""
        if not self._news.wait(seconds):
            return False
        time.sleep(JOIN_SECONDS)
        self._news.clear()
        return True

    def wake(self) -> None:
        self._news.set()

    def end(self) -> None:
        """There is no more news, from now on."""
        self.is_over = True
        self.wake()


class ChangeHub:
    """The watchers of this process. Without a Redis they hear this process alone."""

    def __init__(self, redis: RedisClient | None = None, redis_url: str | None = None) -> None:
        self._post = Post(redis) if redis else None
        self._crowds: WeakValueDictionary[str, WeakSet[Watcher]] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._is_closed = False
        self._subscription = None
        if redis and redis_url:
            self._subscription = Subscription(redis_url, self._channels, self._hear)

    def announce(self, owner: str, conversation_ids: Collection[UUID]) -> None:
        """Wakes who watches these conversations of an owner, here and elsewhere."""
        channel = channel_of(owner)
        self._wake(channel, conversation_ids)
        if self._post:
            self._post.send(channel, conversation_ids)

    def watch(self, owner: str, conversation_id: UUID) -> Watcher | None:
        """Somebody who hears what is announced from now on; None: the owner has too many."""
        channel = channel_of(owner)
        with self._lock:
            crowd = self._crowds.setdefault(channel, WeakSet())
            if len(crowd) >= MOST_OF_AN_OWNER:
                return None
            watcher = Watcher(self, crowd, channel, conversation_id)
            crowd.add(watcher)
            if self._is_closed:
                watcher.end()
        if self._subscription:
            self._subscription.start()
        return watcher

    def hears(self, channel: str) -> bool:
        """Whether what other processes announce on a channel comes here."""
        return self._subscription is not None and self._subscription.hears(channel)

    def close(self) -> None:
        """Ends all watchers, those still to come included, and the subscription.

        What is announced still reaches the other processes.
        """
        with self._lock:
            self._is_closed = True
        for watcher in self._all():
            watcher.end()
        if self._subscription:
            self._subscription.close()
        self.flush()

    def flush(self) -> None:
        """Tells the other processes now what waits for company."""
        if self._post:
            self._post.carry()

    def _hear(self, channel: str | None, message: bytes | None = None) -> None:
        """Without a message everybody there looks for themselves; without a channel, all do."""
        if channel is None or message is None:
            for watcher in self._all(channel):
                watcher.wake()
        else:
            self._wake(channel, set(map(UUID, message.decode().split())))

    def _wake(self, channel: str, conversation_ids: Collection[UUID]) -> None:
        for watcher in self._all(channel):
            if watcher.conversation_id in conversation_ids:
                watcher.wake()

    def _all(self, channel: str | None = None) -> list[Watcher]:
        with self._lock:
            crowds = self._crowds.values() if channel is None else [self._crowds.get(channel)]
            return [watcher for crowd in crowds for watcher in crowd or ()]

    def _channels(self) -> set[str]:
        """The channels that are watched."""
        with self._lock:
            return set(self._crowds)


def channel_of(owner: str) -> str:
    """Redis tells everybody its channels' names: an address is not for them."""
    return f"parley:changes:{sha256(owner.encode()).hexdigest()}"
