"""The wire forms, byte for byte."""

import json
from itertools import count
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.responders.base import Data, Step, ToolCall, ToolResult
from app.streaming.encoders import Place, place_of, plain_text, server_sent
from app.streaming.events import Done, Failed, Heard, Passages, Reasoning, Started, Text
from tests.streams import frames, text_of

STARTED = Started(
    conversation_id=UUID(int=1),
    message_id=UUID(int=2),
    user_message_id=UUID(int=3),
    revision=4,
    title="Huế",
)
DONE = Done(None, 5)
FAILED = Failed("failed", "upstream", "Please try again.")
PASSAGES = Passages([{"source": "a\nb", "page": 7}])


def heard(*events):
    """Events as they are heard from a wire; None is a silence."""
    numbers = count()
    return [event and Heard(event, next(numbers)) for event in events]


def texts(*events):
    return list(plain_text(heard(*events)))


def sent(*events):
    """The events' frames on the sse wire."""
    return list(frames(server_sent(STARTED.message_id, heard(*events))))


@given(st.lists(st.text()))
def test_plain_text_is_the_answer_and_nothing_else(pieces):
    told = texts(STARTED, *map(Text, pieces), None, DONE)
    assert b"".join(told).decode() == "".join(pieces)


def test_the_marker_is_one_chunk_with_its_array_and_comes_last():
    pieces = texts(STARTED, PASSAGES, Text("a"), Text("b"), DONE)
    assert pieces[-1] == b'\n__CONTEXT__:[{"source":"a\\nb","page":7}]'
    assert b"".join(pieces[:-1]) == b"ab"


def test_no_contexts_no_marker():
    assert b"".join(texts(STARTED, Text("a"), DONE)) == b"a"


def test_a_failure_is_a_last_line_for_people():
    assert b"".join(texts(STARTED, Text("half"), FAILED)) == (
        b"half\n[upstream_error] Please try again."
    )


def test_the_array_ends_the_text_even_when_the_answer_failed():
    pieces = texts(STARTED, PASSAGES, Text("half"), FAILED)
    assert pieces[-1].startswith(b"\n__CONTEXT__:[")
    assert b"[upstream_error] Please try again." in pieces[-2]


def test_reasoning_is_no_part_of_plain_text():
    assert b"".join(texts(STARTED, Reasoning("hm"), Text("a"), DONE)) == b"a"


def test_plain_text_lets_the_headers_go_before_the_first_word():
    assert next(plain_text(iter(heard(STARTED)))) == b""


@given(st.lists(st.text()))
def test_server_sent_events_are_numbered_and_their_data_is_one_line(pieces):
    seen = sent(STARTED, *map(Text, pieces), PASSAGES, DONE)
    assert [frame.number for frame in seen] == list(range(len(pieces) + 3))
    assert [seen[0].event, seen[-2].event, seen[-1].event] == ["message", "contexts", "done"]
    assert text_of(seen) == "".join(pieces)


def test_an_events_id_names_its_place_on_its_answers_wire():
    ids = [frame.event_id for frame in sent(STARTED, Text("a"), DONE)]
    assert ids == [f"{UUID(int=2)}:{number}" for number in range(3)]
    assert [place_of(event_id) for event_id in ids] == [
        Place(UUID(int=2), number) for number in range(3)
    ]


def test_an_event_without_a_number_names_its_answer_only():
    (frame,) = frames(server_sent(UUID(int=2), [Heard(Text("a"))]))
    assert frame.event_id == str(UUID(int=2))
    assert place_of(frame.event_id) == Place(UUID(int=2), None)


def test_a_number_that_is_none_is_no_place():
    others = ("\u0663", "\u00b2", "9" * 10, "9" * 5000, "1:2")
    for number in ("", "x", "-1", "+1", "1.5", " 1", "1_0", *others):
        assert place_of(f"{UUID(int=2)}:{number}") == Place(UUID(int=2), None), number[:12]


def test_an_id_that_is_none_of_ours_is_no_place():
    for event_id in (None, "", "7", ":7", "x:7", "\0", f"{UUID(int=2)}".replace("-", "+")):
        assert place_of(event_id) is None, event_id


def test_what_tools_do_has_events_of_its_own():
    seen = sent(
        Step(),
        ToolCall("c1", "search", {"q": "Huế"}),
        ToolResult("c1", [1]),
        ToolResult("c2", error="No such page."),
        Data("chart", {"x": 1}, "d1"),
    )
    assert [(frame.event, frame.data) for frame in seen] == [
        ("step", {}),
        ("tool_call", {"call_id": "c1", "name": "search", "input": {"q": "Huế"}}),
        ("tool_result", {"call_id": "c1", "output": [1], "error": None}),
        ("tool_result", {"call_id": "c2", "output": None, "error": "No such page."}),
        ("data", {"name": "chart", "data": {"x": 1}, "data_id": "d1", "is_transient": False}),
    ]


def test_the_first_event_has_both_ids_revision_and_title():
    (first,) = sent(STARTED)
    assert first.data == {
        "conversation_id": str(UUID(int=1)),
        "message_id": str(UUID(int=2)),
        "user_message_id": str(UUID(int=3)),
        "revision": 4,
        "title": "Huế",
    }


def test_silence_is_a_comment_that_takes_no_number():
    seen = sent(STARTED, None, None, Reasoning("hm"), DONE)
    assert [(frame.event, frame.number) for frame in seen] == [
        ("message", 0), (None, None), (None, None), ("reasoning", 1), ("done", 2),
    ]  # fmt: skip


def test_an_error_event_says_what_ended_it():
    (error,) = sent(FAILED)
    assert error.event == "error"
    assert error.data == {
        "status": "failed",
        "code": "upstream",
        "detail": "Please try again.",
        "message": None,
        "revision": None,
    }


def test_a_client_can_cut_frames_at_empty_lines_whatever_the_text():
    headers, piece = server_sent(UUID(int=2), heard(Text("a\n\nb\r\n\u2028\u2029\x85data: x")))
    assert headers == b""
    assert piece.count(b"\n") == 4
    assert piece.endswith(b"\n\n")
    data = piece.split(b"data: ", 1)[1]
    assert json.loads(data)["text"] == "a\n\nb\r\n\u2028\u2029\x85data: x"
