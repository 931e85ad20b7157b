"""The live wire in Redis: a stream for each run, and what stands in an entry of it.

Key `w:<form>:<run id>`, fields:

f   the number of the entry's first event
o   how many characters of the answer's text were said before it
e   a JSON array of events, each `[number, code, …]`; texts that follow each other are joined, and
    have the number of the last of them
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any
from uuid import UUID

from ..json_text import dumps, loads
from ..responders.base import Data, Step, ToolCall, ToolResult
from .events import ENDINGS, SAYINGS, Heard, Passages, Reasoning, Started, Text

FORM = 1
"""Raise it with every change to the form of an entry."""

_CODES: dict[type[Any], str] = {
    Started: "s", Text: "t", Reasoning: "r", Passages: "p",
    Step: "n", ToolCall: "c", ToolResult: "u", Data: "d",
}  # fmt: skip
_EVENTS = {code: kind for kind, code in _CODES.items()}
_END = "e"
_IDS = ("conversation_id", "message_id", "user_message_id")


@dataclass(frozen=True, slots=True)
class Entry:
    """Consecutive events of a run. `is_last`: the run is over, and its answer is stored."""

    first: int
    offset: int
    heard: Sequence[Heard]
    is_last: bool = False


def key_of(run_id: UUID) -> str:
    """Where a run's stream is."""
    return f"w:{FORM}:{run_id}"


def stop_key_of(run_id: UUID) -> str:
    """What is there when a run's user wants no more of it."""
    return f"w:{FORM}:{run_id}:stop"


def watch_key_of(run_id: UUID) -> str:
    """What is there while a run is watched by a process that does not write it."""
    return f"w:{FORM}:{run_id}:watch"


def encode(heard: Sequence[Heard], offset: int) -> list[str | int | bytes]:
    """The fields of an entry, from events that follow each other: names and values by turns."""
    first = heard[0].number or 0
    return ["f", first, "o", offset, "e", dumps([_item(it) for it in _joined(heard)])]


def decode(fields_: Mapping[bytes, bytes]) -> Entry:
    """The entry that `encode` made; ValueError, KeyError or TypeError when it made no such one."""
    items = loads(fields_[b"e"])
    is_last = bool(items) and items[-1][1] == _END
    heard = [_heard(*item) for item in items if item[1] != _END]
    return Entry(int(fields_[b"f"]), int(fields_[b"o"]), heard, is_last)


def _joined(heard: Iterable[Heard]) -> Iterator[Heard]:
    """The events, with those joined that say more of the same."""
    for kind, alike in groupby(heard, key=lambda item: type(item.event)):
        if kind in SAYINGS:
            said = list(alike)
            text = "".join(item.event.text for item in said)  # type: ignore[union-attr]
            yield Heard(kind(text), said[-1].number)
        else:
            yield from alike


def _item(heard: Heard) -> list[Any]:
    event, number = heard
    if isinstance(event, ENDINGS):
        return [number, _END]
    values = [getattr(event, field.name) for field in fields(event)]
    return [number, _CODES[type(event)], *values]


def _heard(number: int, code: str, *values: Any) -> Heard:
    kind = _EVENTS[code]
    if type(number) is not int or (kind in SAYINGS and type(values[0]) is not str):
        raise ValueError("an event is wrong")
    named = dict(zip((field.name for field in fields(kind)), values, strict=True))
    ids = {name: UUID(named[name]) for name in _IDS} if kind is Started else {}
    return Heard(kind(**named | ids), number)
