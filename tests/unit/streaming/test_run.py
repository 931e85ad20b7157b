"""One generation: it keeps what it has, it is fenced, it ends once, and it says so."""

import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Thread
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ModelError, ModelTimeoutError, RecordNotFoundError, UnavailableError
from app.responders.base import Contexts, Finish, FunctionResponder, Prompt, TextDelta
from app.streaming.events import Done, Failed, Text
from app.streaming.run import Run, Ticket
from app.streaming.runner import Runner
from app.streaming.wire import Wire
from app.transcript import Turn

PROMPT = Prompt(question="Where is Huế?", user_email="ana@example.org")
SECRET = "sk-internal"


@dataclass
class Notebook:
    """A journal in memory. `away` calls fail; `mumbles` more are carried out, but not confirmed."""

    chunks: dict = field(default_factory=dict)
    ending: tuple | None = None
    away: int = 0
    mumbles: int = 0
    is_taken_away: bool = False
    renewals: int = 0

    def renew(self, ticket, *, n, text):
        self._be_away()
        if text and not self.is_taken_away:
            self.chunks.setdefault(n, text)
        self.renewals += 1
        self._mumble()
        return not self.is_taken_away

    def finish(self, ticket, answer, prompt, error):
        self._be_away()
        if self.is_taken_away:
            return None
        assert self.ending is None, "an answer ended twice"
        self.ending = (answer.text, error and error.error_class)
        return _turn(answer.text, "failed" if error else "complete"), 7

    @property
    def text(self):
        return "".join(self.chunks[n] for n in sorted(self.chunks))

    def _be_away(self):
        if self.away:
            self.away -= 1
            raise UnavailableError

    def _mumble(self):
        if self.mumbles:
            self.mumbles -= 1
            raise UnavailableError


def _turn(text, status):
    return Turn(id=UUID(int=2), seq=2, parent_id=UUID(int=1), role="assistant", content=text,
                status=status, created_at=datetime.now(UTC))  # fmt: skip


def run_of(answer, journal, *, load_prompt=lambda: PROMPT, max_bytes=10**6):
    ids = {name: UUID(int=9) for name in ("run_id", "conversation_id", "message_id")}
    return Run(
        Ticket(**ids, attempt=1, owner=PROMPT.user_email),
        wire=Wire(),
        journal=journal,
        responder=FunctionResponder(answer),
        load_prompt=load_prompt,
        max_bytes=max_bytes,
    )


def generated(answer, journal=None, **how):
    """A run that is over: its journal, what was heard, and the ending."""
    journal = journal or Notebook()
    run = run_of(answer, journal, **how)
    run.generate()
    *heard, ending = run.wire.watch()
    return journal, heard, ending


def words(*said):
    return lambda prompt: iter(said)


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


@pytest.mark.parametrize("text", ["x" * 9_000, "漢字" * 1_000, "é" * 3_000])
def test_text_is_kept_every_two_kilobytes_and_written_once(text):
    journal, _, _ = generated(words(*text))
    sizes = [len(chunk.encode()) for chunk in journal.chunks.values()]
    assert text.startswith(journal.text)
    assert max(sizes) <= 2100
    assert sum(sizes) >= len(text.encode()) - 2100
    assert journal.renewals <= len(text.encode()) / 2000 + 1


def test_a_chunk_that_was_kept_without_a_confirmation_leaves_no_hole():
    journal = Notebook(mumbles=1)
    run = run_of(lambda prompt: script(run), journal)

    def script(run):
        yield "one "
        with pytest.raises(UnavailableError):
            run.flush()  # kept, but the confirmation is lost
        yield "two "
        run.flush()
        run.flush()

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
                journal.is_taken_away = len(journal.text) >= 10_000
        finally:
            closed.set()

    _, _, ending = generated(endless, journal)
    assert closed.is_set()
    assert journal.ending is None
    assert len(journal.text) == 10_000
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
    run.flush()
    looked.set()
    thread.join(5)
    run.flush()
    heard, ending = run.wire.watch()
    assert heard == Text("a")
    assert isinstance(ending, Done)


def test_a_runner_keeps_what_a_slow_answer_has_within_a_second_or_so():
    opened, journal = Event(), Notebook()

    def slow(prompt):
        yield "first words"
        opened.wait(5)

    runner = Runner(lambda: 0, keep_seconds=0.005)
    run = run_of(slow, journal)
    runner.launch(run)
    deadline = time.monotonic() + 5
    while not journal.chunks and time.monotonic() < deadline:
        time.sleep(0.005)
    assert journal.text == "first words"
    assert runner.find(run.ticket.message_id) is run
    opened.set()
    assert isinstance(list(run.wire.watch())[-1], Done)
    runner.close()


def test_upkeep_survives_whatever_goes_wrong_once():
    reaped, faults = Event(), [UnavailableError(), ValueError(), RuntimeError()]

    def reap():
        if faults:
            raise faults.pop()
        reaped.set()
        return 1

    runner = Runner(reap, reap_seconds=0.001)
    runner.start()
    assert reaped.wait(5)
    runner.close()


def test_a_run_that_gets_no_thread_is_not_kept_alive(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    runner, run = Runner(lambda: 0), run_of(words("a"), Notebook())
    runner.start()
    monkeypatch.setattr(Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        runner.launch(run)
    assert runner.find(run.ticket.message_id) is None
    runner.close()


@given(st.lists(st.sampled_from(["say", "flush", "away", "mumble"]), max_size=30))
def test_whatever_the_store_does_what_it_keeps_is_the_start_of_the_text(steps):
    journal, said = Notebook(), []
    run = run_of(lambda prompt: script(), journal)

    def flush(**trouble):
        vars(journal).update(trouble)
        with suppress(UnavailableError):
            run.flush()

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
            run.flush()

    keepers = [Thread(target=hurry) for _ in range(3)]
    for keeper in keepers:
        keeper.start()
    run.generate()
    over.set()
    for keeper in keepers:
        keeper.join()
    assert journal.ending[0].startswith(journal.text)
    assert journal.ending[0] == "".join(f"{number} " for number in range(500))
