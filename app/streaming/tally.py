"""What a watcher has heard of an answer, so that the stored answer goes on from there."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, cast

import orjson

from ..responders.base import Data, ToolCall, ToolResult
from .events import SAYINGS, Heard, Passages, WireEvent


class Tally:
    def __init__(self) -> None:
        self._counts: Counter[Hashable] = Counter()

    def note(self, event: WireEvent) -> None:
        """The watcher hears an event."""
        self._counts[_kind(event)] += _size(event)

    def rest(self, told: Iterable[Heard | None]) -> Iterator[Heard | None]:
        """Of an answer that is told from its beginning: what was not heard yet, and is now."""
        heard = self._counts.copy()
        for item in told:
            if item is None:
                yield None
                continue
            kind = _kind(item.event)
            count = min(heard[kind], _size(item.event))
            heard[kind] -= count
            if (unheard := _without(item.event, count)) is not None:
                self.note(unheard)
                yield Heard(unheard, item.number)


def _size(event: WireEvent) -> int:
    return len(event.text) if isinstance(event, SAYINGS) else 1


def _without(event: WireEvent, count: int) -> WireEvent | None:
    """An event without its first `count` characters, or its one occurrence."""
    if isinstance(event, SAYINGS):
        return type(event)(event.text[count:]) if event.text[count:] else None
    return None if count else event


def _kind(event: Any) -> Hashable:
    """What makes two events the same, or more of the same."""
    match event:
        case ToolCall() | ToolResult():
            return type(event), event.call_id
        case Data():
            return Data, event.name, event.data_id, event.is_transient, _canonical(event.data)
        case Passages(items):
            return Passages, _canonical(items)
        case _:
            return cast(Hashable, type(event))


def _canonical(value: Any) -> bytes:
    """Equal for equal JSON, whatever order the store gives its members."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
