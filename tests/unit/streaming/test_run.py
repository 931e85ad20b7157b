"""One generation: it keeps what it has, it is fenced, it ends once, and it says so."""

from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ModelError, ModelTimeoutError, RecordNotFoundError, UnavailableError
from app.responders.base import Contexts, Finish, TextDelta
from app.streaming.events import Done, Failed, Text
from app.streaming.outcome import SHUT_DOWN, STOPPED
from app.streaming.run import Lease, keep
from tests.responders import Gate

from .notebook import Notebook, heard_of, run_of, words

SECRET = "sk-internal"


def generated(answer, journal=None, **how):
    """A run that is over: its journal, what was heard, and the ending."""
    journal = journal or Notebook()
    run = run_of(answer, journal, **how)
    run.generate()
    *heard, ending = heard_of(run)
    return journal, heard, ending


@given(st.lists(st.text()))
def test_what_is_heard_what_is_stored_and_what_was_said_are_the_same(said):
    journal, heard, ending = generated(words(*said))
    mended = "".join(said).replace("\0", "\ufffd")
    assert "".join(event.text for event in heard) == ending.turn.content == mended
    assert journal.ending == (mended, None)


def test_done_comes_only_after_the_answer_is_stored():
    _journal, heard, ending = generated(words("a", Contexts([{"page": 7}]), "b", Finish("stop")))
    assert isinstance(ending, Done)
    assert (ending.revision, ending.turn.content) == (7, "ab")
    assert len(heard) == 3


def test_an_answer_of_nothing_is_an_answer():
    assert isinstance(generated(words())[2], Done)


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


def test_an_answer_that_cannot_be_stored_still_has_an_ending():
    _, _, ending = generated(words("a"), Notebook(away=99))
    assert (ending.status, ending.error_class, ending.turn) == ("interrupted", "unavailable", None)


def test_whatever_goes_wrong_while_storing_watchers_hear_an_end():
    class Broken(Notebook):
        def finish(self, *_):
            raise ValueError("A string literal cannot contain NUL (0x00) characters.")

    _, _, ending = generated(words("a"), Broken())
    assert ending.status == "interrupted"
    assert "NUL" not in ending.message


def test_a_fenced_run_closes_its_responder_and_stores_nothing():
    closed, journal = Event(), Notebook()

    def endless(prompt):
        try:
            while True:
                yield "x" * 1000
                if len(journal.text) >= 16_000:
                    journal.lease = Lease.LOST
        finally:
            closed.set()

    _, _, ending = generated(endless, journal)
    assert closed.is_set()
    assert journal.ending is None
    assert len(journal.text) == 16_000
    assert (ending.status, ending.error_class) == ("interrupted", "fenced")


def test_an_endless_answer_is_closed_at_the_limit():
    closed = Event()

    def endless(prompt):
        try:
            while True:
                yield "é"
        finally:
            closed.set()

    journal, _, ending = generated(endless, max_bytes=1001)
    assert closed.is_set()
    assert isinstance(ending, Done)
    assert journal.ending == ("é" * 500, None)


def test_a_responder_that_will_not_close_costs_no_answer():
    def stubborn(prompt):
        try:
            yield "é" * 600
        except GeneratorExit:
            yield "I am not finished!"

    journal, _, ending = generated(stubborn, max_bytes=1000)
    assert isinstance(ending, Done)
    assert journal.ending == ("é" * 500, None)


@pytest.mark.parametrize(
    ("raised", "error_class"),
    [
        (RuntimeError(SECRET), "responder"),
        (KeyError(SECRET), "responder"),
        (RecordNotFoundError(), "fenced"),
        (ModelError(error_class="rate_limited"), "rate_limited"),
        (ModelTimeoutError(), "timeout"),
        (UnavailableError(), "unavailable"),
        (StopIteration(), "responder"),
        (MemoryError(SECRET), "responder"),
        (RecursionError(SECRET), "responder"),
    ],
)
def test_whatever_a_responder_raises_the_text_so_far_is_kept(raised, error_class):
    def failing(prompt):
        yield "half an "
        raise raised

    journal, _, ending = generated(failing)
    assert journal.ending == ("half an ", error_class)
    assert isinstance(ending, Failed)
    assert (ending.status, ending.error_class) == ("failed", error_class)
    assert SECRET not in ending.message


@pytest.mark.parametrize("said", [TextDelta(b"bytes"), TextDelta(7), Contexts([{"set": {1}}])])
def test_events_that_make_no_sense_are_the_responders_failure(said):
    journal, _, _ = generated(words("half ", said))
    assert journal.ending == ("half ", "responder")


def test_a_responder_that_gives_no_stream_fails_the_answer():
    assert generated(lambda prompt: None)[2].error_class == "responder"


def test_a_prompt_that_cannot_be_loaded_fails_the_answer():
    def away():
        raise UnavailableError

    journal, _, _ = generated(words("never"), load_prompt=away)
    assert journal.ending == ("", "unavailable")


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
    run = run_of(words(*(f"{number} " for number in range(500))), journal)

    def hurry():
        while not over.is_set():
            keep(journal, [run])

    keepers = [Thread(target=hurry) for _ in range(3)]
    for keeper in keepers:
        keeper.start()
    run.generate()
    over.set()
    for keeper in keepers:
        keeper.join()
    assert journal.ending[0].startswith(journal.text)
    assert journal.ending[0] == "".join(f"{number} " for number in range(500))


def test_an_answer_that_its_user_stops_keeps_what_was_said_and_hears_no_more():
    closed, journal = Event(), Notebook()

    def endless(prompt):
        try:
            while True:
                yield "x" * 1000
                if len(journal.text) >= 16_000:
                    journal.lease = Lease.STOPPED
        finally:
            closed.set()

    _, heard, ending = generated(endless, journal)
    assert closed.is_set()
    assert (ending.status, ending.error_class) == ("cancelled", "stopped")
    assert "".join(event.text for event in heard) == ending.turn.content == journal.ending[0]
    assert 16_000 <= len(ending.turn.content) <= 24_000


def test_an_answer_can_be_ended_while_its_responder_is_silent():
    """What the responder says afterwards is neither heard nor stored, and its end is no second."""
    waiting, opened = Event(), Event()

    def silent(prompt):
        yield "half an "
        waiting.set()
        assert opened.wait(5)
        yield "answer"

    journal = Notebook()
    run = run_of(silent, journal)
    thread = Thread(target=run.generate)
    thread.start()
    assert waiting.wait(5)
    run.end(STOPPED)
    assert run.is_asking
    run.end(SHUT_DOWN)
    said, ending = heard_of(run)
    opened.set()
    thread.join(5)
    assert not run.is_asking
    assert heard_of(run) == [said, ending]
    assert (said, ending.error_class) == (Text("half an "), "stopped")
    assert journal.ending == ("half an ", "stopped")


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
