"""What clients see when the model, a responder, PostgreSQL, Redis or a worker fails."""

import dataclasses
import os
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import flask_migrate
import httpx2
import psutil
import psycopg2
import pytest
import redis

from app import Parley, create_app
from app.embedded import servers
from app.responders.base import Contexts, Finish, TextDelta, Usage
from app.settings import normalised
from app.streaming.runner import REAP_SECONDS
from app.writes import KNOWN_SECONDS
from tests import fake_model
from tests.client import Client
from tests.evidence import Rows
from tests.fake_model import FakeModel, broken_off, garbage, hang, hang_after, refuse, stream_error
from tests.proxy import Proxy
from tests.responders import SECRET, Gate, failing
from tests.server import Server
from tests.streams import frames, text_of, until

KEY = "sk-parley-tests-0123456789"
HALF = "half an "
QUICKLY = 2.0
"""Seconds within which every answer must come while PostgreSQL is away."""


@pytest.fixture
def model():
    with FakeModel() as model:
        yield model


@pytest.fixture
def modelled(make_app, model, email):
    """The API with a model over HTTP behind it that has half a second for each answer."""
    app = make_app(
        "openai",
        openai_base_url=model.url,
        openai_api_key=KEY,
        openai_model="m",
        model_timeout=0.5,
    )
    return Client(app, email)


@pytest.fixture
def connect(make_app, email):
    return lambda responder, **changes: Client(make_app(responder, **changes), email)


def stored_answer(rows, email):
    (answer,) = rows.run(
        "SELECT * FROM messages WHERE user_email = :email AND role = 'assistant'", email=email
    )
    return answer


# The model

FAULTS = {
    "refuses the key": ([refuse(401)], "unauthorized", ""),
    "is overloaded": ([refuse(503, retry_after=0)] * 3, "upstream", ""),
    "has had enough": ([refuse(429, retry_after=0)] * 3, "rate_limited", ""),
    "says nothing": ([hang()], "timeout", ""),
    "falls silent": ([hang_after(HALF)], "timeout", HALF),
    "breaks off": ([broken_off(HALF)], "broken_off", HALF),
    "resets": ([broken_off(HALF, reset=True)], "broken_off", HALF),
    "reports an error": ([stream_error(HALF)], "upstream", HALF),
    "talks nonsense": ([garbage(HALF)], "upstream", HALF),
}


def as_text(answer):
    text, _, sentence = answer.text.partition("\n[upstream_error] ")
    assert answer.status_code == 200
    return text, sentence


def as_events(answer):
    *seen, error = frames(answer.response)
    assert (answer.status_code, error.event) == (200, "error")
    assert error.data["message"]["content"] == text_of(seen)
    assert error.data["message"]["id"] == seen[0].data["message_id"]
    return text_of(seen), error.data["detail"]


def as_problem(answer):
    problem = answer.json
    assert answer.content_type == "application/problem+json"
    assert {"conversation_id", "user_message_id", "message", "revision"} <= set(problem)
    assert answer.status_code == problem["status"]
    assert answer.status_code == (504 if problem["message"]["error_class"] == "timeout" else 502)
    return problem["message"]["content"], problem["detail"]


WIRES = {"text": as_text, "sse": as_events, "json": as_problem}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_model_that_fails_costs_no_text_and_gives_nothing_away(
    modelled, model, rows, settings, wire, fault
):
    behaviours, error_class, partial = FAULTS[fault]
    model.will(*behaviours)
    answer = modelled.ask("Where is Huế?", wire=wire)
    text, sentence = WIRES[wire](answer)
    stored = stored_answer(rows, modelled.email)
    assert text == stored.content == partial
    assert (stored.status, stored.error_class) == ("failed", error_class)
    assert sentence.endswith(("try again.", "saved; please try again."))
    assert "\n" not in sentence
    for secret in (fake_model.SECRET, KEY, model.url):
        assert secret not in answer.text
        assert secret not in Path(settings.log_file).read_text()


@pytest.mark.parametrize("first", [refuse(429, retry_after=0), refuse(500), refuse(503)])
def test_a_model_is_asked_again_before_its_first_word(make_app, model, email, first):
    app = make_app("openai", openai_base_url=model.url, openai_model="m")
    model.will(first, fake_model.text("Here."))
    answer = Client(app, email).ask("Where is Huế?")
    assert (answer.status_code, answer.json["message"]["content"]) == (200, "Here.")
    assert len(model.requests) == 2


