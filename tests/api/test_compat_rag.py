"""/compat/rag as the clients of a RAG service call it."""

import re
from uuid import uuid4

import pytest

from tests.client import Client
from tests.evidence import assert_problem, pointers

AT = "/compat/rag/chat"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


@pytest.fixture
def complete(make_app, email):
    """Answered with passages."""
    return Client(make_app("tests.responders:complete"), email)


def send(client, message, **fields):
    answer = client.post(f"{AT}/send", json={"message": message} | fields)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_a_session_is_made_asked_in_listed_read_and_deleted(client):
    made = client.post(f"{AT}/create?user_id=somebody")
    assert (made.status_code, made.json.keys()) == (200, {"session_id", "created_at"})
    session_id = made.json["session_id"]
    assert MOMENT.fullmatch(made.json["created_at"])
    sent = send(client, "Where is Huế?", session_id=session_id)
    assert (sent["session_id"], sent["session_title"]) == (session_id, "Where is Huế?")
    assert sent["message_count"] == 2
    assert sent["response"].startswith("No language model")
    listed = client.get(f"{AT}/sessions?user_id=somebody").json
    assert listed["total"] == 1
    assert [session["session_id"] for session in listed["sessions"]] == [session_id]
    assert MOMENT.fullmatch(listed["sessions"][0]["last_activity"])
    history = client.get(f"{AT}/history/{session_id}").json
    assert (history["session_id"], history["total_messages"]) == (session_id, 2)
    assert [turn["role"] for turn in history["messages"]] == ["user", "assistant"]
    assert client.delete(f"{AT}/delete/{session_id}").json == {"message": "The session is gone."}
    assert client.get(f"{AT}/sessions").json == {"sessions": [], "total": 0}


def test_without_a_session_one_is_made_and_titled(client):
    sent = send(client, "Where is Huế?")
    assert send(client, "And Hội An?", session_id=sent["session_id"])["message_count"] == 4
    assert client.get(f"/conversations/{sent['session_id']}").json["title"] == "Where is Huế?"
    assert send(client, "Elsewhere", session_id=None)["session_id"] != sent["session_id"]


def test_an_answer_names_its_sources_and_how_long_it_took(complete):
    session_id = complete.post(f"{AT}/sessions").json["session_id"]
    body = {"message": "Where is Huế?", "metadata": {"page": "/travel"}}
    answer = complete.post(f"{AT}/sessions/{session_id}/messages", json=body)
    said = answer.json
    assert (said["session_id"], said["user_message"]) == (session_id, "Where is Huế?")
    assert said["assistant_response"] == "In central Vietnam."
    assert [source["source"] for source in said["sources"]] == ["atlas.pdf"]
    assert said["processing_time_ms"] >= 0
    asked, answered = complete.get(f"{AT}/sessions/{session_id}/history").json["messages"]
    assert (asked["content"], asked["metadata"]) == ("Where is Huế?", {"page": "/travel"})
    assert answered["metadata"] == {
        "sources": said["sources"],
        "processing_time_ms": said["processing_time_ms"],
    }
    assert MOMENT.fullmatch(asked["timestamp"])


def test_a_moment_is_told_in_utc_without_saying_so(client):
    made = client.create("Where is Huế?")
    (turn,) = client.get(f"{AT}/history/{made['id']}").json["messages"]
    assert turn["timestamp"] == made["messages"][0]["created_at"].replace("Z", "000")


def test_a_history_is_as_long_as_it_is_asked_for(client):
    session_id = client.create(*(f"message {number}" for number in range(60)))["id"]
    at = f"{AT}/sessions/{session_id}/history"
    for query, count in (("", 50), ("?max_messages=3", 3), ("?max_messages=200&user_id=x", 60)):
        history = client.get(at + query).json
        assert len(history["messages"]) == count
        assert history["messages"][-1]["content"] == "message 59"
        assert history["total_messages"] == 60
    for foul in ("0", "201", "many", ""):
        problem = assert_problem(client.get(f"{at}?max_messages={foul}"), 422, "invalid_fields")
        assert pointers(problem) == {"/max_messages"}
    assert len(client.get(f"{AT}/history/{session_id}").json["messages"]) == 60


def test_a_partial_answer_says_so(make_app, email):
    client = Client(make_app("tests.responders:failing"), email)
    answer = client.post(f"{AT}/send", json={"message": "Where is Huế?"})
    problem = assert_problem(answer, 502, "model_failed")
    history = client.get(f"{AT}/history/{problem['conversation_id']}").json["messages"]
    assert [turn["content"] for turn in history] == ["Where is Huế?", "half an "]
    assert history[1]["metadata"]["status"] == "failed"


def test_a_message_has_at_most_5000_characters_where_the_service_had_that_limit(client):
    session_id = client.post(f"{AT}/sessions").json["session_id"]
    at = f"{AT}/sessions/{session_id}/messages"
    assert client.post(at, json={"message": "é" * 5000}).status_code == 200
    for foul in ("é" * 5001, "", " \n"):
        problem = assert_problem(client.post(at, json={"message": foul}), 422, "invalid_fields")
        assert pointers(problem) == {"/message"}
    assert send(client, "é" * 5001, session_id=session_id)["message_count"] == 4


def test_no_session_is_made_by_asking_in_one_that_is_not_there(client, stranger):
    theirs = stranger.create("Hello")["id"]
    gone = client.create("Hello")["id"]
    client.delete(f"{AT}/sessions/{gone}")
    for session_id in (theirs, gone, str(uuid4()), "my-own-id"):
        body = {"message": "Hello"}
        for answer in (
            client.post(f"{AT}/send", json=body | {"session_id": session_id}),
            client.post(f"{AT}/sessions/{session_id}/messages", json=body),
            client.get(f"{AT}/history/{session_id}"),
            client.get(f"{AT}/sessions/{session_id}/history"),
        ):
            assert_problem(answer, 404, "not_found")
    assert client.get(f"{AT}/sessions").json["total"] == 0
    assert len(stranger.messages(theirs)) == 1


def test_deleting_answers_the_same_whatever_there_was_and_can_be_undone(client, stranger):
    theirs, own = stranger.create("Hello")["id"], client.create("Hello")["id"]
    answers = {
        client.delete(f"{AT}/{path}/{session_id}").data
        for path in ("delete", "sessions")
        for session_id in (theirs, own, own, str(uuid4()), "my-own-id")
    }
    assert answers == {b'{"message":"The session is gone."}'}
    assert len(stranger.messages(theirs)) == 1
    assert client.get(f"/conversations/{own}").status_code == 404
