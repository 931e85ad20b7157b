"""What clients of the AI SDK send, and what they get; `make test-clients` asks the real ones."""

from uuid import uuid4

import pytest

from app.responders.base import Contexts, Data, Finish, Step, ToolCall, ToolResult, Usage
from tests.client import Client, at_once
from tests.evidence import assert_problem, pointers
from tests.responders import Gate
from tests.streams import frames, until
from tests.ui_client import UiClient, chunks_of

EVERYTHING = [
    Contexts([{"url": "https://a.example/x", "title": "A"}, {"source": "atlas.pdf"}]),
    ToolCall("c1", "search", {"q": "Huế"}),
    ToolResult("c1", [1, None]),
    Step(),
    Data("progress", {"percent": 100}, "p1"),
    Data("passing", 1, is_transient=True),
    "In central Vietnam.",
    Usage(11, 3),
    Finish("stop", model="m-1"),
]
STREAM = {
    "Content-Type": "text/event-stream",
    "X-Vercel-AI-UI-Message-Stream": "v1",
    "X-Accel-Buffering": "no",
}


@pytest.fixture
def connect(make_app, email):
    """The API as `email` calls it, answered by a responder."""
    return lambda responder, **changes: Client(make_app(responder, **changes), email)


@pytest.fixture
def person(connect):
    """Somebody who is answered with what they ask."""
    return connect(lambda prompt: iter([f"You said: {prompt.question}"]))


def said(text="Where is Huế?", message_id=None, **fields):
    """A message as its client writes it."""
    message_id = message_id or uuid4().hex[:16]
    return {"id": message_id, "role": "user", "parts": [{"type": "text", "text": text}]} | fields


def submit(client, chat, *messages, path="/chat", headers=None, **fields):
    body = {"id": chat, "messages": list(messages), "trigger": "submit-message"} | fields
    return client.post(path, json=body, headers=headers or {})


def regenerate(client, chat, *messages, **fields):
    return submit(client, chat, *messages, trigger="regenerate-message", **fields)


def read(answer):
    """The message that a client of the stream ends with."""
    assert answer.status_code == 200, answer.text
    return UiClient().take(chunks_of(answer.response))


def shown(client, chat, **query):
    answer = client.get(f"/conversations/{chat}/messages", query_string={"format": "ui"} | query)
    assert answer.status_code == 200, answer.text
    return answer.json["messages"]


def texts(messages):
    return ["".join(part.get("text", "") for part in message["parts"]) for message in messages]


# What is asked


def test_both_forms_are_answered_with_a_stream_that_ends_with_what_is_stored(connect):
    client = connect(lambda prompt: iter(EVERYTHING))
    history = [said("never", "x" * 99), {"role": "assistant"}, {"any": "thing"}]
    answer = submit(client, "chat-1", *history, said(message_id="q-1"), tools={}, metadata={})
    assert set(answer.headers.items()) >= set(STREAM.items())
    assert answer.headers["Cache-Control"].startswith("no-cache")
    first = read(answer)
    assert answer.headers["X-Message-Id"] == first["id"]
    second = read(client.post("/chat", json={"id": "chat-1", "message": said("And?", "q-2")}))
    kept = shown(client, "chat-1")
    assert [message["id"] for message in kept] == ["q-1", first["id"], "q-2", second["id"]]
    assert kept[0]["parts"] == [{"type": "text", "text": "Where is Huế?"}]
    assert (kept[1], kept[3]) == (first, second)
    assert first["metadata"]["conversation_id"] == answer.headers["X-Conversation-Id"]
    assert first["metadata"]["tokens_used"] == 14


def test_the_same_message_again_is_the_same_answer_again(person):
    first = read(submit(person, "chat-1", said(message_id="q-1")))
    assert read(submit(person, "chat-1", said(message_id="q-1"))) == first
    other = submit(person, "chat-1", said("Something else", "q-1"))
    assert_problem(other, 409, "payload_mismatch")


def test_without_an_id_each_chat_is_a_new_one(person):
    chats = [submit(person, None, said()).headers["X-Conversation-Id"] for _ in range(2)]
    assert len(set(chats)) == 2


