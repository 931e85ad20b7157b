"""What browsers, proxies and pages of other origins are told, and who is believed about TLS."""

import dataclasses
import socket

import httpx2
import pytest
from flask import Flask, request

from app import Parley
from tests.client import Client, bearer
from tests.evidence import assert_problem

ORIGINS = ("https://app.example.com", "http://localhost:3000", "http://[::1]:3000")
NOT_LISTED = (
    "null", "", "*", "https://", "app.example.com", "https://example.com",
    "http://app.example.com", "https://APP.example.com", "HTTPS://app.example.com",
    "https://app.example.com:443", "https://app.example.com:8443", "https://app.example.com/",
    "https://app.example.com.", "https://app.example.com.evil.example", "https://app.example.co",
    "https://evil.app.example.com", "https://evil-app.example.com", "https://appxexample.com",
    "https://app.example.com@evil.example", "https://evil.example/https://app.example.com",
    "https://app.example.com, https://evil.example", "https://.*", "http://localhost",
    "http://localhost:30000", "http://127.0.0.1:3000", "http://::3000", "http://1:3000",
    "http://[::2]:3000",
)  # fmt: skip
SHARED = {"Access-Control-Allow-Origin", "Access-Control-Expose-Headers"}
PREFLIGHT = {
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods",
    "Access-Control-Max-Age",
}
HSTS = "Strict-Transport-Security"


@pytest.fixture
def share(make_app, email):
    """The API for pages of ORIGINS."""
    return Client(make_app(cors_origins=ORIGINS), email)


def every_kind(client, headers=None, **options):
    """Answers of every kind there is, by what was asked."""
    headers = headers or {}
    calls = [
        ("GET", "/livez", {}),
        ("GET", "/readyz", {}),
        ("GET", "/openapi.json", {}),
        ("GET", "/docs", {}),
        ("GET", "/conversations?limit=1", {}),
        ("POST", "/conversations", {"json": {"title": "First"}}),
        ("POST", "/conversations", {"json": {"title": "Second"}}),
        ("GET", "/conversations?limit=1", {}),
        ("POST", "/chat?wire=text", {"json": {"message": "Who?"}}),
        ("POST", "/chat?wire=sse", {"json": {"message": "Who?"}}),
        ("POST", "/chat?wire=json", {"json": {"message": "Who?"}}),
        ("POST", "/chat", {"json": {}}),
        ("POST", "/chat", {"data": "{", "content_type": "application/json"}),
        ("POST", "/chat", {"data": "x" * 9_000_000, "content_type": "application/json"}),
        ("GET", "/conversations/unknown", {}),
        ("GET", "/nowhere", {}),
        ("GET", "/docs/nothing.js", {}),
        ("PUT", "/conversations", {}),
        ("OPTIONS", "/conversations", {}),
        ("OPTIONS", "/nowhere", {}),
    ]
    for method, path, sent in calls:
        answer = client.open(path, method=method, headers=headers, **sent, **options)
        yield f"{method} {path} → {answer.status_code}", answer
    nobody = headers | {"Authorization": "Bearer x"}
    yield "no token", client.get("/conversations", headers=nobody, **options)


def cors_of(answer):
    return {name for name in set(answer.headers.keys()) if name.startswith("Access-Control")}


def test_every_answer_says_what_a_browser_may_do_with_it(client):
    answers = dict(every_kind(client))
    answers["TRACE"] = client.open("/conversations", method="TRACE")
    answers["//"] = client.get("//conversations")
    assert {answer.status_code for answer in answers.values()} >= {200, 201, 204, 401, 404, 405}
    for asked, answer in answers.items():
        assert answer.headers["X-Content-Type-Options"] == "nosniff", asked
        assert answer.headers["Referrer-Policy"] == "no-referrer", asked
        assert answer.headers["X-Frame-Options"] == "DENY", asked
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin", asked
        assert "no-store" in answer.headers["Cache-Control"], asked
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; "), asked
        assert policy.endswith("frame-ancestors 'none'"), asked
        assert HSTS not in answer.headers, asked
        assert not cors_of(answer), asked
        assert "Origin" not in answer.headers.get("Vary", ""), asked
        assert "Set-Cookie" not in answer.headers, asked


def test_only_the_documentations_own_files_may_be_kept(client):
    with client.get("/docs/swagger-ui.css") as style:
        assert "max-age=86400" in style.headers["Cache-Control"]
        assert style.headers["X-Content-Type-Options"] == "nosniff"


def test_no_answer_names_the_host_that_the_client_named(client):
    for asked, answer in every_kind(client, headers={"Host": "evil.example"}):
        assert b"evil.example" not in answer.data, asked
        assert "evil.example" not in str(answer.headers), asked


def test_a_browser_that_came_over_tls_comes_over_tls_for_a_year(client):
    for asked, answer in every_kind(client, base_url="https://parley.example"):
        assert answer.headers[HSTS] == "max-age=31536000", asked


