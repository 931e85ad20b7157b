"""A Cluster, where a command touches one slot: everything works on it, and while slots move."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha1
from itertools import count
from uuid import uuid4

import pytest
import redis
from redis.cluster import key_slot

from app.cache.client import Failure, RedisClient
from app.cache.servers import connect
from app.cache.subscription import Subscription
from app.middleware.limits import RateLimits
from tests.client import Client
from tests.redis_servers import RedisServer, clustered
from tests.responders import Gate
from tests.resuming import AFTER, BEFORE, heard_elsewhere
from tests.streams import until
from tests.tabs import heard, open_tabs

FOLLOWED = 10.0
"""Seconds until a node's replica has its slots and is found, on a busy machine."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with clustered(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
def own_servers(tmp_path):
    """For tests that leave a Cluster as no other wants it."""
    with clustered(tmp_path, node_timeout_ms=1000) as servers:
        yield servers


@pytest.fixture
def client(servers):
    with closing(RedisClient(servers.url)) as client:
        yield client


def key_on(servers, server):
    """A new key whose slot a server has."""
    keys = (f"tests:{uuid4().hex}" for _ in count())
    return next(key for key in keys if servers.owner(key) is server)


def a_key_on_each(servers):
    return [key_on(servers, server) for server in servers.servers[:3]]


def errors(client):
    counted = client.counts.snapshot()
    return {reason: count for (event, reason), count in counted.items() if event == "error"}


def test_one_connection_to_each_node_serves_many_commands(servers, client):
    keys, masters = a_key_on_each(servers), servers.servers[:3]

    def received():
        infos = [servers.ask(server, "INFO", "stats") for server in masters]
        return [info["total_connections_received"] for info in infos]

    assert all(client.set(key, b"x", ttl_ms=60_000) for key in keys)
    before = received()
    for _ in range(20):
        assert all(client.set(key, b"x", ttl_ms=60_000) for key in keys)
    assert received() == [number + 1 for number in before]  # the connections that ask


# What Parley does with it


def test_conversations_are_cached_whatever_their_slots(servers, workers, email):
    here, there = workers(servers.url)
    places = [here.create(f"Hello {number}")["id"] for number in range(8)]
    counts = there.app.extensions["parley"].redis.counts
    for worker in (here, there, here, there):
        for number, place in enumerate(places):
            assert [it["content"] for it in worker.messages(place)] == [f"Hello {number}"]
    assert counts.snapshot()["read", "hit"] >= 8
    assert not errors(there.app.extensions["parley"].redis)
    body = {"ids": places, "action": "delete"}
    assert here.post("/conversations/bulk", json=body).status_code == 200
    for place in places:
        assert there.get(f"/conversations/{place}").status_code == 404


def test_keys_of_many_slots_go_in_one_call(servers, client):
    keys = [f"tests:{uuid4().hex}" for _ in range(20)]
    for key in keys:
        assert client.set(key, key.encode(), ttl_ms=60_000)
        assert client.get(key, max_bytes=99) == key.encode()
    gets = [("GET", key) for key in keys]
    assert client.ask_all(*gets) == [key.encode() for key in keys]
    groups = client.together([*keys, "{tag}1", "{tag}2"])
    assert sorted(key for group in groups for key in group) == sorted([*keys, "{tag}1", "{tag}2"])
    assert ["{tag}1", "{tag}2"] in groups
    assert client.unlink(*keys)
    assert client.ask_all(*gets) == [None] * 20
    assert not errors(client)


def test_answers_are_watched_on_another_worker(servers, workers):
    gates = {mode: Gate(*BEFORE, after=AFTER) for mode in ("fast", "balanced", "quality")}
    here, there = workers(servers.url, lambda prompt: gates[prompt.mode](prompt))

    def is_heard(mode):
        return heard_elsewhere(gates[mode], here, there, mode=mode)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(is_heard, gates)) == [True] * 3
    for worker in (here, there):
        assert not errors(worker.app.extensions["parley"].redis)


def test_tabs_on_other_workers_hear_of_changes(servers, workers):
    here, there = workers(servers.url)
    place = here.create("Hello")["id"]
    tabs = open_tabs(place, here, there)
    for worker in (here, there):
        body = {"messages": [{"role": "user", "content": "And?"}]}
        appended = worker.post(f"/conversations/{place}/messages", json=body).json
        (told,) = heard(tabs, "messages")
        assert told["messages"] == appended["messages"]
    assert here.delete(f"/conversations/{place}").status_code == 200
    heard(tabs, "deleted")


