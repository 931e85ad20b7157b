"""A master that dies, hangs or is put down: its successor is followed, and nobody notices."""

import time
from contextlib import closing
from uuid import uuid4

import pytest
import redis

from app.cache.client import RedisClient
from app.cache.subscription import Subscription
from app.errors import SettingsError
from tests.client import Client
from tests.redis_servers import SERVICE, guarded
from tests.responders import Gate
from tests.resuming import AFTER, BEFORE, heard_elsewhere
from tests.streams import until
from tests.tabs import open_tabs

FOLLOWED = 30.0
"""Seconds until a successor is found and followed, on a busy machine."""


@pytest.fixture
def servers(tmp_path):
    with guarded(tmp_path) as servers:
        yield servers


@pytest.fixture
def client(servers):
    with closing(RedisClient(servers.url)) as client:
        yield client


def stores(client, key="tests"):
    return lambda: client.set(key, b"new", ttl_ms=60_000)


def reaches(client, server):
    """Whether what the client stores now is there in a server."""
    key = uuid4().hex
    with server.raw() as raw:
        return stores(client, key)() and raw.get(key) == b"new"


def switch(servers):
    """Sentinel names the other server the master; when it was decided."""
    former = servers.master
    with servers.sentinels[0].raw() as sentinel:
        until(lambda: accepted(sentinel))
    until(lambda: servers.master is not former)
    return former


def accepted(sentinel):
    try:
        return sentinel.execute_command("SENTINEL FAILOVER", SERVICE)
    except redis.ResponseError:  # it does not know yet that the replica is well
        return False


def test_a_killed_master_is_succeeded_and_no_client_notices(servers, workers):
    first, second = workers(servers.url)
    place = first.create("Hello", "Good morning")["id"]
    counts = first.app.extensions["parley"].redis.counts
    until(lambda: first.messages(place) and counts.snapshot()["read", "hit"])
    tabs = open_tabs(place, first, second)
    said = ["Hello", "Good morning"]
    servers.master.stop()
    ends_at, stored = time.monotonic() + FOLLOWED, counts.snapshot()["fill", "stored"]
    while counts.snapshot()["fill", "stored"] == stored:
        assert time.monotonic() < ends_at
        said.append(f"At {time.monotonic()}")
        assert first.say(place, said[-1]).status_code == 201
        time.sleep(0.05)
        for worker in (second, first):
            assert [it["content"] for it in worker.messages(place)] == said
    for client in (first, second):
        until(lambda: client.get("/readyz").json["redis"] == "ok")  # noqa: B023 - called at once
    hits = counts.snapshot()["read", "hit"]
    until(lambda: first.messages(place) and counts.snapshot()["read", "hit"] > hits)
    for tab in tabs:  # and announcements come again
        until(lambda: len(tab.told) > 1)  # noqa: B023 - called at once


def test_a_successor_that_lags_behind_shows_nothing_old(servers, workers):
    """As if it had never heard of what its master confirmed last: it has the value from before."""
    pair = workers(servers.url)
    place = pair[0].create("Hello")["id"]
    pair[0].messages(place)
    master, replica = servers.servers
    with replica.raw() as raw:
        (key,) = until(lambda: raw.keys(f"s:*{place}*"))
        old = raw.get(key)
        assert pair[1].say(place, "News").status_code == 201
        said = [[it["content"] for it in worker.messages(place)] for worker in pair]
        assert said == [["Hello", "News"]] * 2
        master.stop()
        raw.config_set("replica-read-only", "no")
        raw.set(key, old)
    client = pair[0].app.extensions["parley"].redis

    def is_followed():
        said = [[it["content"] for it in worker.messages(place)] for worker in pair]
        assert said == [["Hello", "News"]] * 2
        return reaches(client, replica)

    until(is_followed, seconds=FOLLOWED)
    assert is_followed()


def test_a_master_that_hangs_is_left(servers, client):
    assert stores(client)()
    servers.master.pause()
    until(stores(client), seconds=FOLLOWED)
    assert client.get("tests", max_bytes=9) == b"new"


def test_a_successor_is_followed_within_a_second_of_the_decision(servers, client):
    assert stores(client)()
    former = switch(servers)
    decided_at = time.monotonic()
    until(lambda: reaches(client, servers.master), seconds=FOLLOWED)
    assert time.monotonic() - decided_at < 1.5
    assert servers.master is not former


