"""The upkeep of runs, with runs that misbehave."""

import threading
from types import SimpleNamespace
from uuid import uuid4

from app.streaming.runner import Runner
from app.streaming.wire import Wire


class Misbehaved:
    """A run as the runner sees it: `flushed` is set at each flush, and then `fault` is raised."""

    def __init__(self, fault=None):
        self.ticket = SimpleNamespace(run_id=uuid4(), message_id=uuid4())
        self.wire = Wire()
        self.flushed = threading.Event()
        self.ended = threading.Event()
        self.abandoned = threading.Event()
        self._fault = fault

    def generate(self):
        self.ended.wait(5)

    def flush(self):
        self.flushed.set()
        if self._fault:
            raise self._fault

    def abandon(self):
        self.abandoned.set()


def test_a_run_that_cannot_be_kept_does_not_keep_the_next_from_it():
    runner = Runner(lambda: 0, keep_seconds=0.001)
    first, second = Misbehaved(ValueError()), Misbehaved()
    runner.launch(first)
    runner.launch(second)
    assert first.flushed.wait(5)
    assert second.flushed.wait(5)
    for run in (first, second):
        run.ended.set()
    runner.close()


def test_a_run_that_is_over_is_over_for_its_watchers_whatever_ended_it():
    runner = Runner(lambda: 0)
    run = Misbehaved()
    runner.launch(run)
    assert runner.find(run.ticket.message_id) is run
    run.ended.set()
    assert run.abandoned.wait(5)
    runner.close()