def test_rates_are_counted_for_all_workers(servers, make_app):
    apps = [make_app(redis_url=servers.url, rate_limit_create="3/hour") for _ in range(2)]
    for _ in range(6):  # users, whose counters are in any slots
        email = f"{uuid4().hex}@example.com"
        here, there = (Client(app, email) for app in apps)
        for client in (here, there, here):
            client.create()
        assert there.post("/conversations", json={}).status_code == 429
        assert here.post("/conversations", json={}).status_code == 429


def test_a_node_that_forgot_its_scripts_is_told_them_again(servers):
    limits = RateLimits({"chat": "100/hour"}, servers.url)
    for round_ in range(2):
        for owner in range(6):
            limits.check(f"{owner}@example.com", "chat")
        for server in servers.servers[:3] * (1 - round_):
            servers.ask(server, "SCRIPT FLUSH")
    assert limits._in_redis is not None
    assert limits._breaker.state == "closed"
    counted = [servers.ask(server, "KEYS", "parley:limits:*") for server in servers.servers[:3]]
    assert sum(map(len, counted)) >= 6
    limits.close()


# Slots that move


def test_a_slot_that_was_given_away_is_followed(servers, client):
    """A pipeline keeps its order, and nothing in it is carried out twice."""
    source, target = servers.servers[0], servers.servers[1]
    key, others = key_on(servers, source), a_key_on_each(servers)
    commands = [("XADD", key, "*", "n", 1), ("XADD", key, "*", "n", 2), ("XLEN", key)]
    assert client.set(key, b"x", ttl_ms=60_000)
    assert client.unlink(key)
    servers.give(key_slot(key.encode()), source, target)
    replies = client.ask_all(*commands, *(("SET", other, 1, "PX", 60_000) for other in others))
    assert replies[2:] == [2, True, True, True]
    assert servers.ask(target, "XLEN", key) == 2
    assert client.unlink(key)
    assert not errors(client)


def test_a_slot_on_its_way_is_asked_for_where_its_keys_are(servers, client):
    source, target = servers.servers[2], servers.servers[1]
    tag = key_on(servers, source)
    staying, moved, slot = f"{{{tag}}}:1", f"{{{tag}}}:2", key_slot(tag.encode())
    assert client.set(staying, b"stays", ttl_ms=60_000)
    servers.ask(target, "CLUSTER SETSLOT", slot, "IMPORTING", servers.node_id(source))
    servers.ask(source, "CLUSTER SETSLOT", slot, "MIGRATING", servers.node_id(target))
    try:
        for _ in range(2):  # ASK is no news of who has the slot
            assert client.set(moved, b"moved", ttl_ms=60_000)
            assert client.get(moved, max_bytes=9) == b"moved"
            assert client.get(staying, max_bytes=9) == b"stays"
        add = ("XADD", f"{moved}:s", "*", "n", 1)
        assert client.ask_all(("GET", staying), add, ("XLEN", f"{moved}:s"))[::2] == [b"stays", 1]
        assert servers.ask(source, "EXISTS", staying) == 1
        assert not errors(client)
    finally:
        for server in (source, target):
            servers.ask(server, "CLUSTER SETSLOT", slot, "STABLE")


# Nodes that fail


def test_a_killed_node_is_succeeded_and_the_others_go_on(own_servers, workers):
    here, there = workers(own_servers.url)
    places = [here.create(f"Hello {number}")["id"] for number in range(6)]
    cache = here.app.extensions["parley"].redis
    channel, told = f"tests:{uuid4().hex}", []
    listening = Subscription(own_servers.url, lambda: {channel}, lambda *it: told.append(it))
    listening.start()
    until(lambda: listening.hears(channel))
    keys = a_key_on_each(own_servers)
    assert all(cache.set(key, b"x", ttl_ms=60_000) for key in keys)
    own_servers.servers[0].stop()
    lost, *kept = keys

    def is_succeeded():
        for worker in (here, there):
            for number, place in enumerate(places):
                assert [it["content"] for it in worker.messages(place)] == [f"Hello {number}"]
        time.sleep(0.05)
        return cache.set(lost, b"new", ttl_ms=60_000)

    until(is_succeeded, seconds=FOLLOWED)
    assert cache.get(lost, max_bytes=9) == b"new"
    assert [cache.get(key, max_bytes=9) for key in kept] == [b"x", b"x"]
    assert own_servers.ask(own_servers.servers[3], "EXISTS", lost) == 1
    assert cache.ping()
    until(lambda: cache.ask_all(("PUBLISH", channel, b"news")) and (channel, b"news") in told)
    listening.close()