@pytest.mark.parametrize(
    ("proxies", "protocols", "is_secure"),
    [
        (0, "https", False),
        (1, None, False),
        (1, "https", True),
        (1, "http", False),
        (1, "https, http", False),  # the first is the client's own invention
        (1, "http, https", True),
        (2, "https", False),
        (2, "https, http", True),
        (2, "https, http, https", False),
    ],
)
def test_as_many_proxies_as_are_trusted_are_believed_about_tls(
    make_app, proxies, protocols, is_secure
):
    http = make_app(trusted_proxies=proxies).test_client()
    headers = {"X-Forwarded-Proto": protocols} if protocols else {}
    headers |= {"Forwarded": "proto=https", "X-Forwarded-Ssl": "on", "X-Forwarded-Scheme": "https"}
    assert (HSTS in http.get("/livez", headers=headers).headers) is is_secure


@pytest.mark.parametrize(
    ("proxies", "address"), [(0, "127.0.0.1"), (1, "203.0.113.9"), (2, "198.51.100.7")]
)
def test_a_client_cannot_invent_its_address_or_its_path(make_app, proxies, address):
    app, seen = make_app(trusted_proxies=proxies), []
    app.before_request(lambda: seen.append((request.remote_addr, request.script_root)))
    chain = "192.0.2.1, 198.51.100.7, 203.0.113.9"
    app.test_client().get(
        "/livez", headers={"X-Forwarded-For": chain, "X-Forwarded-Prefix": "//evil.example"}
    )
    assert seen == [(address, "")]


def test_gunicorn_believes_nobody(server):
    forged = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Protocol": "ssl",
        "X-Forwarded-Ssl": "off",  # beside the others, gunicorn would call it a contradiction
        "Script-Name": "/evil",
        "SCRIPT_NAME": "/evil",
        "PATH_INFO": "/version",
    }
    answer = httpx2.get(f"{server.url}/livez", headers=forged)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert HSTS not in answer.headers
    proxied = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(proxied)
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def test_the_longest_token_gets_in_and_little_more(server):
    def ask(length):
        headers = {"Authorization": f"Bearer {'x' * length}"}
        return httpx2.get(f"{server.url}/conversations", headers=headers)

    assert ask(8192).json()["code"] == "unauthorized"
    assert 400 <= ask(9000).status_code < 500
    assert "code" not in ask(9000).text


# Cross-origin calls


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_listed_origin_may_read_every_answer(share, origin):
    for asked, answer in every_kind(share, headers={"Origin": origin}):
        assert answer.headers.getlist("Access-Control-Allow-Origin") == [origin], asked
        assert answer.headers.getlist("Vary") == ["Origin"], asked
        assert {"ETag", "Link", "Location", "Retry-After", "X-Request-Id"} < set(
            answer.headers["Access-Control-Expose-Headers"].split(", ")
        ), asked
        assert cors_of(answer) - PREFLIGHT == SHARED, asked


def test_no_other_origin_gets_anything(share):
    for origin in NOT_LISTED:
        sent = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        for method, path in [("OPTIONS", "/chat"), ("GET", "/conversations"), ("PUT", "/chat")]:
            answer = share.open(path, method=method, headers=sent)
            assert not cors_of(answer), origin
            assert answer.headers["Vary"] == "Origin", origin
    assert not cors_of(share.get("/conversations"))


def test_a_preflight_is_told_what_is_served_there(share):
    def ask(path):
        sent = {"Origin": ORIGINS[0], "Access-Control-Request-Method": "POST"}
        return share.options(path, headers=sent)

    answer = ask("/conversations")
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS, POST"
    assert answer.headers["Access-Control-Max-Age"] == "600"
    sent = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert set(sent) == {
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "If-Match",
        "If-None-Match",
        "X-Request-Id",
    }
    one = "/conversations/00000000-0000-7000-8000-000000000000"
    assert ask(one).headers["Access-Control-Allow-Methods"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
    assert not cors_of(ask("/nowhere")) & PREFLIGHT


@pytest.mark.parametrize("way", ["init_app", "mount"])
def test_in_a_host_only_our_paths_are_shared_and_tls_is_the_hosts(app, settings, email, way):
    host = Flask("host", static_folder=None)
    host.get("/page")(lambda: "the host's")
    parley = Parley(settings=dataclasses.replace(settings, cors_origins=ORIGINS, trusted_proxies=1))
    getattr(parley, way)(host, "/api")
    http, forwarded = host.test_client(), {"X-Forwarded-Proto": "https"}
    headers = {"Origin": ORIGINS[0], "Authorization": f"Bearer {bearer(app, email)}"} | forwarded
    page = http.get("/page", headers=headers)
    assert not cors_of(page)
    assert set(page.headers.keys()) == {"Content-Type", "Content-Length"}
    assert "Access-Control-Allow-Methods" not in http.options("/page", headers=headers).headers
    for path in ("/api/conversations", "/api/nowhere", "/api/livez"):
        answer = http.get(path, headers=headers)
        assert cors_of(answer) == SHARED
        assert HSTS not in answer.headers
    assert cors_of(http.options("/api/chat", headers=headers)) == SHARED | PREFLIGHT
    assert_problem(http.get("/api/nowhere", headers=headers), 404, "not_found")
    parley.close()
