"""The Flask + Next.js system's front end, which calls these routes as it always has.

Its Next route mints a token for each request, passes the body on unchanged, and gives back the
stream and its Content-Type alone; its pages read the stream chunk by chunk.
"""

import codecs
import json
import time
from uuid import uuid4

import httpx2
import jwt
import pytest
import redis

from tests.fixtures import SECRET
from tests.server import Server

MARKER = "__CONTEXT__:"


@pytest.fixture(scope="module")
def backend(app, settings):
    named = {"SERVICE_AUTH_ISSUER": "chat-frontend", "SERVICE_AUTH_AUDIENCE": "flask-backend"}
    with Server(settings, RESPONDER="tests.responders:complete", **named) as server:
        yield server


class NextRoute:
    """The front end's server side, for one signed-in user."""

    def __init__(self, backend):
        self._url = backend.url
        self._session = {"email": f"{uuid4().hex}@example.com", "dept": "1|7", "sid": str(uuid4())}

    def stream(self, path, body):
        """The chunks that the page gets, and their type."""
        headers = {"Authorization": f"Bearer {self._token()}"}
        with httpx2.stream("POST", self._url + path, json=body, headers=headers) as answer:
            return list(answer.iter_raw()), answer.headers["Content-Type"]

    def call(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self._token()}"}
        return httpx2.request(method, self._url + path, json=body, headers=headers)

    def _token(self):
        now = int(time.time())
        times = {"iat": now, "exp": now + 300}
        named = {"iss": "chat-frontend", "aud": "flask-backend"}
        return jwt.encode(self._session | times | named, SECRET, algorithm="HS256")


def parsed(chunks):
    """What the page shows of a stream, and the contexts: from the chunk with the marker on."""
    text, contexts, is_context = "", "", False
    decoder = codecs.getincrementaldecoder("utf-8")()
    for chunk in map(decoder.decode, chunks):
        if is_context:
            contexts += chunk
        elif MARKER in chunk:
            shown, contexts = chunk.split(MARKER, 1)
            text, is_context = text + shown, True
        else:
            text += chunk
    return text.rstrip("\n"), json.loads(contexts) if is_context else None


@pytest.fixture
def route(backend):
    return NextRoute(backend)


def said(*contents):
    """The page's own list, both messages of a pair with the same time."""
    return [
        {"role": ("user", "assistant")[n % 2], "content": text, "ts": 1_764_200_000_000 + n // 2}
        for n, text in enumerate(contents)
    ]


def ask(route, *contents, **fields):
    body = {"messages": said(*contents), "filters": [{"exts": ["pdf"]}, {"tags": ["hr"]}]} | fields
    chunks, content_type = route.stream("/chat", body)
    assert content_type == "text/plain; charset=utf-8"
    return parsed(chunks)


def test_the_page_reads_an_answer_with_its_contexts(route):
    text, contexts = ask(route, "Where is Huế?")
    assert text == "In central Vietnam."
    assert [context["source"] for context in contexts] == ["atlas.pdf"]


def test_the_page_reads_a_refusal_as_a_sentence(route):
    for contents in ((), ("Hello", "I am the assistant"), (" ",)):
        answer = route.call("POST", "/chat", {"messages": said(*contents)})
        assert answer.status_code == 422
        assert answer.json()["detail"].endswith(".")


def test_the_sidebar_reads_its_conversations_newest_first(route):
    for question in ("Where is Huế?", "And Hội An?"):
        ask(route, question)
    first, second = route.call("GET", "/conversations").json()["conversations"]
    assert first.keys() >= {"id", "title", "updated_at", "preview"}
    assert [item["title"] for item in (first, second)] == ["And Hội An?", "Where is Huế?"]
    assert first["preview"] == "In central Vietnam."
    ask(route, "Where is Huế?", "In central Vietnam.", "Thanks", conversation_id=second["id"])
    newest = route.call("GET", "/conversations").json()["conversations"][0]
    assert newest["id"] == second["id"]
    assert newest["updated_at"] > first["updated_at"]


def test_a_conversation_is_read_renamed_and_deleted(route):
    ask(route, "Where is Huế?")
    (listed,) = route.call("GET", "/conversations").json()["conversations"]
    at = f"/conversations/{listed['id']}"
    shown = route.call("GET", at).json()
    assert shown.keys() >= {"id", "title", "created_at", "updated_at", "messages"}
    assert [(turn["role"], turn["content"]) for turn in shown["messages"]] == [
        ("user", "Where is Huế?"),
        ("assistant", "In central Vietnam."),
    ]
    assert all(turn.keys() >= {"id", "created_at"} for turn in shown["messages"])
    renamed = route.call("PATCH", at, {"title": "Huế"}).json()
    assert (renamed["id"], renamed["title"]) == (listed["id"], "Huế")
    assert renamed["updated_at"] == listed["updated_at"]
    assert route.call("DELETE", at).json()["success"] is True
    assert route.call("GET", at).status_code == 404


def test_another_users_conversation_answers_as_one_that_is_not_there(route, backend):
    ask(route, "Where is Huế?")
    (theirs,) = route.call("GET", "/conversations").json()["conversations"]
    foreigner = NextRoute(backend)
    for method, body in (("GET", None), ("PATCH", {"title": "Mine"}), ("DELETE", None)):
        foreign = foreigner.call(method, f"/conversations/{theirs['id']}", body)
        absent = foreigner.call(method, f"/conversations/{uuid4()}", body)
        assert (foreign.status_code, absent.status_code) == (404, 404)
        assert foreign.json()["detail"] == absent.json()["detail"]
    asked = {"messages": said("Tell me"), "conversation_id": theirs["id"]}
    assert foreigner.call("POST", "/chat", asked).status_code == 404
    assert len(route.call("GET", f"/conversations/{theirs['id']}").json()["messages"]) == 2


def test_a_page_that_gets_no_headers_names_its_conversation_itself(route):
    """The id of a new conversation is in a header, which the Next route keeps for itself."""
    own = f"chat-{uuid4()}"
    for question in ("Where is Huế?", "And Hội An?"):
        ask(route, question, conversation_id=own)
    (listed,) = route.call("GET", "/conversations").json()["conversations"]
    assert listed["message_count"] == 4
    assert route.call("GET", f"/conversations/{own}").json()["id"] == listed["id"]


def test_what_is_appended_to_an_expired_cache_is_not_taken_for_the_whole(route, settings):
    """There, one message pushed onto an expired list became the history."""
    own = f"chat-{uuid4()}"
    ask(route, "question 0", conversation_id=own)
    spoken = [{"role": "user", "content": f"question {n}"} for n in range(1, 60)]
    appended = route.call("POST", f"/conversations/{own}/messages", {"messages": spoken})
    assert appended.status_code == 201
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushdb()
    ask(route, "question 60", conversation_id=own)
    for limit, count in ((100, 61), (60, 59), (15, 14)):
        turns = route.call("GET", f"/conversations/{own}?limit={limit}").json()["messages"]
        questions = [turn["content"] for turn in turns if turn["role"] == "user"]
        assert questions == [f"question {n}" for n in range(61)][-count:]
