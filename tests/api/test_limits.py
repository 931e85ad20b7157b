"""How often a user may ask: by classes of routes, in Redis or, while that is away, in memory."""

import dataclasses
import os
import re
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import pytest
import redis
from flask import Flask, g
from flask_limiter import Limiter

from app import Parley
from app.clock import parse
from app.embedded import servers
from tests.client import Client, at_once
from tests.driver import asked_of
from tests.evidence import assert_problem
from tests.proxy import Proxy
from tests.signing import claims, signed

QUICKLY = 1.0
"""Seconds for a request that waits for Redis 0.15 seconds at most, on a busy machine."""
RATES = {
    "rate_limit_default": "4/hour",
    "rate_limit_chat": "2/hour",
    "rate_limit_create": "3/hour",
}


@pytest.fixture
def limited(make_app):
    return make_app("tests.responders:complete", **RATES)


@pytest.fixture
def limited_client(limited, email):
    return Client(limited, email)


@pytest.fixture
def keys(settings):
    """The keys in Redis that were not there before."""
    with redis.Redis.from_url(settings.redis_url) as client:
        before = set(client.keys())
        yield lambda: set(client.keys()) - before


def allowed(call, most=20):
    """How many calls come through before the first that is one too many, which comes as well."""
    for count in range(most):
        answer = call()
        if answer.status_code == 429:
            return count, answer
        assert answer.status_code < 400, answer.text
    return most, None


def reading(client):
    return lambda: client.get("/conversations")


def asking(client):
    return lambda: client.ask("Where?")


def creating(client):
    return lambda: client.post("/conversations", json={})


def test_each_class_of_routes_has_a_rate_of_its_own_for_each_user(limited, limited_client):
    here, neighbour = limited_client, Client(limited, f"{uuid4().hex}@example.com")
    assert allowed(asking(here))[0] == 2
    assert allowed(creating(here))[0] == 3
    place = "/conversations/chat-of-my-own"
    others = iter([here.get("/conversations"), here.delete(place), here.get(f"{place}/messages")])
    assert [answer.status_code for answer in others] == [200, 404, 404]
    assert allowed(reading(here))[0] == 1
    assert here.patch(place, json={}).status_code == 429
    assert [allowed(call(neighbour))[0] for call in (asking, creating, reading)] == [2, 3, 4]


def test_one_request_too_many_is_told_when_to_come_back(limited_client):
    before = datetime.now(UTC)
    count, refused = allowed(asking(limited_client))
    problem = assert_problem(refused, 429, "too_many_requests")
    wait = (parse(problem["reset_at"]) - before).total_seconds()
    assert count == 2
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", problem["reset_at"])
    assert 0 < wait <= 3601
    assert abs(int(refused.headers["Retry-After"]) - wait) <= 2
    assert refused.headers["X-Request-Id"] == problem["request_id"]


@pytest.mark.parametrize("where", ["redis", "memory"])
def test_there_is_room_again_at_the_time_that_was_told(make_app, settings, email, where):
    url = settings.redis_url if where == "redis" else None
    client = Client(make_app(rate_limit_default="2/second", redis_url=url), email)
    count, refused = allowed(reading(client))
    reset_at = parse(refused.json["reset_at"]) + timedelta(milliseconds=50)
    assert count in {2, 3}  # three if a second ended in between
    assert refused.headers["Retry-After"] == "1"
    time.sleep(max(0.0, (reset_at - datetime.now(UTC)).total_seconds()))
    assert client.get("/conversations").status_code == 200


def test_a_refused_request_is_neither_read_nor_looked_up(limited, limited_client):
    allowed(asking(limited_client))
    with asked_of(limited.extensions["parley"].database) as asked:
        for body in (b"{", b'{"message": 1}', b"x" * 9_000_000):
            answer = limited_client.post("/chat", data=body, content_type="application/json")
            assert answer.status_code == 429
    assert [text for text, _ in asked if "parley_seen" not in text] == []  # seen each 4 s


def test_what_proves_nobody_counts_against_nobody(limited, limited_client):
    http = limited.test_client()
    mine = limited_client.token
    expired = signed(claims(email=limited_client.email, exp=1))
    for token in [expired, mine[:-4], mine.swapcase(), f"{mine}.", *[mine[1:]] * 20]:
        headers = {"Authorization": f"Bearer {token}"}
        assert http.get("/conversations", headers=headers).status_code == 401
    assert allowed(reading(limited_client))[0] == 4


def test_public_routes_and_classes_without_a_rate_are_not_limited(make_app, email):
    client = Client(make_app(**RATES | {"rate_limit_chat": None}), email)
    assert allowed(reading(client))[0] == 4
    assert {client.get("/livez").status_code for _ in range(10)} == {200}
    assert {client.get("/nowhere").status_code for _ in range(10)} == {404}
    assert {client.ask("Where?").status_code for _ in range(6)} == {200}


