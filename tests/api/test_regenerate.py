"""Other answers to the same question, and questions on other branches."""

from itertools import count

import pytest

from tests.client import Client, at_once
from tests.evidence import assert_problem
from tests.responders import Gate


class Numbered:
    """Answers `1`, `2`, …, and remembers what it was asked."""

    def __init__(self):
        self.prompts = []
        self._numbers = count(1)

    def __call__(self, prompt):
        self.prompts.append(prompt)
        yield str(next(self._numbers))


@pytest.fixture
def numbered():
    return Numbered()


@pytest.fixture
def asker(make_app, numbered, email):
    return Client(make_app(numbered), email)


def texts(turns):
    return [turn["content"] for turn in turns]


def again(client, asked, message_id, **body):
    address = f"/conversations/{asked['conversation_id']}/messages/{message_id}/regenerate"
    return client.post(f"{address}?wire=json", json=body)


def test_another_answer_is_a_sibling_and_is_shown(asker, numbered):
    asked = asker.ask("Why?").json
    other = again(asker, asked, asked["message"]["id"], model="better")
    assert other.status_code == 200
    assert other.json["user_message_id"] == asked["user_message_id"]
    assert other.json["message"]["parent_id"] == asked["user_message_id"]
    conversation_id = asked["conversation_id"]
    assert texts(asker.messages(conversation_id)) == ["Why?", "2"]
    address = f"/conversations/{conversation_id}/messages/{asked['message']['id']}/versions"
    assert texts(asker.get(address).json["messages"]) == ["1", "2"]
    assert [prompt.model for prompt in numbered.prompts] == [None, "better"]
    record = asker.get(f"/conversations/{conversation_id}").json
    assert (record["message_count"], record["preview"], record["title"]) == (3, "2", "Why?")


def test_a_question_gets_another_answer_by_its_own_id_and_without_a_body(asker):
    asked = asker.ask("Why?").json
    address = f"/conversations/{asked['conversation_id']}/messages/{asked['user_message_id']}"
    answer = asker.post(f"{address}/regenerate")
    assert (answer.status_code, answer.text) == (200, "2")
    assert_problem(asker.post(f"{address}/regenerate", data=b"x"), 415, "unsupported_media_type")
    refused = asker.post(f"{address}/regenerate", json={"message": "x"})
    assert_problem(refused, 422, "invalid_fields")


def test_a_model_hears_what_led_to_its_question_and_nothing_beside(asker, numbered):
    first = asker.ask("a").json
    place = {"conversation_id": first["conversation_id"]}
    second = asker.ask("b", **place).json
    asker.ask("c", **place)
    again(asker, first, second["message"]["id"])
    asker.ask("d", **place)
    asker.ask("e", parent_id=first["message"]["id"], **place)
    asker.ask("f", parent_id=None, **place)
    again(asker, first, second["user_message_id"])
    heard = [texts_of(prompt) for prompt in numbered.prompts]
    assert heard == [
        "a", "a1b", "a1b2c", "a1b", "a1b4d", "a1e", "f", "a1b",
    ]  # fmt: skip


def texts_of(prompt):
    return "".join(turn.content for turn in prompt.history.turns) + prompt.question


def test_what_is_no_answer_to_a_question_gets_no_other_one(asker):
    said = [{"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}]
    made = asker.post("/conversations", json={"messages": said}).json
    for message in made["messages"]:
        answer = again(asker, {"conversation_id": made["id"]}, message["id"])
        assert_problem(answer, 409, "conflict")
    assert asker.get(f"/conversations/{made['id']}").json["message_count"] == 2


def test_one_answer_to_a_question_is_written_at_a_time(make_app, email):
    gate = Gate()
    client = Client(make_app(gate), email)
    asked = client.create("Why?")
    question = asked["messages"][0]["id"]
    place = {"conversation_id": asked["id"]}
    stream = client.post(f"/conversations/{asked['id']}/messages/{question}/regenerate?wire=text")
    gate.reached.wait(20)
    refused = again(client, place, question)
    assert_problem(refused, 409, "answer_is_being_written")
    gate.open()
    assert stream.text == "after"
    assert again(client, place, question).status_code == 200


def test_another_answer_that_is_asked_for_twice_is_written_once(asker, numbered):
    asked = asker.ask("Why?").json
    ids = {"client_message_id": "again-1"}

    def send(_):
        return again(asker, asked, asked["message"]["id"], **ids)

    answers = at_once(send, range(8))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json["message"]["id"] for answer in answers}) == 1
    assert len(numbered.prompts) == 2
    other = asker.ask("What?", conversation_id=asked["conversation_id"]).json
    refused = again(asker, other, other["message"]["id"], **ids)
    assert_problem(refused, 409, "payload_mismatch")


def test_what_is_written_on_a_branch_that_is_left_behind_is_broken_off(make_app, parley, email):
    gate = Gate("half", after=("x" * 3000, "never"))
    client = Client(make_app(gate), email)
    made = client.create("a", "b", "c")
    address = f"/conversations/{made['id']}/messages"
    question = made["messages"][2]["id"]
    stream = client.post(f"{address}/{question}/regenerate?wire=sse")
    gate.reached.wait(20)
    edited = client.patch(f"{address}/{made['messages'][0]['id']}", json={"content": "A"})
    assert edited.status_code == 201
    gate.open()
    assert "event: error" in stream.text
    parley.services.chat._runs.reap()
    answer = client.get(f"{address}?branch=all").json["messages"][3]
    assert (answer["status"], answer["is_active"]) == ("interrupted", False)
    assert texts(client.messages(made["id"])) == ["A"]
