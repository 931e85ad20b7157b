"""The live wire of one run, in this process: written once, watched by any number.

A watcher hears every event from the first, then live. A slow watcher holds up nobody: events are
kept until the run is forgotten, bounded by the limit on an answer's size.
"""

import threading
from collections.abc import Iterator, Sequence

from .events import ENDINGS, Heard, WireEvent

HEARTBEAT_SECONDS = 5.0


class Wire:
    def __init__(self, *events: WireEvent) -> None:
        self._heard = [Heard(event, number) for number, event in enumerate(events)]
        self._news = threading.Condition()
        self.is_closed = False
        self.is_ended = any(isinstance(event, ENDINGS) for event in events)

    def publish(self, event: WireEvent, number: int | None = None) -> None:
        """Adds an event, numbered as the next unless told otherwise; none follows an ending."""
        with self._news:
            if not self.is_ended:
                number = len(self._heard) if number is None else number
                self._heard.append(Heard(event, number))
                self.is_ended = isinstance(event, ENDINGS)
                self._news.notify_all()

    def close(self) -> None:
        """Lets every watcher go who has heard all that there is: no more will come."""
        with self._news:
            self.is_closed = True
            self._news.notify_all()

    @property
    def size(self) -> int:
        """How many events there are."""
        return len(self._heard)

    def since(self, position: int) -> Sequence[Heard]:
        """What stands at a place and behind it, without waiting."""
        return self._heard[position:]

    def watch(
        self, after: int | None = None, *, heartbeat: float = HEARTBEAT_SECONDS
    ) -> Iterator[Heard | None]:
        """Every event to the ending, from the one after number `after`, if that is one of ours.

        Otherwise, and without `after`, from the first. None when nothing came for `heartbeat` s.
        """
        position = self.place_after(after)
        while True:
            with self._news:
                if position == len(self._heard) and not self.is_closed:
                    self._news.wait(heartbeat)
                fresh = self._heard[position:]
            if not fresh and self.is_closed:
                return
            position += len(fresh)
            yield from fresh or (None,)
            if fresh and isinstance(fresh[-1].event, ENDINGS):
                return

    def place_after(self, number: int | None) -> int:
        """Where the event stands that follows number `number`; 0 when that is none of ours."""
        heard = self.since(0)
        return next((n + 1 for n, it in enumerate(heard) if it.number == number), 0)
