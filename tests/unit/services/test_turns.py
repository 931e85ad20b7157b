import threading
from collections import Counter

import pytest

from app.services.turns import Turns


class Crowd:
    """Threads that take a turn each and stay in it until they are `released`."""

    def __init__(self, turns, count):
        self.seen = Counter()
        self.inside = threading.Semaphore(0)
        self.released = threading.Semaphore(0)
        self._turns = turns
        self._threads = [threading.Thread(target=self._take) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _take(self):
        with self._turns.take():
            self.seen["inside"] += 1
            self.seen["most"] = max(self.seen["most"], self.seen["inside"])
            self.inside.release()
            self.released.acquire()
            self.seen["inside"] -= 1

    def join(self):
        for thread in self._threads:
            thread.join(5)


def test_no_more_than_so_many_have_their_turn_at_once():
    crowd = Crowd(Turns(2, patience=5), 6)
    for _ in range(6):
        assert crowd.inside.acquire(timeout=5)
        crowd.released.release()
    crowd.join()
    assert 1 <= crowd.seen["most"] <= 2


def test_who_has_waited_long_goes_on_beside_those_that_hang():
    crowd = Crowd(Turns(1, patience=0.01), 3)
    assert all(crowd.inside.acquire(timeout=5) for _ in range(3))
    assert crowd.seen["most"] == 3
    for _ in range(3):
        crowd.released.release()
    crowd.join()


def test_a_turn_ends_with_its_work_even_if_that_fails():
    turns = Turns(1, patience=5)
    with pytest.raises(ValueError, match="broken"), turns.take():
        raise ValueError("broken")
    with turns.take():
        pass


def test_who_went_on_without_a_turn_gives_none_back():
    turns = Turns(1, patience=0.01)
    with turns.take():
        with turns.take():
            pass
        crowd = Crowd(turns, 1)
        assert crowd.inside.acquire(timeout=5)
        crowd.released.release()
        crowd.join()
