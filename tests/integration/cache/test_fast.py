"""The FAST cache: what it shows, to whom, and what becomes of values that it can't show."""

import pickle
import random
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest

from app.cache.client import Failure, RedisClient
from app.cache.fast import FastCache
from app.cache.handles import Lease
from app.cache.values import MAX_BYTES, CachedMessages
from app.revisions import Revision
from app.writes import FRESH_SECONDS, KNOWN_SECONDS, Written

from .fenced import OWNER, Talk, trusting
from .truths import bounded, patient


@pytest.fixture
def cache(client):
    return trusting(client)


def read(cache, talk, limit=50):
    return cache.read(talk.id, OWNER, limit)


def counts(cache):
    return cache._client.counts.snapshot()


def stored(talk, version=2):
    return b"V %d\n" % version + talk.value(version)


def test_what_was_filled_is_shown_to_its_owner_alone(cache):
    talk = Talk()
    lease = read(cache, talk)
    assert isinstance(lease, Lease)
    cache.fill(lease, talk.snapshot(2))
    found = read(cache, talk)
    assert (found.array, found.record) == (talk.snapshot(2).newest(50).array, b'{"revision":2}')
    assert cache.read(talk.id, "bob@example.org", 50) is None
    assert counts(cache)["read", "other_owner"] == 1
    assert read(cache, talk) == found  # strangers who know its id take nothing away


def test_a_look_is_believed_for_a_while_only(client):
    times = iter(range(100))
    cache = trusting(client, clock=lambda: next(times) * 0.6)
    shown = [cache.is_trusted for _ in range(4)]
    assert shown == [True, True, False, False]


def test_after_a_doubt_nothing_is_shown_until_a_look_that_began_later(cache):
    earlier = cache.look()
    cache.doubt()
    cache.trust("tests", earlier)
    assert not cache.is_trusted
    cache.trust("tests", cache.look())
    assert cache.is_trusted


def test_who_finds_a_new_epoch_shows_nothing_until_all_others_have_found_it(client):
    now = [100.0]
    cache = trusting(client, clock=lambda: now[0])
    cache.trust("later", cache.look())
    assert not cache.is_trusted
    now[0] += KNOWN_SECONDS + 0.01
    cache.trust("later", cache.look())
    assert cache.is_trusted


def test_who_has_not_looked_for_long_notes_what_is_written(client):
    now = [100.0]
    cache = trusting(client, clock=lambda: now[0])
    ids = [Talk().id]
    assert not cache.begin(OWNER, ids, is_told=False).is_doubtful
    now[0] += FRESH_SECONDS
    assert cache.begin(OWNER, ids, is_told=False).is_doubtful


def test_a_write_that_ends_in_another_epoch_is_not_certain(client):
    now = [100.0]
    cache = trusting(client, clock=lambda: now[0])
    talk = Talk()
    begun = cache.begin(OWNER, [talk.id], is_told=False)
    cache.trust("later", cache.look())
    assert not cache.end(begun, {talk.id: Written(Revision(2, uuid4()))})


def test_notes_of_many_are_delivered_to_a_redis_that_knows_no_scripts(cache, raw):
    raw.script_flush()
    assert cache.relay("tests", {Talk().id: 1, Talk().id: 2})


def foreign(talk):
    return stored(replace(talk, owner="bob@example.org"))


def elsewhere(talk):
    return stored(replace(talk, id=uuid4()))


def sealed(*lines):
    told = b"\n".join(lines)
    return b"V 2\n%b\n%08x" % (told, zlib.crc32(told))


HOSTILE = {
    "another conversation's": elsewhere,
    "of another version than it says": lambda talk: b"V 3\n" + talk.value(2),
    "without its version": lambda talk: talk.value(2),
    "with a newer sign": lambda talk: b"V  2\n" + talk.value(2),
    "random bytes": lambda talk: random.Random(7).randbytes(4096),
    "random bytes as a value": lambda talk: b"V 2\n" + random.Random(7).randbytes(4096),
    "a pickle": pickle.dumps,
    "a sealed pickle": lambda talk: sealed(pickle.dumps({"owner": OWNER}), b"{}", b"[]"),
    "a deep header": lambda talk: sealed(b"[" * 4_000_000, b"{}", b"[]"),
    "an empty value": lambda talk: b"V 2\n",
}


def test_another_users_value_is_a_miss_and_stays_theirs(cache, raw):
    talk = Talk()
    raw.set(talk.key, foreign(talk))
    assert read(cache, talk) is None
    assert raw.get(talk.key) == foreign(talk)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_content_is_never_shown_and_removed(name, cache, raw):
    talk = Talk()
    raw.set(talk.key, HOSTILE[name](talk))
    with bounded():
        assert not isinstance(read(cache, talk), CachedMessages)
    left = raw.get(talk.key)
    assert left is None or left.startswith(b"S 0 ")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_content_is_nothing_to_go_on_from(name, cache, raw):
    talk = Talk()
    raw.set(talk.key, HOSTILE[name](talk))
    begun = cache.begin(OWNER, [talk.id], is_told=True)
    assert cache.end(begun, talk.written(3))
    assert not isinstance(read(cache, talk), CachedMessages)


def test_a_value_truncated_anywhere_is_never_shown(cache, raw):
    talk = Talk()
    whole = stored(talk)
    for end in range(1, len(whole)):
        raw.set(talk.key, whole[:end])
        assert not isinstance(read(cache, talk), CachedMessages)
        left = raw.get(talk.key)
        assert left is None or left.startswith(b"S 0 ")


