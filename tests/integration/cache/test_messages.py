import pickle
import random
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import orjson
import pytest

from app.cache.values import MAX_BYTES

from .truths import Truth, bounded, counts, fill, is_hit, read

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
    told = b"%b\n{}\n%b" % (line, array)
    return b"%b\n%08x" % (told, zlib.crc32(told))


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