def test_a_chat_by_the_clients_uuid_is_made_once_and_is_another_for_somebody_else(person, stranger):
    chat = str(uuid4())
    at_once(lambda n: submit(Client(person.app, person.email), chat, said(f"{n}")), range(4))
    until(lambda: len(person.messages(chat)) == 8)
    assert stranger.get(f"/conversations/{chat}").status_code == 404
    theirs = submit(stranger, chat, said("mine"))
    assert theirs.status_code == 200
    assert len(stranger.messages(chat)) == 2
    assert len(person.messages(chat)) == 8
    trash = {"action": "trash", "ids": [chat]}
    assert person.post("/conversations/bulk", json=trash).json["results"][0]["status"] == "done"
    assert_problem(submit(person, chat, said()), 404, "not_found")
    assert len(stranger.messages(chat)) == 2


def test_parts_are_kept_as_they_were_sent_and_their_texts_are_what_is_asked(connect):
    prompts = []
    client = connect(lambda prompt: prompts.append(prompt) or iter(["Yes."]))
    parts = [
        {"type": "file", "mediaType": "text/plain", "url": "data:,hello", "any": [None, 1.5]},
        {"type": "text", "text": "Is "},
        {"type": "data-place", "id": "p", "data": {"text": "not said"}},
        {"type": "text", "text": "it?"},
    ]
    read(submit(client, "chat-1", said(parts=parts, metadata={"theme": "dark"}), mode="fast"))
    (prompt,) = prompts
    assert (prompt.question, prompt.mode) == ("Is it?", "fast")
    question = shown(client, "chat-1")[0]
    assert question["parts"] == parts
    assert question["metadata"]["theme"] == "dark"
    assert client.messages("chat-1")[0]["content"] == "Is it?"


WRONG = [
    ({"id": "x" * 65}, "/id"),
    ({"id": "a/b"}, "/id"),
    ({"trigger": "shout"}, "/trigger"),
    ({"messageId": "x" * 65}, "/messageId"),
    ({"mode": "psychic"}, "/mode"),
    ({"filters": ["pdf"]}, "/filters/0"),
    ({"messages": "hello"}, "/messages"),
    ({"messages": []}, "/messages"),
    ({"messages": [said("a"), 7]}, "/messages/1"),
    ({"messages": [said("a"), said("b", "x" * 65)]}, "/messages/1/id"),
    ({"messages": [said("a"), said(parts=[])]}, "/messages/1/parts"),
    ({"messages": [said(parts=[{"type": "text", "text": " "}])]}, "/messages/0/parts"),
    ({"messages": [said(parts=[{"type": "text", "text": 7}])]}, "/messages/0/parts"),
    ({"messages": [said(parts=[{"type": "file", "url": "data:,"}])]}, "/messages/0/parts"),
    ({"messages": [said(parts=[7])]}, "/messages/0/parts/0"),
    ({"messages": [said(metadata={"x": "y" * 65_536})]}, "/messages/0/metadata"),
    ({"messages": None, "message": said(message_id="a\u202e")}, "/message/id"),
]


def test_what_is_wrong_is_named(person, rows):
    for fields, named in WRONG:
        body = {"id": "chat-1", "messages": [said()], "trigger": "submit-message"} | fields
        body = {name: value for name, value in body.items() if value is not None}
        problem = assert_problem(person.post("/chat", json=body), 422, "invalid_fields")
        assert pointers(problem) == {named}, fields
    assert rows.run("SELECT FROM messages WHERE user_email = :email", email=person.email) == []


def test_nothing_said_and_tools_of_the_clients_are_refused_in_plain_words(person):
    nothing = person.post("/chat", json={"id": "chat-1", "trigger": "submit-message"})
    assert pointers(assert_problem(nothing, 422)) == {"/message"}
    called = {"id": "a-1", "role": "assistant", "parts": [{"type": "tool-x"}]}
    problem = assert_problem(submit(person, "chat-1", said(), called, messageId="a-1"), 422)
    assert pointers(problem) == {"/messages"}
    assert "run" in problem["detail"]
    assert "on the server" in problem["detail"]


# What is said differently, or answered anew