def test_a_key_of_another_type_is_removed_by_readers_and_noted_by_writers(cache, raw):
    talk = Talk()
    raw.rpush(talk.key, "x")
    assert read(cache, talk) is None
    assert not raw.exists(talk.key)
    raw.rpush(talk.key, "x")
    assert cache.begin(OWNER, [talk.id], is_told=True).is_doubtful
    assert not raw.exists(talk.key)


def test_a_bomb_is_not_read_whole(cache, raw):
    talk = Talk()
    raw.set(talk.key, b"V 2\n")
    raw.setrange(talk.key, 64 * 1024 * 1024, b"x")
    with bounded():
        assert read(cache, talk) is None
    assert not raw.exists(talk.key)


def test_too_large_a_snapshot_is_not_stored(cache, raw):
    talk = Talk()
    lease = read(cache, talk)
    cache.fill(lease, replace(talk.snapshot(1), items=[b'"%b"' % (b"x" * MAX_BYTES)]))
    assert raw.get(talk.key).startswith(b"S 0 ")


def test_a_writer_that_redis_does_not_answer_is_doubtful_and_nothing_is_shown(server, clients):
    cache = trusting(clients(1))
    talk = Talk()
    begun = cache.begin(OWNER, [talk.id], is_told=True)
    assert begun.is_doubtful
    assert not cache.is_trusted
    assert not cache.end(begun, talk.written(1))


@pytest.mark.parametrize("is_removed", [True, False])
def test_whoever_is_not_sure_of_a_mark_says_so(is_removed, cache, monkeypatch):
    """Alone, the deletion that follows would not hold for what is read just after it."""
    monkeypatch.setattr(cache._fence, "begin", lambda *_, **__: Failure.TIMEOUT)
    monkeypatch.setattr(cache._fence, "remove", lambda *_: is_removed)
    assert cache.begin(OWNER, [uuid4()], is_told=True).is_doubtful
    assert cache.is_trusted == is_removed


def test_swapped_replies_show_nobody_what_is_somebody_elses(proxy, server):
    proxy.swaps = True
    talks = [Talk(), Talk(owner="bob@example.org")]
    caches = []
    for _ in talks:
        client = RedisClient(f"redis://127.0.0.1:{proxy.port}/0", breaker=patient())
        caches.append(FastCache(client, ttl=60, limit=50))

    def work(number):
        cache, talk = caches[number], talks[number]
        hits = 0
        for _ in range(150):
            cache.trust("tests", cache.look())
            found = cache.read(talk.id, talk.owner, 50)
            if isinstance(found, CachedMessages):
                assert found.stamp.owner == talk.owner
                assert found.stamp.conversation_id == str(talk.id)
                hits += 1
            elif found:
                cache.fill(found, talk.snapshot(2))
        return hits

    with ThreadPoolExecutor(2) as pool:
        hits = list(pool.map(work, range(2)))
    print(f"{proxy.swapped} swapped, hits {hits}")
    assert proxy.swapped > 0
    for cache in caches:
        cache._client.close()


def test_a_read_after_a_hit_asks_for_the_value_alone_and_one_after_a_miss_for_the_lease(
    cache, monkeypatch
):
    servers, sent = cache._client._servers, []
    ask = servers.ask
    monkeypatch.setattr(servers, "ask", lambda *command: sent.append(command[0]) or ask(*command))
    here, there = Talk(), Talk()
    assert isinstance(read(cache, here), Lease)
    sent.clear()
    lease = read(cache, there)
    assert set(sent) <= {"EVALSHA", "EVAL"}
    cache.fill(lease, there.snapshot(2))
    assert isinstance(read(cache, there), CachedMessages)
    sent.clear()
    assert isinstance(read(cache, there), CachedMessages)
    assert sent == ["GETRANGE"]


@pytest.mark.parametrize("reply", [b"OK", b"stored?", b'{"name":"ana@example.org"}'])
def test_a_reply_that_is_no_outcome_is_none_and_becomes_no_label(cache, monkeypatch, reply):
    talk = Talk()
    begun = cache.begin(OWNER, [talk.id], is_told=False)
    monkeypatch.setattr(cache._client, "run_script", lambda _script, keys: [reply for _ in keys])
    assert not cache.end(begun, {talk.id: Written(Revision(2, uuid4()))})
    assert cache.begin(OWNER, [talk.id], is_told=True).is_doubtful
    reasons = {reason for event, reason in counts(cache) if event in ("write", "fill")}
    assert reasons <= {"failed", "fenced", "absent"}


def test_a_full_redis_leaves_no_doubt_in_what_it_still_has(own_server, clients):
    cache = trusting(clients(own_server.port))
    here, there = Talk(), Talk()
    cache.fill(read(cache, here), here.snapshot(2))
    with own_server.raw() as raw:
        raw.config_set("maxmemory-policy", "noeviction")
        raw.config_set("maxmemory", 1)
    assert read(cache, there) is None
    assert isinstance(read(cache, here), CachedMessages)


def test_a_key_of_another_type_does_not_hide_the_others_from_who_compares(cache, raw):
    here, there = Talk(), Talk()
    cache.fill(read(cache, here), here.snapshot(2))
    raw.rpush(there.key, 1)
    assert set(cache.peek([here.id, there.id])) == {here.id}
