"""Requests that are sent twice: with an Idempotency-Key they take effect once."""

from hashlib import sha256
from uuid import uuid4

import httpx2
import pytest

from tests.client import at_once, bearer
from tests.evidence import assert_problem, pointers

MANY = 32
CANARY = "canary-5b1f"
KEYLESS = {
    "POST /chat/{conversation_id}/stop",  # a second time, it is over already
    "DELETE /conversations/{conversation_id}",  # a second time, it is gone already
}


class Written:
    """A user with a conversation of two branches, and how each kind of write is sent."""

    def __init__(self, client):
        self.client = client
        self.trashed = client.create(f"Gone? {CANARY}")
        client.delete(f"/conversations/{self.trashed['id']}")
        self.made = made = client.create(f"Where? {CANARY}", f"There. {CANARY}")
        self.address = f"/conversations/{made['id']}"
        first, self.last = (message["id"] for message in made["messages"])
        edit = {"content": f"When? {CANARY}"}
        client.patch(f"{self.address}/messages/{first}", json=edit)
        said = [{"role": "user", "content": f"And {n}? {CANARY}"} for n in range(3)]
        shown, one = f"{self.address}/active-leaf", f"{self.address}/messages/{self.last}"
        self.writes = {
            "create": ("POST", "/conversations", {"title": f"New {CANARY}", "messages": said}),
            "append": ("POST", f"{self.address}/messages", {"messages": said}),
            "append under": (
                "POST",
                f"{self.address}/messages",
                {"messages": said, "parent_id": self.last},
            ),
            "rename": ("PATCH", self.address, {"title": f"Renamed {CANARY}"}),
            "edit": ("PATCH", one, {"content": f"Nowhere. {CANARY}"}),
            "show": ("PUT", shown, {"message_id": self.last}),
            "cut": ("DELETE", one, None),
            "restore": ("POST", f"/conversations/{self.trashed['id']}/restore", None),
            "bulk": ("POST", "/conversations/bulk", {"action": "pin", "ids": [made["id"], CANARY]}),
            "bulk where": (
                "POST",
                "/conversations/bulk",
                {"action": "archive", "filter": {"q": "Where"}},
            ),
        }

    def send(self, name, key, client=None, **changes):
        method, address, body = self.writes[name]
        headers = {"Idempotency-Key": key}
        sent = {} if body is None else {"json": body | changes}
        return (client or self.client).open(address, method=method, headers=headers, **sent)


@pytest.fixture
def written(client):
    return Written(client)


@pytest.fixture
def http(server, app, email):
    """The served API as `email` calls it, over as many connections as are needed at once."""
    headers = {"Authorization": f"Bearer {bearer(app, email)}"}
    with httpx2.Client(base_url=server.url, headers=headers, timeout=30) as http:
        yield http


def whole(answer):
    return answer.status_code, answer.headers.get("ETag"), answer.json


def test_each_kind_of_write_takes_effect_once(client, rows):
    for name in Written(client).writes:
        written = Written(client)
        key = str(uuid4())
        before = rows.of(client.email)
        first = written.send(name, key)
        assert first.status_code in (200, 201), (name, first.text)
        after = rows.of(client.email)
        again = written.send(name, key)
        assert whole(again) == whole(first), name
        assert rows.of(client.email) == after != before, name


def test_thirty_two_at_once_over_two_workers_take_effect_once(http, client, rows):
    email = client.email
    more = {"create": 3, "append": 3, "edit": 1, "rename": 0, "cut": -1}
    for name, grown in more.items():
        written = Written(client)
        method, address, body = written.writes[name]
        key, count = {"Idempotency-Key": f"{name} {uuid4()}"}, stored(rows, email)

        def send(_, method=method, address=address, body=body, key=key):
            return http.request(method, address, json=body, headers=key)

        answers = at_once(send, range(MANY))
        seen = {(answer.status_code, answer.headers["ETag"], answer.text) for answer in answers}
        assert len(seen) == 1, (name, seen)
        assert answers[0].status_code in (200, 201), seen
        assert stored(rows, email) - count == grown, name


def stored(rows, email):
    return len(rows.of(email)["messages"])


def message_of(answer):
    return answer["message"] if "message" in answer else answer["messages"][0]


