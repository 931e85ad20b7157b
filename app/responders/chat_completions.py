"""Chat Completions as it is spoken: what is in a request, and the events in an answer.

The dialect is OpenAI's (`chat.completion.chunk`) with what Ollama, vLLM, LiteLLM, OpenRouter and
Mistral add to it or leave out. Unknown fields are passed over.
"""

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeGuard

from ..errors import ModelError
from ..json_text import dumps
from ..transcript import Turn
from .base import Event, Finish, FinishReason, Prompt, ReasoningDelta, TextDelta, ToolCall, Usage
from .sse import DONE
from .tool_calls import CallPiece

Message: TypeAlias = dict[str, Any]

_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
    "error": "error",
}
_MOST_TOKENS = 2**31 - 1
_LONGEST_NAME = 200


def messages(prompt: Prompt) -> list[Message]:
    """System prompt, what was said before as far as it can be repeated, and the question."""
    system = [_message("system", prompt.system_prompt)] if prompt.system_prompt else []
    history = [_message(turn.role, turn.content) for turn in prompt.history.turns if _counts(turn)]
    return [*system, *history, _message("user", prompt.question)]


def asked(text: str, calls: Iterable[ToolCall]) -> Message:
    """What the model said in a round that ended in calls. Input that is no object is left out."""
    return {"role": "assistant", "content": text or None, "tool_calls": [_call(c) for c in calls]}


def result(call_id: str, content: str) -> Message:
    """What a call came to, for the model to read."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def events(payloads: Iterable[str], *, model: str) -> Iterator[Event | CallPiece]:
    """The events that an answer's payloads stand for; Usage and Finish come last, once.

    `model` is named in Finish when the provider names none. Raises ModelError: `upstream` at the
    provider's error object or at what isn't JSON, `broken_off` at an end without finish_reason,
    unless text and `[DONE]` came. After a finish_reason no fault takes anything from the answer.
    """
    answer = _Answer(model)
    try:
        for payload in payloads:
            if payload == DONE:
                answer.reason = answer.reason or ("other" if answer.has_begun else None)
                break
            for event in answer.take(payload):
                answer.has_begun = True
                yield event
    except ModelError:
        if answer.reason is None:
            raise
    if answer.reason is None:
        raise ModelError(error_class="broken_off")
    yield from answer.end(answer.reason)


class _ScalarText:
    """Text as whole Unicode scalar values without NUL, which every store takes.

    What isn't one becomes U+FFFD. A surrogate pair may be cut between two deltas, by providers
    that slice UTF-16: UTF-16's incremental decoder joins it again.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-16-le")("replace")

    def take(self, text: str, *, is_last: bool = False) -> str:
        whole = self._decoder.decode(text.encode("utf-16-le", "surrogatepass"), is_last)
        return whole.replace("\0", "\ufffd")


@dataclass(slots=True)
class _Answer:
    """What is known of an answer so far."""

    model: str
    has_begun: bool = False
    reason: FinishReason | None = None
    usage: Usage | None = None
    text: _ScalarText = field(default_factory=_ScalarText)
    reasoning: _ScalarText = field(default_factory=_ScalarText)

    def take(self, payload: str) -> Iterator[Event | CallPiece]:
        chunk = _parsed(payload)
        choice = _first(chunk.get("choices"))
        if chunk.get("error") or chunk.get("object") == "error" or choice.get("error"):
            raise ModelError(error_class="upstream")
        self.model = _name(chunk.get("model")) or self.model
        self.usage = _usage(chunk.get("usage")) or self.usage
        yield from self._deltas(_mapping(choice.get("delta") or choice.get("message")))
        if reason := choice.get("finish_reason"):
            self.reason = _REASONS.get(str(reason), "other")

    def end(self, reason: FinishReason) -> Iterator[Event]:
        if text := self.text.take("", is_last=True):
            yield TextDelta(text)
        if self.usage:
            yield self.usage
        yield Finish(reason, self.model)

    def _deltas(self, delta: Mapping[str, Any]) -> Iterator[Event | CallPiece]:
        thought = _text(delta.get("reasoning_content") or delta.get("reasoning"))
        if thought := self.reasoning.take(thought):
            yield ReasoningDelta(thought)
        text = _text(delta.get("content")) or _text(delta.get("refusal"))
        if text := self.text.take(text):
            yield TextDelta(text)
        yield from _call_pieces(delta.get("tool_calls"))


def _counts(turn: Turn) -> bool:
    is_said = turn.status not in ("streaming", "failed") and bool(turn.content.strip())
    return is_said and turn.role != "tool"


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = dumps(call.input if isinstance(call.input, Mapping) else {}).decode()
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.call_id, "type": "function", "function": function}


def _call_pieces(pieces: object) -> Iterator[CallPiece]:
    """Those that say something: a piece without a word must not pass for a sign of life."""
    for piece in pieces if isinstance(pieces, list) else ():
        call = _mapping(piece)
        function, index = _mapping(call.get("function")), call.get("index")
        said = (_text(call.get("id")), _text(function.get("name")), _arguments(function))
        if any(said):
            yield CallPiece(index if _is_count(index) else None, *said)


def _arguments(function: Mapping[str, Any]) -> str:
    """The text of arguments; some servers send the object itself."""
    arguments = function.get("arguments")
    return json.dumps(arguments) if isinstance(arguments, dict) else _text(arguments)


def _parsed(payload: str) -> Mapping[str, Any]:
    # The standard library's parser: orjson refuses the lone surrogates that providers do send.
    try:
        return _mapping(json.loads(payload))
    except (ValueError, RecursionError):
        raise ModelError(error_class="upstream") from None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(choices: object) -> Mapping[str, Any]:
    return _mapping(choices[0]) if isinstance(choices, list) and choices else {}


def _text(content: object) -> str:
    """A string, or the texts of a list of typed parts; nothing of anything else."""
    if isinstance(content, list):
        return "".join(_text(_mapping(part).get("text")) for part in content)
    return content if isinstance(content, str) else ""


def _name(model: object) -> str | None:
    return (
        _ScalarText().take(model[:_LONGEST_NAME], is_last=True) if isinstance(model, str) else None
    )


def _usage(value: object) -> Usage | None:
    usage = _mapping(value)
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if _is_count(prompt) and _is_count(completion):
        return Usage(prompt_tokens=prompt, completion_tokens=completion)
    return None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
