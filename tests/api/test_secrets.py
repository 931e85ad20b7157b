"""What people say, who they are, what is secret: in no log and in no error, whatever happens."""

import dataclasses
import os
import secrets
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import flask_migrate
import httpx2
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from app import create_app
from app.embedded import servers
from app.settings import normalised
from tests.fake_model import FakeModel, broken_off, echo, refuse
from tests.proxy import Proxy
from tests.responders import SECRET as RESPONDERS_SECRET
from tests.server import Server
from tests.signing import claims, signed
from tests.tokens import HOSTILE

SAID = f"canary-said-{secrets.token_hex(8)}"
"""Stands in every message, title, tag, filter and address of this test."""
KEY = f"sk-canary-{secrets.token_hex(8)}"
WHO = f"canary-who-{secrets.token_hex(8)}"
"""Stands in every token: as the address, the name, the department."""

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def site(settings):
    """Servers of this test's own, whose logs it can read; PostgreSQL hangs on a cable."""
    given = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
    environ = {name: value for name, value in os.environ.items() if name not in given}
    with tempfile.TemporaryDirectory(prefix="parley-secrets-") as name, ExitStack() as stack:
        data = Path(name)
        urls = stack.enter_context(servers(data, environ, durable=False))
        yield Site(data, urls, settings, stack)


class Site:
    def __init__(self, data, urls, settings, stack):
        url = make_url(normalised(urls["DATABASE_URL"]))
        self.cable = stack.enter_context(Proxy(url.port))
        self.owner_url = urls["DATABASE_OWNER_URL"]
        self.settings = dataclasses.replace(
            settings,
            database_url=url.set(port=self.cable.port).render_as_string(hide_password=False),
            database_owner_url=normalised(self.owner_url),
            redis_url=urls["REDIS_URL"],
            log_file=str(data / "parley.log"),
        )
        self.logs = [data / f"{name}.log" for name in ("parley", "postgresql", "redis")]
        self.secrets = {
            url.password,
            make_url(self.owner_url).password,
            urlsplit(urls["REDIS_URL"]).password,
            settings.auth.secrets[""],
            KEY,
            RESPONDERS_SECRET,
        }
        # This process goes on to log where the other tests of its worker look.
        app = create_app(dataclasses.replace(self.settings, log_file=settings.log_file))
        with app.app_context():
            flask_migrate.upgrade()
        app.extensions["parley"].close()

    def log(self):
        return "".join(path.read_text() for path in self.logs if path.exists())