def test_of_thirty_two_equal_client_message_ids_over_two_workers_one_is_stored(
    http, client, email, rows
):
    made = client.create("Where?", "There.")
    address = f"/conversations/{made['id']}"
    question, answer = (f"{address}/messages/{message['id']}" for message in made["messages"])
    message = {"role": "user", "content": "And then?"}
    asked = {"message": "Who?", "conversation_id": made["id"]}
    calls = [
        ("POST", f"{address}/messages", lambda named: {"messages": [message | named]}, 1),
        ("PATCH", question, lambda named: {"content": "When?"} | named, 1),
        ("POST", f"{answer}/regenerate?wire=json", lambda named: named, 1),
        ("POST", "/chat?wire=json", lambda named: asked | named, 2),
        ("POST", "/chat?wire=json", lambda named: {"message": "Who?"} | named, 2),
    ]
    for method, path, body, grown in calls:
        sent, count = body({"client_message_id": str(uuid4())}), stored(rows, email)

        def send(_, method=method, path=path, sent=sent):
            return http.request(method, path, json=sent)

        answers = at_once(send, range(MANY))
        assert {answer.status_code for answer in answers} <= {200, 201}, answers[0].text
        assert len({message_of(answer.json())["id"] for answer in answers}) == 1, path
        assert stored(rows, email) - count == grown, path


def test_another_request_with_the_same_key_is_refused_and_changes_nothing(written, rows):
    key = str(uuid4())
    assert written.send("append", key).status_code == 201
    before = rows.of(written.client.email)
    others = [name for name in written.writes if name != "append"]
    answers = [written.send(name, key) for name in others]
    answers.append(written.send("append", key, parent_id=None))
    for answer in answers:
        assert_problem(answer, 409, "idempotency_key_reused")
    assert rows.of(written.client.email) == before


def test_what_failed_leaves_no_key_behind(written, rows):
    client, key = written.client, {"Idempotency-Key": str(uuid4())}
    address, body = f"{written.address}/messages", {"messages": [{"role": "user", "content": "?"}]}
    stale = key | {"If-Match": '"1-x"'}
    assert_problem(client.post(address, json=body, headers=stale), 412, "precondition_failed")
    lost = body | {"parent_id": str(uuid4())}
    problem = assert_problem(client.post(address, json=lost, headers=key), 422)
    assert pointers(problem) == {"/parent_id"}
    missing = f"/conversations/{uuid4()}/messages"
    assert client.post(missing, json=body, headers=key).status_code == 404
    assert rows.of(client.email)["idempotency_keys"] == []
    assert client.post(address, json=body, headers=key).status_code == 201
    # Once it has taken effect, what the request was sent upon does not matter any more.
    assert client.post(address, json=body, headers=stale).status_code == 201


def test_an_answer_shows_what_is_there_now(written):
    client, key = written.client, str(uuid4())
    made = written.send("create", key).json
    client.patch(f"/conversations/{made['id']}", json={"title": "Later"})
    again = written.send("create", key)
    assert (again.status_code, again.json["title"]) == (201, "Later")
    assert again.headers["ETag"] != f'"{made["revision"]}"'
    assert again.json["revision"] == made["revision"] + 1


def test_what_is_gone_is_not_there_a_second_time(client):
    for gone in ("", "?permanent=true"):
        for name in Written(client).writes.keys() - {"bulk", "bulk where"}:
            written = Written(client)
            key = str(uuid4())
            place = written.send(name, key).json
            made = place["id"] if name in ("create", "restore") else written.made["id"]
            client.delete(f"/conversations/{made}{gone}")
            assert_problem(written.send(name, key), 404, "not_found")
    written, key = Written(client), str(uuid4())
    version = written.send("edit", key).json["message"]["id"]
    client.delete(f"{written.address}/messages/{version}")
    assert_problem(written.send("edit", key), 404, "not_found")


def test_an_erased_conversation_leaves_no_word_with_its_keys(written, rows):
    client = written.client
    answers = {name: written.send(name, name).json for name in written.writes}
    for made in (answers["create"]["id"], written.made["id"], written.trashed["id"]):
        assert client.delete(f"/conversations/{made}?permanent=true").status_code == 200
    left = rows.of(client.email)
    assert len(left["idempotency_keys"]) == len(written.writes)
    assert not [row for table in left.values() for row in table if CANARY in row]


