"""The known races, each in the order that is dangerous."""

import pytest

from app.cache.values import CachedMessages

from .fenced import OWNER, Hand, Talk, trusting


@pytest.fixture
def talk():
    return Talk()


@pytest.fixture
def hand(client, talk):
    return Hand(client, talk)


@pytest.fixture
def cache(client):
    return trusting(client)


def shown(cache, talk, limit=50):
    """Which version a reader is shown; None: it has to ask PostgreSQL."""
    found = cache.read(talk.id, OWNER, limit)
    if not isinstance(found, CachedMessages):
        return None
    assert len(found.loads()) == found.stamp.version
    return found.stamp.version


def warm(hand, version):
    assert hand.read("warm") is True
    assert hand.fill("warm", version) == "stored"


def test_a_slow_fill_is_refused(hand, cache, talk):
    assert hand.read("slow") is True
    hand.begin("w")
    hand.end("w", 2)
    assert hand.fill("slow", 1) == "refused"
    assert shown(cache, talk) is None


def test_a_fill_during_a_write_is_refused_and_no_lease_is_given(hand):
    assert hand.read("early") is True
    hand.begin("w")
    assert hand.read("late") is False
    assert hand.fill("early", 1) == "refused"
    assert hand.fill("late", 1) == "refused"


def test_two_writers_leave_the_newer_or_nothing(hand, cache, talk):
    warm(hand, 1)
    assert hand.begin("first")
    assert hand.begin("second") == b""
    assert hand.end("second", 3, 3) == "fenced"  # the first is not over
    assert hand.end("first", 2, 2) == "fenced"  # older than what the second has told
    assert shown(cache, talk) is None
    assert hand.fill("warm", 2) == "refused"


def test_an_end_before_another_writers_begin_changes_nothing_for_it(hand, cache, talk):
    warm(hand, 1)
    hand.begin("first")
    assert hand.end("first", 2, 2) == "stored"
    assert hand.begin("second").startswith(b"V 2\n")
    assert hand.end("first", 2, 2) == "fenced"  # said twice
    assert shown(cache, talk) is None
    assert hand.end("second", 3, 3) == "stored"
    assert shown(cache, talk) == 3


def test_a_mark_that_ran_out_costs_the_value_and_not_the_truth(hand, cache, talk, raw):
    warm(hand, 1)
    hand.begin("slow")
    raw.set(talk.key, b"S 0 - slow:1")
    warm(hand, 1)
    assert hand.end("slow", 2, 2) == "prevented"
    assert shown(cache, talk) is None


def test_a_lost_key_is_never_filled_by_a_writer(hand, cache, talk, raw):
    warm(hand, 1)
    hand.begin("w")
    raw.delete(talk.key)
    assert hand.end("w", 2, 2) == "absent"
    assert not raw.exists(talk.key)


def test_a_lost_key_and_a_quick_reader_are_found_out_at_the_end(hand, cache, talk, raw):
    hand.begin("w")
    raw.delete(talk.key)
    assert hand.read("quick") is True
    assert hand.end("w", 2) == "dropped"
    assert hand.fill("quick", 1) == "refused"


def test_a_writer_that_died_keeps_everybody_from_the_value_until_its_mark_runs_out(
    hand, cache, talk, raw
):
    warm(hand, 1)
    hand.begin("dead")
    assert shown(cache, talk) is None
    assert hand.read("reader") is False
    assert 29_000 < _deadline(raw, talk) - _now(raw) <= 30_000
    raw.set(talk.key, b"S 0 - dead:1")
    warm(hand, 2)
    assert shown(cache, talk) == 2


def _deadline(raw, talk):
    return int(raw.get(talk.key).rpartition(b":")[2])


def _now(raw):
    seconds, micros = raw.time()
    return seconds * 1000 + micros // 1000


def test_a_reader_that_removes_a_value_leaves_the_mark_that_took_its_place(hand, cache, talk):
    """Alone, it would let another reader fill what is just being changed."""
    warm(hand, 1)
    value = hand.read("too many")
    hand.begin("w")
    hand.drop()
    assert value.startswith(b"V 1\n")
    assert hand.read("another") is False


def test_too_short_a_value_is_removed(hand, cache, talk, raw):
    snapshot = talk.snapshot(2)
    lease = cache.read(talk.id, OWNER, 1)
    cache.fill(lease, type(snapshot)(snapshot.stamp, snapshot.record, snapshot.items, False))
    assert shown(cache, talk, 3) is None
    assert not raw.exists(talk.key)


def test_a_write_that_came_to_nothing_gives_the_value_back(cache, hand, talk):
    warm(hand, 1)
    begun = cache.begin(OWNER, [talk.id], is_told=True)
    assert shown(cache, talk) is None
    assert cache.end(begun, {})
    assert shown(cache, talk) == 1


def test_a_write_that_came_to_nothing_does_not_give_back_what_another_has_changed(
    cache, hand, talk
):
    warm(hand, 1)
    begun = cache.begin(OWNER, [talk.id], is_told=True)
    hand.begin("other")
    hand.end("other", 2)
    assert cache.end(begun, {})
    assert shown(cache, talk) is None


def test_a_value_is_joined_only_to_that_of_the_version_before(cache, hand, talk):
    for version, expected in ((2, 2), (4, None)):
        hand.drop()
        warm(hand, 1)
        begun = cache.begin(OWNER, [talk.id], is_told=True)
        cache.end(begun, talk.written(version))
        assert shown(cache, talk) == expected


def test_nothing_is_filled_after_a_deletion(cache, hand, talk):
    assert hand.read("slow") is True
    begun = cache.begin(OWNER, [talk.id], is_told=False)
    gone = type(talk.written(2)[talk.id])(None)
    assert cache.end(begun, {talk.id: gone})
    assert hand.fill("slow", 1) == "refused"
    assert hand.read("later") is True
    assert hand.fill("later", 1) == "refused"