class Caller:
    """Sends what a test says, and keeps all that comes back."""

    def __init__(self, url, token):
        self.token = token
        self.answers = []
        self._http = httpx2.Client(base_url=url, timeout=20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._http.close()

    def __call__(self, method, path, body=None, *, token=None, **options):
        bearer = (self.token if token is None else token).encode("utf-8", "surrogatepass")
        headers = {"Authorization": b"Bearer " + bearer, "X-Request-Id": "plain"}
        headers |= options.pop("headers", {})
        if body is not None:
            options["json"] = body
        try:
            answer = self._http.request(method, path, headers=headers, **options)
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            return error  # gunicorn hangs up on a header of 1 MB
        self.answers.append(answer)
        return answer


def converse(call):
    """All that a client does when everything is well; what comes back is what was said."""
    made = call(
        "POST",
        "/conversations",
        {
            "title": SAID,
            "tags": [SAID],
            "system_prompt": SAID,
            "metadata": {"note": SAID},
            "messages": [{"role": "user", "content": SAID}, {"role": "assistant", "content": SAID}],
        },
    )
    assert made.status_code == 201, made.text
    place = made.json()["id"]
    one = f"/conversations/{place}"
    for method, path, body in [
        ("GET", "/conversations", None),
        ("GET", f"/conversations?tag={SAID}", None),
        ("GET", one, None),
        ("GET", one, None),
        ("GET", f"{one}/messages", None),
        ("PATCH", one, {"title": f"{SAID} again", "tags": [SAID]}),
        ("POST", f"{one}/messages", {"messages": [said(client_message_id=SAID)]}),
        ("POST", f"{one}/messages", {"messages": [said("other", client_message_id=SAID)]}),
        *[("POST", f"/chat?wire={wire}", question(place)) for wire in ("json", "text", "sse")],
        ("POST", "/chat?wire=sse", question(f"chat {SAID}", client_message_id=SAID)),
        ("POST", "/chat?wire=sse", question(f"chat {SAID}", client_message_id=SAID)),
        ("POST", "/chat?wire=json", question(f"chat {SAID}", client_message_id="x")),
    ]:
        call(method, path, body)
    return one


def said(more="", **fields):
    return {"role": "user", "content": f"{SAID} {more}", **fields}


def question(conversation_id=None, **fields):
    return {"message": SAID, "conversation_id": conversation_id, **fields}


def misbehave(call, one):
    """What is refused: wrong in form, in size, or somebody else's."""
    for path in ("/chat", "/conversations", f"{one}/messages"):
        for body in (
            {"message": [SAID]}, {"message": {"text": SAID}}, {"title": {"text": SAID}},
            {"messages": SAID}, {"messages": [{"role": SAID, "content": 1}]},
            {"message": SAID, "mode": SAID}, {"tags": [SAID * 30]}, {"title": SAID * 100},
            {"message": SAID, "messages": [said()]}, {"message": f"{SAID}\0"},
            {"message": SAID, "client_message_id": SAID * 50}, {"filters": SAID},
            {"message": SAID, "conversation_id": SAID * 50}, SAID, [SAID], {},
            {"message": SAID * 40_000}, {"messages": [said("x" * 1_100_000)]},
        ):  # fmt: skip
            call("POST", path, body)
        for raw in (
            SAID, f'{{"message": "{SAID}"', f'{{"message": "{SAID}\\ud800"}}',
            f'{{"message": "{SAID}", "message": "{SAID}"', f'["{SAID}",' * 90,
            f'{{"message": NaN, "x": "{SAID}"}}', f"{SAID}\xff".encode("latin-1"),
        ):  # fmt: skip
            call("POST", path, content=raw, headers=JSON)
        call("POST", path, content=SAID, headers={"Content-Type": "text/plain"})
        call("POST", path, content=f"message={SAID}")
    call("POST", "/chat", content=f'"{SAID * 300_000}"', headers=JSON)
    for path in (
        f"/{SAID}", f"/conversations/{SAID}", f"/conversations?limit={SAID}",
        f"/conversations?cursor={SAID}", f"{one}/messages?before={SAID}", f"/chat?wire={SAID}",
        f"/docs/{SAID}",
    ):  # fmt: skip
        for method in ("GET", "POST", "PATCH", "DELETE", "OPTIONS", SAID[:6].upper()):
            call(method, path, {"title": SAID} if method in {"POST", "PATCH"} else None)
    call("GET", "/conversations", headers={"X-Request-Id": f"{SAID} {SAID}", "Host": f"{SAID}:x"})
    for method in ("GET", "PATCH", "DELETE"):
        body = {"title": SAID} if method == "PATCH" else None
        call(method, one, body, token=signed(claims(email="other@example.com", name=WHO)))


def forge(call):
    """Tokens that must not hold; none of them may be told to anybody."""
    for make in HOSTILE.values():
        call("GET", "/conversations", token=make())
    payload = claims(email=f"{WHO}@example.com", name=WHO, dept=WHO, sid=WHO, purpose=WHO)
    for token in (
        signed(payload, secret="x" * 40), signed(payload | {"exp": 1}),
        signed(payload, header={"kid": WHO}), signed(payload | {"iss": WHO}),
        signed(payload | {"aud": WHO}), signed(payload | {"email": f"{WHO}@{WHO} .com"}),
        signed(payload | {"sub": "another"}), WHO,
    ):  # fmt: skip
        call("GET", "/conversations", token=token)
        call("GET", f"/conversations?token={token}")
        call("GET", "/conversations", headers={"Authorization": token})
        call("GET", "/conversations", headers={"Authorization": f"Basic {token}"})


def break_http(port, token):
    """What gunicorn itself refuses; gives its answers."""
    requests = [
        f"GET /{SAID} {token} HTTP/1.1\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {token}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {token}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\x01\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nBearer {token}: x\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nX: y\r\n Bearer {token}\r\n\r\n",
        f"GET /?{token} HTTP/{SAID}\r\n\r\n",
        f"{SAID} {token}\r\n\r\n",
        f"POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: {SAID}\r\n\r\n",
        f"POST /chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {SAID}\r\n\r\n",
        f"POST /chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: "
        f"application/json\r\nTransfer-Encoding: chunked\r\n\r\n{SAID}\r\n\r\n",
        f"GET /{SAID * 200} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {token * 30}\r\n\r\n",
    ]
    return [_raw(port, request.encode("latin-1")) for request in requests]


def _raw(port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer.decode("latin-1")


def fail(call, site, one):
    """PostgreSQL gone, gone in the middle, locked."""
    with psycopg2.connect(site.owner_url) as held, held.cursor() as cursor:
        cursor.execute("SELECT set_config('app.user_email', %s, true)", [f"{WHO}@example.com"])
        cursor.execute("LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE")
        assert call("PATCH", one, {"title": SAID}).status_code == 503
        held.rollback()
    held.close()
    for spoil in ({"cut_after": 1}, {"forged": SAID.encode()}):
        vars(site.cable).update(spoil)
        for _ in range(2):
            call("POST", "/chat?wire=json", question())
            call("PATCH", one, {"title": SAID})
        vars(site.cable).update(cut_after=None, forged=None)
    site.cable.stop()
    for path in ("/chat", "/conversations", f"{one}/messages"):
        body = question() if path == "/chat" else {"messages": [said()]}
        assert call("POST", path, body).status_code == 503
    call("GET", one)
    site.cable.resume()


@pytest.mark.parametrize(
    ("form", "responder"), [("json", "openai"), ("text", "tests.responders:failing")]
)
def test_no_log_and_no_error_tells_what_was_said_by_whom_or_a_secret(site, capfd, form, responder):
    token = signed(claims(email=f"{WHO}@example.com", name=WHO, dept=WHO, sid=WHO, sub=WHO))
    environ = {
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": form,
        "LOG_FILE": "" if form == "json" else site.settings.log_file,
        "DB_SLOW_QUERY_MS": "1",
        "DB_LOCK_TIMEOUT": "0.2",
        "WEB_CONCURRENCY": "1",
        "RESPONDER": responder,
        "OPENAI_API_KEY": KEY,
        "OPENAI_MODEL": "m",
    }
    with FakeModel(otherwise=echo()) as model, ExitStack() as stack:
        environ["OPENAI_BASE_URL"] = model.url
        server = stack.enter_context(Server(site.settings, **environ))
        call = stack.enter_context(Caller(server.url, token))
        one = converse(call)
        model.will(refuse(401), broken_off(SAID), refuse(500, retry_after=0))
        misbehave(call, one)
        converse(call)
        forge(call)
        refused = break_http(server.port, token)
        fail(call, site, one)
        call("DELETE", f"{one}?permanent=true")
    captured = capfd.readouterr()
    logged = site.log() + captured.out + captured.err
    assert logged.count("database_unavailable") > 3
    assert "slow_statement" in logged
    parts = [part for part in token.split(".") if len(part) > 20]
    unseen = {SAID, WHO, *site.secrets, *parts[1:]}
    assert [word for word in unseen if word in logged] == []
    statuses = {answer.status_code for answer in call.answers}
    assert statuses >= {200, 201, 400, 401, 404, 405, 409, 413, 415, 422, 502, 503}
    for answer in call.answers:
        whole = f"{answer.text} {answer.headers}"
        hidden = {*site.secrets, *parts[1:]} | ({SAID, WHO} if answer.status_code >= 400 else set())
        assert [word for word in hidden if word in whole] == [], answer.request.url
    assert [word for word in unseen for answer in refused if word in answer] == []
