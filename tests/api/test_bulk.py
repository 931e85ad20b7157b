"""Many conversations changed at once: each has its own outcome, all are one transaction."""

from uuid import uuid4

import pytest
from redis import Redis

from app.services import bulk as service
from tests.client import Client, at_once
from tests.driver import statements_of
from tests.evidence import assert_problem, pointers
from tests.responders import Gate

LEDGER = "SELECT conversation_id, query, tokens_used FROM query_logs WHERE user_email = :email"


def bulk(client, action, *ids, **body):
    named = {"ids": list(ids)} if ids else {}
    answer = client.post("/conversations/bulk", json={"action": action} | named | body)
    assert answer.status_code == 200, answer.text
    return answer.json


def statuses(answer):
    return [result["status"] for result in answer["results"]]


def until_done(client, action, **body):
    """How many were done, or else, in each call, until there are no more."""
    counts = []
    for _ in range(20):
        answer = bulk(client, action, **body)
        counts.append(len(answer["results"]))
        if not answer["has_more"]:
            return counts
    raise AssertionError("it does not end")


def record(client, conversation_id):
    return client.get(f"/conversations/{conversation_id}").json


@pytest.fixture
def redis(settings):
    with Redis.from_url(settings.redis_url) as redis:
        yield redis


@pytest.fixture
def made(client):
    return [client.create(f"Question {n}", tags=["a"])["id"] for n in range(3)]


def test_every_action_changes_what_it_names_and_nothing_else(client, made):
    one, two, _ = made
    for action, body, name, value in (
        ("archive", {}, "is_archived", True),
        ("unarchive", {}, "is_archived", False),
        ("pin", {}, "is_pinned", True),
        ("unpin", {}, "is_pinned", False),
        ("tag", {"tags": ["b", "a", "c", "b"]}, "tags", ["a", "b", "c"]),
        ("untag", {"tags": ["a", "x", "c"]}, "tags", ["b"]),
    ):
        before = {each: record(client, each) for each in made}
        answer = bulk(client, action, two, one, **body)
        assert [result["id"] for result in answer["results"]] == [two, one]
        assert statuses(answer) == ["done", "done"], action
        for result in answer["results"]:
            now, was = record(client, result["id"]), before[result["id"]]
            assert now == was | {name: value, "revision": was["revision"] + 1}
            assert result["revision"] == now["revision"]
        again = bulk(client, action, one, two, **body)
        assert statuses(again) == ["unchanged", "unchanged"], action
        assert [it["revision"] for it in again["results"]] == [
            record(client, each)["revision"] for each in (one, two)
        ]
        assert record(client, made[2]) == before[made[2]]


def test_what_goes_to_the_trash_comes_back_or_goes_for_good(client, made, rows):
    one, two, three = made
    before = {each: record(client, each) for each in made}
    trashed = bulk(client, "trash", one, two)
    assert statuses(trashed) == ["done", "done"]
    assert client.get(f"/conversations/{one}").status_code == 404
    assert statuses(bulk(client, "trash", one, three)) == ["not_found", "done"]
    assert statuses(bulk(client, "pin", one)) == ["not_found"]
    restored = bulk(client, "restore", one, three, str(uuid4()))
    assert statuses(restored) == ["done", "done", "not_found"]
    assert statuses(bulk(client, "restore", one)) == ["not_found"]
    assert record(client, one) == before[one] | {"revision": before[one]["revision"] + 2}
    gone = bulk(client, "delete", one, two)
    assert gone["results"] == [
        {"id": each, "status": "done", "revision": None, "detail": None} for each in (one, two)
    ]
    assert statuses(bulk(client, "delete", one, two)) == ["not_found", "not_found"]
    assert [item["id"] for item in client.get("/conversations").json["conversations"]] == [three]
    assert len(rows.of(client.email)["messages"]) == 1


def test_ids_may_be_the_clients_own_and_come_twice(client):
    name = f"chat-{uuid4().hex}"
    made = client.post("/conversations", json={"client_id": name}).json["id"]
    answer = bulk(client, "pin", name, made, made, "nobody's")
    assert [result["id"] for result in answer["results"]] == [name, made, made, "nobody's"]
    assert statuses(answer) == ["done", "done", "done", "not_found"]
    assert {result["revision"] for result in answer["results"]} == {2, None}


