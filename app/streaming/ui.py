"""The AI SDK's UI message stream, version 1, and the messages that its clients keep.

What a client has at the end of a stream is what `ui_message` gives for the stored turn: sources
come last, and the metadata of an ending is made of the same turn.
https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args
from uuid import UUID

from ..json_text import dumps
from ..responders.base import Data, FinishReason, Step, ToolCall, ToolResult
from ..transcript import Turn
from .encoders import HEADERS, HEARTBEAT
from .events import Done, Failed, Heard, Passages, Reasoning, Started, Text, WireEvent

UI_MESSAGE_ID = "ui_message_id"
"""Where a version of a message keeps the id that its client goes on calling it by."""

Chunk = Mapping[str, Any]

_STEP: Chunk = {"type": "step-start"}
_TITLES = ("title", "source", "name", "filename")
_SHOWN = (
    "parent_id", "status", "created_at", "model", "finish_reason", "error_class", "prompt_tokens",
    "completion_tokens", "tokens_used", "latency_ms", "first_token_ms",
)  # fmt: skip


def ui_stream(events: Iterable[Heard | None], conversation_id: UUID) -> Iterator[bytes]:
    """The ui wire: each piece is whole chunks as server-sent events; silence is a comment."""
    encoder = _Encoder(conversation_id)
    yield HEADERS
    for heard in events:
        if heard is None:
            yield HEARTBEAT
        elif chunks := list(encoder.take(heard.event)):
            yield b"".join(b"data: " + dumps(chunk) + b"\n\n" for chunk in chunks)
    yield b"data: [DONE]\n\n"


def ui_message(turn: Turn, conversation_id: UUID) -> dict[str, Any]:
    """A turn as a UIMessage. What a user wrote is called by its client's own id, if it has one."""
    noted = turn.metadata.get(UI_MESSAGE_ID)
    own_id = noted if noted and isinstance(noted, str) else turn.client_message_id
    is_asked = turn.role in ("user", "system")
    return {
        "id": own_id if own_id and is_asked else str(turn.id),
        "role": turn.role if is_asked else "assistant",
        "metadata": _metadata(turn, conversation_id),
        "parts": _said(turn) if is_asked else [*_answered(turn), *_sources(turn.contexts)],
    }


@dataclass(slots=True)
class _Encoder:
    """What a client of the stream has been told so far, as far as it matters for what comes."""

    _conversation_id: UUID
    _open: tuple[str, str] | None = None
    _said: int = 0
    _thought: int = 0
    _calls: set[str] = field(default_factory=set)
    _shown: set[tuple[str, str]] = field(default_factory=set)
    _passages: Sequence[Mapping[str, Any]] | None = None

    def take(self, event: WireEvent) -> Iterator[Chunk]:
        """The chunks that tell an event."""
        match event:
            case Started():
                yield from self._start(event)
            case Text(text):
                yield from self._say("text", text)
            case Reasoning(text):
                yield from self._say("reasoning", text)
            case Passages(items):
                self._passages = items
            case Done() | Failed():
                yield from self._end(event)
            case _:
                yield from self._act(event)

    def _start(self, event: Started) -> Iterator[Chunk]:
        known = {
            "conversation_id": self._conversation_id,
            "parent_id": event.user_message_id,
            "status": "streaming",
        }
        yield {"type": "start", "messageId": str(event.message_id), "messageMetadata": known}
        yield {"type": "start-step"}

    def _say(self, kind: str, text: str) -> Iterator[Chunk]:
        if self._open is None or self._open[0] != kind:
            yield from self._close()
            yield self._begin(kind)
        yield {"type": f"{kind}-delta", "id": self._open[1], "delta": text}  # type: ignore[index]

    def _begin(self, kind: str) -> Chunk:
        """Clients keep the id of a reasoning part: it must be the one that `_answered` gives."""
        if kind == "reasoning":
            self._thought += 1
            self._open = (kind, _reasoning_id(self._thought))
        else:
            self._said += 1
            self._open = (kind, f"text-{self._said}")
        return {"type": f"{kind}-start", "id": self._open[1]}

    def _close(self) -> Iterator[Chunk]:
        """A client fails at text for a part that is not open, and keeps one open for ever."""
        if self._open is not None:
            kind, part_id = self._open
            self._open = None
            yield {"type": f"{kind}-end", "id": part_id}

    def _act(self, event: Step | ToolCall | ToolResult | Data) -> Iterator[Chunk]:
        if self._adds(event):
            yield from self._close()
        match event:
            case Step():
                yield {"type": "finish-step"}
                yield {"type": "start-step"}
            case ToolCall():
                self._calls.add(event.call_id)
                yield _called(event)
            case ToolResult() if event.call_id in self._calls:  # else the client would fail
                yield _came_to(event)
            case Data():
                yield _shown(event)

    def _adds(self, event: Step | ToolCall | ToolResult | Data) -> bool:
        """Whether it becomes a part: what only changes one divides no text, as in `Parts`."""
        if isinstance(event, Data) and event.data_id is not None and not event.is_transient:
            is_known = (event.name, event.data_id) in self._shown
            self._shown.add((event.name, event.data_id))
            return not is_known
        return not isinstance(event, ToolResult) and not getattr(event, "is_transient", False)

    def _end(self, event: Done | Failed) -> Iterator[Chunk]:
        yield from self._close()
        yield from _sources(event.turn.contexts if event.turn else self._passages)
        yield {"type": "finish-step"}
        yield from self._finish(event.turn) if isinstance(event, Done) else self._fail(event)

    def _finish(self, turn: Turn) -> Iterator[Chunk]:
        is_known = turn.finish_reason in get_args(FinishReason)
        reason = {"finishReason": turn.finish_reason} if is_known else {}
        metadata = _metadata(turn, self._conversation_id)
        yield {"type": "finish", **reason, "messageMetadata": metadata}

    def _fail(self, event: Failed) -> Iterator[Chunk]:
        """Clients stop listening at an error: what they are to know comes before it."""
        metadata = (
            _metadata(event.turn, self._conversation_id)
            if event.turn
            else {"status": event.status, "error_class": event.error_class}
        )
        yield {"type": "message-metadata", "messageMetadata": metadata}
        is_stopped = event.status == "cancelled"
        yield {"type": "abort"} if is_stopped else {"type": "error", "errorText": event.message}


