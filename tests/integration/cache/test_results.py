"""What responders retrieved, in a real Redis that may hold anything, or be away."""

import pickle
import time
import zlib
from contextlib import closing
from uuid import uuid4

import orjson
import pytest

from app.cache.client import RedisClient
from app.cache.results import (
    MAX_BYTES,
    MAX_STORED_BYTES,
    PACKED_FROM_BYTES,
    ResultCache,
    encode,
)
from tests.proxy import Proxy
from tests.redis_servers import RedisServer, clustered

OWNER, OTHER = "ann@example.com", "bob@example.com"
TAGS = ["all", "handbook"]
RESULT = [{"page": 7, "text": "Huế lies on the Perfume River."}]


@pytest.fixture
def raw(server):
    with server.raw() as raw:
        raw.flushdb()
        yield raw


@pytest.fixture
def results(client):
    return ResultCache(client)


@pytest.fixture
def name():
    return f"tests.find:1:{uuid4().hex}"


def key_of(name):
    return f"r:1:{{{name}}}"


def keep(results, name, value=RESULT, owner=OWNER, tags=TAGS, ttl=60):
    """Looks, computes and keeps, as a call does that misses."""
    marks = results.find(name, owner, tags).marks
    return results.keep(name, owner, orjson.dumps(value), marks=marks, ttl=ttl)


def found(results, name, owner=OWNER, tags=TAGS):
    return results.find(name, owner, tags).value


def counted(client, event):
    counts = client.counts.snapshot()
    return {reason: count for (kind, reason), count in counts.items() if kind == event}


@pytest.mark.parametrize("value", [RESULT, 0, False, "đời\u2028🙂", [[]], {"a": None}])
def test_what_was_kept_is_found(value, results, client, name):
    assert keep(results, name, value)
    assert found(results, name) == value
    assert counted(client, "result") == {"absent": 1, "hit": 1}
    assert counted(client, "result_kept") == {"stored": 1}


def test_it_lasts_as_long_as_it_should(results, raw, name):
    keep(results, name, ttl=0.2)
    assert 0 < raw.pttl(key_of(name)) <= 200
    time.sleep(0.25)
    assert found(results, name) is None


