"""The wire forms of a run: plain text for existing clients, and server-sent events.

text  the answer, then a newline, `__CONTEXT__:` and a JSON array; never split over two chunks.
sse   `event:` message, delta, reasoning, contexts, step, tool_call, tool_result, data; at the end
      done or error. `data:` is JSON; `id:` is the answer's message id, a colon and the event's
      number. Without a number the event stands at no place on the wire: who comes back with such
      an id, or an unknown one, hears all from a new `message` on.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from ..ids import parse_id
from ..json_text import dumps
from ..responders.base import Data, Step, ToolCall, ToolResult
from .events import Done, Failed, Heard, Passages, Reasoning, Started, Text, WireEvent

CONTEXT_MARKER = "__CONTEXT__:"
ERROR_MARKER = "[upstream_error]"
HEADERS = b""
"""The first piece of every wire: with it, servers send the headers, which name the answer."""
HEARTBEAT = b": keep-alive\n\n"
_LONGEST_NUMBER = 10

_NAMES: dict[type[WireEvent], str] = {
    Started: "message",
    Text: "delta",
    Reasoning: "reasoning",
    Passages: "contexts",
    Step: "step",
    ToolCall: "tool_call",
    ToolResult: "tool_result",
    Data: "data",
    Done: "done",
    Failed: "error",
}


def plain_text(heard: Iterable[Heard | None]) -> Iterator[bytes]:
    """The text wire. Nothing can be said in silence, so there is no heartbeat."""
    contexts: bytes | None = None
    yield HEADERS
    for item in heard:
        match item and item.event:
            case Text(text):
                yield text.encode()
            case Passages(items):
                contexts = f"\n{CONTEXT_MARKER}".encode() + dumps(items)
            case Failed() as failed:
                yield f"\n{ERROR_MARKER} {failed.message}".encode()
    if contexts is not None:
        yield contexts


def server_sent(message_id: UUID, heard: Iterable[Heard | None]) -> Iterator[bytes]:
    """The sse wire (WHATWG HTML, server-sent events); silence is a comment."""
    yield HEADERS
    answer = str(message_id)
    for item in heard:
        if item is None:
            yield HEARTBEAT
            continue
        place = "" if item.number is None else f":{item.number}"
        yield frame(_NAMES[type(item.event)], answer + place, _data(item.event))


def frame(name: str, event_id: str, data: Any) -> bytes:
    """One server-sent event, its data as JSON in one line."""
    return f"event: {name}\nid: {event_id}\ndata: ".encode() + dumps(data) + b"\n\n"


class Place(NamedTuple):
    """An event by the id that it had on the sse wire; see `Heard` for its number."""

    message_id: UUID
    number: int | None


def place_of(event_id: str | None) -> Place | None:
    """The place that an event's id names; None when it is no id of ours."""
    message, _, number = (event_id or "").partition(":")
    if (message_id := parse_id(message)) is None:
        return None
    is_number = number.isascii() and number.isdecimal() and len(number) < _LONGEST_NUMBER
    return Place(message_id, int(number) if is_number else None)


def _data(event: WireEvent) -> Any:
    match event:
        case Passages(items):
            return {"contexts": items}
        case Done(turn, revision):
            return {"message": turn, "revision": revision}
        case Failed():
            return {
                "status": event.status,
                "code": event.error_class,
                "detail": event.message,
                "message": event.turn,
                "revision": event.revision,
            }
        case _:
            return event