def test_a_model_is_not_asked_again_after_its_first_word(modelled, model):
    model.will(broken_off(HALF), fake_model.text("Here."))
    assert modelled.ask("Where is Huế?").status_code == 502
    assert len(model.requests) == 1


# Responders of a host's own


def raising(prompt):
    raise RuntimeError(SECRET)


def nonsense(prompt):
    yield HALF
    yield Contexts([{"what": object()}])


def not_text(prompt):
    yield HALF
    yield TextDelta(SECRET.encode())


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("responder", "partial"),
    [(raising, ""), (failing, HALF), (nonsense, HALF), (not_text, HALF)],
)
def test_a_responder_that_breaks_costs_no_text_and_gives_nothing_away(
    connect, rows, settings, wire, responder, partial
):
    client = connect(responder)
    answer = client.ask("Where is Huế?", wire=wire)
    text, _ = WIRES[wire](answer)
    stored = stored_answer(rows, client.email)
    assert text == stored.content == partial
    assert (stored.status, stored.error_class) == ("failed", "responder")
    assert SECRET not in answer.text
    assert SECRET not in Path(settings.log_file).read_text()
    (entry,) = rows.run("SELECT * FROM query_logs WHERE user_email = :email", email=client.email)
    assert (entry.status, entry.error_class) == ("failed", "responder")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("said", "text", "reason"),
    [
        ([], "", "stop"),
        (["a\0b"], "a\ufffdb", "stop"),
        (["\ud83d", "\ude00!"], "\ufffd\ufffd!", "stop"),
        (["no finish"], "no finish", "stop"),
        (["a", Finish("length", "m"), "b"], "ab", "length"),
        ([Finish("stop", "m\0"), Usage(-1, 2**60)], "", "stop"),
        (["a", Contexts([]), ""], "a", "stop"),
        (["a", Contexts([{"page\0": "\ud800\0"}])], "a", "stop"),
        ([7, None, {"text": "b"}, "a"], "a", "stop"),
        (["x" * 500, "é" * 500], "x" * 500 + "é" * 249, "length"),
    ],
)
def test_whatever_a_responder_says_its_answer_is_complete(connect, rows, wire, said, text, reason):
    client = connect(lambda prompt: iter(said), max_answer_bytes=999)
    answer = client.ask("Where is Huế?", wire=wire)
    assert answer.status_code == 200
    read = {
        "text": lambda: answer.text.partition("\n__CONTEXT__:")[0],
        "sse": lambda: text_of(frames(answer.response)),
        "json": lambda: answer.json["message"]["content"],
    }[wire]()
    stored = stored_answer(rows, client.email)
    assert read == stored.content == text
    assert (stored.status, stored.finish_reason) == ("complete", reason)


def test_an_answer_without_an_end_is_cut_at_the_limit_and_its_responder_closed(connect, rows):
    closed = []

    def endless(prompt):
        try:
            while True:
                yield "Zeile für Zeile, 字 um 字; " * 1000
        finally:
            closed.append(True)

    client = connect(endless, max_answer_bytes=5_000_000)
    text = client.ask("Where is Huế?", wire="text").text
    stored = stored_answer(rows, client.email)
    assert closed
    assert text == stored.content
    assert 5_000_000 - 4 < len(stored.content.encode()) <= 5_000_000
    assert (stored.status, stored.finish_reason) == ("complete", "length")


# PostgreSQL


@pytest.fixture
def cable(settings):
    """What leads to PostgreSQL: `stop()` is its end, `resume()` its return."""
    with Proxy(urlsplit(settings.database_url).port) as proxy:
        yield proxy


@pytest.fixture
def cabled(settings, cable):
    """The database's URL through the cable."""
    url = urlsplit(settings.database_url)
    netloc = url.netloc.replace(f":{url.port}", f":{cable.port}")
    return url._replace(netloc=netloc).geturl()


@contextmanager
def quickly(seconds=QUICKLY):
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def assert_unavailable(answer):
    assert answer.status_code == 503, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.json["code"] == "unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert "psycopg" not in answer.text


def until_copies_are_shown_no_more(client, place):
    """For a second at most: what is not changed can't be old."""
    until(lambda: client.get(f"/conversations/{place}").status_code == 503)


