"""/compat/chatbot as its clients call it with forms."""

import io

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from tests.client import Client
from tests.evidence import assert_problem, pointers

AT = "/compat/chatbot"
URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


@pytest.fixture
def asked():
    """The prompts that there were."""
    return []


@pytest.fixture
def echo(make_app, email, asked):
    """Answers with the question."""

    def answer(prompt):
        asked.append(prompt)
        yield f"You said: {prompt.question}"

    return Client(make_app(answer), email)


def post_form(client, form):
    boundary, body = encode_multipart(form)
    kind = f"{MULTIPART}; boundary={boundary}"
    return client.post(f"{AT}/chat", data=body, content_type=kind)


@pytest.mark.parametrize("kind", [URLENCODED, MULTIPART])
def test_a_form_says_what_json_says(echo, kind):
    fields = {
        "message": "Xin chào\r\nHuế & [1] + 100%",
        "model": "true",
        "context": "",
        "deep_thinking": "true",
        "tools": '["search"]',
        "history": "null",
        "memory_ids": "",
    }
    answer = echo.post(f"{AT}/chat", data=fields | {"context": "[]"}, content_type=kind)
    assert answer.json["response"] == f"You said: {fields['message']}"
    names = ("model", "context", "deep_thinking", "tools")
    assert [answer.json[name] for name in names] == ["true", "[]", True, ["search"]]


def test_a_big_message_comes_through_a_form_too(echo, asked):
    message = "x" * 999_000
    assert post_form(echo, {"message": message}).status_code == 200
    assert asked[0].question == message


def test_a_form_that_can_not_be_taken_is_refused(client):
    attached = {"message": "See this", "files": FileStorage(io.BytesIO(b"\x89PNG\xff"), "a.png")}
    for form, status, named in (
        (attached, 422, {"/files"}),
        ({}, 422, {"/message"}),
        ({"message": " "}, 422, {"/message"}),
        ({"message": "Hello", "tools": "search"}, 422, {"/tools"}),
        ({"message": "Hello", "deep_thinking": "yes"}, 422, {"/deep_thinking"}),
        ({"message": "Hello", "deep_thinking": "1"}, 422, {"/deep_thinking"}),
        ({"message": "Hello", "user_email": '"a@example.com"'}, 422, {"/user_email"}),
        ({"message": "a\0b"}, 400, set()),
        ({"message": "é" * 500_001}, 413, set()),
        ({"message": "x" * 8_000_000}, 413, set()),
    ):
        answer = post_form(client, form)
        problem = assert_problem(answer, status)
        assert pointers(problem) == named
        assert problem["error"] == problem["detail"]
        assert named != {"/files"} or "text only" in problem["detail"]
    broken = b'--x\r\nContent-Disposition: form-data; name="message"\r\n\r\n\xff\r\n--x--\r\n'
    answer = client.post(f"{AT}/chat", data=broken, content_type=f"{MULTIPART}; boundary=x")
    assert_problem(answer, 400, "malformed")
    assert client.get("/conversations").json["conversations"] == []
