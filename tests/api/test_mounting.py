"""Parley within somebody else's Flask application: it works there, and nothing there changes."""

import logging
from urllib.parse import urljoin

import click
import pytest
from flask import Blueprint, Flask, abort, g, request, session
from flask.json.provider import DefaultJSONProvider
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import select

from app import Parley
from app.errors import SetupError

from .. import client as api

INSIDE = "/api"


class WrappedJSON(DefaultJSONProvider):
    """What a host may do to its answers, and must not do to ours."""

    def response(self, *args, **kwargs):
        return super().response({"wrapped": args[0] if args else kwargs})


def answer(prompt):
    yield f"You said: {prompt.question}"


def make_host():
    """An application with everything of its own, some of it named as ours is."""
    host = Flask("host", static_folder=None)
    host.json = WrappedJSON(host)
    host.config.update(
        SECRET_KEY="the host's own",
        SQLALCHEMY_DATABASE_URI="sqlite://",
        MAX_CONTENT_LENGTH=100,
    )
    add_notes(host)
    add_pages(host)
    add_hooks(host)
    for name in ("openapi", "db", "tokens"):
        host.cli.add_command(click.Command(name, help="The host's own"))
    return host


def add_notes(host):
    """A database of the host's, by Flask-SQLAlchemy, and a page that writes to it."""
    notes = SQLAlchemy()

    class Note(notes.Model):
        id = notes.Column(notes.Integer, primary_key=True)
        text = notes.Column(notes.String)

    notes.init_app(host)
    with host.app_context():
        notes.create_all()

    @host.post("/notes")
    def create_note():
        notes.session.add(Note(text=request.form["text"]))
        notes.session.commit()
        return {"notes": notes.session.scalars(select(Note.text)).all()}


def add_pages(host):
    """Routes, and pages for errors."""
    own = Blueprint("conversations", "host", url_prefix="/conversations")

    @own.get("")
    def search():
        return {"conversations": "the host's"}

    host.register_blueprint(own)

    @host.get("/chat")
    def chat():
        return {"chat": "the host's"}

    @host.get("/broken")
    def broken():
        raise ZeroDivisionError

    @host.get("/pages/<path:page>")
    def page(page):
        return f"<h1>{page}</h1>"

    for status in (403, 404, 405, 413, 500):
        host.register_error_handler(
            status, lambda error, status=status: (f"<h1>The host's {status}</h1>", status)
        )


def add_hooks(host):
    """What runs before and after each request."""

    @host.before_request
    def greet():
        if "X-Break" in request.headers:
            raise ZeroDivisionError
        if "X-Closed" in request.headers:
            return "<h1>Closed</h1>", 503
        if "X-Forbidden" in request.headers:
            abort(403)
        g.request_id, g.identity = "the host's id", "the host's user"
        session["count"] = session.get("count", 0) + 1
        return None

    @host.after_request
    def sign(response):
        response.headers["X-Host"] = f"{g.get('request_id')}, {g.get('identity')}"
        return response


def portrait(host):
    """What is the host's, as far as it can be looked at."""
    own_rules = {
        (rule.rule, rule.endpoint, frozenset(rule.methods))
        for rule in host.url_map.iter_rules()
        if not rule.rule.startswith(INSIDE)
    }
    return {
        "rules": own_rules,
        "json": host.json,
        "config": dict(host.config),
        "commands": dict(host.cli.commands),
        "error pages": dict(host.error_handler_spec[None]),
        "before": list(host.before_request_funcs[None]),
        "after": list(host.after_request_funcs[None]),
        "teardown": list(host.teardown_appcontext_funcs),
        "sqlalchemy": host.extensions["sqlalchemy"],
        "templates": [
            list(host.template_context_processors[key]) for key in (None, "conversations")
        ],
        "log handlers": list(logging.getLogger().handlers),
        "log level": logging.getLogger().level,
    }


def init_app(parley, host):
    parley.init_app(host, url_prefix=INSIDE)


def mount(parley, host):
    parley.mount(host, INSIDE)


@pytest.fixture
def host():
    host = make_host()
    yield host
    with host.app_context():
        host.extensions["sqlalchemy"].engine.dispose()


@pytest.fixture
def make_parley(app, settings):
    made = []

    def make(responder=answer):
        made.append(Parley(responder, settings=settings))
        return made[-1]

    yield make
    for parley in made:
        parley.close()


@pytest.fixture(params=[init_app, mount], ids=["init_app", "mount"])
def mounted(request, host, make_parley):
    """The host, with Parley in it one way and the other."""
    request.param(make_parley(), host)
    return host


@pytest.fixture
def visitor(mounted):
    """Somebody without a token."""
    return mounted.test_client()


@pytest.fixture
def signed(app, email):
    return {"Authorization": f"Bearer {api.bearer(app, email)}"}


def is_problem(response, status, code):
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == code
    assert response.json["request_id"] == response.headers["X-Request-Id"]
    return True


