"""Answers as clients read them while they come in."""

import json
import time
from typing import NamedTuple


class Frame(NamedTuple):
    """One server-sent event; a comment has neither name nor id, and its text as data.

    `number`: the event's on its run's wire, if it has a place there.
    """

    event: str | None
    number: int | None
    data: object
    event_id: str | None = None


def frames(pieces):
    """The frames of an sse wire, as soon as they are complete. Anything else is a failure."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n\n")
        yield from map(_frame, whole)
    assert not rest


def text_of(seen):
    """The answer's text as the deltas among frames tell it."""
    return "".join(frame.data["text"] for frame in seen if frame.event == "delta")


def until(condition, *, seconds=10.0):
    """What `condition` gives, once that is something."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        time.sleep(0.02)
    return found


def _frame(raw):
    if raw.startswith(b":"):
        return Frame(None, None, raw[1:].decode())
    event, number, data = raw.decode().split("\n")
    event_id = number.removeprefix("id: ")
    place = event_id.partition(":")[2]
    said = json.loads(data.removeprefix("data: "))
    return Frame(event.removeprefix("event: "), int(place) if place else None, said, event_id)
