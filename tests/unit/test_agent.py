"""The tool-calling loop, with a model that says what a script holds."""

import threading

import pytest

from app.errors import ModelError
from app.responders import agent as loop
from app.responders.agent import NO_ANSWER, NO_TIME
from app.responders.base import (
    Contexts,
    Finish,
    Prompt,
    ReasoningDelta,
    Step,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from app.responders.tool_calls import MOST_CALLS
from app.responders.tools import TOO_SLOW, Findings
from tests.scripted import (
    OBJECT,
    PROMPT,
    Script,
    asks,
    call,
    events_of,
    finding,
    of,
    responder,
    result_of,
    says,
    text_of,
)


def test_what_a_tool_finds_goes_into_the_next_round():
    model = Script(asks(call(), text=["Let me ", "see."]), says("Here."))
    assert events_of(model, finding()) == [
        TextDelta("Let me "),
        TextDelta("see."),
        Usage(10, 5),
        TextDelta("\n\n"),
        ToolCall("c1", "find", {"q": "x"}),
        ToolResult("c1", {"found": {"q": "x"}}),
        Step(),
        TextDelta("Here."),
        Usage(20, 10),
        Finish("stop", "m-1"),
    ]
    (first, named, tools), (second, _, again) = model.asked
    assert named == "m-1"
    described = {"name": "find", "description": "Finds things.", "parameters": OBJECT}
    assert tools == again == [{"type": "function", "function": described}]
    function = {"name": "find", "arguments": '{"q":"x"}'}
    requested = [{"id": "c1", "type": "function", "function": function}]
    assert second == [
        *first,
        {"role": "assistant", "content": "Let me see.", "tool_calls": requested},
        {"role": "tool", "tool_call_id": "c1", "content": '{"found":{"q":"x"}}'},
    ]


def test_without_calls_it_is_one_answer():
    thought = ReasoningDelta("Hm.")
    model = Script([thought, *says("Here.")])
    expected = [thought, TextDelta("Here."), Usage(10, 5), Finish("stop", "m-1")]
    assert events_of(model, finding()) == expected


def test_several_calls_are_answered_one_after_the_other():
    calls = [call(arguments=f'{{"n": {n}}}', call_id=f"c{n}", index=n) for n in range(3)]
    events = events_of(Script(asks(*calls), says("Done.")), finding())
    shown = of((ToolCall, ToolResult), events)
    assert [event.call_id for event in shown] == ["c0", "c0", "c1", "c1", "c2", "c2"]
    assert [event.output for event in shown[1::2]] == [{"found": {"n": n}} for n in range(3)]
    assert not [event for event in of(TextDelta, events) if event.text == "\n\n"]


def test_a_tool_works_for_who_asks_whatever_the_arguments_say():
    seen = []
    tool = finding(lambda prompt, arguments: seen.append((prompt, arguments)))
    result_of(tool, '{"user_email": "bob@example.com"}')
    assert seen == [(PROMPT, {"user_email": "bob@example.com"})]


def test_every_call_has_an_id_of_its_own_in_an_answer():
    odd = ["", "c1", "c1", "x" * 65, "ü", "\0"]
    rounds = [asks(*(call(call_id=i, index=n) for n, i in enumerate(odd))), asks(call())]
    model = Script(*rounds, says("Done."))
    ids = [event.call_id for event in of(ToolCall, events_of(model, finding()))]
    assert len(set(ids)) == len(ids) == 7
    assert ids[1] == "c1"
    assert all(each.isascii() and each.isalnum() and len(each) <= 9 for each in ids)
    first, second = [m for m in model.asked[2][0] if m.get("tool_calls")]
    told = [m["tool_call_id"] for m in model.asked[2][0] if m["role"] == "tool"]
    assert [c["id"] for c in first["tool_calls"] + second["tool_calls"]] == told == ids


def test_passages_that_tools_found_are_shown_together_each_once():
    pages = [{"text": "a\0b"}, {"text": "c"}]
    found = iter([Findings("One.", pages[:1]), Findings("Two.", pages), Findings("None.")])
    model = Script(asks(call()), asks(call()), asks(call()), says("Here."))
    shown = of((Contexts, ToolResult), events_of(model, finding(lambda p, a: next(found))))
    first, second = {"text": "a\ufffdb"}, {"text": "c"}
    said = [event.output if isinstance(event, ToolResult) else [*event.items] for event in shown]
    assert said == [[first], "One.", [first, second], "Two.", "None."]


def test_whoever_leaves_while_a_tool_works_is_noticed(monkeypatch):
    monkeypatch.setattr(loop, "_BEAT_SECONDS", 0.01)
    opened = threading.Event()
    model = Script(asks(call()))
    events = responder(model, finding(lambda p, a: opened.wait(20))).stream(PROMPT)
    assert [next(events), next(events)] == [Usage(10, 5), ToolCall("c1", "find", {"q": "x"})]
    assert next(events) == TextDelta("")
    events.close()
    opened.set()
    assert (model.closed, len(model.asked)) == (1, 1)


def test_who_leaves_in_mid_sentence_is_the_last_the_model_hears_of():
    model = Script(says("One ", "two."))
    events = responder(model, finding()).stream(PROMPT)
    assert next(events) == TextDelta("One ")
    events.close()
    assert model.closed == 1


def endless(**how):
    return Script(otherwise=asks(call(), **how))


def test_the_last_step_has_no_tools_and_never_ends_in_silence():
    model = endless()
    events = events_of(model, finding(), max_steps=3)
    assert [len(tools) for _, _, tools in model.asked] == [1, 1, 0]
    assert len(of(ToolResult, events)) == len(of(Step, events)) == 2
    assert text_of(events) == NO_ANSWER
    assert events[-1] == Finish("tool-calls", "m-1")


def test_what_the_last_step_says_is_the_answer_even_if_it_goes_on_calling():
    model = endless(text=["So far."])
    assert text_of(events_of(model, finding(), max_steps=2)) == "So far.\n\nSo far."


def test_one_step_is_an_answer_without_tools():
    model = Script(says("Here."))
    assert text_of(events_of(model, finding(), max_steps=1)) == "Here."
    assert model.asked[0][2] == ()


@pytest.mark.parametrize(("usage", "rounds"), [(Usage(300, 30), 4), (None, 5)])
def test_tokens_end_the_search_whoever_counts_them(usage, rounds):
    model = endless(usage=usage)
    tool = finding(lambda prompt, arguments: "x" * 400)
    events = events_of(model, tool, max_tokens=1000, max_steps=50)
    assert [len(tools) for _, _, tools in model.asked] == [1] * (rounds - 1) + [0]
    assert of(Usage, events) == ([Usage(300 * n, 30 * n) for n in range(1, 5)] if usage else [])


def test_a_question_that_is_longer_than_the_budget_is_asked_without_tools():
    model = Script(says("Here."))
    prompt = Prompt(question="x" * 500, user_email="ann@example.com")
    assert text_of(events_of(model, finding(), prompt=prompt, max_tokens=100)) == "Here."
    assert model.asked[0][2] == ()


def test_when_the_time_is_over_nothing_more_is_looked_up():
    opened = threading.Event()
    model = Script(asks(call(), call(call_id="c2", index=1)), says("Late."))
    events = events_of(model, finding(lambda p, a: opened.wait(20)), timeout=0.05)
    opened.set()
    assert [result.error for result in of(ToolResult, events)] == [TOO_SLOW, NO_TIME]
    assert model.asked[1][2] == ()
    assert text_of(events) == "Late."


def test_a_thousand_calls_at_once_are_a_few():
    many = [call(call_id=f"c{n}", index=n) for n in range(1000)]
    events = events_of(Script(asks(*many), says("Done.")), finding())
    assert len(of(ToolResult, events)) == MOST_CALLS


def test_a_fault_of_the_model_is_the_end_and_what_was_used_is_known():
    model = Script(asks(call()), [TextDelta("Half"), ModelError(error_class="broken_off")])
    heard = []
    with pytest.raises(ModelError):
        heard.extend(responder(model, finding()).stream(PROMPT))
    assert (of(Usage, heard), heard[-1]) == ([Usage(10, 5)], TextDelta("Half"))
