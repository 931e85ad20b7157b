"""A body that can't be taken is refused by its right name, and nothing of it is stored."""

import json
import socket
from http.client import HTTPResponse

import httpx2
import pytest

from tests.evidence import assert_problem, pointers

from .routes import AGENT, CHATBOT, LEAF, MESSAGES, ONE, RAG, RAG_ONE, ROUTES, STOP
from .routes import MESSAGE as ONE_MESSAGE

MIME = "application/json"
SAID = {"role": "user", "content": "Hello"}
LONG = {"type": "text", "text": "é" * 500_001}
ENDPOINTS = {
    ("POST", "/conversations"): {"title": "Hello"},
    ("POST", "/conversations/bulk"): {"action": "pin", "ids": ["chat-1"]},
    ("PATCH", ONE): {"title": "Hello"},
    ("POST", MESSAGES): {"messages": [SAID]},
    ("PATCH", ONE_MESSAGE): {"content": "Hello"},
    ("POST", f"{ONE_MESSAGE}/regenerate"): {"mode": "fast"},
    ("PUT", LEAF): {"message_id": "0190b2a4-0000-7000-8000-000000000000"},
    ("POST", "/chat"): {"message": "Hello"},
    ("POST", AGENT): {"message": "Hello"},
    ("POST", STOP): {"message_id": "chat-1"},
    ("POST", f"{RAG}/send"): {"message": "Hello"},
    ("POST", f"{RAG_ONE}/messages"): {"message": "Hello"},
    ("POST", f"{CHATBOT}/chat"): {"message": "Hello"},
    ("POST", f"{CHATBOT}/delete-conversation"): {"conversation_id": "chat-1"},
}
# Existing clients send these; what is no form is refused all the same.
TAKES_FORMS = {("POST", f"{CHATBOT}/chat"), ("POST", f"{CHATBOT}/delete-conversation")}
NEEDS_NONE = {("POST", f"{ONE_MESSAGE}/regenerate"), ("POST", STOP)}  # a body may be left out
every_endpoint = pytest.mark.parametrize(
    ("endpoint", "valid"), ENDPOINTS.items(), ids=[" ".join(name) for name in ENDPOINTS]
)
MAX_BODY = 8_000_000

pytestmark = pytest.mark.usefixtures("nothing_is_stored")


@pytest.fixture
def send(person):
    """Calls an endpoint with a body: bytes as they are, anything else as JSON."""

    def call(endpoint, body, content_type=MIME):
        method, path = endpoint
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        address = path.replace("{conversation_id}", person.home)
        address = address.replace("{message_id}", person.message_id)
        return getattr(person, method.lower())(address, data=data, content_type=content_type)

    return call


def test_every_endpoint_with_a_body_is_tried():
    with_body = {route for route, calls in ROUTES.items() if any(call.body for call in calls)}
    assert with_body == ENDPOINTS.keys()


MALFORMED = {
    "empty": b"",
    "blank": b" \n\t",
    "not JSON": b"title=Hello",
    "cut": b'{"title": "Hel',
    "two documents": b"{} {}",
    "single quotes": b"{'title': 'Hello'}",
    "a comment": b'{"title": "Hello"} // hi',
    "a trailing comma": b'{"title": "Hello",}',
    "a byte order mark": b'\xef\xbb\xbf{"title": "Hello"}',
    "UTF-16": '{"title": "Hello"}'.encode("utf-16"),
    "NUL": b'{"title": "a\x00b"}',
    "objects nested 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a number beyond all doubles": b'{"metadata": {"n": 1e400}}',
    "Infinity": b'{"metadata": {"n": Infinity}}',
    "-Infinity": b'{"metadata": {"n": -Infinity}}',
    "a hexadecimal number": b'{"metadata": {"n": 0x10}}',
}


NO_JSON_TYPES = (
    None, "", "text/plain", "text/json", "application/jsonx", "application/octet-stream",
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json",
)  # fmt: skip


