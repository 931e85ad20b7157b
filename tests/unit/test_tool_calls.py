"""Calls put together from pieces, as the different servers send them."""

import json

import pytest

from app.errors import ModelError
from app.responders.chat_completions import events
from app.responders.tool_calls import LONGEST_ARGUMENTS, MOST_CALLS, CallPiece, RequestedCalls

NUMBERED = [
    {"index": 0, "id": "a", "function": {"name": "find", "arguments": ""}},
    {"index": 0, "function": {"arguments": '{"q": '}},
    {"index": 1, "id": "b", "type": "function", "function": {"name": "read", "arguments": "{"}},
    {"index": 0, "function": {"arguments": '"x"}'}},
    {"index": 1, "function": {"arguments": "}"}},
]
BOTH = [("a", "find", '{"q": "x"}'), ("b", "read", "{}")]


def taken(pieces):
    calls = RequestedCalls()
    for piece in pieces:
        calls.take(piece)
    return calls


def gathered(deltas):
    """What is put together of deltas, each in a payload of its own."""
    choices = [[{"delta": {"tool_calls": [delta]}}] for delta in deltas]
    payloads = [json.dumps({"choices": each}) for each in choices]
    heard = events([*payloads, "[DONE]"], model="m")
    calls = taken(event for event in heard if isinstance(event, CallPiece))
    return [(call.call_id, call.name, call.arguments) for call in calls]


def without(deltas, *names):
    return [{name: value for name, value in d.items() if name not in names} for d in deltas]


def repeated(deltas):
    """Each piece says again whose it is."""
    names = {0: ("a", "find"), 1: ("b", "read")}
    return [
        d | {"id": names[d["index"]][0], "function": d["function"] | {"name": names[d["index"]][1]}}
        for d in deltas
    ]


def in_order(deltas):
    return sorted(deltas, key=lambda delta: delta["index"])


def fresh_ids(deltas):
    """Some servers give each piece an id of its own, but the name once."""
    return [deltas[0], *({"id": f"x{n}"} | d for n, d in enumerate(deltas[1:]))]


def whole(**arguments):
    return [
        {"id": "a", "function": {"name": "find", "arguments": arguments.get("find")}},
        {"id": "b", "function": {"name": "read", "arguments": arguments.get("read")}},
    ]


DIALECTS = [
    NUMBERED,
    repeated(NUMBERED),
    fresh_ids(NUMBERED),
    in_order(NUMBERED),
    without(in_order(NUMBERED), "index"),
    without(repeated(in_order(NUMBERED)), "index"),
    [d | {"index": 0} for d in repeated(in_order(NUMBERED))],
    [{"index": True}, {"index": 7, "function": None}, 5, None, *NUMBERED],
    whole(find='{"q": "x"}', read="{}"),
    whole(find={"q": "x"}, read={}),
    [d | {"index": 0} for d in whole(find={"q": "x"}, read={})],
]


def test_the_same_calls_come_out_of_every_dialect():
    for deltas in DIALECTS:
        assert gathered(deltas) == BOTH, deltas


def test_calls_without_ids_and_numbers_are_told_apart_by_their_names():
    deltas = without(whole(find='{"q": "x"}', read="{}"), "id")
    assert gathered(deltas) == [("", "find", '{"q": "x"}'), ("", "read", "{}")]


def test_a_piece_that_names_nothing_belongs_to_the_call_before():
    assert gathered([{"function": {"arguments": "{"}}, {"function": {"arguments": "}"}}]) == [
        ("", "", "{}")
    ]


def test_a_whole_message_holds_whole_calls():
    message = {"content": None, "tool_calls": whole(find='{"q": "x"}', read="{}")}
    payload = json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    pieces = [e for e in events([payload, "[DONE]"], model="m") if isinstance(e, CallPiece)]
    assert [(piece.call_id, piece.name, piece.arguments) for piece in pieces] == BOTH


def test_of_a_thousand_calls_the_first_few_count():
    calls = taken(CallPiece(n % 500, f"c{n}", "find", "{}") for n in range(1000))
    assert [call.call_id for call in calls] == [f"c{n}" for n in range(MOST_CALLS)]
    assert {call.arguments for call in calls} == {"{}"}


def test_arguments_that_are_too_long_are_not_kept():
    (call,) = taken([CallPiece(0, "a", "find", "x" * (LONGEST_ARGUMENTS // 2))] * 3)
    assert call.is_too_long
    assert len(call.arguments) == LONGEST_ARGUMENTS


@pytest.mark.parametrize("name", ["find", ""])
def test_calls_without_an_end_are_the_models_fault(name):
    with pytest.raises(ModelError) as caught:
        taken(CallPiece(n, "a", name, "x" * 999) for n in range(1001))
    assert caught.value.error_class == "upstream"
