"""What of a run's wire is carried to Redis: everything once, in few bytes, and not for ever."""

import pytest

from app.streaming.events import Done, Failed, Text
from app.streaming.outcome import FENCED
from app.streaming.relay import AFTERMATH_SECONDS, LIFETIME_SECONDS, UNWATCHED_SECONDS, Relay
from tests.said import stored, written

from .runs import Writing, text_of

DONE = Done(stored(written([])[0], content="what is stored"), 7)


@pytest.fixture
def run():
    return Writing()


def carried(mirrors, run):
    """The events that are in Redis."""
    return [item for entry in mirrors.entries(run.run_id) for item in entry.heard]


def test_what_was_said_between_two_looks_is_one_entry_and_nothing_is_carried_twice(
    carry, mirrors, store, run
):
    carry(run.say(*"abc"))
    carry(run)
    carry(run.say(*"de"))
    carry(run)
    first, second = mirrors.entries(run.run_id)
    assert [event for event, _ in second.heard] == [Text("de")]
    assert (first.offset, second.first, second.offset) == (0, 4, 3)
    assert [item.number for item in carried(mirrors, run)] == [0, 3, 5]
    assert store.xlen(run.key) == 2


def test_many_runs_are_carried_in_one_go(carry, mirrors):
    runs = [Writing().say(str(n)) for n in range(50)]
    carry(*runs)
    assert [text_of(carried(mirrors, run)) for run in runs] == [str(n) for n in range(50)]


def test_who_is_watched_elsewhere_is_carried_at_once_and_others_each_second(
    relay, carry, mirrors, clock, run
):
    other = Writing()
    carry(run.say("a"), other.say("a"))
    assert mirrors.find(run.run_id)
    clock.now += 0.5
    relay.carry([run, other])
    relay.carry([run.say("b"), other.say("b")])
    assert [text_of(carried(mirrors, it)) for it in (run, other)] == ["ab", "a"]
    carry(run, other)
    assert [text_of(carried(mirrors, it)) for it in (run, other)] == ["ab", "ab"]
    other.wire.publish(DONE)
    relay.carry([run, other])
    assert mirrors.entries(other.run_id)[-1].is_last


def test_a_wire_expires_and_sooner_when_it_is_over(carry, store, run):
    carry(run.say("a"))
    assert AFTERMATH_SECONDS < store.ttl(run.key) <= LIFETIME_SECONDS
    run.wire.publish(DONE)
    carry(run)
    assert 0 < store.ttl(run.key) <= AFTERMATH_SECONDS
    assert b"what is stored" not in store.xrange(run.key)[-1][1][b"e"]


def test_a_wire_that_goes_on_is_kept_and_one_that_was_flushed_away_expires_as_well(
    carry, store, clock, run
):
    carry(run.say("a"))
    store.expire(run.key, 40)
    clock.now += 31
    carry(run.say("b"))
    assert store.ttl(run.key) > 100
    store.flushdb()
    carry(run.say("c"))
    assert 0 < store.ttl(run.key) <= LIFETIME_SECONDS


@pytest.mark.parametrize("is_reset", [False, True])
def test_redis_may_go_and_come_back_and_no_gap_is_left(carry, mirrors, link, run, is_reset):
    link.resets = is_reset
    carry(run.say("before "))
    link.stop()
    for word in ("while ", "it ", "is ", "away "):
        assert carry(run.say(word)) == set()
    link.resume()
    carry(run.say("after "))
    carry(run.say("the end"))
    assert text_of(carried(mirrors, run)) == run.text == "before while it is away after the end"
    assert text_of(mirrors.find(run.run_id).since(0)) == run.text


def test_a_cut_in_the_middle_of_a_reply_leaves_no_gap_and_nothing_twice(carry, mirrors, link, run):
    carry(run.say("a"))
    for cut_after in (0, 3, 10):
        link.cut_after = cut_after
        carry(run.say(f"<{cut_after}>"))
        link.stop()
        link.cut_after = None
        link.resume()
    carry(run.say("z"))
    assert text_of(carried(mirrors, run)) == run.text == "a<0><3><10>z"


def test_while_redis_is_away_it_is_asked_once_a_second_at_most(relay, carry, link, clock, run):
    carry(run.say("a"))
    link.stop()
    carry(run.say("b"))
    link.resume()
    relay.stop([run.run_id])
    clock.now += 0.9
    assert relay.carry([run]) == set()
    assert carry(run) == {run.run_id}


def test_a_run_that_ends_while_redis_is_away_is_there_whole_or_not_at_all(
    carry, mirrors, link, run
):
    carry(run.say("a"))
    link.stop()
    run.say("b").wire.publish(DONE)
    carry(run)
    link.resume()
    carry()
    assert text_of(carried(mirrors, run)) in ("a", "ab")
    assert text_of(mirrors.find(run.run_id).since(0)) in ("a", "ab")


def test_of_a_run_that_is_taken_back_no_text_stays(carry, mirrors, store, run):
    carry(run.say("what nobody may read"))
    run.say(" any more").wire.publish(FENCED.failed())
    carry(run)
    assert b"what nobody" not in store.dump(run.key)
    assert b"any more" not in store.dump(run.key)
    assert [entry.is_last for entry in mirrors.entries(run.run_id)] == [True]
    assert mirrors.find(run.run_id) is None


@pytest.mark.parametrize("ending", [DONE, Failed("cancelled", "stopped", "Stopped.")])
def test_a_run_that_is_over_is_not_carried_again_though_its_model_is_still_at_it(
    carry, store, run, ending
):
    carry(run.say("a"))
    run.wire.publish(ending)
    for _ in range(3):
        carry(run)
    assert store.xlen(run.key) == 2


def test_who_carries_a_run_hears_that_it_is_to_stop(carry, connect, run):
    other, elsewhere = Writing(), Relay(connect())
    assert carry(run, other) == set()
    elsewhere.stop([run.run_id])
    assert carry(run, other) == {run.run_id}


def test_without_redis_nothing_is_carried_and_nothing_fails(run):
    nowhere = Relay(None)
    nowhere.stop([run.run_id])
    assert nowhere.carry([run.say("a")]) == set()


def test_something_else_in_a_wires_place_costs_no_other_run_its_wire(carry, mirrors, store, run):
    other = Writing()
    store.set(run.key, "not a stream")
    carry(run.say("a"), other.say("b"))
    carry(run.say("a"), other.say("b"))
    assert text_of(carried(mirrors, other)) == "bb"
    assert text_of(carried(mirrors, run)) == "aa"


def test_a_megabyte_takes_hardly_more_than_a_megabyte_of_redis(connect, clock, mirrors, store, run):
    relay, words = Relay(connect(), clock=clock), [f"{n} Đường về xứ Huế. " for n in range(40_000)]
    for start in range(0, len(words), 200):
        clock.now += UNWATCHED_SECONDS
        relay.carry([run.say(*words[start : start + 200])])
    size = len(run.text.encode())
    assert size > 1_000_000
    assert sum(len(fields[b"e"]) + 60 for _, fields in store.xrange(run.key)) <= 1.2 * size
    assert store.memory_usage(run.key, samples=0) <= 1.2 * size
    assert text_of(carried(mirrors, run)) == run.text
