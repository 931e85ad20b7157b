"""Redis servers of the tests' own, clients of them, and what spoils the wire between."""

import pytest
import redis

from app.cache.client import RedisClient
from app.cache.messages import MessageCache
from tests.client import Client
from tests.proxy import Proxy
from tests.redis_servers import RedisServer

from .truths import patient


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path):
    server = RedisServer(tmp_path)
    yield server
    server.resume()
    server.stop()


@pytest.fixture
def clients():
    """Makes clients and closes them after the test."""
    made = []

    def client(port, **options):
        made.append(RedisClient(f"redis://127.0.0.1:{port}/0", **options))
        return made[-1]

    yield client
    for each in made:
        each.close()


@pytest.fixture
def client(server, clients):
    return clients(server.port)


@pytest.fixture
def cache(client):
    return MessageCache(client)


@pytest.fixture
def raw(server):
    with redis.Redis(port=server.port) as raw:
        yield raw


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def proxied(proxy, clients):
    return MessageCache(clients(proxy.port, breaker=patient()))


@pytest.fixture
def workers(make_app, email):
    """Two workers of one service, as one person calls them: `workers(redis_url, responder)`."""

    def start(redis_url, responder=None, **changes):
        apps = [make_app(responder, redis_url=redis_url, **changes) for _ in range(2)]
        for app in apps:
            app.extensions["parley"].start()
        return [Client(app, email) for app in apps]

    return start