@pytest.mark.parametrize("way", [init_app, mount])
def test_nothing_of_the_host_changes(host, make_parley, way):
    before, extensions = portrait(host), set(host.extensions)
    way(make_parley(), host)
    assert portrait(host) == before
    assert set(host.extensions) - extensions <= {"parley", "flask-smorest"}


def test_the_hosts_own_pages_answer_as_ever(mounted, visitor):
    assert visitor.get("/conversations").json == {"wrapped": {"conversations": "the host's"}}
    assert visitor.get("/chat").json == {"wrapped": {"chat": "the host's"}}
    assert visitor.get("/pages/api/conversations").text == "<h1>api/conversations</h1>"
    assert visitor.post("/notes", data={"text": "kept"}).json == {"wrapped": {"notes": ["kept"]}}
    assert visitor.get("/chat").headers["X-Host"] == "the host's id, the host's user"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/nowhere", 404),
        ("get", "/apiary", 404),
        ("post", "/chat", 405),
        ("get", "/broken", 500),
    ],
)
def test_the_hosts_error_pages_are_shown_outside_the_prefix(visitor, method, path, status):
    response = getattr(visitor, method)(path)
    assert (response.status_code, response.text) == (status, f"<h1>The host's {status}</h1>")


def test_a_conversation_is_written_and_read_below_the_prefix(visitor, signed):
    said = {"messages": [{"role": "user", "content": "Where is Huế? " * 20}]}
    made = visitor.post("/api/conversations", json=said, headers=signed)
    assert made.status_code == 201, made.text
    assert made.headers["Location"] == f"/api/conversations/{made.json['id']}"
    read = visitor.get(made.headers["Location"], headers=signed)
    assert read.json == made.json
    assert read.json["messages"][0]["content"] == said["messages"][0]["content"]


def test_a_question_is_answered_by_the_hosts_responder(visitor, signed):
    asked = {"message": "Where is Huế?"}
    whole = visitor.post("/api/chat?wire=json", json=asked, headers=signed)
    assert whole.json["message"]["content"] == "You said: Where is Huế?"
    text = visitor.post("/api/chat", json=asked, headers=signed)
    assert text.text == "You said: Where is Huế?"


def test_the_link_to_the_next_page_leads_there(visitor, signed):
    made = [visitor.post("/api/conversations", json={}, headers=signed).json for _ in range(2)]
    page = visitor.get("/api/conversations?limit=1", headers=signed)
    address = page.headers["Link"].removeprefix("<").partition(">")[0]
    assert address.startswith("?limit=1&cursor=")
    rest = visitor.get(urljoin("/api/conversations?limit=1", address), headers=signed)
    listed = page.json["conversations"] + rest.json["conversations"]
    assert {item["id"] for item in listed} == {item["id"] for item in made}


def test_errors_below_the_prefix_are_problems(visitor, signed):
    unknown = "/api/conversations/00000000-0000-7000-8000-000000000000"
    assert is_problem(visitor.get("/api/conversations"), 401, "unauthorized")
    assert is_problem(visitor.get(unknown, headers=signed), 404, "not_found")
    assert is_problem(visitor.get("/api/nowhere"), 404, "not_found")
    assert is_problem(visitor.get("/api/"), 404, "not_found")
    assert is_problem(visitor.get("/api"), 404, "not_found")
    assert is_problem(visitor.get("/api/docs/nothing.js"), 404, "not_found")
    wrong = visitor.post("/api/chat", json={"message": " "}, headers=signed)
    assert is_problem(wrong, 422, "invalid_fields")
    assert wrong.json["errors"][0]["pointer"] == "/message"
    broken = visitor.post(
        "/api/chat", data="{", headers=signed | {"Content-Type": "application/json"}
    )
    assert is_problem(broken, 400, "malformed")


def test_a_body_over_our_limit_is_a_problem(visitor, signed, settings):
    body = b'{"message": "%b"}' % (b"x" * settings.max_body_bytes)
    headers = signed | {"Content-Type": "application/json"}
    assert is_problem(visitor.post("/api/chat", data=body, headers=headers), 413, "too_large")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_method_that_a_path_does_not_have_is_a_problem_that_names_those_it_has(visitor, method):
    response = visitor.open("/api/conversations", method=method)
    assert is_problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert is_problem(visitor.open("/api/nowhere", method=method), 404, "not_found")


@pytest.mark.parametrize("method", ["TRACE", "PURGE"])
def test_rare_methods_are_refused_in_our_words_where_the_application_is_ours(
    host, make_parley, method
):
    mount(make_parley(), host)
    response = host.test_client().open("/api/conversations", method=method)
    assert is_problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


def test_options_names_the_methods_of_a_path(visitor):
    response = visitor.options("/api/conversations/abc")
    assert (response.status_code, response.data) == (204, b"")
    assert response.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
    assert is_problem(visitor.options("/api/nowhere"), 404, "not_found")


