"""Twelve ways in which a model answers, at random places: what is stored is what was streamed.

MODEL_FAULTS says how often each is tried; TEST_SEED tries the same again.
"""

import json
import logging
import os
import random
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from uuid import uuid4

import pytest

from tests.client import Client
from tests.fake_model import (
    MODEL,
    SECRET,
    FakeModel,
    encoded,
    frame,
    frames,
    raw,
    refuse,
    says,
    text,
)
from tests.streams import frames as frames_of
from tests.streams import text_of

SEED = int(os.environ.get("TEST_SEED") or random.SystemRandom().randrange(2**32))
ROUNDS = int(os.environ.get("MODEL_FAULTS") or 3)
LETTERS = ["a", "b ", "é", "漢", "ệ", "👋🏽", "\n", "\u2028", "مرحبا", "&<", '"\\']
MOST_BYTES = 4_000_000
REFUSALS = {401: "unauthorized", 403: "unauthorized", 404: "bad_request", 503: "upstream"}


class Trial(NamedTuple):
    """What a model does, and how its answer must end: with which text, or one of which texts."""

    behaviours: list
    texts: tuple
    error_class: str | None = None
    finish_reason: str | None = "stop"


class Answer:
    """A random text as a model would send it."""

    def __init__(self, draw):
        self.text = "".join(draw.choices(LETTERS, k=draw.randint(40, 300)))
        self.frames = frames(self.text, size=draw.randint(1, 20))
        self.whole = encoded(*self.frames)

    def said(self, count):
        """The text of so many frames."""
        chosen = [f["choices"][0]["delta"] for f in self.frames[:count] if f["choices"]]
        return "".join(delta.get("content") or "" for delta in chosen)

    def place(self, draw):
        """A number of frames that hold some of the text, but not all of it."""
        return draw.randint(2, len(self.frames) - 4)

    def cut(self, draw):
        """The answer's beginning, cut at any byte, and what it may be read as."""
        count = self.place(draw)
        begun, last = encoded(*self.frames[:count]), encoded(self.frames[count])
        tail = last[: draw.randrange(len(last))]
        return begun + tail, (self.said(count), self.said(count + 1))

    def with_some(self, draw, *others):
        """The frames, with others in between."""
        mixed = list(self.frames)
        for other in others:
            mixed.insert(draw.randint(1, len(self.frames) - 4), other)
        return mixed


def in_pieces(data, draw):
    """Bytes cut anywhere, within characters, too."""
    at = sorted(draw.randrange(len(data)) for _ in range(draw.randint(1, 60)))
    return [data[i:j] for i, j in zip([0, *at], [*at, len(data)], strict=True) if i < j]


def error_before_the_first_token(draw):
    status = draw.choice(list(REFUSALS))
    return Trial([refuse(status)], ("",), REFUSALS[status], "error")


def breaks_off(draw):
    begun, texts = Answer(draw).cut(draw)
    return Trial([raw(begun, cut=True, reset=draw.random() < 0.5)], texts, "broken_off", "error")


def hangs(draw):
    begun, texts = Answer(draw).cut(draw)

    def behave(exchange):
        exchange.start()
        exchange.write(begun)
        exchange.pause(30)

    return Trial([behave], texts, "timeout", "error")


def split_characters(draw):
    answer = Answer(draw)
    return Trial([raw(*in_pieces(answer.whole, draw))], (answer.text,))


def comments(draw):
    answer = Answer(draw)
    mixed = answer.with_some(draw, *[": OPENROUTER PROCESSING"] * draw.randint(1, 9))
    return Trial([says(*mixed)], (answer.text,))


def no_done(draw):
    answer = Answer(draw)
    return Trial([raw(*in_pieces(encoded(*answer.frames[:-1]), draw))], (answer.text,))


def refused_then_well(draw):
    answer = Answer(draw)
    return Trial([refuse(429, retry_after=0), says(*answer.frames)], (answer.text,))


