"""The typed parts of an answer, in the order in which they came, and the events they stand for.

Their form is that of the Vercel AI SDK's stored messages (UIMessage.parts), so that front ends can
show them as they are.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..responders.base import Data, Step, ToolCall, ToolResult
from ..transcript import Turn
from .events import Passages, Reasoning, Text, WireEvent

_SAYINGS: Mapping[str, type[Text | Reasoning]] = {"text": Text, "reasoning": Reasoning}
_TOOL, _DATA = "tool-", "data-"


class Parts:
    """Collects an answer's parts. It begins with its first step."""

    def __init__(self) -> None:
        self._parts: list[dict[str, Any]] = [{"type": "step-start"}]
        self._calls: dict[str, dict[str, Any]] = {}
        self._named: dict[tuple[str, str | None], dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def accepts(self, event: Step | ToolCall | ToolResult | Data) -> bool:
        """Whether it makes sense here: a call comes once, and so does its result."""
        match event:
            case ToolCall():
                return event.call_id not in self._calls
            case ToolResult():
                return self._calls.get(event.call_id, {}).get("state") == "input-available"
        return True

    def say(self, kind: str, text: str) -> None:
        """Adds a piece of `text` or `reasoning` to the last part, or to a new one."""
        if self._parts[-1]["type"] != kind:
            self._parts.append({"type": kind, "text": [], "state": "done"})
        self._parts[-1]["text"].append(text)

    def add(self, event: Step | ToolCall | ToolResult | Data) -> None:
        """Adds what is accepted."""
        match event:
            case Step():
                self._parts.append({"type": "step-start"})
            case ToolCall():
                self._calls[event.call_id] = _called(event)
                self._parts.append(self._calls[event.call_id])
            case ToolResult():
                self._calls[event.call_id].update(_ended(event))
            case Data(is_transient=False):
                self._show(event)

    def as_json(self) -> list[dict[str, Any]] | None:
        """All parts; None where there is no more than one text, which says everything."""
        kinds = [part["type"] for part in self._parts]
        if kinds in (["step-start"], ["step-start", "text"]):
            return None
        return [_joined(part) for part in self._parts]

    def _show(self, data: Data) -> None:
        shown, name = _shown(data), (data.name, data.data_id)
        if name in self._named:
            self._named[name].update(shown)
            return
        self._parts.append(shown)
        if data.data_id is not None:
            self._named[name] = shown


def events_of(turn: Turn) -> Iterator[WireEvent]:
    """What a watcher would have heard of an answer that is stored, but for its end."""
    yield from _events_of_parts(turn) or ([Text(turn.content)] if turn.content else [])
    if turn.contexts:
        yield Passages(turn.contexts)


def _called(call: ToolCall) -> dict[str, Any]:
    return {
        "type": _TOOL + call.name,
        "toolCallId": call.call_id,
        "state": "input-available",
        "input": call.input,
        "providerExecuted": True,
    }


def _ended(result: ToolResult) -> dict[str, Any]:
    if result.error is not None:
        return {"state": "output-error", "errorText": result.error}
    return {"state": "output-available", "output": result.output}


def _shown(data: Data) -> dict[str, Any]:
    named = {} if data.data_id is None else {"id": data.data_id}
    return {"type": _DATA + data.name, **named, "data": data.data}


def _joined(part: Mapping[str, Any]) -> dict[str, Any]:
    is_said = part["type"] in _SAYINGS
    return {**part, "text": "".join(part["text"])} if is_said else dict(part)


def _events_of_parts(turn: Turn) -> list[WireEvent]:
    """The events of parts that a run of ours made; none of those that a client sent."""
    first, *others = turn.parts or [{}]
    if first.get("type") != "step-start":
        return []
    try:
        return [event for part in others for event in _events_of(part)]
    except (KeyError, TypeError, AttributeError):
        return []


def _events_of(part: Mapping[str, Any]) -> Iterator[WireEvent]:
    """KeyError, TypeError: it is no part of ours."""
    kind = part["type"]
    if kind == "step-start":
        yield Step()
    elif kind in _SAYINGS:
        yield _SAYINGS[kind](_word(part["text"]))
    elif kind.startswith(_DATA):
        yield Data(kind.removeprefix(_DATA), part["data"], _word_or_none(part.get("id")))
    elif kind.startswith(_TOOL):
        call_id, error = _word(part["toolCallId"]), part.get("errorText")
        yield ToolCall(call_id, kind.removeprefix(_TOOL), part["input"])
        if part["state"] != "input-available":
            yield ToolResult(call_id, part.get("output"), _word_or_none(error))


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a part is no part of ours")
    return value


def _word_or_none(value: Any) -> str | None:
    return None if value is None else _word(value)
