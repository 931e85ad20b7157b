"""POST /conversations with a client's own id: sent again, it makes no second conversation."""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from .. import client as clients

A_UUID = "01a1fe51-7467-70a3-817d-179fbef343f1"


def make(client, client_id, **fields):
    return client.post("/conversations", json={"client_id": client_id, **fields})


def said(*texts):
    return [
        {"role": "user", "content": text, "client_message_id": f"m{place}"}
        for place, text in enumerate(texts)
    ]


def test_the_same_creation_again_gives_the_same_conversation(client):
    first = make(client, "chat-1", title="Huế", tags=["travel"])
    again = make(client, "chat-1", title="Huế", tags=["travel"])
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json
    assert again.headers["Location"] == first.headers["Location"]
    assert [item["id"] for item in client.get("/conversations").json["conversations"]] == [
        first.json["id"]
    ]


def test_a_repetition_changes_nothing_and_shows_what_is_there_now(client):
    made = make(client, "chat-1", title="Huế").json
    client.say(made["id"], "Where is it?")
    again = make(client, "chat-1", title="Another title").json
    assert again["title"] == "Huế"
    assert [message["content"] for message in again["messages"]] == ["Where is it?"]


def test_many_at_once_make_one_conversation(app, email):
    def create(_):
        return make(clients.Client(app, email), "chat-1", messages=said("Hello"))

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(create, range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] * 15 + [201]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert {answer.json["message_count"] for answer in answers} == {1}


def test_the_conversation_is_found_under_both_ids(client):
    made = make(client, "chat-1").json
    assert client.say("chat-1", "Hello").json["conversation_id"] == made["id"]
    assert client.get("/conversations/chat-1").json["id"] == made["id"]
    assert client.ask("And now?", conversation_id="chat-1").json["conversation_id"] == made["id"]


def test_a_conversation_that_a_chat_began_is_not_made_again(client):
    begun = client.ask("Hello", conversation_id="chat-1").json
    again = make(client, "chat-1")
    assert (again.status_code, again.json["id"]) == (200, begun["conversation_id"])


def test_first_messages_are_stored_once(client):
    first = make(client, "chat-1", messages=said("One", "Two"))
    again = make(client, "chat-1", messages=said("One", "Two"))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json
    assert again.json["message_count"] == 2


def test_messages_that_an_existing_conversation_lacks_are_stored_not_dropped(client):
    make(client, "chat-1", messages=said("One"))
    again = make(client, "chat-1", messages=said("One", "Two"))
    assert again.status_code == 200
    assert [message["content"] for message in again.json["messages"]] == ["One", "Two"]


def test_other_words_under_a_known_message_id_conflict(client):
    make(client, "chat-1", messages=said("One"))
    answer = make(client, "chat-1", messages=said("Something else"))
    assert (answer.status_code, answer.json["code"]) == (409, "payload_mismatch")


def test_first_messages_need_an_id_of_their_own_beside_a_client_id(client):
    answer = make(client, "chat-1", messages=[*said("One"), {"role": "user", "content": "Two"}])
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/messages/1/client_message_id"


def test_the_same_id_is_another_conversation_for_somebody_else(client, stranger):
    mine, theirs = make(client, "chat-1"), make(stranger, "chat-1")
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json["id"] != theirs.json["id"]


def test_what_lies_in_the_trash_is_not_made_again(client):
    make(client, "chat-1")
    client.delete("/conversations/chat-1")
    assert make(client, "chat-1").status_code == 404


def test_what_was_deleted_for_good_can_be_made_anew(client):
    made = make(client, "chat-1").json
    client.delete("/conversations/chat-1?permanent=true")
    anew = make(client, "chat-1")
    assert anew.status_code == 201
    assert anew.json["id"] != made["id"]


@pytest.mark.parametrize("client_id", ["", "x" * 65, "a\nb", A_UUID, 7, None])
def test_an_id_that_can_not_be_a_clients_own_is_refused(client, client_id):
    answer = make(client, client_id)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/client_id"


def test_any_printable_id_is_taken(client):
    for client_id in ("x" * 64, "9C5QTtA8lMeNU0Kb", "Đà Nẵng 🏖", "a?b#c"):
        assert make(client, client_id).status_code == 201
        assert make(client, client_id).status_code == 200


@pytest.mark.parametrize("client_id", ["نمی\u200cدانم", "a\u00a0b", "👩\u200d💻", "a.b-c_d~e f"])
def test_whatever_id_is_taken_can_be_read_and_deleted_by_it(client, client_id):
    made = client.post("/conversations", json={"client_id": client_id})
    path = f"/conversations/{quote(client_id)}"
    assert client.get(path).json["id"] == made.json["id"]
    assert client.delete(path).status_code == 200
    assert client.get(path).status_code == 404
    assert client.delete(f"{path}?permanent=true").status_code == 200
    assert client.post("/conversations", json={"client_id": client_id}).status_code == 201


def test_an_id_that_fits_into_no_path_is_refused(client):
    asked = {"conversation_id": "a/b", "message": "Hi"}
    for path, body in (("/conversations", {"client_id": "a/b"}), ("/chat", asked)):
        answer = client.post(path, json=body)
        assert answer.status_code == 422
        assert answer.json["errors"][0]["pointer"] == f"/{next(iter(body))}"
