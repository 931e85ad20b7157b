"""A worker that dies at a failpoint while somebody listens to it, and what must be true after."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tests.failpoints import Failpoints
from tests.server import Server
from tests.streams import until

from .accounting import answers, check
from .killing import MOST_LOST_BYTES, MOST_LOST_SECONDS, expire
from .listening import Heard, Listener

USUAL = "Recite 75 from 1, one each 20 ms."
SILENT = "Recite 2 from 1, one each 1500 ms."
BRIEF = "Recite 10 from 1, one each 20 ms."


@dataclass(frozen=True)
class After:
    """What a death leaves: statuses the answer may have, and how often its model was asked.

    `knows`: the most that the client had heard: nothing, a part, the whole text, or its end.
    """

    statuses: set[str]
    asked: set[int]
    knows: str = "part"
    question: str = USUAL
    kills: str = "asking"


_GOES_ON = {"interrupted", "complete"}
AFTER = {
    "before the question is committed": After({"not stored"}, {0}, "nothing"),
    "after the question is committed": After({"interrupted"}, {0}, "nothing"),
    "after the run is launched": After({"interrupted"}, {0, 1}, "nothing"),
    "before the first piece is said": After({"interrupted"}, {1}),
    "before the wire is carried": After({"interrupted"}, {0, 1}),
    "after the wire is carried": After({"interrupted"}, {0, 1}),
    "before a chunk is kept": After({"interrupted"}, {1}),
    "after a chunk is kept": After({"interrupted"}, {1}),
    "before the lease is renewed": After({"interrupted"}, {1}, question=SILENT),
    "after the lease is renewed": After({"interrupted"}, {1}, question=SILENT),
    "before the answer is stored": After({"interrupted"}, {1}, "text", BRIEF),
    "after the answer is stored": After({"complete"}, {1}, "text", BRIEF),
    "after done is said": After({"complete"}, {1}, "end", BRIEF),
    "before the stop is noted": After(_GOES_ON, {1}, "end", kills="stopping"),
    "after the stop is noted": After({"cancelled"}, {1}, "end", kills="stopping"),
    "before the stop takes effect": After({"cancelled"}, {1}, "text", kills="stopping"),
    "after a claim of the reaper": After({"interrupted"}, {1}, kills="reaping"),
    "before the remains are stored": After({"interrupted"}, {1}, kills="reaping"),
    "after the remains are stored": After({"interrupted"}, {1}, kills="reaping"),
}


class Mortuary:
    """A server whose workers die on demand, and who asks it."""

    def __init__(self, app, server, folder, rows):
        self._app = app
        self.server = server
        self._failpoints = Failpoints(folder)
        self._recited = folder / "recited"
        self._rows = rows

    def die_at(self, name):
        """What was heard of a question while a worker died there."""
        after = AFTER[name]
        listener = Listener(self._app, f"{uuid4().hex}@example.com")
        heard = _KILLS[after.kills](self, name, listener, after.question)
        until(lambda: not self._failpoints.is_armed(name), seconds=30)
        until(self.server.is_alive, seconds=30)
        return heard

    def check(self, name, heard):
        """What must be true when the leases are over."""
        after = AFTER[name]
        loss, answer = check(self._rows, heard)
        assert (answer.status if answer else "not stored") in after.statuses, (name, heard)
        assert loss.bytes <= MOST_LOST_BYTES or loss.seconds <= MOST_LOST_SECONDS, (name, loss)
        assert self.times_asked(heard) in after.asked, name
        if after.knows == "nothing":
            assert heard.started is None
        if after.knows in ("nothing", "part"):
            assert heard.text != heard.expected
        if after.knows != "end":
            assert heard.ending is None, (name, heard.ending)

    def check_repeated(self, name, heard):
        """What the same question, sent again, is answered with: what is stored, or its answer."""
        before = answers(self._rows, heard)
        listener = Listener(self._app, heard.email)
        again = listener.repeat(self.server, heard)
        (stored,) = answers(self._rows, heard)
        assert again.started["message_id"] == str(stored.id)
        assert again.text == stored.content
        assert again.ending.data["message"]["status"] == stored.status
        assert self.times_asked(heard) in (AFTER[name].asked if before else {1})

    def times_asked(self, heard):
        """How often a question reached the model."""
        lines = self._recited.read_text().splitlines() if self._recited.exists() else []
        return lines.count(f"{heard.email} {heard.question}")

    def asking(self, name, listener, question):
        self._failpoints.arm(name)
        return listener.ask(self.server, question)

    def stopping(self, name, listener, question):
        heard = Heard(listener.email, question)
        listening = threading.Thread(target=listener.listen, args=(self.server, heard))
        listening.start()
        until(lambda: len(heard.pieces) > 3)
        self._failpoints.arm(name)
        listener.stop(self.server, heard)
        listening.join()
        return heard

    def reaping(self, name, listener, question):
        """Dies twice: first who answers, then who ends the answer."""
        heard = self.asking("after a chunk is kept", listener, question)
        self._failpoints.arm(name)
        expire(self._rows, [heard])
        return heard


_KILLS = {
    "asking": Mortuary.asking,
    "stopping": Mortuary.stopping,
    "reaping": Mortuary.reaping,
}


@contextmanager
def mortuary(app, settings, rows, folder: Path):
    environ = {
        "RESPONDER": "tests.responders:reciting",
        "RECITED": str(folder / "recited"),
        "FAILPOINTS": str(folder),
        "MAX_RUNS_PER_USER": "1000",
        "WEB_CONCURRENCY": "3",
    }
    with Server(settings, application="tests.failing:app", **environ) as server:
        yield Mortuary(app, server, folder, rows)
