"""What somebody finds who looks for promises that do not hold."""

from urllib.parse import quote

import pytest

from app.cursors import encode_cursor
from tests.client import Client
from tests.evidence import assert_problem, pointers
from tests.responders import Gate
from tests.streams import until

STREAMING = "SELECT FROM messages WHERE user_email = :email AND status = 'streaming'"


@pytest.fixture
def impatient(make_app, email):
    """The API on a database that gives each statement no more than half a second."""
    return Client(make_app(db_statement_timeout=0.5), email)


def test_a_title_goes_with_whichever_question_it_was_made_of(client):
    made = client.create("```")["id"]
    (said,) = client.say(made, "Secretword of mine").json["messages"]
    client.delete(f"/conversations/{made}/messages/{said['id']}")
    assert client.get(f"/conversations/{made}").json["title"] is None
    assert client.get("/search?q=secretword").json["results"] == []


def test_a_page_at_a_message_that_was_deleted_looks_like_no_end(client):
    made = client.create(*map(str, range(6)))
    path, last = f"/conversations/{made['id']}/messages", made["messages"][-1]["id"]
    client.delete(f"{path}/{last}")
    for way in ("before", "after"):
        problem = assert_problem(client.get(f"{path}?{way}={last}"), 422, "invalid_fields")
        assert pointers(problem) == {f"/{way}"}


def test_an_answer_that_is_left_ends_though_its_model_is_silent(make_app, email):
    gate = Gate("half")
    client = Client(make_app(gate), email)
    client.ask("Where?", conversation_id="left", wire="sse")
    assert gate.reached.wait(5)
    question, answer = client.messages("left")
    path = "/conversations/left/messages"
    client.patch(f"{path}/{question['id']}", json={"content": "When?"})
    ending = f"{path}/{answer['id']}"
    until(lambda: client.get(ending).json["message"]["status"] == "interrupted", seconds=4)
    gate.open()
    again = client.post(f"{path}/{question['id']}/regenerate?wire=json")
    assert again.status_code == 200, again.text


def test_a_long_phrase_in_long_messages_is_found_in_time(impatient):
    repetitive = "ab ac ad " * 5000
    made = impatient.create(*[repetitive] * 4)["id"]
    phrase = quote(f'"{"ab ac ad " * 30}"')
    found = impatient.get(f"/search?q={phrase}&conversation={made}")
    assert found.status_code == 200, found.text
    assert len(found.json["results"]) == 4


def test_a_forged_rank_is_a_foul_cursor(client):
    client.create("tea")
    for rank in (1e308, -1e308, 1e39, 1e-320, 5e-46):
        place = rank, "2026-11-21T00:00:00.000Z", "01a1fe7b-6620-76eb-8c20-7e64b83bb2f2"
        answer = client.get(f"/search?q=tea&cursor={encode_cursor(*place)}")
        assert pointers(assert_problem(answer, 422, "invalid_fields")) == {"/cursor"}


def test_a_request_that_failed_leaves_no_key(client):
    send = {"json": {"client_id": "c-1"}, "headers": {"Idempotency-Key": "k-1"}}
    client.create(client_id="c-1")
    client.delete("/conversations/c-1")
    assert client.post("/conversations", **send).status_code == 404
    client.delete("/conversations/c-1?permanent=true")
    assert client.post("/conversations", **send).status_code == 201


def test_no_client_id_is_a_step_in_a_path(client):
    for name in (".", ".."):
        answer = client.post("/conversations", json={"client_id": name})
        assert pointers(assert_problem(answer, 422, "invalid_fields")) == {"/client_id"}


def test_what_ends_in_the_trash_comes_back_as_it_was_put_there(make_app, email, rows):
    gate = Gate("half")
    client = Client(make_app(gate), email)
    client.ask("Where?", conversation_id="thrown", wire="sse")
    assert gate.reached.wait(5)
    before = client.get("/conversations/thrown").json
    trashed = client.delete("/conversations/thrown")
    gate.open()
    until(lambda: not rows.run(STREAMING, email=email), seconds=15)
    state = {"If-Match": trashed.headers["ETag"]}
    restored = client.post("/conversations/thrown/restore", headers=state)
    assert restored.status_code == 200, restored.text
    assert restored.json["revision"] == trashed.json["revision"] + 1
    assert restored.json["updated_at"] == before["updated_at"]