def test_every_endpoint_of_somebody_is_unavailable_while_postgresql_is_away(connect, cabled, cable):
    client = connect("tests.responders:complete", database_url=cabled)
    anonymous, guarded = client.app.test_client(), 0
    cable.stop()
    for rule in client.app.url_map.iter_rules():
        _, path = rule.build(dict.fromkeys(rule.arguments, "chat-1"))
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            if anonymous.open(path, method=method).status_code == 401:
                guarded += 1
                with quickly():
                    assert_unavailable(client.open(path, method=method))
    cable.resume()
    assert guarded >= 8


def requests_of(place):
    """Every kind of request that reaches a service, by name."""
    said = {"messages": [{"role": "user", "content": "hello"}]}
    return {
        "list": ("GET", "/conversations", None),
        "create": ("POST", "/conversations", {}),
        "read": ("GET", f"/conversations/{place}", None),
        "rename": ("PATCH", f"/conversations/{place}", {"title": "new"}),
        "messages": ("GET", f"/conversations/{place}/messages", None),
        "append": ("POST", f"/conversations/{place}/messages", said),
        "ask": ("POST", "/chat?wire=json", {"message": "hello"}),
        "ask there": ("POST", "/chat?wire=sse", {"message": "hello", "conversation_id": place}),
        "ask again": ("POST", "/chat", {"message": "hello", "client_message_id": "m"}),
        "delete": ("DELETE", f"/conversations/{place}", None),
        "erase": ("DELETE", f"/conversations/{place}?permanent=true", None),
    }


def test_postgresql_may_go_and_come_back_without_a_restart(connect, cabled, cable):
    client = connect("tests.responders:complete", database_url=cabled)
    place = client.create("hello", "there")["id"]
    before = client.messages(place)
    cable.stop()
    until_copies_are_shown_no_more(client, place)
    for method, path, body in requests_of(place).values():
        with quickly():
            assert_unavailable(client.open(path, method=method, json=body))
    with quickly():
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json["database"]) == (503, "away")
        assert int(ready.headers["Retry-After"]) > 0
        assert client.get("/livez").status_code == 200
    cable.resume()
    assert client.messages(place) == before
    assert client.get("/readyz").status_code == 200
    for name, (method, path, body) in requests_of(place).items():
        answer = client.open(path, method=method, json=body)
        assert answer.status_code in {200, 201}, name
        assert answer.data


def test_a_cut_that_nobody_noticed_costs_one_request_at_most(connect, cabled, cable):
    client = connect("tests.responders:complete", database_url=cabled)
    place = client.create("hello")["id"]
    cable.stop()
    cable.resume()
    statuses = [client.get(f"/conversations/{place}").status_code for _ in range(5)]
    assert statuses in ([200] * 5, [503, 200, 200, 200, 200])


def test_an_answer_is_stored_though_postgresql_was_away_in_the_middle_of_it(
    connect, cabled, cable, rows
):
    gate = Gate("before ", after=["while it is away " * 300, "and the end"])
    client = connect(gate, database_url=cabled)
    response = client.ask("Where?", wire="sse")
    seen = frames(response.response)
    first = next(seen).data
    kept = "SELECT 1 FROM run_chunks WHERE user_email = :email"
    until(lambda: rows.run(kept, email=client.email))
    cable.stop()
    gate.open()
    assert gate.closed.wait(5)
    time.sleep(1.5)
    cable.resume()
    *rest, done = seen
    stored = stored_answer(rows, client.email)
    assert done.event == "done"
    assert text_of(rest) == stored.content == "before " + "while it is away " * 300 + "and the end"
    assert stored.status == "complete"
    assert str(stored.id) == first["message_id"]
    assert rows.run("SELECT 1 FROM run_chunks WHERE user_email = :email", email=client.email) == []


def test_a_follower_without_redis_outlasts_postgresqls_absence(connect, cabled, cable):
    gate = Gate("before ", after=["after"])
    here = connect(gate)
    there = connect("tests.responders:complete", database_url=cabled, redis_url=None)
    first = here.ask("Where?", wire="sse", client_message_id="m")
    following = frames(there.ask("Where?", wire="sse", client_message_id="m").response)
    assert next(following).event == "message"
    cable.stop()
    assert next(following).event is None
    assert next(following).event is None
    gate.open()
    direct = list(frames(first.response))
    cable.resume()
    *seen, done = following
    assert text_of(seen) == text_of(direct) == "before after"
    assert done.data == direct[-1].data