def test_a_message_is_said_differently_under_the_id_that_it_has(person):
    read(submit(person, "chat-1", said("one", "q-1")))
    read(submit(person, "chat-1", said("two", "q-2")))
    for text in ("ONE", "ONE!"):
        read(submit(person, "chat-1", said(text, "q-1"), messageId="q-1"))
        kept = shown(person, "chat-1")
        assert texts(kept) == [text, f"You said: {text}"]
        assert kept[0]["id"] == "q-1"
    read(submit(person, "chat-1", said("on", "q-3")))
    read(regenerate(person, "chat-1", said("ONE!", "q-1")))
    assert texts(shown(person, "chat-1")) == ["ONE!", "You said: ONE!"]
    everything = texts(shown(person, "chat-1", branch="all"))
    assert [text for text in everything if "You" not in text] == ["one", "two", "ONE", "ONE!", "on"]


def test_a_version_is_found_by_its_first_id_when_the_first_is_deleted(person):
    read(submit(person, "chat-1", said("one", "q-1")))
    read(submit(person, "chat-1", said("ONE", "q-1"), messageId="q-1"))
    assert person.delete("/conversations/chat-1/messages/q-1").status_code == 200
    read(regenerate(person, "chat-1", said("ONE", "q-1")))
    assert len(shown(person, "chat-1", branch="all")) == 3


def test_what_is_said_as_before_is_answered_anew(person):
    first = read(submit(person, "chat-1", said("one", "q-1")))
    again = read(submit(person, "chat-1", said("one", "q-1"), messageId="q-1"))
    assert again["id"] != first["id"]
    assert shown(person, "chat-1") == [shown(person, "chat-1")[0], again]


def test_an_edit_takes_effect_once_by_its_key(person):
    read(submit(person, "chat-1", said("one", "q-1")))
    keyed = {"messageId": "q-1", "headers": {"Idempotency-Key": "k-1"}}
    edits = [read(submit(person, "chat-1", said("ONE", "q-1"), **keyed)) for _ in range(2)]
    assert edits[0] == edits[1]
    assert len(shown(person, "chat-1", branch="all")) == 4
    assert shown(person, "chat-1")[0]["id"] == "q-1"


def test_only_what_the_user_said_is_said_differently(person):
    answer = read(submit(person, "chat-1", said("one", "q-1")))
    problem = submit(person, "chat-1", said("hm"), messageId=answer["id"])
    assert pointers(assert_problem(problem, 422)) == {"/messageId"}


def test_an_edit_or_another_answer_of_what_never_arrived_is_a_new_question(person):
    read(submit(person, "chat-1", said("one", "q-1"), messageId="q-1"))
    read(regenerate(person, "chat-1", said("two", "q-2")))
    assert [message["id"] for message in shown(person, "chat-1")][::2] == ["q-1", "q-2"]


def test_another_answer_is_to_what_is_named_or_said_last(person):
    first = read(submit(person, "chat-1", said("one", "q-1")))
    second = read(submit(person, "chat-1", said("two", "q-2")))
    for call in (
        {"messageId": second["id"]},
        {"messageId": "never-heard-of", "messages": [said("two", "q-2")]},
        {"messages": [said("one", "q-1"), said("two", "q-2")]},
        {"message": said("two", "q-2"), "messages": None},
        {"messages": None},
    ):
        body = {"id": "chat-1", "trigger": "regenerate-message"} | call
        body = {name: value for name, value in body.items() if value is not None}
        answer = read(person.post("/chat", json=body))
        kept = shown(person, "chat-1")
        assert [message["id"] for message in kept][:3] == ["q-1", first["id"], "q-2"]
        assert kept[3] == answer
    assert len(shown(person, "chat-1", branch="all")) == 9
    read(regenerate(person, "chat-1", messageId=first["id"], messages=[said("one", "q-1")]))
    assert len(shown(person, "chat-1")) == 2


def test_there_is_nothing_to_answer_anew_where_nothing_was_said(person, stranger):
    foreign = stranger.create("mine")["id"]
    made = person.create()["id"]
    for chat in (foreign, made, "chat-9", None):
        body = {"id": chat, "trigger": "regenerate-message"}
        assert_problem(person.post("/chat", json=body), 404, "not_found")
    assert_problem(regenerate(person, foreign, said()), 404, "not_found")
    assert len(stranger.messages(foreign)) == 1


# The forms of an answer