def test_the_documentation_stands_below_the_prefix(visitor):
    described = visitor.get("/api/openapi.json").json
    assert described["servers"] == [{"url": "/api"}]
    assert "/conversations" in described["paths"]
    page = visitor.get("/api/docs")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    with visitor.get("/api/docs/swagger-ui.css") as style:
        assert (style.status_code, style.mimetype) == (200, "text/css")


def test_health_is_told_below_the_prefix(visitor):
    assert visitor.get("/api/livez").json == {"status": "ok"}
    ready = visitor.get("/api/readyz")
    assert (ready.status_code, ready.json["status"]) == (200, "ok")


@pytest.mark.parametrize("way", [init_app, mount])
@pytest.mark.parametrize("prefix", ["", "/", "api", "/api/<tenant>", "/a//b", "/api?x", "/../x"])
def test_a_prefix_that_is_none_is_refused_and_nothing_happens(host, make_parley, way, prefix):
    before, wsgi_app = portrait(host), host.wsgi_app
    parley = make_parley()
    with pytest.raises(SetupError, match="prefix"):
        parley.init_app(host, prefix) if way is init_app else parley.mount(host, prefix)
    assert portrait(host) == before
    assert host.wsgi_app == wsgi_app
    assert "parley" not in host.extensions


@pytest.mark.parametrize("way", [init_app, mount])
def test_a_slash_at_the_end_of_the_prefix_does_not_matter(host, make_parley, way):
    parley = make_parley()
    parley.init_app(host, "/api/") if way is init_app else parley.mount(host, "/api/")
    assert host.test_client().get("/api/livez").status_code == 200


def test_a_second_parley_in_the_same_application_is_refused(host, make_parley):
    first = make_parley()
    first.init_app(host, url_prefix="/api")
    with pytest.raises(SetupError, match="already"):
        make_parley().init_app(host, url_prefix="/other")
    assert host.extensions["parley"] is first
    assert host.test_client().get("/other/livez").status_code == 404


def test_two_hosts_in_one_process_do_not_know_of_each_other(app, make_parley, signed):
    apps = {}
    for prefix, word in {"/one": "first", "/two/deep": "second"}.items():
        host = Flask(word, static_folder=None)
        make_parley(lambda prompt, word=word: [word]).init_app(host, url_prefix=prefix)
        apps[prefix] = host.test_client()
        apps[prefix].get(f"{prefix}/livez")
    answers = {
        prefix: http.post(f"{prefix}/chat", json={"message": "Who?"}, headers=signed).text
        for prefix, http in apps.items()
    }
    assert answers == {"/one": "first", "/two/deep": "second"}
    assert apps["/one"].get("/two/deep/livez").status_code == 404
    described = [http.get(f"{prefix}/openapi.json").json for prefix, http in apps.items()]
    assert [one.pop("servers") for one in described] == [[{"url": "/one"}], [{"url": "/two/deep"}]]
    assert described[0] == described[1]


def test_two_parleys_can_be_mounted_in_one_host(host, make_parley, signed):
    for prefix in ("/one", "/two"):
        make_parley(lambda prompt, prefix=prefix: [prefix]).mount(host, prefix)
    http, asked = host.test_client(), {"message": "Who?"}
    for prefix in ("/one", "/two"):
        assert http.post(f"{prefix}/chat", json=asked, headers=signed).text == prefix


def test_the_hosts_hooks_work_around_our_answers(host, make_parley, signed):
    init_app(make_parley(), host)
    http = host.test_client()
    answers = [http.get("/api/conversations", headers=signed) for _ in range(2)]
    assert {response.headers["X-Host"] for response in answers} == {
        "the host's id, the host's user"
    }
    with http.session_transaction() as kept:
        assert kept["count"] == 2


def test_a_host_that_answers_before_us_is_heard(host, make_parley):
    init_app(make_parley(), host)
    closed = host.test_client().get("/api/conversations", headers={"X-Closed": "1"})
    assert (closed.status_code, closed.text) == (503, "<h1>Closed</h1>")


def test_errors_of_the_hosts_hooks_below_the_prefix_are_problems(host, make_parley):
    init_app(make_parley(), host)
    http = host.test_client()
    forbidden = http.get("/api/conversations", headers={"X-Forbidden": "1"})
    assert is_problem(forbidden, 403, "http_error")
    assert is_problem(http.get("/api/livez", headers={"X-Break": "1"}), 500, "internal_error")
    assert http.get("/chat", headers={"X-Forbidden": "1"}).text == "<h1>The host's 403</h1>"


def test_a_host_with_a_page_for_every_path_keeps_it_outside_the_prefix(make_parley):
    host = Flask("host", static_folder=None)

    @host.route("/", defaults={"page": ""})
    @host.route("/<path:page>", methods=["GET", "POST"])
    def everything(page):
        return f"page {page}"

    init_app(make_parley(), host)
    http = host.test_client()
    assert http.get("/anything").text == "page anything"
    assert http.post("/chat").text == "page chat"
    assert is_problem(http.get("/api/anything"), 404, "not_found")
    assert is_problem(http.get("/api"), 404, "not_found")
    assert is_problem(http.post("/api/livez"), 405, "method_not_allowed")
