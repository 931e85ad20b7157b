"""What a responder's events add up to, whatever it sends."""

import json
from datetime import UTC, datetime
from math import inf
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import MalformedError
from app.responders.base import (
    Contexts,
    Data,
    Finish,
    Prompt,
    ReasoningDelta,
    Step,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from app.streaming.answer import Answer
from app.streaming.events import Passages, Reasoning, Text
from app.transcript import Transcript, Turn

ANY_TEXT = st.text("aé漢\U0001f469\u200d\0\n\ud83d\ude00")


def taken(*events, max_bytes=1000):
    answer = Answer(max_bytes)
    heard = [answer.take(event) for event in events]
    return answer, heard


@given(st.lists(ANY_TEXT))
def test_watchers_hear_exactly_the_text_that_is_stored(pieces):
    answer, heard = taken(*map(TextDelta, pieces), max_bytes=10**6)
    assert "".join(event.text for event in heard if event) == answer.text
    assert len(answer.text) == sum(map(len, pieces))
    answer.text.encode()
    assert "\0" not in answer.text


@given(ANY_TEXT, st.integers(1, 40))
def test_a_text_is_cut_at_a_character_within_the_limit(text, limit):
    answer, heard = taken(*map(TextDelta, text), max_bytes=limit)
    mended = "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in text)
    assert mended.startswith(answer.text)
    assert len(answer.text.encode()) <= limit
    assert answer.is_full == (len(mended.encode()) > limit)
    assert "".join(event.text for event in heard if event) == answer.text


def test_a_cut_answer_says_that_its_length_ended_it():
    answer, _ = taken(TextDelta("12345"), TextDelta("6789"), Finish("stop"), max_bytes=7)
    assert (answer.text, answer.finish_reason) == ("1234567", "length")


def test_an_answer_of_exactly_the_limit_is_whole():
    answer, _ = taken(TextDelta("1234567"), Finish("stop", "m"), max_bytes=7)
    assert (answer.is_full, answer.finish_reason, answer.model) == (False, "stop", "m")


def test_reasoning_counts_towards_the_limit_and_stays_beside_the_text():
    answer, heard = taken(ReasoningDelta("hm, "), TextDelta("yes"), ReasoningDelta("well"))
    assert heard == [Reasoning("hm, "), Text("yes"), Reasoning("well")]
    assert answer.text == "yes"
    assert answer.parts() == [
        {"type": "step-start"},
        {"type": "reasoning", "text": "hm, ", "state": "done"},
        {"type": "text", "text": "yes", "state": "done"},
        {"type": "reasoning", "text": "well", "state": "done"},
    ]
    assert taken(ReasoningDelta("12345678"), max_bytes=7)[0].is_full


def test_a_plain_answer_has_no_parts():
    assert taken(TextDelta("yes"))[0].parts() is None


def test_empty_pieces_are_not_worth_a_word():
    answer, heard = taken(TextDelta(""), ReasoningDelta(""))
    assert heard == [None, None]
    assert answer.first_token_ms is None


def test_text_after_the_finish_is_still_text():
    answer, _ = taken(TextDelta("a"), Finish("stop", "m"), TextDelta("b"))
    assert (answer.text, answer.finish_reason) == ("ab", "stop")


def test_the_provider_counts_better_than_an_estimate():
    turn = Turn(id=UUID(int=1), seq=1, parent_id=None, role="user", content="x" * 8,
                status="complete", created_at=datetime.now(UTC))  # fmt: skip
    prompt = Prompt(question="y" * 4, user_email="a@b.c", history=Transcript((turn,)))
    assert taken(TextDelta("z" * 12))[0].count(prompt) == Usage(3, 3)
    assert taken(TextDelta("z" * 12), Usage(40, 2))[0].count(prompt) == Usage(40, 2)


@pytest.mark.parametrize(
    "usage", [Usage("7", 3), Usage(None, None), Usage(-1, 3), Usage(2**40, 3), Usage(7, inf)]
)
def test_a_count_that_is_none_is_as_good_as_no_count(usage):
    assert taken(usage)[0].usage is None


def test_a_finish_is_taken_as_far_as_it_can_be_stored():
    assert taken(Finish("\0", "m\0\ud800"))[0].model == "m\ufffd\ufffd"
    assert taken(Finish("\0", "m"))[0].finish_reason == "other"
    assert taken(Finish("stop", 7))[0].model is None


def test_contexts_are_kept_and_heard_as_the_json_that_they_are():
    moment = datetime(2026, 11, 21, 10, tzinfo=UTC)
    answer, heard = taken(Contexts([{"at": moment, "id": UUID(int=7), "tags": ("a",)}]))
    expected = [{"at": "2026-11-21T10:00:00.000Z", "id": str(UUID(int=7)), "tags": ["a"]}]
    assert answer.contexts == expected
    assert heard == [Passages(expected)]


def test_what_cannot_be_stored_of_contexts_is_replaced():
    answer, _ = taken(Contexts([{"chunk": "a\0b", "k\0": ["\ud800", {"x": "\0"}]}]))
    assert answer.contexts == [{"chunk": "a\ufffdb", "k\ufffd": ["\ufffd", {"x": "\ufffd"}]}]
    json.dumps(answer.contexts, ensure_ascii=False).encode()


@pytest.mark.parametrize("item", [{"set": {1}}, {"object": object()}, {"big": 2**70}, 7, None])
def test_contexts_that_are_no_json_objects_are_the_responders_fault(item):
    with pytest.raises((TypeError, ValueError, MalformedError)):
        taken(Contexts([item]))


@pytest.mark.parametrize("levels", [100, 2_000])
def test_contexts_that_are_too_deep_are_the_responders_fault(levels):
    deep = {}
    for _ in range(levels):
        deep = {"d": deep}
    with pytest.raises((MalformedError, RecursionError)):
        taken(Contexts([deep]))


def test_empty_contexts_are_no_contexts():
    answer, heard = taken(Contexts([]))
    assert (answer.contexts, heard) == (None, [None])


def test_what_is_no_event_is_no_answer():
    answer, heard = taken("text", 42, None, {"text": "x"}, TextDelta(None))
    assert (answer.text, heard) == ("", [None] * 5)


def test_names_that_clients_throw_at_are_kept_under_others():
    answer = Answer(max_bytes=1000)
    said = {"__proto__": {"x": 1}, "constructor": {"prototype": 1}, "in": [{"__proto__": 2}]}
    harmless = {"___proto__": {"x": 1}, "_constructor": {"prototype": 1}, "in": [{"___proto__": 2}]}
    assert answer.take(Data("d", said)) == Data("d", harmless)
    plain = {"constructor": {"name": "Dog"}, "prototype": 1}
    assert answer.take(Data("e", plain)) == Data("e", plain)


def test_counts_that_are_none_and_names_that_are_no_text_are_not_taken():
    answer = Answer(max_bytes=1000)
    answer.take(Usage(True, False))
    assert answer.usage is None
    for part in (Data("d", 1, [1]), Data(5, 1), ToolCall(5, "n", {}), ToolResult("c", error=5)):
        with pytest.raises(TypeError):
            answer.take(part)
    assert answer.parts() is None


def test_many_parts_that_say_next_to_nothing_fill_an_answer_too():
    answer = Answer(max_bytes=10_000)
    for number in range(1000):
        answer.take(Data("d", number, str(number)) if number % 2 else Step())
    assert answer.is_full
    assert len(json.dumps(answer.parts())) < 20_000