def test_a_conversation_with_a_clients_own_id_takes_a_key_too(client, rows):
    said = {"role": "user", "content": "Where?", "client_message_id": "m-1"}
    body = {"client_id": "chat-1", "messages": [said]}
    client.post("/conversations", json=body)
    more = body | {"messages": [said, said | {"content": "When?", "client_message_id": "m-2"}]}
    key = {"Idempotency-Key": str(uuid4())}
    first, again = (client.post("/conversations", json=more, headers=key) for _ in range(2))
    assert whole(first) == whole(again)
    assert first.status_code == 200
    assert [message["content"] for message in first.json["messages"]] == ["Where?", "When?"]
    other = {"messages": [said | {"content": "Who?"}]}
    key = {"Idempotency-Key": str(uuid4())}
    answer = client.post("/conversations", json=body | other, headers=key)
    assert_problem(answer, 409, "payload_mismatch")


def test_known_messages_are_not_stored_again_by_another_key(client):
    made = client.create()["id"]
    said = [{"role": "user", "content": text, "client_message_id": text} for text in "ab"]

    def append(messages):
        headers = {"Idempotency-Key": str(uuid4())}
        body = {"messages": messages}
        return client.post(f"/conversations/{made}/messages", json=body, headers=headers)

    assert [append(said[:1]).status_code for _ in range(2)] == [201, 200]
    answer = append(said)
    assert answer.status_code == 201
    assert [message["seq"] for message in answer.json["messages"]] == [1, 2]


def test_a_question_is_asked_once_by_its_key(client, rows):
    for key, name in (("q-1", "q-1"), ("k" * 65, sha256(b"k" * 65).hexdigest())):
        headers = {"Idempotency-Key": key}

        def ask(text, headers=headers):
            return client.post("/chat?wire=json", json={"message": text}, headers=headers)

        first, again = ask("Where?"), ask("Where?")
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.json["message"]["id"] == again.json["message"]["id"]
        assert_problem(ask("When?"), 409, "payload_mismatch")
        asked = client.messages(first.json["conversation_id"])
        assert [message["client_message_id"] for message in asked] == [name, None]
    own = {"message": "Who?", "client_message_id": "mine"}
    made = client.post("/chat?wire=json", json=own, headers={"Idempotency-Key": "q-2"}).json
    assert client.messages(made["conversation_id"])[0]["client_message_id"] == "mine"


def test_another_answer_is_written_once_by_its_key(client):
    made = client.ask("Where?").json
    address = f"/conversations/{made['conversation_id']}/messages/{made['message']['id']}"

    def again(key):
        headers = {"Idempotency-Key": key}
        return client.post(f"{address}/regenerate?wire=json", headers=headers).json["message"]["id"]

    first, second, other = again("a-1"), again("a-1"), again("a-2")
    assert first == second != other
    versions = client.get(f"{address}/versions").json["messages"]
    assert [version["id"] for version in versions] == [made["message"]["id"], first, other]


def test_a_key_is_printable_and_neither_empty_nor_endless(client, rows):
    bad = ("", '"', '""', '"a', '"a"b', r'"a\b"', "a" * 256, '"' + "a" * 256 + '"', "é", "\x7f")
    for key in bad:
        headers = {"Idempotency-Key": key}
        for address, body in (("/conversations", {}), ("/chat", {"message": "?"})):
            answer = client.post(address, json=body, headers=headers)
            problem = assert_problem(answer, 422, "invalid_fields")
            assert pointers(problem) == {"/Idempotency-Key"}, key
    assert rows.of(client.email)["conversations"] == []


def test_quotes_around_a_key_are_no_part_of_it(client):
    for plain, quoted in (("a" * 255, f'"{"a" * 255}"'), (r"a b\"c", r'"a b\\\"c"')):
        answers = [
            client.post("/conversations", json={}, headers={"Idempotency-Key": key})
            for key in (plain, quoted)
        ]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json["id"] == answers[1].json["id"]


def test_every_write_says_whether_it_takes_a_key(client):
    paths = client.get("/openapi.json").json["paths"]
    keyless = {
        f"{method.upper()} {path}"
        for path, item in paths.items()
        for method in item.keys() & {"post", "put", "patch", "delete"}
        if not path.startswith("/compat/")
        and "Idempotency-Key" not in [each["name"] for each in item[method].get("parameters", ())]
    }
    assert keyless == KEYLESS
