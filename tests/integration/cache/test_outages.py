import time
from contextlib import closing

import pytest
import redis

from app.cache.breaker import Breaker
from app.cache.client import RedisClient
from app.cache.messages import MessageCache
from tests.redis_servers import RedisServer

from .truths import Truth, bounded, counts, fill, is_hit, read

# How long it lives, and whether it lives at all


@pytest.mark.parametrize(("number", "ttl_ms"), [(0.0, 54_000), (0.5, 60_000), (1.0, 66_000)])
def test_the_lifetime_is_spread_by_a_tenth(number, ttl_ms, client, raw):
    truth = Truth()
    fill(MessageCache(client, ttl=60, jitter=lambda: number), truth)
    assert ttl_ms - 1000 < raw.pttl(truth.key) <= ttl_ms


def test_lifetimes_differ(cache, raw):
    truths = [Truth() for _ in range(30)]
    for truth in truths:
        fill(cache, truth)
    lifetimes = {raw.ttl(truth.key) for truth in truths}
    assert len(lifetimes) > 5
    assert all(3239 <= lifetime <= 3960 for lifetime in lifetimes)


# Redis away, slow, full, restarted


def test_with_redis_stopped_all_is_a_miss_and_soon_nothing_is_asked(own_server, clients):
    cache = MessageCache(clients(own_server.port))
    truth = Truth()
    fill(cache, truth)
    own_server.stop()
    for _ in range(2):
        with bounded():
            assert read(cache, truth) is None
            assert not fill(cache, truth)
            assert not cache.drop(truth.conversation_id)
    with bounded():
        for _ in range(200):
            assert read(cache, truth) is None
    assert counts(cache)["error", "connection"] == 5
    assert counts(cache)["read", "away"] == 202


def test_a_redis_that_comes_back_empty_is_used_again(own_server, clients):
    cache = MessageCache(clients(own_server.port, breaker=Breaker(probe_after=0.05)))
    truth = Truth()
    fill(cache, truth)
    own_server.stop()
    for _ in range(6):
        assert read(cache, truth) is None
    own_server.start()
    time.sleep(0.06)
    assert read(cache, truth) is None
    assert counts(cache)["read", "absent"] == 1
    assert fill(cache, truth)
    assert is_hit(read(cache, truth), truth)


def test_a_restart_between_two_commands_costs_no_error(own_server, clients):
    cache = MessageCache(clients(own_server.port))
    truth = Truth()
    fill(cache, truth)
    own_server.stop()
    own_server.start()
    assert fill(cache, truth)
    assert is_hit(read(cache, truth), truth)


def test_a_redis_that_hangs_is_a_miss_in_bounded_time(own_server, clients):
    cache = MessageCache(clients(own_server.port, breaker=Breaker(probe_after=0.05)))
    truths = [Truth(texts=(str(number),)) for number in range(6)]
    for truth in truths:
        fill(cache, truth)
    own_server.pause()
    for truth in truths:
        with bounded():
            assert read(cache, truth) is None
    with bounded():
        assert read(cache, truths[0]) is None
    own_server.resume()
    time.sleep(0.06)
    for truth in truths:
        assert is_hit(read(cache, truth), truth)
    assert counts(cache)["error", "timeout"] == 5
    assert not counts(cache)["hostile", "other_conversation"]


def test_a_full_redis_still_serves_what_it_has(own_server, clients):
    client = clients(own_server.port)
    cache = MessageCache(client)
    old, new = Truth(), Truth()
    fill(cache, old)
    with redis.Redis(port=own_server.port) as raw:
        raw.config_set("maxmemory-policy", "noeviction")
        raw.config_set("maxmemory", 1)
    for _ in range(6):
        with bounded():
            assert not fill(cache, new)
    assert read(cache, new) is None
    assert is_hit(read(cache, old), old)
    assert cache.drop(old.conversation_id)
    assert counts(cache)["error", "full"] == 6
    assert client.breaker.state == "closed"


def test_a_read_only_replica_refuses_fills_quietly(own_server, clients):
    client = clients(own_server.port)
    cache = MessageCache(client)
    truth = Truth()
    with redis.Redis(port=own_server.port) as raw:
        raw.config_set("replica-serve-stale-data", "yes")
        raw.replicaof("127.0.0.1", 1)
    assert not fill(cache, truth)
    assert read(cache, truth) is None
    assert counts(cache)["error", "read_only"] == 1


@pytest.fixture
def locked_server(tmp_path):
    server = RedisServer(tmp_path, "--requirepass", "s3cret/ü")
    yield server
    server.stop()


def test_a_password_in_the_url_is_used(locked_server):
    url = f"redis://:s3cret%2F%C3%BC@127.0.0.1:{locked_server.port}/3"
    with closing(RedisClient(url)) as client:
        truth = Truth()
        assert fill(MessageCache(client), truth)
        assert is_hit(read(MessageCache(client), truth), truth)


@pytest.mark.parametrize("password", ["", ":wrong@"])
def test_a_missing_or_wrong_password_is_a_miss(password, locked_server):
    with closing(RedisClient(f"redis://{password}127.0.0.1:{locked_server.port}")) as client:
        assert read(MessageCache(client), Truth()) is None
        assert client.counts.snapshot()["error", "authentication"] == 1
        assert not client.ping()


def test_ping_tells_whether_redis_answers_even_when_the_breaker_is_open(own_server, clients):
    client = clients(own_server.port)
    assert client.ping()
    for _ in range(5):
        client.breaker.failed()
    assert client.ping()
    own_server.pause()
    with bounded():
        assert not client.ping()
    own_server.stop()
    with bounded():
        assert not client.ping()
