"""How calls of tools end: well, badly, and never in an answer that breaks."""

import re
import threading
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from app.errors import SetupError
from app.responders import agent as loop
from app.responders.base import ToolCall, ToolResult
from app.responders.tools import (
    FAILED,
    MOST_BYTES,
    NO_OBJECT,
    NO_SUCH_TOOL,
    TOO_LONG,
    TOO_SLOW,
    Findings,
    Tool,
    Toolbox,
    ToolError,
)
from tests.refusals import refusal_of
from tests.scripted import Script, asks, call, events_of, finding, of, result_of, says

SECRET = "tool-internals-sk-51cc"


def raising(error):
    def run(*_):
        raise error

    return run


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def circle():
    value = []
    value.append(value)
    return value


FAILING = [
    *map(raising, (RuntimeError(SECRET), TimeoutError(SECRET), KeyError(SECRET), StopIteration())),
    *(lambda p, a: object(), lambda p, a: {1: {2}}, lambda p, a: nested(70), lambda p, a: circle()),
    *(lambda p, a: 2**70, lambda p, a: Findings("x", [5]), lambda p, a: Findings("x", 5)),
]


def test_a_tool_that_fails_is_a_result_without_its_reasons():
    for number, run in enumerate(FAILING):
        with capture_logs() as logged:
            result, told = result_of(finding(run))
        assert result == ToolResult("c1", error=FAILED), number
        assert told == f'{{"error":"{FAILED}"}}', number
        assert [entry["event"] for entry in logged] == ["tool_failed"], number
        assert SECRET not in str(logged), number


def test_what_a_tool_says_about_its_failure_is_told():
    result, told = result_of(finding(raising(ToolError("There is no such page.\0"))))
    assert result == ToolResult("c1", error="There is no such page.\ufffd")
    assert told == '{"error":"There is no such page.\ufffd"}'
    assert result_of(finding(raising(ToolError())))[0].error == FAILED
    assert len(result_of(finding(raising(ToolError("x" * 9999))))[0].error) == 500


ARGUMENTS = [
    ("", {}, None),
    (" \n", {}, None),
    ('{"q": ', '{"q": ', NO_OBJECT),
    ("[]", "[]", NO_OBJECT),
    ('"x"', '"x"', NO_OBJECT),
    ('{"q": "\\ud83d"}', '{"q": "\\ud83d"}', NO_OBJECT),
    ('{"q": "\\u0000"}', '{"q": "\\u0000"}', NO_OBJECT),
    ('{"q": "\0\ud83d"}', '{"q": "\ufffd\ufffd"}', NO_OBJECT),
    ('{"n": NaN}', '{"n": NaN}', NO_OBJECT),
    ("[" * 9999, "[" * 1000, NO_OBJECT),
    ('{"n": ' + "9" * 5000 + "}", '{"n": ' + "9" * 994, NO_OBJECT),
    ("{" + " " * 30_000, "", TOO_LONG),
]


def test_arguments_that_are_no_object_never_reach_the_tool():
    for arguments, shown, fault in ARGUMENTS:
        seen = []
        model = Script(asks(call(arguments=arguments)), says("Well."))
        events = events_of(model, finding(lambda prompt, given, seen=seen: seen.append(given)))
        assert of(ToolCall, events) == [ToolCall("c1", "find", shown)], arguments[:40]
        assert of(ToolResult, events) == [ToolResult("c1", error=fault)], arguments[:40]
        assert seen == ([] if fault else [{}]), arguments[:40]
        (requested,) = model.asked[1][0][-2]["tool_calls"]
        assert requested["function"]["arguments"] == "{}"


@pytest.mark.parametrize(
    ("name", "shown"),
    [("rm", "rm"), ("", "unnamed"), ("a b\0ü\n", "a_b___"), ("x" * 999, "x" * 64)],
)
def test_a_tool_that_does_not_exist_is_named_as_far_as_names_go(name, shown):
    events = events_of(Script(asks(call(name)), says("Well.")), finding())
    assert of(ToolCall, events) == [ToolCall("c1", shown, {"q": "x"})]
    assert of(ToolResult, events) == [ToolResult("c1", error=NO_SUCH_TOOL)]


@pytest.mark.parametrize(
    ("output", "stored"),
    [
        (None, None),
        ("two\0 words\ud800", "two\ufffd words\ufffd"),
        ({"at": UUID(int=7), "n": (1, 2)}, {"at": str(UUID(int=7)), "n": [1, 2]}),
        ("é" * 10_001, "é" * 10_000 + " [cut: it has 20002 bytes]"),
        (["x" * 20_000], '["' + "x" * 19_998 + " [cut: it has 20004 bytes]"),
    ],
)
def test_results_are_json_that_can_be_stored_and_have_a_limit(output, stored):
    assert MOST_BYTES == 20_000
    result, told = result_of(finding(lambda prompt, arguments: output))
    assert result.output == stored
    assert len(told.encode()) < MOST_BYTES + 50


def test_a_slow_tool_is_not_waited_for():
    opened = threading.Event()
    tool = finding(lambda prompt, arguments: opened.wait(20), timeout=0.05)
    result, _ = result_of(tool)
    opened.set()
    assert result == ToolResult("c1", error=TOO_SLOW)


def test_a_process_without_room_for_a_thread_says_so(monkeypatch):
    monkeypatch.setattr(loop, "begin", raising(RuntimeError("can't start new thread")))
    assert result_of(finding())[0] == ToolResult("c1", error=FAILED)


UNCALLABLE = [
    *([finding(name=name)] for name in ("", "find things", "x" * 65, "fünd", "find\n", "a.b")),
    [finding(), finding()],
    [Tool("find", "", {"type": "string"}, print)],
    [Tool("find", "", None, print)],
]


def test_tools_that_no_model_could_call_are_refused_at_once():
    for tools in UNCALLABLE:
        message = refusal_of(SetupError, Toolbox, tools)
        assert re.search("find|name", message), tools
