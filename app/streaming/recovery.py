"""An answer whose writer is gone, put together from what is left of it."""

from collections.abc import Iterator, Sequence

from ..responders.base import Contexts, Event, ReasoningDelta, TextDelta
from .answer import Answer
from .entries import Entry
from .events import Passages, Reasoning, Started, Text, WireEvent


def recovered(kept: str, entries: Sequence[Entry], *, max_bytes: int) -> Answer:
    """What was kept of an answer's text, and what its wire has beyond that.

    A wire without a gap has all parts; of another, as far as its text goes on from what was kept.
    """
    answer, whole = Answer(max_bytes), list(_whole(entries))
    said = "".join(event.text for event in whole if isinstance(event, Text))
    text = _continued(kept, entries)
    if said.startswith(kept):
        for event in whole:
            if (said_as := _as_said(event)) is not None:
                answer.take(said_as)
        text = text[len(said) :]
    answer.take(TextDelta(text))
    return answer


def _whole(entries: Sequence[Entry]) -> Iterator[WireEvent]:
    """A wire's events from the first to the first gap."""
    number = 0
    for entry in entries:
        if entry.first != number:
            return
        for event, at in entry.heard:
            yield event
            number = (at or 0) + 1


def _continued(text: str, entries: Sequence[Entry]) -> str:
    for entry in entries:
        offset = entry.offset
        for event, _ in entry.heard:
            if isinstance(event, Text):
                text += event.text[len(text) - offset :] if offset <= len(text) else ""
                offset += len(event.text)
    return text


def _as_said(event: WireEvent) -> Event | None:
    """The responder's event that a watcher's stands for."""
    match event:
        case Text(text):
            return TextDelta(text)
        case Reasoning(text):
            return ReasoningDelta(text)
        case Passages(items):
            return Contexts(items)
        case Started():
            return None
        case _:
            return event  # type: ignore[return-value]
