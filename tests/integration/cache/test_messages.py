import pickle
import random
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

import orjson
import pytest
import redis

from app.cache.breaker import Breaker
from app.cache.client import RedisClient
from app.cache.messages import MAX_BYTES, MessageCache, Stamp, encode
from tests.proxy import Proxy
from tests.redis_servers import RedisServer

BOUND = 0.5
"""Seconds that one call may take, whatever happens to Redis."""


@dataclass(frozen=True)
class Truth:
    """What PostgreSQL would say: a conversation at one revision."""

    conversation_id: UUID = field(default_factory=uuid4)
    owner: str = "ana@example.org"
    version: int = 7
    rev: UUID = field(default_factory=uuid4)
    texts: tuple[str, ...] = ("one", "two", "three")

    @property
    def items(self):
        return [orjson.dumps({"owner": self.owner, "content": text}) for text in self.texts]

    @property
    def key(self):
        return f"h:2:{{{self.conversation_id}}}"

    @property
    def value(self):
        stamp = Stamp(str(self.conversation_id), self.owner, self.version, str(self.rev))
        return encode(stamp, self.items, complete_from_start=True)

    def after(self, text):
        return replace(self, version=self.version + 1, rev=uuid4(), texts=(*self.texts, text))


def fill(cache, truth, *, complete_from_start=True):
    return cache.fill(
        truth.conversation_id,
        truth.owner,
        truth.items,
        version=truth.version,
        rev=truth.rev,
        complete_from_start=complete_from_start,
    )


def read(cache, truth, limit=None):
    return cache.read(
        truth.conversation_id, truth.owner, version=truth.version, rev=truth.rev, limit=limit
    )


def is_hit(found, truth):
    """True for the truth, False for a miss; anything else must never be."""
    if found is None:
        return False
    assert found.array == b"[" + b",".join(truth.items) + b"]"
    return True


@contextmanager
def bounded(seconds=BOUND):
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def patient():
    """A breaker that doesn't open within a test."""
    return Breaker(failures=10**9)


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


def counts(cache):
    return cache._client.counts.snapshot()


# What is served


def test_what_was_filled_is_read(cache):
    truth = Truth(texts=("one", "đời\n\u2028", "🙂\x00"))
    assert fill(cache, truth)
    found = read(cache, truth)
    assert is_hit(found, truth)
    assert [message["content"] for message in found.loads()] == list(truth.texts)
    assert counts(cache)["read", "hit"] == 1
    assert counts(cache)["fill", "stored"] == 1


def test_an_empty_conversation_is_cached_too(cache):
    truth = Truth(texts=())
    fill(cache, truth)
    assert read(cache, truth).array == b"[]"


def test_a_fill_is_idempotent(cache, raw):
    truth = Truth()
    assert fill(cache, truth)
    once = raw.get(truth.key)
    assert fill(cache, truth)
    assert raw.get(truth.key) == once


def test_a_read_gets_the_newest_it_asks_for(cache):
    truth = Truth()
    fill(cache, truth, complete_from_start=False)
    found = read(cache, truth, limit=2)
    assert [message["content"] for message in found.loads()] == ["two", "three"]
    assert not found.complete_from_start


def test_a_value_that_holds_too_few_is_a_miss(cache, raw):
    truth = Truth()
    fill(cache, truth, complete_from_start=False)
    assert read(cache, truth, limit=4) is None
    assert read(cache, truth) is None
    assert counts(cache)["read", "too_short"] == 2
    assert raw.exists(truth.key)


def test_more_than_the_default_limit_is_kept(cache):
    truth = Truth(texts=tuple(str(number) for number in range(200)))
    fill(cache, truth, complete_from_start=False)
    assert read(cache, truth, limit=200).count == 200
    assert read(cache, truth).count == cache.limit == 50


def test_what_is_not_there_is_a_miss(cache):
    assert read(cache, Truth()) is None
    assert counts(cache)["read", "absent"] == 1