@every_endpoint
def test_a_malformed_body_is_refused(send, endpoint, valid):
    fouls = {what: body for what, body in MALFORMED.items() if body or endpoint not in NEEDS_NONE}
    answers = {what: send(endpoint, body) for what, body in fouls.items()}
    assert [what for what, answer in answers.items() if answer.status_code != 400] == []
    for answer in answers.values():
        assert_problem(answer, 400, "malformed")


@every_endpoint
def test_a_body_that_is_no_object_is_refused(send, endpoint, valid):
    for value in ([], [1], "Hello", 7, True, None, 1.5):
        problem = assert_problem(send(endpoint, value), 422, "invalid_fields")
        assert pointers(problem) == {""}, value


@every_endpoint
def test_another_media_type_is_refused(send, endpoint, valid):
    names = [
        name for name in NO_JSON_TYPES if endpoint not in TAKES_FORMS or "form" not in (name or "")
    ]
    answers = {name: send(endpoint, valid, name) for name in names}
    assert [name for name, answer in answers.items() if answer.status_code != 415] == []
    for answer in answers.values():
        assert_problem(answer, 415, "unsupported_media_type")


@every_endpoint
def test_a_field_that_is_not_known_is_named(send, endpoint, valid):
    for name in ("unknown", "user_email", "owner", "id", "rev", "__proto__"):
        problem = assert_problem(send(endpoint, valid | {name: 1}), 422, "invalid_fields")
        assert pointers(problem) == {f"/{name}"}
        assert f"/{name} " in problem["detail"]


@every_endpoint
def test_a_body_over_the_limit_is_refused(send, endpoint, valid):
    assert_problem(send(endpoint, b'"%b"' % (b"x" * MAX_BODY)), 413, "too_large")


def test_of_two_equal_names_the_last_counts(send):
    """As in JSON.parse, so that a proxy that looks inside sees what is stored."""
    answer = send(("POST", "/chat"), b'{"message": "Hello", "message": ""}')
    assert pointers(assert_problem(answer, 422, "invalid_fields")) == {"/message"}


