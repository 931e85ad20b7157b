"""The tool-calling loop: a model that looks things up, in rounds, until it can answer."""

import re
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from ..ids import new_id
from ..storable import mended
from ..transcript import estimate_tokens
from .base import (
    Contexts,
    Event,
    Finish,
    FinishReason,
    Prompt,
    Step,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from .chat_completions import Message, asked, messages, result
from .chat_model import ChatModel
from .tool_calls import CallPiece, RequestedCall, RequestedCalls
from .tools import (
    FAILED,
    NO_SUCH_TOOL,
    TOO_SLOW,
    Outcome,
    Toolbox,
    ToolError,
    begin,
    read_arguments,
)

NO_ANSWER = "No answer was found within the limits that are set for looking things up."
NO_TIME = "There was no time left for this call."
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_USUAL_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_LONGEST_INPUT = 1000
_BEAT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLimits:
    """When the model must answer with what it has: in round `max_steps`, after `timeout` seconds,
    or when the next round would bring the tokens of all rounds over `max_tokens`.
    """

    max_steps: int = 8
    timeout: float = 120.0
    max_tokens: int = 50_000


class AgentResponder:
    """Answers with a model that may call tools; its faults are those of `ChatModel`.

    In the last round that the limits allow it is given no tools, so that it answers. A call that
    comes to nothing is a result that says so, for the model to make the best of.
    """

    def __init__(self, model: ChatModel, tools: Toolbox, limits: AgentLimits) -> None:
        self._model = model
        self._tools = tools
        self._limits = limits

    def stream(self, prompt: Prompt) -> Generator[Event, None, None]:
        """The answer's events. Usage comes after each round, for all rounds so far."""
        work = _Work(prompt, self._limits, messages(prompt))
        tools = self._tools.described()
        while True:
            is_last = work.is_last()
            said = _Round()
            yield from self._listen(work, said, () if is_last else tools)
            if usage := work.count(said):
                yield usage
            if is_last or not said.calls:
                break
            yield from self._call(work, said)
            yield Step()
        if said.calls and not said.text.strip():
            yield TextDelta(NO_ANSWER)
        yield Finish(said.reason, said.model)

    def _listen(
        self, work: "_Work", said: "_Round", tools: Sequence[Mapping[str, Any]]
    ) -> Generator[Event, None, None]:
        """What the model says in a round; its calls are gathered."""
        model = work.prompt.model
        with closing(self._model.answer(work.messages, model=model, tools=tools)) as answer:
            for event in answer:
                if shown := said.take(event):
                    yield shown

    def _call(self, work: "_Work", said: "_Round") -> Generator[Event, None, None]:
        """Does what was asked for, one call after the other."""
        if said.text.strip():
            yield TextDelta("\n\n")
        calls, results = [], []
        for requested in said.calls:
            call, fault = work.read(requested)
            yield call
            outcome = fault or (yield from self._outcome(work, call))
            if outcome.contexts:
                work.contexts += [it for it in outcome.contexts if it not in work.contexts]
                yield Contexts(tuple(work.contexts))
            yield ToolResult(call.call_id, outcome.output, outcome.error)
            calls.append(call)
            results.append(result(call.call_id, outcome.told()))
        work.messages += [asked(said.text, calls), *results]

    def _outcome(self, work: "_Work", call: ToolCall) -> Generator[Event, None, Outcome]:
        """How a call ends. While it does not, empty text asks whether anybody wants it still."""
        if (tool := self._tools.find(call.name)) is None:
            return Outcome(error=NO_SUCH_TOOL)
        until = min(time.monotonic() + tool.timeout, work.deadline)
        if time.monotonic() >= until:
            return Outcome(error=NO_TIME)
        try:
            future = begin(tool, work.prompt, call.input)
        except RuntimeError:
            return Outcome(error=FAILED)
        while (left := until - time.monotonic()) > 0:
            wait([future], timeout=min(left, _BEAT_SECONDS))
            if future.done():
                return future.result()
            yield TextDelta("")
        return Outcome(error=TOO_SLOW)


@dataclass(slots=True)
class _Round:
    """What the model said when it was asked once."""

    calls: RequestedCalls = field(default_factory=RequestedCalls)
    usage: Usage | None = None
    reason: FinishReason = "other"
    model: str | None = None
    _text: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self._text)

    def take(self, event: Event | CallPiece) -> Event | None:
        """Adds an event; the same, if it is to be shown at once."""
        match event:
            case CallPiece():
                self.calls.take(event)
            case Usage():
                self.usage = event
            case Finish(reason, model):
                self.reason, self.model = reason, model
            case TextDelta(text):
                self._text.append(text)
                return event
            case _:
                return event
        return None


@dataclass(slots=True)
class _Work:
    """One answer on its way: the messages of the next round, what was found and used so far."""

    prompt: Prompt
    limits: AgentLimits
    messages: list[Message]
    deadline: float = field(init=False)
    contexts: list[Mapping[str, Any]] = field(default_factory=list)
    _rounds: int = 0
    _tokens: int = 0
    _usage: Usage | None = field(default_factory=lambda: Usage(0, 0))
    _ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.limits.timeout

    def is_last(self) -> bool:
        """Whether the next round must be the last."""
        is_late = time.monotonic() >= self.deadline
        tokens = self._tokens + self._size()
        has_steps = self._rounds + 1 < self.limits.max_steps
        return is_late or not has_steps or tokens >= self.limits.max_tokens

    def count(self, said: _Round) -> Usage | None:
        """Tokens of all rounds; None when the provider did not count one of them."""
        self._rounds += 1
        used = said.usage
        if used is None:
            self._tokens += self._size() + estimate_tokens(said.text)
            self._usage = None
        else:
            self._tokens += used.prompt_tokens + used.completion_tokens
        if used and (before := self._usage):
            self._usage = Usage(
                before.prompt_tokens + used.prompt_tokens,
                before.completion_tokens + used.completion_tokens,
            )
        return self._usage

    def read(self, requested: RequestedCall) -> tuple[ToolCall, Outcome | None]:
        """The call as it is shown, and its outcome if nothing can be done about it."""
        name = _FOREIGN.sub("_", requested.name[:64]) or "unnamed"
        call_id = self._id_of(requested)
        try:
            return ToolCall(call_id, name, read_arguments(requested)), None
        except ToolError as error:
            text = mended(requested.arguments[:_LONGEST_INPUT])
            return ToolCall(call_id, name, text), Outcome(error=str(error))

    def _id_of(self, requested: RequestedCall) -> str:
        """The model's own id of a call, unless it is odd, or was there before."""
        call_id = requested.call_id
        if not _USUAL_ID.fullmatch(call_id) or call_id in self._ids:
            call_id = new_id().hex[-9:]  # some models take no other length
        self._ids.add(call_id)
        return call_id

    def _size(self) -> int:
        """The tokens of the messages, estimated."""
        return sum(estimate_tokens(str(message)) for message in self.messages)