def test_what_was_dropped_is_a_miss(cache):
    truth = Truth()
    fill(cache, truth)
    assert cache.drop(truth.conversation_id)
    assert read(cache, truth) is None
    assert cache.drop(truth.conversation_id)


# What is never served


def test_another_revision_is_a_miss(cache, raw):
    truth = Truth()
    fill(cache, truth)
    assert read(cache, truth.after("four")) is None
    assert read(cache, replace(truth, version=6)) is None
    assert read(cache, replace(truth, rev=uuid4())) is None
    assert counts(cache)["read", "other_version"] == 3
    assert raw.exists(truth.key)


def test_a_late_fill_with_an_older_version_is_not_served_as_the_newer(cache):
    old = Truth()
    new = old.after("four")
    fill(cache, new)
    fill(cache, old)
    assert read(cache, new) is None
    fill(cache, new)
    assert is_hit(read(cache, new), new)


def test_racing_fills_of_many_versions_never_serve_one_as_another(cache):
    versions = [Truth()]
    for number in range(20):
        versions.append(versions[-1].after(str(number)))
    seed = random.randrange(2**32)
    print("seed", seed)

    def work(worker):
        chosen = random.Random(seed + worker)
        hits = 0
        for _ in range(200):
            fill(cache, chosen.choice(versions))
            truth = chosen.choice(versions)
            hits += is_hit(read(cache, truth), truth)
        return hits

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) > 0
    assert not counts(cache)["read", "away"]


def test_another_owner_is_a_miss_and_removes_the_value(cache, raw):
    truth = Truth()
    fill(cache, truth)
    assert read(cache, replace(truth, owner="bob@example.org")) is None
    assert not raw.exists(truth.key)
    assert counts(cache)["hostile", "other_owner"] == 1


def test_another_users_value_under_my_key_is_never_served(cache, raw):
    mine, foreign = Truth(), Truth(owner="bob@example.org", texts=("secret",))
    raw.set(mine.key, replace(foreign, conversation_id=mine.conversation_id, rev=mine.rev).value)
    assert read(cache, mine) is None
    assert not raw.exists(mine.key)
    assert counts(cache)["hostile", "other_owner"] == 1


def test_another_conversations_value_under_my_key_is_never_served(cache, raw):
    mine = Truth()
    raw.set(mine.key, replace(mine, conversation_id=uuid4(), texts=("elsewhere",)).value)
    assert read(cache, mine) is None
    assert not raw.exists(mine.key)
    assert counts(cache)["hostile", "other_conversation"] == 1


def test_a_value_truncated_anywhere_is_a_miss_and_is_removed(cache, raw):
    truth = Truth()
    for end in range(1, len(truth.value)):
        raw.set(truth.key, truth.value[:end])
        assert read(cache, truth) is None
        assert not raw.exists(truth.key)
    assert counts(cache)["read", "undecodable"] == len(truth.value) - 1


def sealed(line, array):
    """A value with a right checksum, whatever it says."""
    return b"%b\n%b\n%08x" % (line, array, zlib.crc32(line + b"\n" + array))


def header(truth, **changes):
    line = truth.value.split(b"\n", 1)[0]
    return orjson.dumps(orjson.loads(line) | changes)


