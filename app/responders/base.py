"""What a responder is: something that answers a prompt with a stream of events."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from ..transcript import Transcript

FinishReason = Literal["stop", "length", "content-filter", "tool-calls", "error", "other"]


class Found(Protocol):
    """`value`: what was kept, or None; `marks`: for keeping another, or None: that is of no use."""

    @property
    def value(self) -> Any: ...

    @property
    def marks(self) -> Mapping[str, str] | None: ...


class Results(Protocol):
    """Where `cached` keeps results. Nothing of it raises."""

    def find(self, name: str, owner: str | None, tags: Sequence[str]) -> Found: ...

    def keep(
        self, name: str, owner: str | None, value: bytes, *, marks: Mapping[str, str], ttl: float
    ) -> bool: ...

    def invalidate(self, *tags: str) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One question with what a responder may know: nothing in it belongs to anyone else.

    `history` holds the turns before the question, oldest first; `filters` are the client's,
    untouched; `model` is the one the client named, if any. `results` is for `cached`.
    """

    question: str
    user_email: str
    history: Transcript = field(default_factory=Transcript)
    system_prompt: str | None = None
    mode: str | None = None
    model: str | None = None
    dept: str | None = None
    filters: Sequence[Mapping[str, Any]] = ()
    results: Results | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer, in order."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the model's reasoning: kept beside the answer, not part of its text."""

    text: str


@dataclass(frozen=True, slots=True)
class Contexts:
    """The passages that the answer is based on: JSON objects, shown to the client as they are.

    Those that come last count. Whose `url` is a web address is shown as a link.
    """

    items: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Step:
    """The model is asked again: what follows is based on the results so far."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool is called. `input` is JSON: an object, or the model's own text where that is none."""

    call_id: str
    name: str
    input: Any


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call came to: `output`, which is JSON, or `error`, a sentence for people."""

    call_id: str
    output: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """JSON for the host's own front end, kept as a part `data-<name>` of the answer.

    The same name and `data_id` again replaces it. What `is_transient` is shown, and not kept.
    """

    name: str
    data: Any
    data_id: str | None = None
    is_transient: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of the answer so far, as the provider counted them: the last one counts."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Finish:
    """Why the answer ended, and which model gave it. At most one, and last."""

    reason: FinishReason = "stop"
    model: str | None = None


Event = TextDelta | ReasoningDelta | Contexts | Step | ToolCall | ToolResult | Data | Usage | Finish


class Responder(Protocol):
    """Answers prompts. Called from several threads at once, so it keeps no state between them."""

    def stream(self, prompt: Prompt) -> Iterable[Event]:
        """The answer as events. Raises ModelError when there is none, or no more of it.

        The iterable is closed (`GeneratorExit`) when the answer is not wanted any more.
        """
        ...


@runtime_checkable
class Titling(Protocol):
    """A responder that also names conversations."""

    def title(self, prompt: Prompt, answer: str) -> str | None:
        """A title for the conversation that begins with this prompt and answer; None: no better.

        Called when the answer is stored. Its first line counts, without Markdown, cut at 50
        characters. What it raises is logged, and the title stays as it is.
        """
        ...


Answer = Callable[[Prompt], Iterable[Event | str]]


@dataclass(frozen=True, slots=True)
class FunctionResponder:
    """A plain function as a responder; the strings it yields are text."""

    answer: Answer

    def stream(self, prompt: Prompt) -> Iterable[Event]:
        events = self.answer(prompt)
        try:
            for event in events:
                yield TextDelta(event) if isinstance(event, str) else event
        finally:
            if isinstance(events, Generator):
                events.close()