def test_a_former_master_that_takes_part_no_more_is_left_though_it_answers(servers, client):
    """Cut off from the Sentinels it is not told, and goes on as before."""
    assert stores(client)()
    former = servers.master
    successor = next(server for server in servers.servers if server is not former)
    with successor.raw() as raw:
        raw.replicaof("NO", "ONE")
    for sentinel in servers.sentinels:
        with sentinel.raw() as raw:
            raw.sentinel_remove(SERVICE)
            raw.sentinel_monitor(SERVICE, "127.0.0.1", successor.port, 2)
    decided_at = time.monotonic()
    until(lambda: reaches(client, successor))
    assert time.monotonic() - decided_at < 2
    with former.raw() as raw:
        assert raw.role()[0] == b"master"
        assert raw.ping()


def test_a_replica_that_was_the_master_makes_the_client_look_again(servers, client):
    assert stores(client)()
    with servers.master.raw() as raw:
        raw.replicaof("127.0.0.1", servers.servers[1].port)
    assert not stores(client)()
    assert client.counts.snapshot()["error", "connection"] == 1


def test_one_connection_serves_many_commands(servers, client):
    assert stores(client)()
    with servers.master.raw() as raw:
        before = {each["id"] for each in raw.client_list(_type="normal")}
        for _ in range(20):
            assert stores(client)()
        assert {each["id"] for each in raw.client_list(_type="normal")} == before


def test_connections_to_former_masters_take_up_no_places(servers):
    """redis-py's own pool would be full after as many errors as it has places."""
    with closing(RedisClient(servers.url, max_connections=2)) as client:
        assert stores(client)()
        servers.servers[1].stop()  # nobody to succeed
        servers.servers[0].stop()
        for _ in range(20):
            client.breaker.succeeded()
            assert not stores(client)()
        assert not client.counts.snapshot()["error", "pool_exhausted"]
        servers.servers[0].start()
        until(lambda: client.breaker.succeeded() or stores(client)(), seconds=FOLLOWED)


def test_sentinels_that_are_away_leave_the_master_where_it_is(servers, client):
    assert stores(client)()
    for sentinel in servers.sentinels[:2]:
        sentinel.pause()
    servers.sentinels[2].stop()
    time.sleep(1.1)  # it is time to ask them
    for _ in range(20):
        assert stores(client)()


def test_a_subscription_moves_to_the_successor(servers, client):
    channel, told = f"tests:{uuid4().hex}", []
    listening = Subscription(servers.url, lambda: {channel}, lambda *it: told.append(it))
    listening.start()
    until(lambda: listening.hears(channel))
    switch(servers)
    until(lambda: client.ask_all(("PUBLISH", channel, b"news")) and (channel, b"news") in told)
    listening.close()


def test_a_service_that_no_sentinel_knows_is_no_redis(servers):
    with closing(RedisClient(servers.url.replace(SERVICE, "other"))) as client:
        assert not client.ping()
        assert not stores(client)()


def test_rates_are_counted_by_the_successor(servers, make_app, email):
    app = make_app(redis_url=servers.url, rate_limit_create="3/hour")
    client = Client(app, email)
    client.create()
    with servers.master.raw() as raw:
        assert raw.keys("parley:limits:*")
    switch(servers)
    client.create()

    def counted():
        client.get("/conversations")
        with servers.master.raw() as raw:
            return raw.keys("parley:limits:*")

    until(counted)
    client.create()
    assert client.post("/conversations", json={}).status_code == 429


def test_an_answer_is_watched_on_another_worker_through_the_master(servers, workers):
    here, there = workers(servers.url, gate := Gate(*BEFORE, after=AFTER))
    assert heard_elsewhere(gate, here, there)
    with servers.master.raw() as raw:
        assert raw.keys("w:*")


@pytest.mark.parametrize("option", ["unknown=1", "socket_timeout=x"])
def test_options_that_redis_py_does_not_know_are_refused(option):
    with pytest.raises(SettingsError, match="REDIS_URL"):
        RedisClient(f"redis+sentinel://127.0.0.1/{SERVICE}?{option}")
