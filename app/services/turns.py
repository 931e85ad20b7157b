"""Work that comes in bursts, a few at a time: it lets what else a process does pass in between."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """`at_once` take their turn together; who has waited for `patience` seconds goes on anyway.

    It is a courtesy, no lock: one that hangs must not hold up all others for good.
    """

    def __init__(self, at_once: int, *, patience: float) -> None:
        self._free = threading.BoundedSemaphore(at_once)
        self._patience = patience

    @contextmanager
    def take(self) -> Iterator[None]:
        """Waits for a turn, and has it to the end of the block."""
        is_ours = self._free.acquire(timeout=self._patience)
        try:
            yield
        finally:
            if is_ours:
                self._free.release()
