"""What a stale tab may do: read what is new, append, and overwrite nothing."""

from uuid import uuid4

import pytest

from tests.evidence import assert_problem


@pytest.fixture
def made(client):
    return client.create("a", "b", "c")


@pytest.fixture
def address(made):
    return f"/conversations/{made['id']}"


@pytest.fixture
def writes(made):
    """Every write to a conversation but an append: its method, address after the id, and body."""
    last = made["messages"][-1]["id"]
    first = made["messages"][0]["id"]
    return [
        ("PATCH", "", {"title": "New"}),
        ("PATCH", "", {"is_pinned": True, "is_archived": True}),
        ("PATCH", f"/messages/{last}", {"content": "C"}),
        ("PUT", "/active-leaf", {"message_id": first}),
        ("DELETE", f"/messages/{last}", None),
        ("DELETE", "", None),
        ("DELETE", "?permanent=true", None),
    ]


def send(client, address, write, *, etag=None, **fields):
    method, path, body = write
    headers = {"If-Match": etag} if etag else {}
    json = None if body is None and not fields else (body or {}) | fields
    return client.open(address + path, method=method, json=json, headers=headers)


def test_every_answer_of_a_conversation_carries_its_revision_and_etag(client, made, address):
    first = made["messages"][0]["id"]
    answers = [
        client.get(address),
        client.get(f"{address}/messages"),
        client.get(f"{address}/messages/{first}"),
        client.get(f"{address}/messages/{first}/versions"),
    ]
    assert len({answer.headers["ETag"] for answer in answers}) == 1
    assert answers[0].headers["ETag"].startswith(f'"{made["revision"]}-')
    wrote = client.patch(f"{address}/messages/{first}", json={"content": "A"})
    assert wrote.headers["ETag"] == client.get(address).headers["ETag"]
    assert wrote.headers["ETag"].startswith(f'"{wrote.json["revision"]}-')


def test_what_is_known_already_is_not_sent_again(client, made, address):
    etag = client.get(address).headers["ETag"]
    first = made["messages"][0]["id"]
    for path in ("", "/messages", f"/messages/{first}", f"/messages/{first}/versions"):
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            answer = client.get(address + path, headers={"If-None-Match": known})
            assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", etag)
        assert client.get(address + path, headers={"If-None-Match": '"1-x"'}).status_code == 200
    client.say(made["id"], "d")
    answer = client.get(address, headers={"If-None-Match": etag})
    assert (answer.status_code, len(answer.json["messages"])) == (200, 4)


def test_a_write_upon_another_state_is_refused_and_told_the_current_one(
    client, made, address, writes
):
    old = client.get(address).headers["ETag"]
    client.say(made["id"], "d")
    now = client.get(address)
    for write in writes:
        refused = send(client, address, write, etag=old)
        problem = assert_problem(refused, 412, "precondition_failed")
        assert problem["revision"] == now.json["revision"]
        assert refused.headers["ETag"] == now.headers["ETag"]
        if write[0] != "DELETE":
            refused = send(client, address, write, revision=made["revision"])
            problem = assert_problem(refused, 409, "stale_revision")
            assert problem["revision"] == now.json["revision"]
            assert refused.headers["ETag"] == now.headers["ETag"]
    assert client.get(address).json == now.json


def test_a_write_upon_the_current_state_is_done_and_answers_with_the_new_one(
    client, made, address, writes
):
    for write in writes[:-1]:
        if write[1] == "/active-leaf":  # to another branch than the one that is shown
            client.patch(f"{address}/messages/{made['messages'][0]['id']}", json={"content": "A"})
        state = client.get(address)
        fields = {} if write[0] == "DELETE" else {"revision": state.json["revision"]}
        done = send(client, address, write, etag=f'"x", W/{state.headers["ETag"]}', **fields)
        assert done.status_code < 300, done.text
        assert done.json["revision"] == state.json["revision"] + 1
        assert done.headers["ETag"].startswith(f'"{done.json["revision"]}-')
    assert send(client, address, writes[-1], etag="*").status_code == 200


def test_what_is_sent_twice_upon_one_state_is_told_again(client, made, address):
    state = client.get(address)
    edit = ("PATCH", f"/messages/{made['messages'][1]['id']}", {"client_message_id": "B"})
    for fields in ({"etag": state.headers["ETag"]}, {"revision": state.json["revision"]}):
        first, second = (send(client, address, edit, content="B", **fields) for _ in range(2))
        assert (first.status_code in (200, 201), second.status_code) == (True, 200)
        assert first.json["message"] == second.json["message"]


def test_a_message_that_is_not_there_is_not_told_to_be_unchanged(client, address):
    known = {"If-None-Match": client.get(address).headers["ETag"]}
    for path in ("", "/versions"):
        answer = client.get(f"{address}/messages/{uuid4()}{path}", headers=known)
        assert_problem(answer, 404, "not_found")


def test_an_append_needs_no_state_and_honours_one(client, made, address):
    old = client.get(address).headers["ETag"]
    assert client.say(made["id"], "d").status_code == 201
    body = {"messages": [{"role": "user", "content": "e"}]}
    stale = client.post(f"{address}/messages", json=body, headers={"If-Match": old})
    assert_problem(stale, 412, "precondition_failed")
    current = client.get(address).headers["ETag"]
    done = client.post(f"{address}/messages", json=body, headers={"If-Match": current})
    assert (done.status_code, done.json["messages"][0]["seq"]) == (201, 5)


def test_another_answer_is_written_upon_the_state_that_is_named(client, made, address):
    question = f"{address}/messages/{made['messages'][0]['id']}/regenerate?wire=json"
    old = client.get(address).headers["ETag"]
    client.say(made["id"], "d")
    stale = client.post(question, headers={"If-Match": old})
    assert_problem(stale, 412, "precondition_failed")
    assert client.get(address).json["message_count"] == 4
    named = {"If-Match": client.get(address).headers["ETag"]}
    body = {"client_message_id": "again"}
    answers = [client.post(question, headers=named, json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json["message"] == answers[1].json["message"]


@pytest.mark.parametrize("revision", [0, -1, 1.5, "1", None, True, 2**63])
def test_a_revision_that_is_none_is_named(client, address, revision):
    refused = client.patch(address, json={"title": "x", "revision": revision})
    problem = assert_problem(refused, 422, "invalid_fields")
    assert [fault["pointer"] for fault in problem["errors"]] == ["/revision"]


def test_a_revision_alone_changes_nothing(client, made, address):
    assert_problem(
        client.patch(address, json={"revision": made["revision"]}), 422, "invalid_fields"
    )


def test_a_stranger_learns_no_revision(client, stranger, made, address, writes):
    for write in writes:
        assert_problem(send(stranger, address, write, etag='"1-x"'), 404, "not_found")


def test_a_number_that_came_back_is_another_state(client, rows, made, address):
    state = client.get(address).headers["ETag"]
    rows.run(
        "UPDATE conversations SET rev = gen_random_uuid() WHERE id = :conversation_id",
        conversation_id=made["id"],
    )
    refused = client.patch(address, json={"title": "x"}, headers={"If-Match": state})
    assert_problem(refused, 412, "precondition_failed")