def test_a_follower_on_another_worker_hears_on_while_postgresql_is_away(connect, cabled, cable):
    gate = Gate("before ", after=["after"])
    here = connect(gate)
    there = connect("tests.responders:complete", database_url=cabled)
    first = here.ask("Where?", wire="sse", client_message_id="m")
    assert gate.reached.wait(5)
    heard = frames(there.ask("Where?", wire="sse", client_message_id="m").response)
    following = (frame for frame in heard if frame.event)  # a busy machine is silent at times
    assert next(following).event == "message"
    assert next(following).data == {"text": "before "}
    cable.stop()
    gate.open()
    direct = list(frames(first.response))
    assert next(following).data == {"text": "after"}
    cable.resume()
    *seen, done = following
    assert text_of(seen) == ""
    assert done.data == direct[-1].data


def test_the_program_starts_while_postgresql_is_away_and_recovers(settings, cabled, cable, client):
    cable.stop()
    away = dataclasses.replace(settings, database_url=cabled)
    with Server(away, WEB_CONCURRENCY="1") as server:
        headers = {"Authorization": f"Bearer {client.token}"}
        ready = httpx2.get(f"{server.url}/readyz", timeout=5)
        listed = httpx2.get(f"{server.url}/conversations", headers=headers, timeout=5)
        assert (ready.status_code, listed.status_code) == (503, 503)
        cable.resume()
        assert httpx2.get(f"{server.url}/readyz", timeout=5).status_code == 200
        asked = httpx2.post(
            f"{server.url}/chat?wire=json", json={"message": "hi"}, headers=headers, timeout=5
        )
        assert asked.status_code == 200


