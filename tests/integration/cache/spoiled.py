"""What can go wrong between a worker and Redis, at the step where it does."""

from functools import partial

from app.cache.client import Failure


class DiedError(BaseException):
    """A worker is gone."""


class SpoiledFence:
    """The Fence of a worker; the steps that are planned go wrong, once each.

    `unanswered`, `done unanswered` (it was carried out), `unheard` (nobody knows), `died`.
    """

    def __init__(self, fence):
        self._fence = fence
        self.planned = {}
        self.is_away = False
        """Whether Redis did not confirm to the worker, lately, that an old value is gone."""

    def __getattr__(self, step):
        return partial(self._run, getattr(self._fence, step), step)

    def _run(self, work, step, *arguments, **named):
        is_of_upkeep = step == "end" and arguments[1] == "-"
        fault = None if is_of_upkeep else self.planned.pop(step, None)
        reply = _spoiled(work, step, fault, *arguments, **named)
        if step in ("begin", "remove"):
            self.is_away = reply is False or isinstance(reply, Failure)
        return reply


def _spoiled(work, step, fault, *arguments, **named):
    if fault is None:
        return work(*arguments, **named)
    if fault == "died":
        raise DiedError
    if fault == "unheard":
        return [b"" if step == "begin" else "fenced" for _ in arguments[2]]
    if fault == "done unanswered":
        work(*arguments, **named)
    return False if step == "remove" else Failure.TIMEOUT


FAULTS = [
    {"begin": "unanswered"},
    {"begin": "done unanswered"},
    {"begin": "unheard"},
    {"begin": "unanswered", "remove": "unanswered"},
    {"begin": "done unanswered", "remove": "done unanswered", "end": "done unanswered"},
    {"begin": "unanswered", "remove": "unanswered", "end": "unanswered"},
    {"begin": "unanswered", "end": "died"},
    {"begin": "unanswered", "remove": "unanswered", "end": "died"},
    {"begin": "unheard", "end": "unanswered"},
    {"end": "unanswered"},
    {"end": "done unanswered"},
    {"end": "unheard"},
    {"end": "died"},
]
