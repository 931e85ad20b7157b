"""The AI SDK's stream: any answer is told so that its client ends with what is stored."""

import json
from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.clock import now
from app.json_text import dumps
from app.responders.base import (
    Contexts,
    Data,
    Finish,
    ReasoningDelta,
    Step,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from app.streaming.answer import Answer
from app.streaming.encoders import HEADERS, HEARTBEAT
from app.streaming.events import Done, Failed, Heard, Passages, Started, Text
from app.streaming.parts import events_of
from app.streaming.ui import UI_MESSAGE_ID, ui_message, ui_stream
from app.transcript import Turn
from tests.ui_client import UiClient, chunks_of

STARTED = Started(
    conversation_id=UUID(int=1),
    message_id=UUID(int=2),
    user_message_id=UUID(int=3),
    revision=4,
    title="Huế",
)
TURN = Turn(
    id=STARTED.message_id,
    seq=2,
    parent_id=STARTED.user_message_id,
    role="assistant",
    content="",
    status="complete",
    created_at=now(),
)
texts = st.text(max_size=5)
values = st.one_of(st.none(), texts, st.dictionaries(texts, texts, max_size=2))
names = st.sampled_from("ab")
events = st.one_of(
    st.builds(TextDelta, texts),
    st.builds(ReasoningDelta, texts),
    st.builds(Step),
    st.builds(ToolCall, names, names, values),
    st.builds(ToolResult, names, values, st.none() | texts),
    st.builds(Data, names, values, st.none() | names, st.booleans()),
    st.builds(
        Contexts,
        st.lists(
            st.fixed_dictionaries(
                {"text": texts},
                optional={
                    "title": st.sampled_from([None, 7, " ", "Guide"]),
                    "url": st.sampled_from(["https://a.example/x", "HTTP://b", "file:///c", 7]),
                },
            ),
            min_size=1,
            max_size=2,
        ),
    ),
)


def streamed(*heard):
    return ui_stream(
        [None if event is None else Heard(event) for event in (STARTED, *heard)],
        STARTED.conversation_id,
    )


def read(*heard):
    """A client that has read a stream of these events."""
    client = UiClient()
    client.take(chunks_of(streamed(*heard)))
    return client


def shown(turn):
    """The message as its JSON reads."""
    return json.loads(dumps(ui_message(turn, STARTED.conversation_id)))


def well_formed(said):
    """The same with another id for each call, and at most one result of each."""
    open_calls = {}
    for number, event in enumerate(said):
        match event:
            case ToolCall(call_id):
                open_calls[call_id] = f"{call_id}{number}"
                yield replace(event, call_id=open_calls[call_id])
            case ToolResult(call_id):
                yield replace(event, call_id=open_calls.pop(call_id, call_id))
            case _:
                yield event


def answered(said):
    """The turn that a responder's events come to, and what its watchers hear."""
    answer = Answer(10_000)
    heard = [event for event in map(answer.take, said) if event is not None]
    turn = replace(
        TURN,
        content=answer.text,
        parts=answer.parts(),
        contexts=answer.contexts,
        model=answer.model,
        finish_reason=answer.finish_reason,
    )
    return heard, turn


@given(st.lists(events, max_size=12), st.sampled_from(["complete", "failed", "cancelled"]))
def test_whatever_is_said_a_client_ends_with_what_is_stored(said, status):
    heard, turn = answered(well_formed(said))
    turn = replace(turn, status=status)
    end = Done(turn, 5) if status == "complete" else Failed(status, "word", "A sentence.", turn, 5)
    live = read(*heard, None, end)
    assert live.message == shown(turn)
    assert read(*events_of(turn), end).message == live.message
    assert live.ended["type"] == {"complete": "finish", "cancelled": "abort"}.get(status, "error")
    passing = [event for event in said if isinstance(event, Data) and event.is_transient]
    assert len(live.passing) == len(passing)


def test_the_stream_of_an_agents_answer_is_this():
    said = [
        ReasoningDelta("hm"),
        ToolCall("c1", "search", {"q": "Huế"}),
        ToolResult("c1", [1]),
        Step(),
        ToolCall("c2", "open", {}),
        ToolResult("c2", error="There is no such page."),
        TextDelta("In central "),
        TextDelta("Vietnam."),
        Contexts([{"url": "https://a.example", "page": 7}, {"source": "atlas.pdf"}, {}]),
        Usage(11, 3),
        Finish("stop", "m-1"),
    ]
    heard, turn = answered(said)
    chunks = chunks_of(streamed(*heard, Done(turn, 5)))
    known = {
        "conversation_id": str(UUID(int=1)),
        "parent_id": str(UUID(int=3)),
        "status": "streaming",
    }
    on_the_server = {"providerExecuted": True}
    assert chunks[:-1] == [
        {"type": "start", "messageId": str(UUID(int=2)), "messageMetadata": known},
        {"type": "start-step"},
        {"type": "reasoning-start", "id": "reasoning-1"},
        {"type": "reasoning-delta", "id": "reasoning-1", "delta": "hm"},
        {"type": "reasoning-end", "id": "reasoning-1"},
        {
            "type": "tool-input-available", "toolCallId": "c1", "toolName": "search",
            "input": {"q": "Huế"}, **on_the_server,
        },
        {"type": "tool-output-available", "toolCallId": "c1", "output": [1], **on_the_server},
        {"type": "finish-step"},
        {"type": "start-step"},
        {
            "type": "tool-input-available", "toolCallId": "c2", "toolName": "open", "input": {},
            **on_the_server,
        },
        {
            "type": "tool-output-error", "toolCallId": "c2", "errorText": "There is no such page.",
            **on_the_server,
        },
        {"type": "text-start", "id": "text-1"},
        {"type": "text-delta", "id": "text-1", "delta": "In central "},
        {"type": "text-delta", "id": "text-1", "delta": "Vietnam."},
        {"type": "text-end", "id": "text-1"},
        {
            "type": "source-url", "sourceId": "source-1", "url": "https://a.example",
            "providerMetadata": {"parley": {"url": "https://a.example", "page": 7}},
        },
        {
            "type": "source-document", "sourceId": "source-2", "mediaType": "text/plain",
            "title": "atlas.pdf", "providerMetadata": {"parley": {"source": "atlas.pdf"}},
        },
        {
            "type": "source-document", "sourceId": "source-3", "mediaType": "text/plain",
            "title": "Passage 3", "providerMetadata": {"parley": {}},
        },
        {"type": "finish-step"},
    ]  # fmt: skip
    assert chunks[-1]["type"] == "finish"
    assert chunks[-1]["finishReason"] == "stop"
    assert chunks[-1]["messageMetadata"] == shown(turn)["metadata"]
    assert chunks[-1]["messageMetadata"]["model"] == "m-1"


def test_headers_go_at_once_then_the_answers_name_and_silence_is_a_comment():
    pieces = streamed(None, Text("a"))
    assert next(pieces) == HEADERS
    assert b'"messageId":"00000000-0000-0000-0000-000000000002"' in next(pieces)
    assert next(pieces) == HEARTBEAT
    assert b'"delta":"a"' in next(pieces)


def test_an_answer_that_was_taken_back_says_so_with_its_passages():
    client = read(
        Text("half"), Passages([{"title": "Guide"}]), Failed("interrupted", "fenced", "Gone.")
    )
    assert client.ended == {"type": "error", "errorText": "Gone."}
    assert client.message["metadata"]["status"] == "interrupted"
    assert [part["type"] for part in client.message["parts"]] == [
        "step-start", "text", "source-document",
    ]  # fmt: skip


def test_a_result_without_a_call_which_a_client_would_fail_at_is_not_told():
    client = read(ToolResult("nobody's", 1), Done(TURN, 5))
    assert client.message == shown(TURN)


def test_an_unknown_reason_to_finish_is_left_to_the_metadata():
    client = read(Done(replace(TURN, finish_reason="tired"), 5))
    assert "finishReason" not in client.ended
    assert client.message["metadata"]["finish_reason"] == "tired"


def test_what_a_user_wrote_is_called_as_its_client_calls_it_and_says_what_was_sent():
    asked = replace(TURN, role="user", content="Where?", parent_id=None)
    assert shown(asked)["id"] == str(asked.id)
    assert shown(asked)["parts"] == [{"type": "text", "text": "Where?"}]
    named = replace(asked, client_message_id="9C5QTtA8lMeNU0Kb", parts=[{"type": "file", "x": 1}])
    assert shown(named)["id"] == "9C5QTtA8lMeNU0Kb"
    assert shown(named)["parts"] == [{"type": "file", "x": 1}]
    version = replace(named, client_message_id="key", metadata={UI_MESSAGE_ID: "first", "a": 1})
    assert shown(version)["id"] == "first"
    assert UI_MESSAGE_ID not in shown(version)["metadata"]
    assert shown(version)["metadata"]["a"] == 1


def test_an_answer_goes_by_the_id_that_the_stream_gave_it():
    assert shown(replace(TURN, client_message_id="key"))["id"] == str(TURN.id)


def test_what_a_tool_said_is_shown_as_an_answer_and_the_system_as_itself():
    assert shown(replace(TURN, role="tool", content="42"))["role"] == "assistant"
    assert shown(replace(TURN, role="system", content="Be brief."))["role"] == "system"


def test_an_answer_under_way_has_a_part_to_show():
    assert shown(replace(TURN, status="streaming"))["parts"] == [{"type": "step-start"}]
