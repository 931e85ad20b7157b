"""The agent over real HTTP: what it asks a model, and what it makes of bad answers."""

import json
import subprocess
import sys

import pytest

from app.errors import ModelError
from app.responders.agent import AgentLimits, AgentResponder
from app.responders.base import Finish, Prompt, Step, TextDelta, ToolCall, ToolResult, Usage
from app.responders.chat_model import ChatModel
from app.responders.openai import OpenAIResponder
from app.responders.registry import Registry
from app.responders.tools import Tool, Toolbox
from tests.fake_model import (
    MODEL,
    SECRET,
    FakeModel,
    broken_off,
    calls,
    hang_after,
    raw,
    refuse,
    refuse_stream_options,
    stream_error,
    text,
    whole,
)

SHOUT = Tool("shout", "Says it louder.", {"type": "object"}, lambda _, given: given["text"].upper())
PROMPT = Prompt(question="How loud?", user_email="ann@example.com")
ASKED = ("shout", {"text": "hé 👋 \n"})
LOUD = "HÉ 👋 \n"


@pytest.fixture
def model():
    with FakeModel(otherwise=text("So loud.")) as fake:
        yield fake


@pytest.fixture
def agent(model):
    chat_model = ChatModel(model.url, None, MODEL, 10)
    yield AgentResponder(chat_model, Toolbox([SHOUT]), AgentLimits())
    chat_model.close()


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def text_of(events):
    return "".join(event.text for event in of(TextDelta, events))


def results_of(events):
    return [(event.call_id, event.output) for event in of(ToolResult, events)]


def whole_calls():
    function = {"name": "shout", "arguments": json.dumps(ASKED[1])}
    return [{"id": "call_0", "type": "function", "function": function}]


DIALECTS = {
    "in pieces": calls(ASKED),
    "byte by byte": calls(ASKED, size=1),
    "without numbers": calls(ASKED, index=False),
    "another finish": calls(ASKED, finish="stop"),
    "no finish, but [DONE]": calls(ASKED, finish=None),
    "one JSON object": whole(None, tool_calls=whole_calls()),
    "an old server": refuse_stream_options(calls(ASKED)),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_calls_the_tool_once(model, agent, dialect):
    model.will(*[DIALECTS[dialect]] * (2 if "old" in dialect else 1))
    events = list(agent.stream(PROMPT))
    assert of(ToolCall, events) == [ToolCall("call_0", "shout", ASKED[1])]
    assert results_of(events) == [("call_0", LOUD)]
    assert text_of(events) == "So loud."
    assert events[-1] == Finish("stop", MODEL)


def test_a_round_is_asked_with_what_came_before_it(model, agent):
    model.will(calls(ASKED, ("nothing", "{"), said="Wait."))
    events = list(agent.stream(PROMPT))
    assert of(Usage, events)[-1] == Usage(14, 6)
    assert len(of(Step, events)) == 1
    first, second = (request.body for request in model.requests)
    assert first["tools"] == second["tools"]
    asked, *told = second["messages"][len(first["messages"]) :]
    assert (asked["role"], asked["content"]) == ("assistant", "Wait.")
    assert [call["id"] for call in asked["tool_calls"]] == ["call_0", "call_1"]
    assert [message["tool_call_id"] for message in told] == ["call_0", "call_1"]
    assert told[0]["content"] == LOUD
    assert "not a JSON object" in told[1]["content"]


@pytest.mark.parametrize("fault", [refuse(429, retry_after=0), refuse(503), broken_off(), raw()])
def test_a_round_is_tried_again_until_its_first_token(model, agent, fault):
    model.will(calls(ASKED), fault)
    events = list(agent.stream(PROMPT))
    assert (results_of(events), text_of(events)) == ([("call_0", LOUD)], "So loud.")
    assert len(model.requests) == 3


@pytest.mark.parametrize(
    ("fault", "error_class"),
    [
        (stream_error("Half"), "upstream"),
        (broken_off("Half"), "broken_off"),
        (refuse(401), "unauthorized"),
        (refuse(400), "bad_request"),
    ],
)
def test_a_fault_in_a_later_round_keeps_what_came_before(model, agent, fault, error_class):
    model.will(calls(ASKED, said="Wait."), fault, fault)
    heard = []
    with pytest.raises(ModelError) as caught:
        heard.extend(agent.stream(PROMPT))
    assert caught.value.error_class == error_class
    assert SECRET not in repr(caught.value) + str(caught.value)
    assert text_of(heard) in ("Wait.\n\nHalf", "Wait.\n\n")
    assert results_of(heard) == [("call_0", LOUD)]


def test_calls_that_break_off_are_not_made(model, agent):
    model.will(raw(*_pieces_of_a_call(), cut=True))
    heard = []
    with pytest.raises(ModelError):
        heard.extend(agent.stream(PROMPT))
    assert heard == []


def _pieces_of_a_call():
    function = {"name": "shout", "arguments": '{"text": "'}
    delta = {"tool_calls": [{"index": 0, "id": "a", "function": function}]}
    yield f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n".encode()


def test_whoever_leaves_closes_the_connection_of_the_round(model, agent):
    model.will(calls(ASKED), hang_after("Half"))
    events = agent.stream(PROMPT)
    while next(events) != TextDelta("Half"):
        pass
    events.close()
    assert model.saw_client_leave(within=2)


UNDER_GEVENT = """
from gevent import monkey; monkey.patch_all()
import time, gevent
from app.responders.agent import AgentLimits, AgentResponder
from app.responders.base import Prompt, TextDelta
from app.responders.chat_model import ChatModel
from app.responders.tools import Tool, Toolbox
from tests.fake_model import FakeModel, calls, text
def behave(exchange):
    is_told = exchange.request.body["messages"][-1]["role"] == "tool"
    (text("hello") if is_told else calls(("nap", {})))(exchange)
with FakeModel(otherwise=behave) as model:
    nap = Tool("nap", "Sleeps.", {"type": "object"}, lambda prompt, given: time.sleep(0.5))
    chat_model = ChatModel(model.url, None, "m", 5)
    agent = AgentResponder(chat_model, Toolbox([nap]), AgentLimits())
    def ask():
        events = agent.stream(Prompt(question="?", user_email="a@b.c"))
        return "".join(event.text for event in events if isinstance(event, TextDelta))
    started = time.monotonic()
    asked = [gevent.spawn(ask) for _ in range(30)]
    gevent.joinall(asked, raise_error=True)
    assert [one.value for one in asked] == ["hello"] * 30
    assert time.monotonic() - started < 10
    chat_model.close()
"""


def test_tools_of_many_greenlets_work_beside_each_other():
    subprocess.run([sys.executable, "-W", "error", "-c", UNDER_GEVENT], check=True, timeout=60)


def test_openai_and_agent_share_the_model_that_the_settings_name():
    """Here, since making a client of HTTP reads the system's certificates."""
    settings = {"openai_base_url": "http://127.0.0.1:9/v1", "openai_model": "m"}
    registry = Registry(lambda *_: [], **settings)
    assert isinstance(registry.resolve("openai"), OpenAIResponder)
    assert isinstance(registry.resolve("agent"), AgentResponder)
    registry.close()
