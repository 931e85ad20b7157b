import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from app.cache.client import RedisClient
from app.cache.messages import MessageCache

from .truths import Truth, bounded, counts, fill, is_hit, patient, read


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