def test_what_would_have_too_many_tags_is_refused_alone(client, made):
    full = client.create(tags=[str(n) for n in range(49)])["id"]
    answer = bulk(client, "tag", made[0], full, made[1], tags=["x", "y"])
    assert statuses(answer) == ["done", "refused", "done"]
    assert "50" in answer["results"][1]["detail"]
    assert record(client, full)["revision"] == 1
    assert statuses(bulk(client, "tag", full, tags=["x", "0"])) == ["done"]
    assert len(record(client, full)["tags"]) == 50
    assert statuses(bulk(client, "tag", full, tags=["x", "0"])) == ["unchanged"]


def test_a_filter_means_what_it_means_in_a_list(client, made):
    other = client.create(title="Huế", tags=["b"], mode="fast")["id"]
    archived = client.create(title="Huế again", tags=["b"])["id"]
    client.patch(f"/conversations/{archived}", json={"is_archived": True})
    for wanted, expected in (
        ({"tag": "b"}, {other}),
        ({"q": "hue"}, {other}),
        ({"mode": "fast", "tag": "a"}, set()),
        ({"archived": True}, {archived}),
        ({"from": "2000-01-01", "tag": "a"}, set(made)),
        ({"to": "2000-01-01"}, set()),
        ({"pinned": True}, set()),
    ):
        answer = bulk(client, "pin", filter=wanted)
        assert {result["id"] for result in answer["results"]} == expected, wanted
        assert not answer["has_more"]
        assert set(statuses(bulk(client, "unpin", *expected or made))) <= {"done", "unchanged"}


def test_calling_again_comes_to_an_end_for_every_action(client, monkeypatch):
    monkeypatch.setattr(service, "MOST_AT_ONCE", 4)
    for n in range(9):
        client.create(tags=["t", *(str(n) for n in range(49 if n < 6 else 3))])
    live, tags = {"tag": "t"}, {"tags": ["new"]}
    for action, wanted, body, counts in (
        ("pin", live, {}, [4, 4, 1]),
        ("pin", live, {}, [0]),
        ("unpin", live, {}, [4, 4, 1]),
        ("tag", live, tags, [4]),  # three are done, and of those that are refused one is told
        ("untag", live, tags, [3]),
        ("archive", live, {}, [4, 4, 1]),
        ("unarchive", live | {"archived": False}, {}, [0]),
        ("unarchive", live, {}, [4, 4, 1]),
        ("trash", live, {}, [4, 4, 1]),
        ("restore", live | {"trashed": True}, {}, [4, 4, 1]),
        ("trash", live, {}, [4, 4, 1]),
        ("delete", live, {}, [0]),
        ("delete", live | {"trashed": True}, {}, [4, 4, 1]),
    ):
        assert until_done(client, action, filter=wanted, **body) == counts, (action, wanted)


def test_a_deletion_takes_on_no_more_messages_than_it_can(client, monkeypatch):
    monkeypatch.setattr(service, "_MOST_MESSAGES_AT_ONCE", 5)
    for count in (2, 2, 9, 2):
        client.create(*"abcdefghi"[:count], tags=["t"])
    counts = until_done(client, "delete", filter={"tag": "t"})
    assert sum(counts) == 4
    assert len(counts) > 1


def test_what_makes_no_sense_is_refused_by_its_field(person):
    some = {"ids": ["chat-1"]}
    for body, named in (
        ({}, {"/action"}),
        ({"action": "burn"} | some, {"/action"}),
        ({"action": "pin"}, {"/ids"}),
        ({"action": "pin", "filter": {"tag": "a"}} | some, {"/ids"}),
        ({"action": "pin", "ids": []}, {"/ids"}),
        ({"action": "pin", "ids": ["x"] * 101}, {"/ids"}),
        ({"action": "pin", "ids": ["a/b", ""]}, {"/ids/0", "/ids/1"}),
        ({"action": "pin", "filter": {}}, {"/filter"}),
        ({"action": "pin", "filter": {"limit": 1}}, {"/filter/limit"}),
        ({"action": "pin", "filter": {"mode": "x"}}, {"/filter/mode"}),
        ({"action": "pin", "filter": {"trashed": True}}, {"/filter/trashed"}),
        ({"action": "restore", "filter": {"tag": "a"}}, {"/filter/trashed"}),
        ({"action": "pin", "tags": ["a"]} | some, {"/tags"}),
        ({"action": "tag"} | some, {"/tags"}),
        ({"action": "tag", "tags": []} | some, {"/tags"}),
        ({"action": "tag", "tags": ["x" * 101]} | some, {"/tags/0"}),
    ):
        answer = person.post("/conversations/bulk", json=body)
        assert pointers(assert_problem(answer, 422, "invalid_fields")) == named, body