def error_within(draw):
    answer = Answer(draw)
    count = answer.place(draw)
    error = {"error": {"message": SECRET, "code": 502}}
    return Trial([says(*answer.frames[:count], error)], (answer.said(count),), "upstream", "error")


def ten_megabytes(draw):
    letter = draw.choice(["x", "é", "漢"])
    size = len(letter.encode())
    said = letter * (10_000_000 // size)
    return Trial([text(said, size=200_000)], (letter * (MOST_BYTES // size),), None, "length")


def nothing_to_say(draw):
    content = draw.choice([None, ""])
    return Trial([says(frame(content), *frames("")[1:])], ("",))


def calls_that_nobody_asked_for(draw):
    answer = Answer(draw)
    function = {"name": "rm", "arguments": json.dumps({"all": SECRET})}
    begun = frame(tool_calls=[{"index": 0, "id": "c", "function": function}])
    more = frame(tool_calls=[{"index": 0, "function": {"arguments": "…"}}])
    return Trial([says(*answer.with_some(draw, begun, more, more))], (answer.text,))


def carriage_returns(draw):
    answer = Answer(draw)
    pieces = in_pieces(encoded(*answer.frames, newline="\r\n"), draw)
    return Trial([raw(*pieces)], (answer.text,))


KINDS = (
    *(error_before_the_first_token, breaks_off, hangs, split_characters, comments, no_done),
    *(refused_then_well, error_within, ten_megabytes, nothing_to_say),
    *(calls_that_nobody_asked_for, carriage_returns),
)


def planned():
    """Each kind so many times, by the question that it is the answer to; the huge one only once
    in a hundred, since it takes as long as all others.
    """
    return {
        f"{kind.__name__} {n} of {SEED}": kind(random.Random(f"{SEED} {kind.__name__} {n}"))
        for kind in KINDS
        for n in range(1 + ROUNDS // 100 if kind is ten_megabytes else ROUNDS)
    }


@pytest.fixture
def trials():
    return planned()


@pytest.fixture
def model(trials):
    """Behaves as the question's trial says; again and again in the same way at its end."""
    left = {question: list(trial.behaviours) for question, trial in trials.items()}

    def behave(exchange):
        behaviours = left[exchange.request.question]
        chosen = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
        chosen(exchange)

    with FakeModel(otherwise=behave) as fake:
        yield fake


def test_what_is_stored_is_what_was_streamed_whatever_the_model_does(
    make_app, model, trials, caplog
):
    print(f"TEST_SEED={SEED} MODEL_FAULTS={ROUNDS}")
    caplog.set_level(logging.DEBUG)
    asked = {"openai_base_url": model.url, "openai_model": MODEL}
    patient = make_app("openai", model_timeout=30.0, max_answer_bytes=MOST_BYTES, **asked)
    impatient = make_app("openai", model_timeout=0.6, **asked)

    def attempt(question):
        app = impatient if question.startswith("hangs") else patient
        person = Client(app, f"{uuid4().hex}@example.com")
        answer = person.ask(question, "sse")
        body = b"".join(answer.response)
        seen = list(frames_of([body]))
        (_, stored) = person.messages(answer.headers["X-Conversation-Id"])
        return question, trials[question], body, seen, stored

    with ThreadPoolExecutor(6) as threads:
        for question, trial, body, seen, stored in threads.map(attempt, trials):
            assert stored["content"] == text_of(seen), question
            assert stored["content"] in trial.texts, question
            assert stored["status"] == ("failed" if trial.error_class else "complete"), question
            assert stored["error_class"] == trial.error_class, question
            assert stored["finish_reason"] == trial.finish_reason, question
            assert stored["parts"] is None, question
            assert seen[-1].event == ("error" if trial.error_class else "done"), question
            assert SECRET.encode() not in body, question
    assert len(trials) >= len(KINDS) == 12
    logged = [logging.Formatter().format(record) for record in caplog.get_records("call")]
    assert not [line for line in logged if SECRET in line]