NO_TEXT = (1, True, None, [], {}, "", " \n\t\u3000")
NO_LIST = (1, True, None, {}, "Hello")
NO_OBJECT = (1, True, None, [], "Hello", {"x": "y" * 65_536})
NO_ID = (1, True, None, [], {}, "", "x" * 65, "a\nb", "\u202e")
NO_MODE = (1, True, [], {}, "", "turbo", "FAST")
NO_MODEL = (1, True, None, [], {}, "", "x" * 201)
RECORD = {
    "/title": (*NO_TEXT, "x" * 501),
    "/mode": NO_MODE,
    "/tags": (*NO_LIST, ["x"] * 51),
    "/tags/0": ([1], [None], [[]], [{}], [""], ["x" * 101]),
    "/metadata": NO_OBJECT,
}
MESSAGE = {
    "/role": (1, True, None, [], {}, "", "robot", "User"),
    "/content": NO_TEXT,
    "/client_message_id": NO_ID,
    "/parts": (*NO_LIST, [], [{}] * 101),
    "/parts/0": ([1], [None], ["Hello"], [[]]),
    "/model": NO_MODEL,
    "/tokens_used": (-1, 2**31, 2**63, 1.5, "5", True, None, []),
    "/metadata": NO_OBJECT,
    "/unknown": (1,),
}
DOUBLED = [SAID | {"client_message_id": "one"}] * 2
MANY = {
    "/messages": (*NO_LIST, [], [SAID] * 101, DOUBLED),
    "/messages/0": ([1], [None], ["Hello"], [[]]),
}
NO_UUID = (1, True, [], {}, "", "chat-1", "0190b2a4")
NO_REVISION = (0, -1, 1.5, "1", None, True, 2**63)
NO_FLAG = (None, 7, "maybe", [], {}, "")
WRONG = {
    ("POST", "/conversations"): RECORD | MANY | {
        "/client_id": (*NO_ID, "0190b2a4-0000-7000-8000-000000000000"),
        "/mode": (*NO_MODE, None),
        "/model": NO_MODEL,
        "/system_prompt": (*NO_TEXT, "é" * 32_769),
    },
    ("PATCH", ONE): RECORD | {
        "/is_pinned": NO_FLAG,
        "/is_archived": NO_FLAG,
        "/revision": NO_REVISION,
    },
    ("POST", MESSAGES): MANY | {"/parent_id": NO_UUID},
    ("PATCH", ONE_MESSAGE): {
        pointer: values for pointer, values in MESSAGE.items() if pointer != "/role"
    },
    ("POST", f"{ONE_MESSAGE}/regenerate"): {
        "/client_message_id": NO_ID,
        "/mode": (*NO_MODE, None),
        "/model": NO_MODEL,
        "/agent": (*NO_FLAG, 0, "true"),
        "/filters": (*NO_LIST, [{}] * 101),
    },
    ("PUT", LEAF): {"/message_id": (*NO_UUID, None), "/revision": NO_REVISION},
    ("POST", "/chat"): {
        "/parent_id": NO_UUID,
        "/message": NO_TEXT,
        "/conversation_id": tuple(value for value in NO_ID if value is not None),
        "/client_message_id": NO_ID,
        "/mode": (*NO_MODE, None),
        "/model": NO_MODEL,
        "/retry": (*NO_FLAG, 0, "true"),
        "/filters": (*NO_LIST, [{}] * 101),
        "/filters/0": ([1], [None], ["Hello"], [[]], [{"x": "y" * 65_536}]),
    },
    ("POST", STOP): {"/message_id": NO_ID},
    ("POST", "/conversations/bulk"): {
        "/action": (1, None, True, [], {}, "", "PIN", "list"),
        "/ids": (*NO_LIST, [], ["x"] * 101),
        "/ids/0": ([1], [None], [{}], [""], ["a/b"], ["x" * 65]),
        "/filter": NO_OBJECT[:-1],
        "/tags": NO_LIST,
    },
    ("POST", f"{RAG}/send"): {
        "/message": NO_TEXT,
        "/session_id": tuple(value for value in NO_ID if value is not None),
    },
    ("POST", f"{RAG_ONE}/messages"): {"/message": (*NO_TEXT, "x" * 5001), "/metadata": NO_OBJECT},
    ("POST", f"{CHATBOT}/chat"): {
        "/message": NO_TEXT,
        "/model": (*NO_MODEL[:2], None, "", "x" * 201),
        "/context": (1, None, [], {}, "", "x" * 201),
        "/deep_thinking": (1, 0, None, "true", "", [], {}),
        "/tools": (*NO_LIST, ["x"] * 51),
        "/tools/0": ([1], [None], [{}], [""], ["x" * 65]),
        "/memory_ids": (*NO_LIST, ["x"] * 51),
        "/history": (1, True, {}, "Hello", [{}] * 10_001),
        "/history/0": ([1], [None], ["Hello"], [[]]),
    },
    ("POST", f"{CHATBOT}/delete-conversation"): {"/conversation_id": NO_ID},
}  # fmt: skip
WRONG["POST", AGENT] = WRONG["POST", "/chat"]


def each(fields):
    """Each field with each value that is none for it: where a pointer leads to, and its name."""
    for pointer, values in fields.items():
        for value in values:
            yield pointer, pointer.split("/")[1], value


@every_endpoint
def test_a_wrong_value_is_refused_and_its_field_named(send, endpoint, valid):
    for pointer, name, value in each(WRONG[endpoint]):
        problem = assert_problem(send(endpoint, valid | {name: value}), 422, "invalid_fields")
        assert pointers(problem) == {pointer}, str(value)[:80]


