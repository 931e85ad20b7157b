"""The wire forms of a run: plain text for existing clients, and server-sent events.

text  the answer, then a newline, `__CONTEXT__:` and a JSON array; never split over two chunks.
sse   `event: message | delta | reasoning | contexts | done | error`, `id:` from 0, JSON data.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from ..json_text import dumps
from .events import Done, Failed, Passages, Reasoning, Started, Text, WireEvent

CONTEXT_MARKER = "__CONTEXT__:"
ERROR_MARKER = "[upstream_error]"
HEARTBEAT = b": keep-alive\n\n"


def plain_text(events: Iterable[WireEvent | None]) -> Iterator[bytes]:
    """The text wire. Nothing can be said in silence, so there is no heartbeat.

    An empty piece comes first: with it, servers send the headers, which name the answer.
    """
    contexts: bytes | None = None
    for event in events:
        match event:
            case Started():
                yield b""
            case Text(text):
                yield text.encode()
            case Passages(items):
                contexts = f"\n{CONTEXT_MARKER}".encode() + dumps(items)
            case Failed():
                yield f"\n{ERROR_MARKER} {event.message}".encode()
    if contexts is not None:
        yield contexts


def server_sent(events: Iterable[WireEvent | None]) -> Iterator[bytes]:
    """The sse wire (WHATWG HTML, server-sent events); silence is a comment."""
    number = 0
    for event in events:
        if event is None:
            yield HEARTBEAT
            continue
        name, data = _frame(event)
        yield f"event: {name}\nid: {number}\ndata: ".encode() + dumps(data) + b"\n\n"
        number += 1


def _frame(event: WireEvent) -> tuple[str, Any]:
    match event:
        case Started():
            return "message", asdict(event)
        case Text(text):
            return "delta", {"text": text}
        case Reasoning(text):
            return "reasoning", {"text": text}
        case Passages(items):
            return "contexts", {"contexts": items}
        case Done(turn, revision):
            return "done", {"message": turn, "revision": revision}
        case Failed():
            return "error", {
                "status": event.status,
                "code": event.error_class,
                "detail": event.message,
                "message": event.turn,
                "revision": event.revision,
            }
