"""An answer's parts as front ends show them, and the events that they stand for."""

from hypothesis import given

from app.responders.base import Data, ReasoningDelta, Step, TextDelta, ToolCall, ToolResult
from app.streaming.events import Passages, Text
from app.streaming.parts import Parts, events_of
from tests.said import SAID, stored, written


def parts_of(*said):
    return written(said)[0].parts()


def test_a_plain_text_and_an_empty_answer_need_no_parts():
    assert parts_of() is None
    assert parts_of(TextDelta("a"), TextDelta("b")) is None


def test_parts_stand_in_their_order_and_what_follows_itself_is_joined():
    called = {"toolCallId": "c", "input": {"q": "Huế"}, "providerExecuted": True}
    assert parts_of(
        ReasoningDelta("h"), ReasoningDelta("m"), TextDelta("I "), TextDelta("look."),
        ToolCall("c", "search", {"q": "Huế"}), ToolResult("c", ["found"]), Step(),
        TextDelta("There."),
    ) == [
        {"type": "step-start"},
        {"type": "reasoning", "text": "hm", "state": "done"},
        {"type": "text", "text": "I look.", "state": "done"},
        {"type": "tool-search", "state": "output-available", "output": ["found"]} | called,
        {"type": "step-start"},
        {"type": "text", "text": "There.", "state": "done"},
    ]  # fmt: skip


def test_a_call_shows_its_failure_or_that_nothing_came_of_it():
    _, failed, waiting = parts_of(
        ToolCall("a", "clock", {}), ToolCall("b", "clock", {}), ToolResult("a", error="Too late.")
    )
    assert (failed["state"], failed["errorText"], "output" in failed) == (
        "output-error", "Too late.", False,
    )  # fmt: skip
    assert (waiting["state"], "output" in waiting) == ("input-available", False)


def test_a_result_that_nobody_asked_for_changes_nothing():
    assert parts_of(TextDelta("a"), ToolResult("nobody's", 1)) is None


def test_data_is_shown_again_in_its_place_and_transient_data_is_not_kept():
    assert parts_of(
        Data("progress", 1, "p"), TextDelta("a"), Data("progress", 2, "p"),
        Data("progress", 3, "q"), Data("note", 4), Data("note", 4),
        Data("note", 5, is_transient=True),
    ) == [
        {"type": "step-start"},
        {"type": "data-progress", "id": "p", "data": 2},
        {"type": "text", "text": "a", "state": "done"},
        {"type": "data-progress", "id": "q", "data": 3},
        {"type": "data-note", "data": 4},
        {"type": "data-note", "data": 4},
    ]  # fmt: skip


@given(SAID)
def test_what_a_stored_answer_tells_again_comes_to_the_same_answer(said):
    answer, _ = written(said)
    parts, contexts = Parts(), None
    for event in events_of(stored(answer)):
        match event:
            case Passages(items):
                contexts = items
            case Step() | ToolCall() | ToolResult() | Data():
                parts.add(event)
            case _:
                parts.say(type(event).__name__.lower(), event.text)
    assert parts.as_json() == answer.parts()
    assert contexts == answer.contexts


def test_of_parts_in_somebody_elses_form_the_text_is_told():
    answer, _ = written([TextDelta("a")])
    for parts in (
        [{"type": "text", "text": "b"}],
        [{"type": "step-start"}, {"type": "tool-search"}],
        [{"type": "step-start"}, {"text": "b"}],
        *(
            [{"type": "step-start"}, {"type": "text", "text": text}]
            for text in (5, None, ["b"], {})
        ),
        [{"type": "step-start"}, {"type": "data-x", "id": {}, "data": 1}],
        [{"type": "step-start"}, {"type": "tool-x", "toolCallId": [], "input": 1, "state": "x"}],
        [{"type": 5}],
        [{"type": "step-start"}, {"type": None}],
        [{}],
    ):
        told = list(events_of(stored(answer, parts=parts)))
        assert told == [Text("a")], parts
