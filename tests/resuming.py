"""An answer with everything in it, whoever comes back to it, and what they are told."""

from itertools import groupby, islice
from threading import Thread

from app.responders.base import (
    Contexts,
    Data,
    ReasoningDelta,
    Step,
    TextDelta,
    ToolCall,
    ToolResult,
)

from .streams import frames, text_of

NASTY = "a\u0301 👩‍👩‍👧 \u202e \ufeff\u2028\u2029\x85 \r\n\n\t\x1b data: x \U0010ffff 漢字"
BEFORE = [
    ReasoningDelta("hm, "),
    ReasoningDelta("Huế"),
    ToolCall("c-1", "search", {"q": "Huế"}),
    ToolResult("c-1", [{"title": "Guide"}]),
    Contexts([{"source": "atlas.pdf", "page": 7}]),
    Step(),
    TextDelta("Huế lies "),
    TextDelta(NASTY),
    Data("chart", {"n": 1}),
]
AFTER = [
    TextDelta(" on the Perfume River."),
    ToolCall("c-2", "clock", {}),
    ToolResult("c-2", error="No clock."),
    Step(),
    TextDelta(" It is late."),
]
TEXT = f"Huế lies {NASTY} on the Perfume River. It is late."


def ask(client, **fields):
    """An answer that waits at its gate: its frames as they come, the first of them read."""
    response = client.ask("Where is Huế?", wire="sse", **fields)
    assert response.status_code == 200, response.text
    heard = frames(response.response)
    return next(heard), heard


def resume(client, conversation_id, last_event_id=None):
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    return client.get(f"/chat/{conversation_id}/stream?wire=sse", headers=headers)


def told(seen):
    """What events say: texts that follow each other as one, silences and numbers left out."""
    said = [(frame.event, frame.data) for frame in seen if frame.event]
    for event, alike in groupby(said, key=lambda it: it[0]):
        if event in ("delta", "reasoning"):
            yield event, "".join(data["text"] for _, data in alike)
        else:
            yield from alike


def kinds_of(seen):
    return sorted({frame.event for frame in seen if frame.event})


def others_of(seen):
    """What is no text, by kind: over the database it comes when the answer is over."""
    kinds = ("tool_call", "tool_result", "step", "data", "contexts")
    return {kind: [it.data for it in seen if it.event == kind] for kind in kinds}


def numbers_of(seen):
    return [frame.number for frame in seen if frame.number is not None]


def heard_elsewhere(gate, here, there, **fields):
    """Asks of one worker, listens on another while it is written; whether all of it was heard."""
    started, heard = ask(here, **fields)
    elsewhere = frames(resume(there, started.data["conversation_id"]).response)
    early = list(islice((frame for frame in elsewhere if frame.number is not None), 4))
    assert not gate.opened.is_set()
    gate.open()
    list(heard)
    return text_of([*early, *elsewhere]) == TEXT


class Listener:
    """Reads an answer's frames as they come, in a thread."""

    def __init__(self, response):
        self.seen = []
        self._thread = Thread(target=lambda: self.seen.extend(frames(response.response)))
        self._thread.start()

    def end(self):
        """All frames, when the last has come."""
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.seen
