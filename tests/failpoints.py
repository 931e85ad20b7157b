"""Where a worker dies when it gets there: methods of the product's own classes, by name.

`install(folder)` within the worker, `Failpoints(folder).arm(name)` outside: the next process that
gets there is gone at once, as by the kernel, and the place is harmless again.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Failpoint:
    """`when`: whether a call counts, by its arguments and, afterwards, what it gave."""

    method: str
    is_after: bool = False
    when: Callable[..., bool] = lambda *_, **__: True


def _says_something(_self, pieces, *_):
    return any(piece.text for piece in pieces)


def _says_nothing(_self, pieces, *_):
    return not any(piece.text for piece in pieces)


def _is_under_way(_self, _client, due, *_):
    return any(not carried.wire.is_ended for carried in due)


def _is_stopped(_self, outcome, *_):
    return outcome.status == "cancelled"


def _has_claimed(_self, claimed):
    return bool(claimed)


_ASKED = "app.services.chat:ChatService._begin"
_KEPT = "app.services.runs:RunService.keep"
_STORED = "app.services.runs:RunService.finish"
_ENDED = "app.streaming.run:Run.end"
_STOPPED = "app.repositories.runs:RunRepository.stop"
_CARRIED = "app.streaming.relay:Relay._send"

FAILPOINTS = {
    "before the question is committed": Failpoint(
        "app.repositories.messages:MessageRepository.append", is_after=True
    ),
    "after the question is committed": Failpoint(_ASKED, is_after=True),
    "after the run is launched": Failpoint("app.streaming.runner:Runner.launch", is_after=True),
    "before the first piece is said": Failpoint("app.streaming.run:Run._pass_on"),
    "before the wire is carried": Failpoint(_CARRIED, when=_is_under_way),
    "after the wire is carried": Failpoint(_CARRIED, is_after=True, when=_is_under_way),
    "before a chunk is kept": Failpoint(_KEPT, when=_says_something),
    "after a chunk is kept": Failpoint(_KEPT, is_after=True, when=_says_something),
    "before the lease is renewed": Failpoint(_KEPT, when=_says_nothing),
    "after the lease is renewed": Failpoint(_KEPT, is_after=True, when=_says_nothing),
    "before the answer is stored": Failpoint(_STORED),
    "after the answer is stored": Failpoint(_STORED, is_after=True),
    "after done is said": Failpoint(_ENDED, is_after=True),
    "before the stop is noted": Failpoint(_STOPPED),
    "after the stop is noted": Failpoint(_STOPPED, is_after=True),
    "before the stop takes effect": Failpoint(_ENDED, when=_is_stopped),
    "after a claim of the reaper": Failpoint(
        "app.services.runs:RunService._claim_expired", is_after=True, when=_has_claimed
    ),
    "before the remains are stored": Failpoint(
        "app.services.runs:RunService._remains", is_after=True
    ),
    "after the remains are stored": Failpoint("app.services.runs:RunService._ended", is_after=True),
}


class Failpoints:
    def __init__(self, folder):
        self._folder = Path(folder)

    def arm(self, name):
        assert name in FAILPOINTS
        self._file(name).touch()

    def is_armed(self, name):
        """Whether no process has got there since."""
        return self._file(name).exists()

    def reach(self, name):
        """Dies if the place is armed; of several processes only the first."""
        try:
            self._file(name).unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def _file(self, name):
        return self._folder / name.replace(" ", "-")


def install(folder):
    failpoints = Failpoints(folder)
    for name, failpoint in FAILPOINTS.items():
        _wrap(failpoints, name, failpoint)


def _wrap(failpoints, name, failpoint):
    module, _, path = failpoint.method.partition(":")
    kind, _, method = path.partition(".")
    owner = getattr(import_module(module), kind)
    original = getattr(owner, method)

    @wraps(original)
    def wrapped(*args: Any, **named: Any) -> Any:
        if not failpoint.is_after and failpoint.when(*args, **named):
            failpoints.reach(name)
        given = original(*args, **named)
        if failpoint.is_after and failpoint.when(*args, given, **named):
            failpoints.reach(name)
        return given

    setattr(owner, method, wrapped)
