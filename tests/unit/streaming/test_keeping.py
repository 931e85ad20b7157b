"""What is kept while an answer is written: all of it, once, whatever the store does."""

from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.streaming.events import Done, Text
from app.streaming.run import Lease, keep
from tests.responders import Gate
from tests.turns import many_turns

from .notebook import Notebook, generated, heard_of, run_of, words


@pytest.mark.parametrize("text", ["x" * 20_000, "漢字" * 3_000, "é" * 9_000])
def test_text_is_kept_every_eight_kilobytes_and_written_once(text):
    pieces = [text[place : place + 10] for place in range(0, len(text), 10)]
    journal, _, _ = generated(words(*pieces))
    sizes = [len(chunk.encode()) for chunk in journal.chunks.values()]
    assert text.startswith(journal.text)
    assert max(sizes) <= 8100
    assert sum(sizes) >= len(text.encode()) - 8100
    assert journal.renewals <= len(text.encode()) / 8000 + 1


def test_a_chunk_that_was_kept_without_a_confirmation_leaves_no_hole():
    journal = Notebook(mumbles=1)
    run = run_of(lambda prompt: script(run), journal)

    def script(run):
        yield "one "
        keep(journal, [run])  # kept, but the confirmation is lost
        yield "two "
        keep(journal, [run])
        keep(journal, [run])

    run.generate()
    assert journal.text == "one two "


def test_a_store_that_is_away_for_a_while_costs_nothing():
    journal, _, ending = generated(words(*["x" * 500] * 100), Notebook(away=3))
    assert isinstance(ending, Done)
    assert journal.ending[0] == "x" * 50_000
    assert journal.ending[0].startswith(journal.text)


def test_the_keeper_and_the_end_do_not_get_in_each_others_way():
    """The keeper's last look comes while the end is being stored: `done` is still the ending."""
    storing, looked = Event(), Event()

    class Slow(Notebook):
        def finish(self, *arguments):
            storing.set()
            assert looked.wait(5)
            return super().finish(*arguments)

    journal = Slow()
    run = run_of(words("a"), journal)
    thread = Thread(target=run.generate)
    thread.start()
    assert storing.wait(5)
    keep(journal, [run])
    looked.set()
    thread.join(5)
    keep(journal, [run])
    heard, ending = heard_of(run)
    assert heard == Text("a")
    assert isinstance(ending, Done)


@given(st.lists(st.sampled_from(["say", "flush", "away", "mumble"]), max_size=30))
def test_whatever_the_store_does_what_it_keeps_is_the_start_of_the_text(steps):
    journal, said = Notebook(), []
    run = run_of(lambda prompt: script(), journal)

    def flush(**trouble):
        vars(journal).update(trouble)
        keep(journal, [run])

    def script():
        for number, step in enumerate(steps):
            if step == "say":
                said.append(f"{number} ")
                yield said[-1]
            flush(away=step == "away", mumbles=step == "mumble")
            assert "".join(said).startswith(journal.text)
        flush(away=0, mumbles=0)
        flush()
        assert journal.text == "".join(said)

    run.generate()
    assert journal.ending == ("".join(said), None)


def test_keepers_that_hurry_lose_and_double_nothing():
    journal, over = Notebook(), Event()
    said = [f"{number} " for number in range(100)]
    run = run_of(words(*said), journal)

    def hurry():
        while not over.is_set():
            keep(journal, [run])

    with many_turns(3) as threads:
        keepers = [threads.submit(hurry) for _ in range(3)]
        try:
            run.generate()
        finally:
            over.set()
        for keeper in keepers:
            keeper.result()
    assert journal.ending[0].startswith(journal.text)
    assert journal.ending[0] == "".join(said)


def test_many_runs_keep_in_one_call_and_each_hears_its_own_lease():
    journal, gates = Notebook(), [Gate(lease) for lease in Lease]
    runs = [run_of(gate, journal) for gate in gates]
    journal.leases = {run.ticket.run_id: lease for run, lease in zip(runs, Lease, strict=True)}
    threads = [Thread(target=run.generate) for run in runs]
    for thread, gate in zip(threads, gates, strict=True):
        thread.start()
        assert gate.reached.wait(5)
    _held, stopped, lost, _busy = runs
    assert keep(journal, runs) == [stopped]
    assert journal.renewals == 1
    assert [journal.text_of(run) for run in runs] == ["held", "stopped", "", ""]
    assert [run.wire.is_ended for run in runs] == [False, False, True, False]
    journal.leases.clear()
    assert keep(journal, runs) == []
    assert [journal.text_of(run) for run in runs] == ["held", "stopped", "", "busy"]
    for thread, gate in zip(threads, gates, strict=True):
        gate.open()
        thread.join(5)
    assert heard_of(lost)[-1].error_class == "fenced"
    assert [journal.endings.get(run.ticket.run_id) for run in runs] == [
        ("heldafter", None), ("stoppedafter", None), None, ("busyafter", None),
    ]  # fmt: skip
