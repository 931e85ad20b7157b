"""What the reaper makes of an answer whose process died: all that chunks and wire know together."""

import pytest

from app.responders.base import Contexts, Step, TextDelta, ToolCall, ToolResult
from app.services.runs import RunService
from tests.client import Client
from tests.responders import Gate
from tests.streams import frames, until

from .runs import text_of

SAID = [
    ToolCall("c-1", "search", {"q": "Huế"}),
    ToolResult("c-1", ["found"]),
    Contexts([{"page": 7}]),
    Step(),
    TextDelta("Huế lies "),
    TextDelta("on the Perfume River"),
]
TEXT = "Huế lies on the Perfume River"


class Dead:
    """An answer whose process died after all of it was carried, and how the reaper ends it."""

    def __init__(self, app, rows, mirrors, email):
        self._rows, self._mirrors = rows, mirrors
        first = next(frames(Client(app, email).ask("Where is Huế?", wire="sse").response))
        self._message_id = first.data["message_id"]
        query = "SELECT id FROM runs WHERE message_id = :id"
        ((self.run_id,),) = rows.run(query, id=self._message_id)
        until(lambda: text_of(self._carried()) == TEXT)
        app.extensions["parley"].runner.close()

    def keep(self, text):
        """Lets so much be kept of its text."""
        self._rows.run("DELETE FROM run_chunks WHERE run_id = :id", id=self.run_id)
        insert = (
            "INSERT INTO run_chunks (run_id, n, user_email, text) SELECT id, 0, user_email, :t "
        )
        self._rows.run(f"{insert} FROM runs WHERE id = :id", id=self.run_id, t=text)

    def reaped(self, runs):
        lost = "UPDATE runs SET attempt = attempt + 1, lease_until = now() - interval '1 s' "
        self._rows.run(f"{lost} WHERE id = :id", id=self.run_id)
        runs.reap()
        query = "SELECT * FROM messages WHERE id = :id AND status <> 'streaming'"
        return until(lambda: self._rows.run(query, id=self._message_id))[0]

    def _carried(self):
        return [it for entry in self._mirrors.entries(self.run_id) for it in entry.heard]


@pytest.fixture
def dead(make_app, rows, mirrors, email):
    gate = Gate(*SAID)
    yield Dead(make_app(gate), rows, mirrors, email)
    gate.open()


@pytest.fixture
def runs(database, mirrors):
    return RunService(database, mirrors, max_answer_bytes=10**6)


@pytest.mark.parametrize("kept", ["", "Huế", TEXT])
def test_what_was_heard_is_kept_with_its_parts_however_little_was_kept_before(dead, runs, kept):
    dead.keep(kept)
    message = dead.reaped(runs)
    assert (message.status, message.error_class) == ("interrupted", "crashed")
    assert message.content == TEXT
    assert message.retrieved_docs == [{"page": 7}]
    kinds = [part["type"] for part in message.parts]
    assert kinds == ["step-start", "tool-search", "step-start", "text"]
    assert message.parts[1]["output"] == ["found"]


def test_without_a_wire_what_was_kept_is_the_answer(dead, runs, store):
    dead.keep("Huế lies")
    store.delete(f"w:1:{dead.run_id}")
    message = dead.reaped(runs)
    assert (message.status, message.content, message.parts) == ("interrupted", "Huế lies", None)


def test_garbage_in_the_wires_place_costs_nothing_that_was_kept(dead, runs, store):
    dead.keep("Huế lies")
    store.delete(f"w:1:{dead.run_id}")
    store.xadd(f"w:1:{dead.run_id}", {"f": "0", "o": "0", "e": '[[0,"t",7]]'})
    assert dead.reaped(runs).content == "Huế lies"
