"""The upkeep of runs, with runs and stores that misbehave."""

from threading import Event, Thread

import pytest

from app.errors import UnavailableError
from app.streaming.events import Done
from app.streaming.run import Lease
from tests.responders import Gate
from tests.streams import until

from .notebook import Notebook, heard_of, run_of, runner_of, words


class Refusing(Notebook):
    """Fails whenever `refused` is among the runs that it is to keep."""

    refused = None

    def keep(self, pieces):
        if any(piece.ticket.run_id == self.refused for piece in pieces):
            raise ValueError
        return super().keep(pieces)


def test_a_run_that_cannot_be_kept_does_not_keep_the_next_from_it():
    journal = Refusing()
    gates = [Gate("first"), Gate("second")]
    first, second = (run_of(gate, journal) for gate in gates)
    journal.refused = first.ticket.run_id
    runner = runner_of(journal, keep_seconds=0.005)
    for run in (first, second):
        runner.launch(run)
    until(lambda: journal.text_of(second) == "second", seconds=5)
    for gate in gates:
        gate.open()
    runner.close()
    assert isinstance(heard_of(first)[-1], Done)


def test_a_store_that_fails_once_in_whatever_way_is_asked_again():
    journal, gate = Refusing(), Gate("words")
    run = run_of(gate, journal)
    journal.refused = run.ticket.run_id
    runner = runner_of(journal, keep_seconds=0.005)
    runner.launch(run)
    assert gate.reached.wait(5)
    journal.refused = None
    until(lambda: journal.text == "words", seconds=5)
    gate.open()
    assert isinstance(heard_of(run)[-1], Done)
    runner.close()


def test_a_run_is_the_runners_until_it_is_over():
    gate = Gate("words")
    run, runner = run_of(gate, Notebook()), runner_of(Notebook())
    runner.launch(run)
    assert runner.find(run.ticket.owner, run.ticket.message_id) is run
    assert runner.find("mallory@example.com", run.ticket.message_id) is None
    assert runner.asking(run.ticket.owner) == 1
    gate.open()
    until(lambda: runner.find(run.ticket.owner, run.ticket.message_id) is None, seconds=5)
    assert runner.asking(run.ticket.owner) == 0
    runner.close()


class Crashing:
    """A run that ends without an ending."""

    def __init__(self, run):
        self._run = run

    def __getattr__(self, name):
        return getattr(self._run, name)

    def generate(self):
        pass


def test_a_run_that_is_over_is_over_for_its_watchers_whatever_ended_it():
    runner, run = runner_of(Notebook()), run_of(words("a"), Notebook())
    runner.launch(Crashing(run))
    assert heard_of(run)[-1].error_class == "crashed"
    runner.close()


def test_a_run_that_its_user_stops_is_ended_by_the_keeper():
    journal, gate = Notebook(), Gate("words")
    run, runner = run_of(gate, journal), runner_of(journal, keep_seconds=0.005)
    runner.launch(run)
    assert gate.reached.wait(5)
    journal.lease = Lease.STOPPED
    assert heard_of(run)[-1].status == "cancelled"
    gate.open()
    assert journal.ending == ("words", "stopped")
    runner.close()


def test_a_run_of_this_process_is_stopped_at_once():
    journal, gate = Notebook(), Gate("words")
    run, runner = run_of(gate, journal), runner_of(journal)
    runner.launch(run)
    assert gate.reached.wait(5)
    runner.stop(run.ticket.owner, {run.ticket.run_id: run.ticket.message_id})
    assert run.wire.is_ended
    gate.open()
    assert journal.ending == ("words", "stopped")
    runner.close()


def test_runs_may_finish_when_the_process_ends_and_are_ended_in_time():
    journal, gates = Notebook(), [Gate("quick"), Gate("slow")]
    quick, slow = (run_of(gate, journal) for gate in gates)
    runner = runner_of(journal)
    for run, gate in zip((quick, slow), gates, strict=True):
        runner.launch(run)
        assert gate.reached.wait(5)
    runner.end_soon(0.1)
    gates[0].open()
    runner.drain()
    assert isinstance(heard_of(quick)[-1], Done)
    ending = heard_of(slow)[-1]
    assert (ending.status, ending.error_class) == ("interrupted", "shutdown")
    assert journal.endings[slow.ticket.run_id] == ("slow", "shutdown")
    gates[1].open()
    runner.close()


def test_a_runner_keeps_what_a_slow_answer_has_within_a_second_or_so():
    opened, journal = Event(), Notebook()

    def slow(prompt):
        yield "first words"
        opened.wait(5)

    runner = runner_of(journal, keep_seconds=0.005)
    run = run_of(slow, journal)
    runner.launch(run)
    until(lambda: journal.text == "first words", seconds=5)
    assert runner.find(run.ticket.owner, run.ticket.message_id) is run
    opened.set()
    assert isinstance(heard_of(run)[-1], Done)
    runner.close()


def test_upkeep_survives_whatever_goes_wrong_once():
    reaped, faults = Event(), [UnavailableError(), ValueError(), RuntimeError()]

    def reap():
        if faults:
            raise faults.pop()
        reaped.set()
        return 1

    runner = runner_of(Notebook(), reap, reap_seconds=0.001)
    runner.start()
    assert reaped.wait(5)
    runner.close()


def test_a_run_that_gets_no_thread_is_not_kept_alive(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    runner, run = runner_of(Notebook()), run_of(words("a"), Notebook())
    runner.start()
    monkeypatch.setattr(Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        runner.launch(run)
    assert runner.find(run.ticket.owner, run.ticket.message_id) is None
    runner.close()
