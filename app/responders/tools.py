"""Tools that a model may call: what a host registers, and how a call of one ends."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any

import structlog

from ..errors import MalformedError, SetupError, places
from ..json_text import dumps, loads
from ..storable import check_storable, mended, read_json
from .base import Prompt
from .tool_calls import RequestedCall

log = structlog.get_logger(__name__)

MOST_BYTES = 20_000
NO_SUCH_TOOL = "There is no such tool."
NO_OBJECT = "The arguments are not a JSON object."
TOO_LONG = "The arguments are too long."
FAILED = "The tool failed."
TOO_SLOW = "The tool took too long."
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_SENTENCE = 500


class ToolError(Exception):
    """Raised by a tool that can't do what it was asked: a sentence for the model and its user."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a tool returns that found passages: its output, and contexts to show with the answer."""

    output: Any
    contexts: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call while it answers.

    `parameters` is the JSON Schema of the object that `run` gets beside the prompt, in whose
    name it works: it belongs to `prompt.user_email`, whatever the arguments say. They are the
    model's, and unchecked. `run` returns JSON, or Findings; it is called in a thread of its own,
    which after `timeout` seconds nobody waits for any more. What it raises is logged without its
    text, but for a ToolError.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Prompt, Mapping[str, Any]], Any]
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: with `output`, which can be stored, or with the sentence `error`."""

    output: Any = None
    error: str | None = None
    contexts: Sequence[Mapping[str, Any]] = ()

    def told(self) -> str:
        """What the model is told."""
        if self.error is not None:
            return dumps({"error": self.error}).decode()
        return self.output if isinstance(self.output, str) else dumps(self.output).decode()


class Toolbox:
    """The tools that there are, by name."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        """SetupError: a name that no model could call, or that stands twice; foul parameters."""
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            _check(tool)
            if tool.name in self._tools:
                raise SetupError(f"There are two tools called {tool.name}.")
            self._tools[tool.name] = tool

    def described(self) -> list[dict[str, Any]]:
        """The tools as a request of Chat Completions describes them."""
        return [{"type": "function", "function": _described(t)} for t in self._tools.values()]

    def find(self, name: str) -> Tool | None:
        return self._tools.get(name)


def read_arguments(call: RequestedCall) -> Mapping[str, Any]:
    """What a tool is called with. ToolError: nothing that it could be."""
    if call.is_too_long:
        raise ToolError(TOO_LONG)
    try:
        arguments = read_json(call.arguments.encode()) if call.arguments.strip() else {}
    except (MalformedError, UnicodeEncodeError):
        arguments = None
    if not isinstance(arguments, dict):
        raise ToolError(NO_OBJECT)
    return arguments


def begin(tool: Tool, prompt: Prompt, arguments: Mapping[str, Any]) -> Future[Outcome]:
    """Lets a tool run. RuntimeError: there can be no more threads."""
    future: Future[Outcome] = Future()

    def run() -> None:
        future.set_result(_outcome(tool, prompt, arguments))

    Thread(target=run, name=f"tool-{tool.name}", daemon=True).start()
    return future


def _outcome(tool: Tool, prompt: Prompt, arguments: Mapping[str, Any]) -> Outcome:
    try:
        returned = tool.run(prompt, arguments)
        found = returned if isinstance(returned, Findings) else Findings(returned)
        return Outcome(_bounded(found.output), contexts=[_object(it) for it in found.contexts])
    except ToolError as error:
        return Outcome(error=mended(str(error))[:_LONGEST_SENTENCE] or FAILED)
    except BaseException as error:  # noqa: BLE001 - gevent's and asyncio's timeouts are no less
        log.error("tool_failed", tool=tool.name, error=type(error).__name__, where=places(error))
        return Outcome(error=FAILED)


def _bounded(output: Any) -> Any:
    """Output as it is stored; as text that is cut, with a note, where it is too long."""
    kept = loads(dumps(check_storable(mended(output))))
    text = kept if isinstance(kept, str) else dumps(kept).decode()
    encoded = text.encode()
    if len(encoded) <= MOST_BYTES:
        return kept
    return f"{encoded[:MOST_BYTES].decode(errors='ignore')} [cut: it has {len(encoded)} bytes]"


def _object(item: object) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        raise TypeError("A context must be a JSON object.")
    kept: Mapping[str, Any] = loads(dumps(check_storable(mended(item))))
    return kept


def _check(tool: Tool) -> None:
    if not _NAME.fullmatch(tool.name):
        raise SetupError(f"{tool.name!r} is no name for a tool: use 1 to 64 of A-Z a-z 0-9 _ -.")
    if not isinstance(tool.parameters, Mapping) or tool.parameters.get("type") != "object":
        raise SetupError(f"The parameters of {tool.name} must be the JSON Schema of an object.")


def _described(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