def test_processes_on_one_redis_share_what_is_left_even_without_its_cache(make_app, email):
    apps = [make_app(**RATES, enable_redis_cache=is_used) for is_used in (True, False)]
    clients = [Client(app, email) for app in apps * 16]
    statuses = at_once(lambda client: reading(client)().status_code, clients)
    assert (statuses.count(200), statuses.count(429)) == (4, 28)


def test_keys_begin_with_our_name_and_hold_no_address(limited, keys):
    email = f"{uuid4().hex}/default|chat@example.com"
    client = Client(limited, email)
    assert (reading(client)().status_code, asking(client)().status_code) == (200, 200)
    named = [key.decode() for key in keys() if b"limits" in key]
    assert len(named) == 2
    assert all(re.fullmatch(r"parley:limits:\{[A-Z]+/[a-z0-9/]+\}", key) for key in named), named


# Redis is away


@contextmanager
def refusing(cable):
    cable.stop()
    yield
    cable.resume()


@contextmanager
def silent(cable):
    cable.swallows = True
    yield
    cable.swallows = False


@contextmanager
def talking_nonsense(cable):
    cable.forged = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    yield
    cable.forged = None


@contextmanager
def answering_wrongly(cable):
    cable.forged = b"*1\r\n:7\r\n"
    yield
    cable.forged = None


def through(cable, url):
    """A Redis URL that leads through a proxy."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{cable.port}")).geturl()


def timed(call):
    began = time.monotonic()
    answer = call()
    assert time.monotonic() - began < QUICKLY
    return answer


@pytest.mark.parametrize(("trouble", "left"), [(refusing, 1), (silent, 1), (talking_nonsense, 0)])
def test_limits_hold_in_memory_while_redis_is_away_and_in_redis_again(
    make_app, settings, email, trouble, left
):
    """What Redis counted before, or without a reply that one could read, it still knows."""
    with Proxy(urlsplit(settings.redis_url).port) as cable:
        url = through(cable, settings.redis_url)
        app = make_app(**RATES, redis_url=url, enable_redis_cache=False)
        client = Client(app, email)
        assert [reading(client)().status_code for _ in range(3)] == [200] * 3
        with trouble(cable):
            assert allowed(lambda: timed(reading(client)))[0] == 4
            statuses = [timed(reading(client)).status_code for _ in range(40)]
            assert set(statuses) == {429}
        time.sleep(1.1)  # then Redis is asked again
        assert allowed(reading(client))[0] == left


def test_a_reply_to_another_question_is_no_error(make_app, settings, email):
    with Proxy(urlsplit(settings.redis_url).port) as cable:
        url = through(cable, settings.redis_url)
        client = Client(make_app(**RATES, redis_url=url, enable_redis_cache=False), email)
        assert reading(client)().status_code == 200
        with answering_wrongly(cable):
            assert {reading(client)().status_code for _ in range(8)} <= {200, 429}


def test_many_requests_at_once_find_redis_killed_and_are_limited_all_the_same(make_app, email):
    given = {name: value for name, value in os.environ.items() if not name.startswith("REDIS_URL")}
    with (
        tempfile.TemporaryDirectory(prefix="parley-limits-") as data,
        servers(Path(data), given, durable=False) as urls,
    ):
        app = make_app(**RATES, redis_url=urls["REDIS_URL"], db_pool_size=32)
        clients = [Client(app, email) for _ in range(32)]
        assert asking(clients[0])().status_code == 200
        process = psutil.Process(int((Path(data) / "redis.pid").read_text()))
        process.kill()
        process.wait(5)
        statuses = at_once(lambda client: reading(client)().status_code, clients)
        assert (statuses.count(200), statuses.count(429)) == (4, 28)


# In somebody else's application


def test_a_host_keeps_its_own_limits_and_settings(make_app, settings, email):
    host = Flask("host", static_folder=None)
    host.config.update(RATELIMIT_STORAGE_URI="memory://", RATELIMIT_STRATEGY="fixed-window")
    own = Limiter(lambda: g.get("who", "anybody"), app=host)
    host.get("/page")(own.limit("2/minute")(lambda: "the host's"))
    before = dict(host.config), list(host.before_request_funcs[None]), set(host.extensions)
    parley = Parley(settings=dataclasses.replace(settings, **RATES))
    parley.init_app(host, url_prefix="/api")
    after = dict(host.config), list(host.before_request_funcs[None]), set(host.extensions)
    client = Client(host, email)
    pages = [client.get("/page").status_code for _ in range(3)]
    count, refused = allowed(lambda: client.get("/api/conversations"))
    parley.close()
    assert pages == [200, 200, 429]
    assert count == 4
    assert_problem(refused, 429, "too_many_requests")
    assert after[:2] == before[:2]
    assert before[2] <= after[2]
    assert host.extensions["limiter"] == {own}
