"""Two clients write the same conversation at once: nothing is lost, doubled or out of order."""

import os
import random
from collections import Counter

import httpx2
import pytest

from tests.client import Client, at_once
from tests.server import Server
from tests.streams import until

# Of each client: 500 things are said, and 20 times it looks at another branch.
WORK = {"send": 380, "edit": 50, "ask": 40, "again": 30, "show": 20}
pytestmark = pytest.mark.usefixtures("unmeasured")


@pytest.fixture(scope="module")
def quick_server(app, settings):
    """Two workers whose model answers at once."""
    environ = {"RESPONDER": "tests.responders:complete", "MAX_RUNS_PER_USER": "64"}
    with Server(settings, **environ) as server:
        yield server


class Writer:
    """One of the clients: what it does, and the ids of what it was told is stored, with texts."""

    def __init__(self, name, client, url, conversation_id, dice):
        self.name, self.dice, self.stored, self.refused = name, dice, {}, Counter()
        self._path = f"/conversations/{conversation_id}"
        self._conversation_id = conversation_id
        self._questions, self._n = [], 0
        headers = {"Authorization": f"Bearer {client.token}"}
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=30)

    def write(self):
        work = [name for name, count in WORK.items() for _ in range(count)][1:]
        self.dice.shuffle(work)
        with self._http:
            for name in ["send", *work]:
                getattr(self, name)()

    def send(self):
        text = self._text()
        body = {"messages": [{"role": "user", "content": text, "client_message_id": text}]}
        (message,) = self._told("POST", "/messages", body, 201)["messages"]
        self._keep(message, text)

    def edit(self):
        text, of = self._text(), self._any()
        edited = self._told("PATCH", f"/messages/{of}", {"content": text}, 201)
        self._keep(edited["message"], text)

    def show(self):
        self._told("PUT", "/active-leaf?limit=1", {"message_id": self._any()}, 200)

    def ask(self):
        text = self._text()
        body = {"message": text, "conversation_id": self._conversation_id}
        answer = self._http.post("/chat?wire=json", json=body)
        self.stored[self._begun(answer)["user_message_id"]] = text

    def again(self):
        question = self.dice.choice(self._questions)
        answer = self._http.post(f"{self._path}/messages/{question}/regenerate?wire=json", json={})
        if answer.status_code != 409:
            self._begun(answer)
        else:
            assert answer.json()["code"] == "answer_is_being_written", answer.text
            self.refused["again"] += 1

    def _begun(self, answer):
        """What is told of an answer: it was written, or its branch was left meanwhile."""
        told = answer.json()
        if answer.status_code == 200:
            self.stored[told["message"]["id"]] = told["message"]["content"]
        else:
            assert answer.status_code == 502, answer.text
            assert "taken back" in told["detail"], answer.text
            self.refused["taken back"] += 1
        return told

    def _told(self, method, path, body, status):
        answer = self._http.request(method, self._path + path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def _text(self):
        self._n += 1
        return f"{self.name}-{self._n}"

    def _any(self):
        return self.dice.choice(self._questions)

    def _keep(self, message, text):
        self.stored[message["id"]] = text
        self._questions.append(message["id"])


@pytest.fixture
def seed():
    """Replays with INTERLEAVING_SEED, as far as two processes can."""
    seed = int(os.environ.get("INTERLEAVING_SEED", random.randrange(2**32)))
    print("seed", seed)
    return seed


def everything(client, conversation_id):
    """All messages of all branches, page by page."""
    path, found = f"/conversations/{conversation_id}/messages?branch=all&limit=100", []
    page = client.get(path).json
    while page["next_cursor"]:
        found = page["messages"] + found
        page = client.get(f"{path}&before={page['next_cursor']}").json
    return page["messages"] + found


def test_two_clients_interleaved_lose_and_double_nothing(
    quick_server, app, parley, email, rows, seed
):
    client = Client(app, email)
    made = client.create("zero")["id"]
    writers = [
        Writer(name, Client(app, email), quick_server.url, made, random.Random(f"{seed}{name}"))
        for name in ("left", "right")
    ]
    at_once(Writer.write, writers)
    print("refused", [dict(writer.refused) for writer in writers])
    until(lambda: not streaming(rows, made), seconds=15)

    messages = everything(client, made)
    stored = {message["id"]: message["content"] for message in messages}
    told = writers[0].stored | writers[1].stored
    assert len(told) == sum(len(writer.stored) for writer in writers)
    assert {it: stored.get(it) for it in told} == told
    left_alone = [it for it in messages[1:] if it["id"] not in told]
    assert {it["status"] for it in left_alone} <= {"interrupted"}
    assert len(left_alone) == sum(writer.refused["taken back"] for writer in writers)
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
    said = Counter(message["content"] for message in messages if message["role"] == "user")
    assert set(said.values()) == {1}
    record = client.get(f"/conversations/{made}").json
    assert record["message_count"] == len(messages)
    assert record["total_tokens"] == sum(message["tokens_used"] or 0 for message in messages)
    with parley.operations.verification() as verification:
        (part,) = verification.verify(address=email, is_deep=True)
    assert part.findings == []


def streaming(rows, conversation_id):
    return rows.run(
        "SELECT FROM messages WHERE conversation_id = :id AND status = 'streaming'",
        id=conversation_id,
    )
