"""Wires that go through a real Redis, written by a relay and read by mirrors."""

import pytest
import redis

from app.cache.client import RedisClient
from app.streaming.mirrors import Mirrors
from app.streaming.relay import UNWATCHED_SECONDS, Relay
from tests.proxy import Proxy


class Clock:
    """Time that passes when a test says so."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def redis_url(database_urls):
    return database_urls.redis


@pytest.fixture
def store(redis_url):
    """Redis itself."""
    with redis.Redis.from_url(redis_url) as store:
        yield store


@pytest.fixture
def link(redis_url):
    """What stands between the relay and Redis, and can be cut."""
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    with Proxy(port) as link:
        yield link


@pytest.fixture
def connect(redis_url):
    """A client of Redis, by the way of a link or directly."""
    made = []

    def connect(link=None):
        port = redis_url.rpartition(":")[2].partition("/")[0]
        url = redis_url.replace(f":{port}/", f":{link.port}/") if link else redis_url
        made.append(RedisClient(url, socket_timeout=5, connect_timeout=5))
        return made[-1]

    yield connect
    for client in made:
        client.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def relay(connect, link, clock):
    return Relay(connect(link), clock=clock)


@pytest.fixture
def carry(relay, clock):
    """Carries runs at a time when all are due: what those are told that are to stop."""

    def carry(*runs):
        clock.now += UNWATCHED_SECONDS
        return relay.carry(runs)

    return carry


@pytest.fixture
def mirrors(connect):
    return Mirrors(connect())