def _called(event: ToolCall) -> Chunk:
    """A browser runs tools by itself, unless it hears that its provider does."""
    return {
        "type": "tool-input-available",
        "toolCallId": event.call_id,
        "toolName": event.name,
        "input": event.input,
        "providerExecuted": True,
    }


def _came_to(event: ToolResult) -> Chunk:
    kind, result = (
        ("tool-output-available", {"output": event.output})
        if event.error is None
        else ("tool-output-error", {"errorText": event.error})
    )
    return {"type": kind, "toolCallId": event.call_id, **result, "providerExecuted": True}


def _shown(event: Data) -> Chunk:
    named = {} if event.data_id is None else {"id": event.data_id}
    fleeting = {"transient": True} if event.is_transient else {}
    return {"type": f"data-{event.name}", **named, "data": event.data, **fleeting}


def _sources(contexts: Sequence[Mapping[str, Any]] | None) -> Iterator[Chunk]:
    """Passages as a client shows them; the whole of each is beside it."""
    for number, context in enumerate(contexts or (), 1):
        whole = {"sourceId": f"source-{number}", "providerMetadata": {"parley": context}}
        title, url = _title_of(context), context.get("url")
        if isinstance(url, str) and url.lower().startswith(("http://", "https://")):
            yield {"type": "source-url", "url": url, **({"title": title} if title else {}), **whole}
        else:
            named = {"mediaType": "text/plain", "title": title or f"Passage {number}"}
            yield {"type": "source-document", **named, **whole}


def _title_of(context: Mapping[str, Any]) -> str | None:
    given = (context.get(name) for name in _TITLES)
    return next((title for title in given if isinstance(title, str) and title.strip()), None)


def _said(turn: Turn) -> Sequence[Chunk]:
    return turn.parts or [{"type": "text", "text": turn.content}]


def _answered(turn: Turn) -> Iterator[Chunk]:
    thought = 0
    for part in turn.parts or _plain(turn.content):
        thought += part.get("type") == "reasoning"
        is_nameless = part.get("type") == "reasoning" and "id" not in part
        yield {**part, "id": _reasoning_id(thought)} if is_nameless else part


def _plain(text: str) -> Sequence[Chunk]:
    return [_STEP, {"type": "text", "text": text, "state": "done"}] if text else [_STEP]


def _reasoning_id(number: int) -> str:
    return f"reasoning-{number}"


def _metadata(turn: Turn, conversation_id: UUID) -> dict[str, Any]:
    """What there is to know of a turn, beside what its client keeps in it."""
    own = {name: value for name, value in turn.metadata.items() if name != UI_MESSAGE_ID}
    known = {name: getattr(turn, name) for name in _SHOWN if getattr(turn, name) is not None}
    counted = {} if turn.tokens_used is None else {"usage_is_estimated": turn.usage_is_estimated}
    return {**own, "conversation_id": conversation_id, **known, **counted}
