"""The wire forms, byte for byte."""

import json
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.streaming.encoders import plain_text, server_sent
from app.streaming.events import Done, Failed, Passages, Reasoning, Started, Text
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


def texts(*events):
    return list(plain_text(events))


@given(st.lists(st.text()))
def test_plain_text_is_the_answer_and_nothing_else(pieces):
    sent = texts(STARTED, *map(Text, pieces), None, DONE)
    assert b"".join(sent).decode() == "".join(pieces)


def test_the_marker_is_one_chunk_with_its_array_and_comes_last():
    sent = texts(STARTED, PASSAGES, Text("a"), Text("b"), DONE)
    assert sent[-1] == b'\n__CONTEXT__:[{"source":"a\\nb","page":7}]'
    assert b"".join(sent[:-1]) == b"ab"


def test_no_contexts_no_marker():
    assert b"".join(texts(STARTED, Text("a"), DONE)) == b"a"


def test_a_failure_is_a_last_line_for_people():
    assert b"".join(texts(STARTED, Text("half"), FAILED)) == (
        b"half\n[upstream_error] Please try again."
    )


def test_the_array_ends_the_text_even_when_the_answer_failed():
    sent = texts(STARTED, PASSAGES, Text("half"), FAILED)
    assert sent[-1].startswith(b"\n__CONTEXT__:[")
    assert b"[upstream_error] Please try again." in sent[-2]


def test_reasoning_is_no_part_of_plain_text():
    assert b"".join(texts(STARTED, Reasoning("hm"), Text("a"), DONE)) == b"a"


def test_plain_text_lets_the_headers_go_before_the_first_word():
    assert next(plain_text(iter([STARTED]))) == b""


@given(st.lists(st.text()))
def test_server_sent_events_are_numbered_and_their_data_is_one_line(pieces):
    seen = list(frames(server_sent([STARTED, *map(Text, pieces), PASSAGES, DONE])))
    assert [frame.number for frame in seen] == list(range(len(pieces) + 3))
    assert [seen[0].event, seen[-2].event, seen[-1].event] == ["message", "contexts", "done"]
    assert text_of(seen) == "".join(pieces)


def test_the_first_event_has_both_ids_revision_and_title():
    (first,) = frames(server_sent([STARTED]))
    assert first.data == {
        "conversation_id": str(UUID(int=1)),
        "message_id": str(UUID(int=2)),
        "user_message_id": str(UUID(int=3)),
        "revision": 4,
        "title": "Huế",
    }


def test_silence_is_a_comment_that_takes_no_number():
    seen = list(frames(server_sent([STARTED, None, None, Reasoning("hm"), DONE])))
    assert [(frame.event, frame.number) for frame in seen] == [
        ("message", 0), (None, None), (None, None), ("reasoning", 1), ("done", 2),
    ]  # fmt: skip


def test_an_error_event_says_what_ended_it():
    (error,) = frames(server_sent([FAILED]))
    assert error.event == "error"
    assert error.data == {
        "status": "failed",
        "code": "upstream",
        "detail": "Please try again.",
        "message": None,
        "revision": None,
    }


def test_a_client_can_cut_frames_at_empty_lines_whatever_the_text():
    (piece,) = server_sent([Text("a\n\nb\r\n\u2028\u2029\x85data: x")])
    assert piece.count(b"\n") == 4
    assert piece.endswith(b"\n\n")
    data = piece.split(b"data: ", 1)[1]
    assert json.loads(data)["text"] == "a\n\nb\r\n\u2028\u2029\x85data: x"