def test_somebody_elses_are_as_good_as_absent(client, stranger, made, rows):
    client.delete(f"/conversations/{made[2]}")
    before = rows.of(client.email)
    for action in ("archive", "pin", "untag", "trash", "restore", "delete"):
        tags = {"tags": ["a"]} if action == "untag" else {}
        answer = bulk(stranger, action, *made, str(uuid4()), **tags)
        assert statuses(answer) == ["not_found"] * 4
        assert {result["revision"] for result in answer["results"]} == {None}
        trashed = {"trashed": True} if action == "restore" else {}
        assert bulk(stranger, action, filter={"tag": "a"} | trashed, **tags)["results"] == []
    assert rows.of(client.email) == before


def test_the_number_of_statements_is_the_same_for_one_and_for_many(client, database):
    for count in (1, 30):
        ids = [client.create()["id"] for _ in range(count)]
        for action in ("pin", "trash", "delete"):
            with statements_of(database) as seen:
                bulk(client, action, *ids)
            assert len(seen) == 3


def is_copied(redis, conversation_id):
    """Whether Redis has anything that was said there; it may remember that there is nothing."""
    return any(redis.get(key).startswith(b"V") for key in redis.keys(f"*{conversation_id}*"))


def test_what_was_cached_is_dropped_and_the_ledger_keeps_numbers_only(client, redis, rows):
    asked = [client.ask(f"Question {n}").json["conversation_id"] for n in range(3)]
    for each in asked:
        client.messages(each)
    assert [is_copied(redis, each) for each in asked] == [True, True, True]
    bulk(client, "trash", asked[0])
    assert [is_copied(redis, each) for each in asked] == [False, True, True]
    bulk(client, "delete", *asked)
    assert [is_copied(redis, each) for each in asked] == [False, False, False]
    ledger = rows.run(LEDGER, email=client.email)
    assert [line.query for line in ledger] == [None] * 3
    assert all(line.tokens_used for line in ledger)


def test_answers_under_way_are_taken_back_and_counted(make_app, email, rows):
    gates = [Gate("begun "), Gate("begun ")]
    clients = [Client(make_app(gate), email) for gate in gates]
    streams = [each.ask("Where is Huế?", wire="sse") for each in clients]
    trashed, deleted = (stream.headers["X-Conversation-Id"] for stream in streams)
    bulk(clients[0], "trash", trashed)
    bulk(clients[0], "delete", deleted)
    for gate, stream in zip(gates, streams, strict=True):
        gate.open()
        assert b"event: done" not in stream.data
    (run,) = rows.run("SELECT attempt FROM runs WHERE user_email = :email", email=email)
    assert run.attempt > 1
    lines = rows.run(LEDGER, email=email)
    assert [line.query for line in lines if str(line.conversation_id) == deleted] == [None]


def test_opposite_orders_and_appends_at_once_wait_for_each_other_and_end(app, email):
    client = Client(app, email)
    ids = [client.create("Hello")["id"] for _ in range(12)]

    def work(n):
        caller = Client(app, email)
        for turn in range(6):
            order = ids if n % 2 else ids[::-1]
            action = ("pin", "unpin", "archive", "unarchive")[(n + turn) % 4]
            if n < 4:
                bulk(caller, action, *order)
            elif n < 6:
                bulk(caller, action, filter={"archived": bool(turn % 2)})
            else:
                for each in order:
                    assert caller.say(each, f"{n}").status_code == 201

    at_once(work, range(8))
    for each in ids:
        read = record(client, each)
        assert read["message_count"] == len(client.messages(each)) == 13
