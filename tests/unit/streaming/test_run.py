"""One generation: it keeps what it has, it is fenced, it ends once, and it says so."""

from asyncio import CancelledError
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ModelError, ModelTimeoutError, RecordNotFoundError, UnavailableError
from app.responders.base import Contexts, Finish, TextDelta
from app.streaming.events import Done, Failed, Text
from app.streaming.outcome import SHUT_DOWN, STOPPED
from app.streaming.run import Lease

from .notebook import Notebook, generated, heard_of, run_of, words

SECRET = "sk-internal"


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


class Endless:
    """A responder that never ends by itself; when 16,000 bytes are kept, its run's lease is so."""

    def __init__(self, journal, lease):
        self._journal, self._lease = journal, lease
        self.is_closed = False

    def __call__(self, prompt):
        try:
            while True:
                yield "x" * 1000
                if len(self._journal.text) >= 16_000:
                    self._journal.lease = self._lease
        finally:
            self.is_closed = True


def test_a_fenced_run_closes_its_responder_and_stores_nothing():
    journal = Notebook()
    endless = Endless(journal, Lease.LOST)
    _, _, ending = generated(endless, journal)
    assert endless.is_closed
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


RAISED = [
    (RuntimeError(SECRET), "responder"),
    (KeyError(SECRET), "responder"),
    (RecordNotFoundError(), "fenced"),
    (ModelError(error_class="rate_limited"), "rate_limited"),
    (ModelTimeoutError(), "timeout"),
    (UnavailableError(), "unavailable"),
    (StopIteration(), "responder"),
    (MemoryError(SECRET), "responder"),
    (RecursionError(SECRET), "responder"),
    (CancelledError(SECRET), "responder"),
    (SystemExit(SECRET), "responder"),
]


def test_whatever_a_responder_raises_the_text_so_far_is_kept():
    for raised, error_class in RAISED:

        def failing(prompt, raised=raised):
            yield "half an "
            raise raised

        journal, _, ending = generated(failing)
        assert journal.ending == ("half an ", error_class), raised
        assert isinstance(ending, Failed), raised
        assert (ending.status, ending.error_class) == ("failed", error_class), raised
        assert SECRET not in ending.message, raised


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


def test_an_answer_that_its_user_stops_keeps_what_was_said_and_hears_no_more():
    journal = Notebook()
    endless = Endless(journal, Lease.STOPPED)
    _, heard, ending = generated(endless, journal)
    assert endless.is_closed
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