@pytest.mark.parametrize("endpoint", [("POST", "/conversations"), ("POST", MESSAGES)])
def test_a_wrong_value_in_a_message_is_refused_and_named(send, endpoint):
    for pointer, name, value in each(MESSAGE):
        answer = send(endpoint, {"messages": [SAID, SAID | {name: value}]})
        problem = assert_problem(answer, 422, "invalid_fields")
        assert pointers(problem) == {f"/messages/1{pointer}"}, str(value)[:80]


def test_what_is_missing_or_does_not_go_together_is_named(send):
    for endpoint, body, named in (
        (("POST", MESSAGES), {}, {"/messages"}),
        (("POST", MESSAGES), {"messages": [{}]}, {"/messages/0/role", "/messages/0/content"}),
        (("PATCH", ONE), {}, {""}),
        (("PATCH", ONE), {"title": None, "mode": 1}, {"/title", "/mode"}),
        (("POST", "/chat"), {}, {"/message"}),
        (("POST", "/chat"), {"message": "Hello", "messages": [SAID]}, {"/message"}),
        (("POST", "/chat"), {"messages": []}, {"/messages"}),
        (("POST", "/chat"), {"messages": [SAID] * 10_001}, {"/messages"}),
        (("POST", "/chat"), {"messages": "Hello"}, {"/messages"}),
        (("POST", "/chat"), {"messages": [SAID, {}]}, {"/messages/1/role", "/messages/1/content"}),
        (("POST", "/chat"), {"messages": [SAID | {"role": "assistant"}]}, {"/messages/0/role"}),
        (("POST", "/chat"), {"messages": [SAID, SAID | {"content": " "}]}, {"/messages/1/content"}),
    ):
        problem = assert_problem(send(endpoint, body), 422, "invalid_fields")
        assert pointers(problem) == named, body


def test_a_message_over_its_limit_in_bytes_is_refused(send):
    for endpoint, body in (
        (("POST", "/conversations"), {"messages": [SAID, SAID | {"content": "é" * 500_001}]}),
        (("POST", MESSAGES), {"messages": [SAID, SAID | {"content": "é" * 500_001}]}),
        (("POST", MESSAGES), {"messages": [SAID, SAID | {"parts": [{"x": "y" * 1_000_000}]}]}),
        (("POST", "/chat"), {"message": "é" * 500_001}),
        (("POST", "/chat"), {"message": {"role": "user", "parts": [LONG]}}),
        (("POST", f"{RAG}/send"), {"message": "é" * 500_001}),
        (("POST", f"{CHATBOT}/chat"), {"message": "é" * 500_001}),
    ):
        problem = assert_problem(send(endpoint, body), 413, "too_large")
        assert "1000000 bytes" in problem["detail"]


@pytest.mark.parametrize("how", ["announced", "in chunks"])
def test_a_served_body_over_the_limit_is_refused_in_both_transfers(server, person, how):
    pieces = [b"x" * 1_000_000] * 9
    content = b"".join(pieces) if how == "announced" else iter(pieces)
    headers = {"Authorization": f"Bearer {person.token}", "Content-Type": MIME}
    answer = httpx2.post(f"{server.url}/conversations", content=content, headers=headers)
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "too_large"


@pytest.mark.parametrize("sent", ["zz\r\n{}\r\n0\r\n\r\n", "-2\r\n{}\r\n0\r\n\r\n", "\r\n"])
def test_a_served_body_in_chunks_that_are_none_is_refused(server, person, sent):
    head = f"""POST /conversations HTTP/1.1
Host: parley
Authorization: Bearer {person.token}
Content-Type: {MIME}
Transfer-Encoding: chunked

"""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall((head.replace("\n", "\r\n") + sent).encode())
        with HTTPResponse(connection) as answer:
            answer.begin()
            assert answer.status == 400
            assert json.loads(answer.read())["code"] == "malformed"
