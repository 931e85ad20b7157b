"""The live wire of one run, in this process: written once, watched by any number.

A watcher sees every event from the first, then live. A slow watcher holds up nobody: events
are kept until the run is forgotten, bounded by the limit on an answer's size.
"""

import threading
from collections.abc import Iterator, Sequence

from .events import ENDINGS, WireEvent

HEARTBEAT_SECONDS = 5.0


class Wire:
    def __init__(self, events: Sequence[WireEvent] = ()) -> None:
        self._events = list(events)
        self._news = threading.Condition()

    def publish(self, event: WireEvent) -> None:
        """Adds an event; what follows an ending is dropped."""
        with self._news:
            if not self.is_ended:
                self._events.append(event)
                self._news.notify_all()

    @property
    def is_ended(self) -> bool:
        return bool(self._events) and isinstance(self._events[-1], ENDINGS)

    def watch(self, heartbeat: float = HEARTBEAT_SECONDS) -> Iterator[WireEvent | None]:
        """Every event from the first to the ending; None when nothing came for `heartbeat` s."""
        position = 0
        while True:
            with self._news:
                if position == len(self._events):
                    self._news.wait(heartbeat)
                fresh = self._events[position:]
            position += len(fresh)
            yield from fresh or (None,)
            if fresh and isinstance(fresh[-1], ENDINGS):
                return