HOSTILE = {
    "random bytes": lambda truth: random.Random(7).randbytes(4096),
    "a pickle": lambda truth: pickle.dumps(truth.items),
    "a sealed pickle": lambda truth: sealed(pickle.dumps({"owner": truth.owner}), b"[]"),
    "a bare array": lambda truth: orjson.dumps(["x"]),
    "a null header": lambda truth: sealed(b"null", b"[]"),
    "numbers for words": lambda truth: sealed(header(truth, owner=1), b"[]"),
    "a true version": lambda truth: sealed(header(truth, version=True, sizes=[]), b"[]"),
    "giant sizes": lambda truth: sealed(header(truth, sizes=[2**62, 2**62]), b"[]"),
    "sizes that cancel out": lambda truth: sealed(header(truth, sizes=[10**9, -(10**9)]), b"[,]"),
    "a deep header": lambda truth: sealed(b"[" * 4_000_000, b"[]"),
    "a wide header": lambda truth: sealed(header(truth, sizes=[1] * 2_000_000), b"[]"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_content_is_a_miss_and_is_removed(name, cache, raw):
    truth = Truth()
    raw.set(truth.key, HOSTILE[name](truth))
    with bounded():
        assert read(cache, truth) is None
    assert not raw.exists(truth.key)
    assert counts(cache)["read", "undecodable"] == 1


def test_a_key_of_another_type_is_a_miss_and_is_removed(cache, raw, client):
    truth = Truth()
    for _ in range(6):
        raw.rpush(truth.key, truth.value)
        assert read(cache, truth) is None
        assert not raw.exists(truth.key)
    assert counts(cache)["error", "wrong_type"] == 6
    assert client.breaker.state == "closed"


def test_a_fill_replaces_a_key_of_another_type(cache, raw):
    truth = Truth()
    raw.rpush(truth.key, truth.value)
    fill(cache, truth)
    assert is_hit(read(cache, truth), truth)


def test_a_bomb_is_neither_fetched_whole_nor_kept(cache, raw):
    truth = Truth()
    raw.setrange(truth.key, 256 * 1024 * 1024, b"x")
    with bounded():
        assert read(cache, truth) is None
    assert not raw.exists(truth.key)
    assert counts(cache)["read", "oversize"] == 1


@pytest.mark.parametrize("texts", [("x" * MAX_BYTES,), ("",) * 70_000], ids=["long", "many"])
def test_too_large_a_value_is_not_stored(texts, cache, raw):
    truth = Truth(texts=texts)
    assert not fill(cache, truth)
    assert not raw.exists(truth.key)
    assert counts(cache)["fill", "oversize"] == 1


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


def test_a_cache_that_is_off_asks_nothing(clients):
    cache = MessageCache(clients(port=1), enabled=False)
    truth = Truth()
    assert not fill(cache, truth)
    assert read(cache, truth) is None
    assert not cache.drop(truth.conversation_id)
    assert counts(cache) == {("read", "disabled"): 1}


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
    with bounded(0.1):
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
    with bounded(0.04):
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


# The wire between


def test_late_replies_are_not_taken_for_those_to_later_commands(proxy, proxied):
    truths = [Truth(texts=(str(number),)) for number in range(10)]
    for truth in truths:
        assert fill(proxied, truth)
    for truth in truths:
        proxy.delay = 0.12
        with bounded():
            assert read(proxied, truth) is None
        proxy.delay = 0.0
        assert is_hit(read(proxied, truth), truth)
    assert counts(proxied)["error", "timeout"] == 10
    assert not any(event == "hostile" for event, _ in counts(proxied))


def test_swapped_replies_are_never_served(proxy, clients):
    proxy.swaps = True
    caches = [MessageCache(clients(proxy.port, breaker=patient())) for _ in range(2)]
    truths = [Truth(), Truth(owner="bob@example.org", texts=("secret",))]

    def work(number):
        for _ in range(100):
            with bounded():
                fill(caches[number], truths[number])
            with bounded():
                is_hit(read(caches[number], truths[number]), truths[number])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    total = counts(caches[0]) + counts(caches[1])
    assert proxy.swapped > 0
    assert total["hostile", "other_conversation"] > 0


@pytest.mark.parametrize("resets", [False, True])
def test_a_reply_cut_anywhere_is_a_miss(resets, proxy, clients):
    truth = Truth()
    cache = MessageCache(clients(proxy.port, breaker=patient()))
    fill(cache, truth)
    proxy.resets = resets
    whole = len(f"${len(truth.value)}\r\n\r\n") + len(truth.value)
    for length in [*range(0, whole, 13), whole - 1]:
        proxy.cut_after = length
        with closing(RedisClient(f"redis://127.0.0.1:{proxy.port}")) as client, bounded():
            assert read(MessageCache(client), truth) is None
            assert client.counts.snapshot()["read", "away"] == 1
    proxy.cut_after = None
    assert is_hit(read(cache, truth), truth)


def test_a_half_open_connection_is_given_up(proxy, proxied):
    truth = Truth()
    fill(proxied, truth)
    proxy.swallows = True
    for _ in range(2):
        with bounded():
            assert read(proxied, truth) is None
    with bounded():
        assert not fill(proxied, truth)
    with bounded():
        assert not proxied.drop(truth.conversation_id)
    proxy.swallows = False
    assert is_hit(read(proxied, truth), truth)


def test_a_listener_that_goes_and_comes_back_is_found_again(proxy, proxied):
    truth = Truth()
    fill(proxied, truth)
    proxy.stop()
    with bounded():
        assert read(proxied, truth) is None
    proxy.resume()
    assert is_hit(read(proxied, truth), truth)


FORGED = [
    b"+OK\r\n",
    b"+PONG\r\n",
    b":1\r\n",
    b":x\r\n",
    b"$-1\r\n",
    b"$-7\r\n",
    b"$x\r\n",
    b"$0\r\n\r\n",
    b"$2\r\n[]\r\n",
    b"$999999999999\r\nx",
    b"*-1\r\n",
    b"*0\r\n",
    b"*2\r\n$1\r\na\r\n:1\r\n",
    b"*1\r\n" * 20_000,
    b"-\xff\xfe\r\n",
    b"-ERR no\r\n",
    b"-LOADING wait\r\n",
    b"-MOVED 1 127.0.0.1:1\r\n",
    b"-ASK x\r\n",
    b"-CLUSTERDOWN no\r\n",
    b"-MASTERDOWN no\r\n",
    b"-NOPERM no\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\r\n",
    b"\x00" * 100 + b"\r\n",
    b"+OK\r\n+OK\r\n:1\r\n",
]


@pytest.mark.parametrize("forged", FORGED, ids=lambda forged: repr(forged[:16]))
def test_replies_that_make_no_sense_are_a_miss(forged, proxy, proxied):
    truth = Truth()
    fill(proxied, truth)
    proxy.forged = forged
    with bounded():
        assert read(proxied, truth) is None
    with bounded():
        assert fill(proxied, truth) == forged.startswith(b"+OK")
    with bounded():
        proxied.drop(truth.conversation_id)
    with bounded():
        proxied._client.ping()
    proxy.forged = None
    assert fill(proxied, truth)
    assert is_hit(read(proxied, truth), truth)


def connections(raw):
    return {each["id"] for each in raw.client_list() if each["cmd"] != "client"}


def test_a_connection_with_an_error_is_not_used_again(cache, raw):
    truth = Truth()
    raw.client_kill_filter(_type="normal", skipme=True)
    assert read(cache, truth) is None
    before = connections(raw)
    assert len(before) == 1
    raw.rpush(truth.key, "x")
    assert read(cache, truth) is None
    assert not before & connections(raw)


def test_a_hostile_reply_closes_the_idle_connections(cache, raw):
    truth = Truth()
    raw.client_kill_filter(_type="normal", skipme=True)
    fill(cache, truth)
    before = connections(raw)
    assert len(before) == 1
    assert read(cache, replace(truth, owner="bob@example.org")) is None
    assert not before & connections(raw)


def test_an_exhausted_pool_is_a_miss_that_says_nothing_about_redis(proxy, clients):
    client = clients(proxy.port, max_connections=1)
    cache = MessageCache(client)
    truth = Truth()
    fill(cache, truth)
    proxy.delay = 0.08
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(read, cache, truth)
        time.sleep(0.02)
        for _ in range(6):
            assert read(cache, truth) is None
        assert client.breaker.state == "closed"
        assert is_hit(slow.result(), truth)
    assert counts(cache)["error", "pool_exhausted"] == 6


def test_a_command_that_timed_out_is_not_sent_again(proxy, proxied, raw):
    raw.config_resetstat()
    proxy.delay = 0.12
    assert not fill(proxied, Truth())
    time.sleep(0.05)
    assert raw.info("commandstats")["cmdstat_set"]["calls"] == 1
