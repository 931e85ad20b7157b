"""Messages that clients store: each once, in their order, letter by letter, whoever else writes."""

import pytest

from tests.client import Client, at_once
from tests.evidence import assert_problem

WRITERS, APPENDS = 16, 20


def said(text, client_message_id, **fields):
    return {"role": "user", "content": text, "client_message_id": client_message_id, **fields}


def append(client, conversation_id, *messages):
    body = {"messages": list(messages)}
    return client.post(f"/conversations/{conversation_id}/messages", json=body)


def read(client, conversation_id):
    """The record, and all its messages."""
    record = client.get(f"/conversations/{conversation_id}").json
    messages, address = [], f"/conversations/{conversation_id}/messages?limit=100"
    page = client.get(address).json
    while page["messages"]:
        messages = page["messages"] + messages
        page = client.get(f"{address}&before={messages[0]['id']}").json
    return record, messages


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "rest"}])
def test_the_rest_of_what_was_sent_follows_what_is_there(client, headers):
    made = client.create("a", "b")
    place = {"parent_id": made["messages"][0]["id"]}
    said = [{"role": "user", "content": text, "client_message_id": text} for text in "qr"]
    address = f"/conversations/{made['id']}/messages"
    first = client.post(address, json=place | {"messages": said[:1]}).json["messages"]
    both = client.post(address, json=place | {"messages": said}, headers=headers)
    assert both.status_code == 201
    assert [turn["parent_id"] for turn in both.json["messages"]] == [
        place["parent_id"], first[0]["id"],
    ]  # fmt: skip


def test_many_writers_leave_no_gap_and_count_exactly(app, client):
    made = client.create()["id"]

    def write(n):
        own = Client(app, client.email)
        return [own.say(made, f"{n}-{k}").status_code for k in range(APPENDS)]

    statuses = at_once(write, range(WRITERS))
    assert {status for answers in statuses for status in answers} == {201}
    total = WRITERS * APPENDS
    record, messages = read(client, made)
    assert [message["seq"] for message in messages] == list(range(1, total + 1))
    assert (record["message_count"], record["revision"]) == (total, total + 1)
    for n in range(WRITERS):
        own = [message["content"] for message in messages if message["content"].startswith(f"{n}-")]
        assert own == [f"{n}-{k}" for k in range(APPENDS)]
    parents = [None, *(message["id"] for message in messages[:-1])]
    assert [message["parent_id"] for message in messages] == parents


def test_the_same_message_thirty_two_times_at_once_is_one(app, client):
    made = client.create()["id"]
    message = said("Hello", "one", metadata={"a": 1, "b": [2]}, tokens_used=3)
    clients = [Client(app, client.email) for _ in range(32)]
    answers = at_once(lambda own: append(own, made, message), clients)
    assert sorted(answer.status_code for answer in answers) == [200] * 31 + [201]
    assert len({answer.json["messages"][0]["id"] for answer in answers}) == 1
    assert {answer.json["revision"] for answer in answers} == {2}
    record, messages = read(client, made)
    assert (record["message_count"], record["total_tokens"], record["revision"]) == (1, 3, 2)
    assert len(messages) == 1


def test_a_message_sent_again_is_answered_in_the_same_words(client):
    made = client.create()["id"]
    first = append(client, made, said("Hello", "one"), said("And?", "two"))
    again = append(client, made, said("Hello", "one"), said("And?", "two"))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json
    alone = append(client, made, said("And?", "two"))
    assert (alone.status_code, alone.json["messages"]) == (200, first.json["messages"][1:])


@pytest.mark.parametrize(
    "other",
    [
        {"content": "Hello!"},
        {"content": "hello"},
        {"role": "assistant"},
        {"metadata": {"a": 1}},
        {"tokens_used": 1},
        {"model": "gpt-x"},
        {"parts": [{"type": "text", "text": "Hello"}]},
    ],
)
def test_other_words_under_the_same_id_conflict_and_nothing_is_stored(client, other):
    made = client.create()["id"]
    append(client, made, said("Hello", "one"))
    before = read(client, made)
    answer = append(client, made, said("New", "two"), said("Hello", "one") | other)
    assert_problem(answer, 409, "payload_mismatch")
    assert read(client, made) == before


def test_the_order_of_names_in_metadata_makes_no_other_message(client):
    made = client.create()["id"]
    first = append(client, made, said("Hello", "one", metadata={"a": 1, "b": {"c": 2, "d": 3}}))
    again = append(client, made, said("Hello", "one", metadata={"b": {"d": 3, "c": 2}, "a": 1}))
    assert (first.status_code, again.status_code) == (201, 200)


def test_an_id_twice_in_one_batch_is_refused(client):
    made = client.create()["id"]
    answer = append(client, made, said("Hello", "one"), said("Hello", "one"))
    assert_problem(answer, 422, "invalid_fields")
    assert read(client, made)[1] == []


def test_of_a_batch_that_is_partly_known_the_rest_is_stored(client):
    made = client.create()["id"]
    append(client, made, said("b", "2"), said("d", "4"))
    batch = [said(text, str(n)) for n, text in enumerate("abcde", 1)]
    answer = append(client, made, *batch, {"role": "user", "content": "f"})
    assert answer.status_code == 201
    assert [message["content"] for message in answer.json["messages"]] == list("abcdef")
    record, messages = read(client, made)
    assert [message["content"] for message in messages] == list("bdacef")
    assert (record["message_count"], record["revision"]) == (6, 3)
    assert answer.json["revision"] == 3


def test_overlapping_batches_at_once_store_each_message_once(app, client):
    made = client.create()["id"]

    def write(n):
        own = Client(app, client.email)
        return append(own, made, *(said(f"{k}", f"{k}") for k in range(n, n + 8)))

    answers = at_once(write, range(8))
    assert {answer.status_code for answer in answers} <= {200, 201}
    record, messages = read(client, made)
    assert sorted(int(message["content"]) for message in messages) == list(range(15))
    assert [message["seq"] for message in messages] == list(range(1, 16))
    assert record["message_count"] == 15
    ids = {message["content"]: message["id"] for message in messages}
    for answer in answers:
        assert all(ids[each["content"]] == each["id"] for each in answer.json["messages"])


def test_the_same_id_in_two_conversations_is_two_messages(client, stranger):
    first, second, theirs = client.create()["id"], client.create()["id"], stranger.create()["id"]
    answers = [
        append(client, first, said("Hello", "one")),
        append(client, second, said("Goodbye", "one")),
        append(stranger, theirs, said("Good day", "one")),
    ]
    assert [answer.status_code for answer in answers] == [201] * 3
