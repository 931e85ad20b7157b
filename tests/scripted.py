"""An agent whose model says what a script holds, and what comes of it."""

from app.responders.agent import AgentLimits, AgentResponder
from app.responders.base import Finish, Prompt, TextDelta, ToolResult, Usage
from app.responders.tool_calls import CallPiece
from app.responders.tools import Tool, Toolbox

OBJECT = {"type": "object"}
PROMPT = Prompt(question="Where?", user_email="ann@example.com", model="m-1")
COUNTED = Usage(10, 5)


class Script:
    """A model that says one list of events each round, and keeps what it was asked."""

    def __init__(self, *rounds, otherwise=None):
        self.asked, self.closed = [], 0
        self._rounds, self._otherwise = list(rounds), otherwise

    def answer(self, messages, *, model=None, tools=()):
        self.asked.append(([*messages], model, tools))
        try:
            for event in self._rounds.pop(0) if self._rounds else self._otherwise:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed += 1


def call(name="find", arguments='{"q": "x"}', call_id="c1", index=0):
    return CallPiece(index, call_id, name, arguments)


def says(*texts, usage=COUNTED, reason="stop"):
    return [*map(TextDelta, texts), *([usage] if usage else []), Finish(reason, "m-1")]


def asks(*calls, text=(), **how):
    return [*map(TextDelta, text), *calls, *says(reason="tool-calls", **how)]


def finding(run=lambda prompt, arguments: {"found": arguments}, name="find", **known):
    return Tool(name, "Finds things.", OBJECT, run, **known)


def responder(model, *tools, **limits):
    return AgentResponder(model, Toolbox(tools), AgentLimits(**limits))


def events_of(model, *tools, prompt=PROMPT, **limits):
    """What the agent says, without the empty texts that stand for nothing."""
    heard = responder(model, *tools, **limits).stream(prompt)
    return [event for event in heard if event != TextDelta("")]


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def text_of(events):
    return "".join(event.text for event in of(TextDelta, events))


def result_of(tool, arguments="{}", **limits):
    """How one call of a tool ends, and what the model is told of it."""
    model = Script(asks(call(tool.name, arguments)), says("Well."))
    events = events_of(model, tool, **limits)
    assert text_of(events) == "Well."
    (result,) = of(ToolResult, events)
    return result, model.asked[1][0][-1]["content"]