def test_long_results_are_compressed_and_longer_ones_are_not_kept(results, client, raw, name):
    text = "Perfume River " * PACKED_FROM_BYTES
    assert keep(results, name, text)
    assert raw.strlen(key_of(name)) < len(text) / 10
    assert found(results, name) == text
    assert not keep(results, f"{name}2", "a" * MAX_BYTES)
    noise = uuid4().bytes.hex() + "".join(uuid4().hex for _ in range(MAX_STORED_BYTES // 14))
    assert not keep(results, f"{name}3", noise)
    assert counted(client, "result_kept") == {"stored": 1, "oversize": 2}
    assert len(raw.keys("r:*")) == 1


# Tags


def test_a_tag_that_is_invalidated_forgets_what_was_kept_under_it(results, name):
    keep(results, name)
    keep(results, f"{name}2", tags=["all"])
    assert results.invalidate("handbook", "unknown")
    assert found(results, name) is None
    assert found(results, f"{name}2", tags=["all"]) == RESULT
    assert keep(results, name)
    assert found(results, name) == RESULT


def test_what_was_computed_before_and_kept_after_is_not_found(results, client, name):
    marks = results.find(name, OWNER, TAGS).marks
    results.invalidate("all")
    assert results.keep(name, OWNER, b"1", marks=marks, ttl=60)
    assert found(results, name) is None
    assert counted(client, "result")["invalidated"] == 1


def test_a_mark_that_is_gone_brings_nothing_back(results, raw, name):
    """Evicted under memory pressure, or lost with its server."""
    keep(results, name)
    before = raw.keys("g:*")
    results.invalidate("handbook")
    raw.unlink(*before)
    assert found(results, name) is None
    raw.unlink(*before)
    assert found(results, name) is None


def test_two_who_miss_at_once_agree_on_the_marks(results, client, name):
    other = ResultCache(client)
    one, two = (each.find(name, OWNER, TAGS).marks for each in (results, other))
    assert one == two
    assert results.keep(name, OWNER, b"1", marks=one, ttl=60)
    assert found(other, name) == 1


# What somebody else may have put there


def test_another_users_value_is_never_shown(results, client, raw, name):
    """As if a client library had mixed up its replies, or somebody wrote to Redis."""
    keep(results, f"{name}2", owner=OTHER)
    keep(results, name)
    raw.set(key_of(name), raw.get(key_of(f"{name}2")))
    assert found(results, name) is None
    assert not raw.exists(key_of(name))
    raw.set(key_of(name), encode(name, OTHER, b"1", marks=results.find("x", OTHER, TAGS).marks))
    assert found(results, name) is None
    raw.set(key_of(name), encode(name, None, b"1", marks=results.find("x", OTHER, TAGS).marks))
    assert found(results, name) is None
    assert not raw.exists(key_of(name))
    assert counted(client, "hostile") == {"other_name": 1, "other_owner": 2}


def hostile(name, marks):
    """Values that are none, each with its reason."""
    good = encode(name, OWNER, orjson.dumps(RESULT), marks=marks)
    long = encode(name, OWNER, orjson.dumps("a" * 99_999), marks=marks)

    def changed(**fields):
        header, _, body = long.partition(b"\n")
        fields |= {"crc": zlib.crc32(fields.pop("body", body))} if "body" in fields else {}
        return orjson.dumps(orjson.loads(header) | fields)

    def with_body(body, **fields):
        return changed(body=body, **fields) + b"\n" + body

    bomb = zlib.compress(b"1" * 50_000_000)
    packed = long.partition(b"\n")[2]
    yield from (good[:cut] for cut in (1, 9, len(good) // 2, len(good) - 1))
    yield from (long[:-1], long + b"x", good.replace(b"Perfume", b"perfume"))
    yield from (b"\n", b"{}", b"null\nnull", b"[]\n[]", b"\xff" * 40, pickle.dumps({"name": name}))
    yield b"[" * 50_000
    yield from (with_body(bomb), with_body(bomb, size=50_000_000), with_body(bomb, size=MAX_BYTES))
    yield from (with_body(packed, size=size) for size in (-1, 0, None, "9", 1.5, True, 100_000))
    yield from (with_body(packed + b"x"), with_body(packed[:-9]), with_body(b"no zlib"))
    yield from (with_body(b"{not json}", is_packed=False, size=10), changed(is_packed=1) + b"\nx")
    yield from (with_body(b"\xff\xff", is_packed=False, size=2), with_body(packed, is_packed="no"))
    yield b"x" * (MAX_STORED_BYTES + 1)


def test_what_makes_no_sense_is_a_miss_and_removed(results, client, raw, name):
    marks = results.find(name, OWNER, TAGS).marks
    values = list(hostile(name, marks))
    for value in values:
        raw.set(key_of(name), value)
        begun_at = time.monotonic()
        assert found(results, name) is None, value[:80]
        assert time.monotonic() - begun_at < 0.3
        assert not raw.exists(key_of(name)), value[:80]
    missed = counted(client, "result")
    assert missed["undecodable"] == len(values) - 1
    assert missed["oversize"] == 1
    assert keep(results, name)
    assert found(results, name) == RESULT


def test_keys_of_another_type_are_replaced(results, raw, name):
    keep(results, name)
    marks = raw.keys("g:*")
    for key in (*marks, key_of(name)):
        raw.delete(key)
        raw.rpush(key, "x")
        assert found(results, name) is None
        assert keep(results, name)
        assert found(results, name) == RESULT
    for mark in marks:
        raw.set(mark, "too short")
        assert found(results, name) is None
        assert keep(results, name)
        assert found(results, name) == RESULT


def test_replies_to_other_questions_are_a_miss(server, raw, name):
    with (
        Proxy(server.port) as proxy,
        closing(RedisClient(f"redis://127.0.0.1:{proxy.port}")) as client,
    ):
        results = ResultCache(client)
        assert keep(results, name)
        for forged in (
            b"+OK\r\n+OK\r\n+OK\r\n",
            b":1\r\n:2\r\n:3\r\n",
            b"$-1\r\n" * 3,
            b"*0\r\n" * 3,
        ):
            proxy.forged = forged
            client.breaker.succeeded()
            assert found(results, name) is None
            proxy.forged = None
        assert found(results, name) == RESULT or keep(results, name)


# Away and off


def test_with_redis_away_nothing_is_found_and_nothing_waits(tmp_path, name):
    server = RedisServer(tmp_path)
    with closing(RedisClient(server.url)) as client:
        results = ResultCache(client)
        assert keep(results, name)
        server.pause()
        for _ in range(8):
            begun_at = time.monotonic()
            looked = results.find(name, OWNER, TAGS)
            assert (looked.value, looked.marks) == (None, None)
            assert time.monotonic() - begun_at < 0.5
        assert client.breaker.state == "open"
        assert not results.invalidate("all")
        server.resume()
        server.stop()


def test_what_is_off_asks_nothing(client, raw, name):
    off = ResultCache(client, enabled=False)
    raw.config_resetstat()
    looked = off.find(name, OWNER, TAGS)
    assert (looked.value, looked.marks) == (None, None)
    assert not off.invalidate("all")
    assert counted(client, "result") == {"disabled": 1}
    assert set(raw.info("commandstats")) <= {"cmdstat_config|resetstat", "cmdstat_config"}


def test_on_a_cluster_name_and_tags_may_be_anywhere(tmp_path):
    with clustered(tmp_path) as servers, closing(RedisClient(servers.url)) as client:
        results = ResultCache(client)
        for number in range(10):
            name, tags = f"tests.find:1:{number}", [f"tag-{number}", "all"]
            assert keep(results, name, number + 1, tags=tags)
            assert found(results, name, tags=tags) == number + 1
        assert results.invalidate("all", "tag-0")
        assert found(results, "tests.find:1:1", tags=["tag-1", "all"]) is None
        assert not counted(client, "error")