FORMS = [
    ("", None, "text/event-stream"),
    ("", "*/*", "text/event-stream"),
    ("", "application/json", "application/json"),
    ("", "text/plain", "text/plain"),
    ("?wire=sse", "*/*", "text/event-stream"),
    ("?wire=json", "text/event-stream", "application/json"),
]


def test_the_wire_is_what_is_asked_for_or_the_sdks_own(person):
    for query, accept, content_type in FORMS:
        headers = {"Accept": accept} if accept else {}
        answer = submit(person, "chat-1", said(), path=f"/chat{query}", headers=headers)
        assert answer.content_type.startswith(content_type)
        is_ui = content_type == "text/event-stream" and not query
        assert ("X-Vercel-AI-UI-Message-Stream" in answer.headers) == is_ui


def test_a_question_of_our_own_form_and_its_regeneration_come_as_the_sdks_stream(person):
    answer = person.ask("one", "ui")
    first = read(answer)
    chat = answer.headers["X-Conversation-Id"]
    again = f"/conversations/{chat}/messages/{first['id']}/regenerate?wire=ui"
    another = read(person.post(again))
    assert shown(person, chat)[1] == another


def test_an_agent_is_asked_in_the_same_form(person):
    answer = read(submit(person, "chat-1", said(), path="/chat/agent"))
    assert shown(person, "chat-1")[1] == answer


def test_a_failure_says_what_is_stored_and_a_sentence(connect):
    client = connect("tests.responders:failing")
    chunks = chunks_of(submit(client, "chat-1", said()).response)
    assert chunks[-1]["type"] == "error"
    assert "secret" not in str(chunks)
    answer = UiClient().take(chunks)
    assert shown(client, "chat-1")[1] == answer
    assert answer["metadata"]["status"] == "failed"


def test_messages_come_in_pages_with_cursors_of_ours(person):
    for number in range(3):
        read(submit(person, "chat-1", said(f"{number}")))
    page = person.get("/conversations/chat-1/messages?format=ui&limit=2").json
    assert texts(page["messages"]) == ["2", "You said: 2"]
    query = f"format=ui&limit=100&before={page['next_cursor']}"
    rest = person.get(f"/conversations/chat-1/messages?{query}").json
    assert texts(rest["messages"])[::2] == ["0", "1"]
    assert rest["next_cursor"] is None


# An answer that is being written


def test_it_is_resumed_from_its_beginning_and_stopped_from_elsewhere(connect):
    gate = Gate("before ", patience=20)
    client = connect(gate)
    answer = submit(client, "chat-1", said(message_id="q-1"))
    first = next(filter(None, answer.response))
    assert gate.reached.wait(10)
    resumed = client.get("/chat/chat-1/stream")
    assert set(resumed.headers.items()) >= set(STREAM.items())
    assert next(filter(None, resumed.response)) == first
    events = client.get("/chat/chat-1/stream", headers={"Accept": "text/event-stream"})
    assert next(frames(events.response)).event == "message"
    events.close()
    wrong = client.post("/chat/chat-1/stop", json={"message_id": "q-1"})
    assert wrong.json["stopped"] == 0
    stopped = client.post("/chat/chat-1/stop")
    assert stopped.json == {
        "conversation_id": answer.headers["X-Conversation-Id"],
        "stopped": 1,
    }
    message = UiClient().take(chunks_of([first, *resumed.response]))
    assert UiClient().take(chunks_of([first, *answer.response])) == message
    assert message == shown(client, "chat-1")[1]
    assert message["metadata"]["status"] == "cancelled"
    assert client.post("/chat/chat-1/stop", json={}).json["stopped"] == 0
    assert client.get("/chat/chat-1/stream").status_code == 204


def test_nothing_is_resumed_or_stopped_where_there_is_nothing(person, stranger):
    chat = person.create("one")["id"]
    assert person.get(f"/chat/{chat}/stream").status_code == 204
    assert person.post(f"/chat/{chat}/stop").json["stopped"] == 0
    for client, reference in ((stranger, chat), (person, "chat-9"), (person, str(uuid4()))):
        assert_problem(client.get(f"/chat/{reference}/stream"), 404, "not_found")
        assert_problem(client.post(f"/chat/{reference}/stop"), 404, "not_found")
    unknown = person.post(f"/chat/{chat}/stop", json={"message_id": "never-heard-of"})
    assert_problem(unknown, 404, "not_found")