class Own:
    """A PostgreSQL and a Redis that a test may stop."""

    def __init__(self, data, urls):
        self.urls = urls
        self.redis = psutil.Process(int((data / "redis.pid").read_text()))
        self._postgres = psutil.Process(int((data / "postgresql.pid").read_text()))
        self._how = self._postgres.cmdline(), self._postgres.uids().real, self._postgres.gids().real
        self._again = None

    def stop_postgres(self):
        """At once, as a crash: what comes up again must recover."""
        self._postgres.send_signal(signal.SIGQUIT)
        self._postgres.wait(20)

    def start_postgres(self):
        command, user, group = self._how
        self._again = subprocess.Popen(
            command, user=user, group=group, extra_groups=[], cwd="/", env={"LC_ALL": "C"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._postgres = psutil.Process(self._again.pid)
        until(self._answers, seconds=20)

    def close(self):
        if self._again:
            self._again.send_signal(signal.SIGINT)
            self._again.wait(20)

    def _answers(self):
        try:
            psycopg2.connect(self.urls["DATABASE_URL"]).close()
        except psycopg2.OperationalError:
            return False
        return True


@pytest.fixture(scope="module")
def own(settings):
    given = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
    environ = {name: value for name, value in os.environ.items() if name not in given}
    with (
        tempfile.TemporaryDirectory(prefix="parley-faults-") as data,
        servers(Path(data), environ, durable=False) as urls,
    ):
        own = Own(Path(data), urls)
        yield own
        own.close()


@pytest.fixture(scope="module")
def own_settings(own, settings):
    """Settings of a migrated database that may be stopped."""
    changed = dataclasses.replace(
        settings,
        database_url=normalised(own.urls["DATABASE_URL"]),
        database_owner_url=normalised(own.urls["DATABASE_OWNER_URL"]),
        redis_url=own.urls["REDIS_URL"],
    )
    app = create_app(changed)
    with app.app_context():
        flask_migrate.upgrade()
    app.extensions["parley"].close()
    return changed


def test_a_crash_of_postgresql_in_the_middle_of_an_answer_loses_nothing(own, own_settings, email):
    gate = Gate("before ", after=["during ", "after"])
    parley = Parley(gate, settings=own_settings)
    client = Client(parley.application(), email)
    rows = Rows(own_settings.database_owner_url)
    place = client.create("hello", "there")["id"]
    response = client.ask("Where?", wire="sse", conversation_id=place)
    until(lambda: rows.run("SELECT 1 FROM run_chunks"))
    own.stop_postgres()
    until_copies_are_shown_no_more(client, place)
    assert_unavailable(client.get(f"/conversations/{place}"))
    gate.open()
    assert gate.closed.wait(5)
    own.start_postgres()
    *seen, done = frames(response.response)
    said = [message["content"] for message in client.messages(place)]
    parley.close()
    assert done.event == "done"
    assert said == ["hello", "there", "Where?", "before during after"]
    assert text_of(seen) == said[-1]


# Redis


@contextmanager
def refusing(cable, own):
    cable.stop()
    try:
        yield
    finally:
        cable.resume()


@contextmanager
def silent(cable, own):
    cable.swallows = True
    try:
        yield
    finally:
        cable.swallows = False


@contextmanager
def suspended(cable, own):
    own.redis.suspend()
    try:
        yield
    finally:
        own.redis.resume()


@contextmanager
def talking_nonsense(cable, own):
    cable.forged = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    try:
        yield
    finally:
        cable.forged = None


@contextmanager
def full(cable, own):
    with redis.Redis.from_url(own.urls["REDIS_URL"]) as client:
        client.flushall()
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", "256mb")
        client.config_set("maxmemory-policy", "allkeys-lru")


@contextmanager
def emptied(cable, own):
    with redis.Redis.from_url(own.urls["REDIS_URL"]) as client:
        client.flushall()
    yield


@pytest.mark.parametrize("trouble", [refusing, silent, suspended, talking_nonsense, full, emptied])
def test_no_client_notices_what_happens_to_redis(connect, own, trouble):
    url = urlsplit(own.urls["REDIS_URL"])
    with Proxy(url.port) as cable:
        there = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{cable.port}")).geturl()
        client = connect("tests.responders:complete", redis_url=there)
        place = client.create("hello", "there")["id"]
        before = [client.get(f"/conversations/{place}") for _ in range(2)][-1]
        with trouble(cable, own):
            for _ in range(8):
                with quickly(1.0):
                    during = client.get(f"/conversations/{place}")
                assert (during.status_code, during.data) == (before.status_code, before.data)
            # Question and answer each wait once, at most, until nobody shows old copies.
            with quickly(2 * KNOWN_SECONDS + 1.0):
                answer = client.ask("Where?", conversation_id=place)
            assert answer.json["message"]["content"] == "In central Vietnam."
            assert len(client.messages(place)) == 4
            assert client.get("/readyz").status_code == 200
        assert len(client.messages(place)) == 4


# A worker


def watch_until_killed(server, body, headers, seen):
    """Watch an answer; after two seconds of it, no worker lives."""
    url = f"{server.url}/chat?wire=sse"
    with httpx2.stream("POST", url, json=body, headers=headers, timeout=5) as response:
        for frame in frames(response.iter_raw()):
            seen.append(frame)
            if len(seen) == 100:
                for worker in server.workers():
                    os.kill(worker, signal.SIGKILL)


def test_what_a_killed_worker_left_is_ended_with_what_was_kept(own_settings, client):
    """By the workers that took its place, without anybody's help but for the lease's 30 seconds."""
    rows = Rows(own_settings.database_owner_url)
    headers = {"Authorization": f"Bearer {client.token}"}
    body = {"message": "Count.", "client_message_id": "m", "conversation_id": f"chat-{uuid4()}"}
    with Server(own_settings, RESPONDER="tests.responders:endless") as server:
        seen = []
        with pytest.raises(httpx2.RemoteProtocolError):
            watch_until_killed(server, body, headers, seen)
        assert stored_answer(rows, client.email).status == "streaming"
        expire = "UPDATE runs SET lease_until = '-infinity' WHERE user_email = :email"
        rows.run(expire, email=client.email)
        stored = until(
            lambda: (it := stored_answer(rows, client.email)).status == "interrupted" and it,
            seconds=REAP_SECONDS + 20,
        )
        until(server.is_alive)
        again = httpx2.post(f"{server.url}/chat?wire=json", json=body, headers=headers, timeout=5)
    counted = "".join(f"{number} " for number in range(6000))
    assert counted.startswith(stored.content)
    assert len(stored.content) > len(text_of(seen)) / 4
    (entry,) = rows.run("SELECT * FROM query_logs WHERE user_email = :email", email=client.email)
    assert entry.status == "interrupted"
    assert again.status_code == 502
    assert again.json()["message"]["id"] == str(stored.id)
    assert again.json()["message"]["content"] == stored.content
