"""Responders for tests: functions for servers (RESPONDER="tests.responders:slow"), and a Gate.

They import nothing but what a host's own responder would.
"""

import os
import re
import time
from pathlib import Path
from threading import Event

from app.responders.base import Contexts, Finish, Usage

SECRET = "responder-internals-sk-77ab"


def slow(prompt):
    """Forty numbers in two seconds; after three, if it is asked to think first."""
    time.sleep(3 if prompt.question == "Think first." else 0)
    for number in range(40):
        time.sleep(0.05)
        yield f"{number} "
    yield Finish("stop", model="slow-1")


def endless(prompt):
    """A number each 20 ms; ends only when it is closed, or after two minutes."""
    for number in range(6000):
        time.sleep(0.02)
        yield f"{number} "


def failing(prompt):
    """Half an answer, then an error that quotes what nobody may see."""
    yield "half an "
    raise RuntimeError(SECRET)


def complete(prompt):
    """Everything that an answer can have."""
    yield Contexts([{"source": "atlas.pdf", "chunk": "Huế lies on the Perfume River.", "page": 7}])
    yield "In central "
    yield "Vietnam."
    yield Usage(11, 3)
    yield Finish("stop", model="complete-1")


def recital(question):
    """The pieces of the answer to "Recite 40 from 7, one each 20 ms.", and seconds between them."""
    count, first, pace = map(int, re.findall(r"\d+", question))
    return [f"{number}· 字 " for number in range(first, first + count)], pace / 1000


def reciting(prompt):
    """What `recital` says. Each question that reaches it is a line of the file RECITED, if any."""
    if told := os.environ.get("RECITED"):
        with Path(told).open("a") as lines:
            lines.write(f"{prompt.user_email} {prompt.question}\n")
    pieces, pace = recital(prompt.question)
    for piece in pieces:
        time.sleep(pace)
        yield piece


class Gate:
    """Says `before`, waits until it is opened, says `after`. Knows whether it was closed early.

    `reached` is set when it waits, `closed` when its answer is over in whatever way; `prompts`
    holds what it was asked.
    """

    def __init__(self, *before, after=("after",), patience=20):
        self.prompts = []
        self.reached, self.opened, self.closed = Event(), Event(), Event()
        self._before, self._after, self._patience = before, after, patience

    def __call__(self, prompt):
        self.prompts.append(prompt)
        try:
            yield from self._before
            self.reached.set()
            if not self.opened.wait(self._patience):
                raise TimeoutError("nobody opened the gate")
            yield from self._after
        finally:
            self.closed.set()

    def open(self):
        self.opened.set()