def test_a_node_that_hangs_costs_little_and_only_its_own_keys(servers, client):
    hanging, well, _ = a_key_on_each(servers)
    for key in (hanging, well):
        assert client.set(key, b"x", ttl_ms=60_000)
    servers.servers[0].pause()
    try:
        begun_at = time.monotonic()
        for _ in range(10):
            assert isinstance(client.get(hanging, max_bytes=9), Failure)
            assert client.get(well, max_bytes=9) == b"x"
        assert time.monotonic() - begun_at < 2.0
        for _ in range(10):  # by now nobody waits for it
            begun_at = time.monotonic()
            assert isinstance(client.get(hanging, max_bytes=9), Failure)
            assert time.monotonic() - begun_at < 0.4
    finally:
        servers.servers[0].resume()
    until(lambda: client.get(hanging, max_bytes=9) == b"x")


def test_what_timed_out_is_not_sent_again(servers, client):
    """redis-py's own client adds it twice."""
    key, well, _ = a_key_on_each(servers)
    assert client.set(key, b"x", ttl_ms=60_000)
    assert client.unlink(key)
    servers.servers[0].pause()
    try:
        add = ("XADD", key, "*", "n", 1)
        assert isinstance(client.ask_all(add, ("SET", well, 1, "PX", 60_000)), Failure)
    finally:
        servers.servers[0].resume()
    until(lambda: client.ask_all(("XLEN", key)) == [1])
    assert client.get(well, max_bytes=9) == b"1"


def test_nobody_queues_for_a_cluster_that_is_away(servers):
    """Threads that want to know its nodes at once wait for one of them to ask, and not longer."""
    hosts = servers.url.partition("//")[2]
    with closing(RedisClient(f"redis+cluster://{hosts}")) as client:
        for server in servers.servers:
            server.pause()
        try:
            begun_at = time.monotonic()
            with ThreadPoolExecutor(30) as pool:
                found = list(pool.map(lambda n: client.get(f"{n}", max_bytes=9), range(30)))
            assert all(isinstance(reply, Failure) for reply in found)
            assert time.monotonic() - begun_at < 2.0
        finally:
            for server in servers.servers:
                server.resume()
        until(lambda: client.set("tests:back", b"x", ttl_ms=60_000))


def test_a_client_that_knows_no_node_any_more_asks_those_in_its_url(servers):
    """As when it was told of none, by a Cluster that was made anew meanwhile."""
    nodes, (key, *_) = connect(servers.url), a_key_on_each(servers)
    assert nodes.execute("SET", key, 1, "PX", 60_000)
    nodes._manager.nodes_cache, nodes._manager.slots_cache = {}, {}
    with pytest.raises(redis.ConnectionError):
        nodes.execute("GET", key)
    assert nodes.execute("GET", key) == b"1"
    nodes.disconnect()


def test_one_node_of_those_in_the_url_is_enough(servers, tmp_path):
    gone = RedisServer(tmp_path)
    gone.stop()
    url = f"redis+cluster://127.0.0.1:{gone.port},127.0.0.1:{servers.servers[2].port}"
    with closing(RedisClient(url)) as client:
        assert client.ping()
        assert all(client.set(key, b"x", ttl_ms=60_000) for key in a_key_on_each(servers))


def test_a_redis_that_is_no_cluster_is_no_redis(tmp_path):
    server = RedisServer(tmp_path)
    with closing(RedisClient(f"redis+cluster://127.0.0.1:{server.port}")) as client:
        assert not client.ping()
        assert not client.set("tests", b"x", ttl_ms=60_000)
        assert errors(client) == {"connection": 2}
    server.stop()


def test_libraries_are_given_redis_pys_own_methods(servers):
    nodes = connect(servers.url)
    keys = a_key_on_each(servers)
    for key in keys:
        assert nodes.commands.set(key, 5, px=60_000)
        assert nodes.commands.get(key) == b"5"
        assert nodes.commands.incr(key) == 6
    double = nodes.commands.register_script("return redis.call('GET', KEYS[1]) * 2")
    assert [double(keys=[key]) for key in keys] == [12, 12, 12]
    nodes.disconnect()


def test_scripts_of_many_keys_go_in_one_pipeline(servers):
    nodes, keys = connect(servers.url), a_key_on_each(servers)
    body = f"return {{KEYS[1], ARGV[1], '{uuid4().hex}'}}"
    known = sha1(body.encode()).hexdigest()
    with pytest.raises(redis.exceptions.NoScriptError):
        nodes.execute("EVALSHA", known, 1, keys[0], "x")
    told = nodes.execute_all([("EVAL", body, 1, key, "x") for key in keys])
    assert nodes.execute_all([("EVALSHA", known, 1, key, "x") for key in keys]) == told
    assert [of_one[0] for of_one in told] == [key.encode() for key in keys]
    nodes.disconnect()
