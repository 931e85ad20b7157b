"""Runs of other processes as they are followed in Redis, and what happens when they can't be."""

import gc
from functools import partial
from weakref import ref

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.ids import new_id
from app.streaming.entries import encode
from app.streaming.events import Done, Heard, Text
from app.streaming.mirrors import Mirrors
from app.streaming.relay import UNWATCHED_SECONDS, Relay
from tests.said import STARTED, stored, written
from tests.streams import until

from .conftest import Clock
from .runs import Writing, numbers_of, text_of

DONE = Done(stored(written([])[0]), 7)
GARBAGE = [
    {"x": "y"},
    {"f": "0", "o": "0", "e": "{"},
    {"f": "0", "o": "0", "e": "[7]"},
    {"f": "0", "o": "0", "e": '[[0,"?",1]]'},
    {"f": "0", "o": "0", "e": '[[0,"t"]]'},
    {"f": "0", "o": "0", "e": '[["x","t","text"]]'},
    {"f": "0", "o": "0", "e": '[[0,"t",7]]'},
    {"f": "0", "o": "0", "e": '[[0,"s","not an id","x","y",1,null]]'},
    {"f": "x", "o": "0", "e": "[]"},
    {"f": "0", "o": "0", "e": "\ufffd" * 9999},
]


@pytest.fixture
def run():
    return Writing()


@pytest.fixture
def say(connect, run):
    """Lets the run say something, and carries it."""
    clock = Clock()
    relay = Relay(connect(), clock=clock)

    def say(*texts):
        clock.now += UNWATCHED_SECONDS
        relay.carry([run.say(*texts)])

    return say


def test_a_run_is_heard_from_its_first_event_then_live_to_its_end(mirrors, say, run):
    say("a", "b")
    mirror = mirrors.find(run.run_id)
    watching = mirror.watch(heartbeat=0.01)
    assert [next(watching) for _ in range(3)] == [
        Heard(STARTED, 0), Heard(Text("ab"), 2), None,
    ]  # fmt: skip
    say("c")
    mirrors.follow()
    assert next(watching) == Heard(Text("c"), 3)
    run.wire.publish(DONE)
    say()
    mirrors.follow()
    assert (list(watching), mirror.is_closed, mirror.is_ended) == ([], True, False)


def test_all_who_watch_a_run_share_one_wire_and_who_comes_late_hears_all(mirrors, say, run):
    say("a")
    first = mirrors.find(run.run_id)
    say("b")
    mirrors.follow()
    assert mirrors.find(run.run_id) is first
    assert text_of(mirrors.find(run.run_id).since(0)) == "ab"


def test_a_run_that_nobody_watches_any_more_is_forgotten(mirrors, say, run):
    say("a")
    mirror = mirrors.find(run.run_id)
    seen = ref(mirror)
    assert seen() is not None
    del mirror
    gc.collect()
    mirrors.follow()
    assert seen() is None


def test_a_run_that_is_over_is_told_to_its_end(mirrors, say, run):
    say("a")
    run.wire.publish(DONE)
    say()
    mirror = mirrors.find(run.run_id)
    assert text_of(mirror.watch()) == "a"


def test_what_is_not_there_whole_is_not_followed(mirrors, say, run, store):
    assert mirrors.find(new_id()) is None
    assert Mirrors(None).find(new_id()) is None
    assert Mirrors(None).entries(new_id()) == []
    say("a")
    store.flushdb()
    say("b")
    assert mirrors.find(run.run_id) is None


def test_a_gap_ends_the_following_and_nothing_behind_it_is_told(mirrors, say, run, store):
    say("a")
    mirror = mirrors.find(run.run_id)
    store.xadd(run.key, fields_of(encode([Heard(Text("far"), 9)], 20)))
    mirrors.follow()
    assert text_of(mirror.watch()) == "a"
    assert numbers_of(mirror.since(0)) == [0, 1]


def test_a_flush_of_redis_does_not_disturb_who_has_heard_the_beginning(mirrors, say, run, store):
    say("a")
    mirror = mirrors.find(run.run_id)
    store.flushdb()
    say("b")
    mirrors.follow()
    assert text_of(mirror.since(0)) == "ab"


def test_when_redis_goes_watchers_are_let_go_and_find_all_again_later(connect, link, say, run):
    mirrors = Mirrors(connect(link))
    say("a")
    mirror = mirrors.find(run.run_id)
    link.stop()
    mirrors.follow()
    assert text_of(mirror.watch()) == "a"
    assert (mirrors.find(run.run_id), mirrors.entries(run.run_id)) == (None, [])
    link.resume()
    say("b")
    again = until(lambda: mirrors.find(run.run_id))
    assert again is not mirror
    assert text_of(again.since(0)) == "ab"


def test_half_a_reply_is_none(connect, link, say, run):
    say(*(f"{n} " for n in range(1000)))
    for cut_after in (1, 40, 2000):
        mirrors = Mirrors(connect(link))
        link.cut_after = cut_after
        assert mirrors.find(run.run_id) is None
        assert mirrors.entries(run.run_id) == []
        link.cut_after = None
        assert text_of(until(partial(mirrors.find, run.run_id)).since(0)) == run.text


def test_what_is_no_wire_is_no_crash_and_is_not_told(connect, mirrors, store):
    """Whatever stands in a wire's place, at its beginning or in its middle."""
    for garbage in GARBAGE:
        alone, run = Writing(), Writing()
        store.xadd(alone.key, garbage)
        assert (mirrors.find(alone.run_id), mirrors.entries(alone.run_id)) == (None, []), garbage
        Relay(connect()).carry([run.say("a")])
        mirror = mirrors.find(run.run_id)
        store.xadd(run.key, garbage | ({"f": "2"} if garbage.get("f") == "0" else {}))
        mirrors.follow()
        assert text_of(mirror.watch()) == "a", garbage


def test_what_is_no_stream_at_all_is_not_followed(mirrors, store, run):
    store.set(run.key, "not a stream")
    assert (mirrors.find(run.run_id), mirrors.entries(run.run_id)) == (None, [])


DEEDS = st.lists(
    st.sampled_from(["say", "say", "carry", "carry", "follow", "watch", "flush", "break"]),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DEEDS)
def test_whatever_happens_to_redis_a_watcher_hears_a_beginning_of_what_was_said(
    connect, link, store, deeds
):
    clock, run = Clock(), Writing()
    clients = connect(link), connect()
    relay, mirrors, watched = Relay(clients[0], clock=clock), Mirrors(clients[1]), []
    for n, deed in enumerate(deeds):
        clock.now += UNWATCHED_SECONDS
        match deed:
            case "say":
                run.say(f"{n} ")
            case "carry":
                relay.carry([run])
            case "follow":
                mirrors.follow()
            case "watch":
                watched.append(mirrors.find(run.run_id))
            case "flush":
                store.flushdb()
            case "break":
                link.stop()
                relay.carry([run.say(f"{n} broken ")])
                link.resume()
    for client in clients:
        client.close()
    said = {it.number: it.event for it in run.wire.since(0)}
    for mirror in filter(None, watched):
        heard = mirror.since(0)
        assert heard[0] == Heard(STARTED, 0)
        assert text_of(heard) == text_of([Heard(said[n]) for n in range(heard[-1].number + 1)])


def fields_of(encoded):
    return dict(zip(encoded[::2], encoded[1::2], strict=True))
