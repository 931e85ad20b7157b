"""The trash: what lies there is nowhere else, and comes back as it was."""

from uuid import uuid4

import pytest

from tests.evidence import assert_problem


@pytest.fixture
def made(client):
    fields = {"title": "Huế", "tags": ["a", "b"], "mode": "quality", "metadata": {"k": 1}}
    made = client.create("Where?", "There.", **fields)
    answer = client.patch(f"/conversations/{made['id']}", json={"is_pinned": True})
    return answer.json | {"messages": made["messages"]}


@pytest.fixture
def address(made):
    return f"/conversations/{made['id']}"


def test_a_conversation_comes_back_as_it_was(client, made, address):
    trashed = client.delete(address).json
    restored = client.post(f"{address}/restore")
    assert restored.status_code == 200
    assert restored.json["revision"] == trashed["revision"] + 1
    read = client.get(address)
    assert read.json == made | {"revision": made["revision"] + 2}
    assert read.json == restored.json | {"messages": made["messages"]}
    assert read.headers["ETag"] == restored.headers["ETag"]
    assert client.get("/conversations?trashed=true").json["conversations"] == []
    assert client.say(made["id"], "And?").json["messages"][0]["seq"] == 3


def test_what_is_not_in_the_trash_can_not_be_taken_out(client, stranger, made, address):
    missing = f"/conversations/{uuid4()}/restore"
    for path in (f"{address}/restore", missing, "/conversations/nobody's/restore"):
        assert_problem(client.post(path), 404, "not_found")
    client.delete(address)
    assert_problem(stranger.post(f"{address}/restore"), 404, "not_found")
    assert client.post(f"{address}/restore").status_code == 200
    client.delete(f"{address}?permanent=true")
    assert_problem(client.post(f"{address}/restore"), 404, "not_found")


def test_a_clients_own_id_takes_out_what_it_names(client):
    name = f"chat-{uuid4().hex}"
    made = client.post("/conversations", json={"client_id": name}).json["id"]
    client.delete(f"/conversations/{name}")
    assert_problem(client.post("/conversations", json={"client_id": name}), 404, "not_found")
    assert client.post(f"/conversations/{name}/restore").json["id"] == made
    assert client.post("/conversations", json={"client_id": name}).status_code == 200


def test_a_restoration_upon_another_state_is_refused(client, address):
    live = client.get(address).headers["ETag"]
    trashed = client.delete(address).headers["ETag"]
    stale = client.post(f"{address}/restore", headers={"If-Match": live})
    assert_problem(stale, 412, "precondition_failed")
    done = client.post(f"{address}/restore", headers={"If-Match": trashed})
    assert done.status_code == 200


def test_a_restored_conversation_is_where_it_was_in_its_list(client, made, address):
    client.create(title="newer")
    client.delete(address)
    client.post(f"{address}/restore")
    shown = [item["title"] for item in client.get("/conversations").json["conversations"]]
    assert shown == ["newer", "Huế"]
