"""The live wire: every watcher sees every event, from the first to the ending."""

import time
from threading import Barrier, Event, Thread

import pytest

from app.streaming.events import Done, Failed, Heard, Text
from app.streaming.wire import Wire

FAILED = Failed("failed", "upstream", "Sorry.")
DONE = Done(None, 3)


def in_background(work, *arguments):
    thread = Thread(target=work, args=arguments)
    thread.start()
    return thread


def test_a_late_watcher_sees_everything_from_the_first():
    wire = Wire(Text("a"))
    wire.publish(Text("b"))
    wire.publish(DONE)
    assert list(wire.watch()) == [Heard(Text("a"), 0), Heard(Text("b"), 1), Heard(DONE, 2)]
    assert list(wire.watch()) == [Heard(Text("a"), 0), Heard(Text("b"), 1), Heard(DONE, 2)]


def test_a_watcher_that_comes_back_hears_what_follows_what_it_heard():
    wire = Wire(Text("a"), Text("b"), DONE)
    assert list(wire.watch(0)) == [Heard(Text("b"), 1), Heard(DONE, 2)]
    assert list(wire.watch(1)) == [Heard(DONE, 2)]


@pytest.mark.parametrize("number", [None, -1, 3, 99])
def test_who_heard_what_is_none_of_ours_hears_all(number):
    wire = Wire(Text("a"), Text("b"), DONE)
    assert [heard.number for heard in wire.watch(number)] == [0, 1, 2]


def test_numbers_may_be_somebody_elses():
    wire = Wire()
    wire.publish(Text("ab"), 4)
    wire.publish(DONE, 7)
    assert list(wire.watch()) == [Heard(Text("ab"), 4), Heard(DONE, 7)]
    assert list(wire.watch(4)) == [Heard(DONE, 7)]


def test_a_closed_wire_lets_its_watchers_go_when_they_heard_all():
    wire = Wire(Text("a"))
    waiting = wire.watch(heartbeat=30)
    assert next(waiting) == Heard(Text("a"), 0)
    leaving = in_background(wire.close)
    assert list(waiting) == []
    assert list(wire.watch()) == [Heard(Text("a"), 0)]
    leaving.join()


@pytest.mark.parametrize("ending", [DONE, FAILED])
def test_nothing_follows_an_ending(ending):
    wire = Wire()
    for event in (ending, Text("late"), DONE, FAILED):
        wire.publish(event)
    assert wire.is_ended
    assert list(wire.watch()) == [Heard(ending, 0)]


def test_silence_is_told():
    watching = Wire(Text("a")).watch(heartbeat=0.001)
    assert [next(watching) for _ in range(3)] == [Heard(Text("a"), 0), None, None]


def test_an_event_is_heard_at_once_not_at_the_next_heartbeat():
    wire, heard = Wire(), Event()
    watcher = in_background(lambda: (next(wire.watch(heartbeat=30)), heard.set()))
    time.sleep(0.01)
    wire.publish(Text("a"))
    assert heard.wait(5)
    watcher.join()


def test_a_watcher_that_leaves_disturbs_nobody():
    wire = Wire(Text("a"))
    leaving, staying = wire.watch(), wire.watch()
    assert next(leaving) == next(staying) == Heard(Text("a"), 0)
    leaving.close()
    wire.publish(DONE)
    assert list(staying) == [Heard(DONE, 1)]


def test_many_watchers_of_a_quick_writer_all_see_the_whole_in_order():
    wire, seen, ready = Wire(), [[] for _ in range(8)], Barrier(9)

    def watch(into):
        ready.wait()
        into.extend(heard for heard in wire.watch() if heard)

    watchers = [in_background(watch, into) for into in seen]
    ready.wait()
    said = [*(Text(str(number)) for number in range(500)), DONE]
    for event in said:
        wire.publish(event)
    for watcher in watchers:
        watcher.join(10)
    assert seen == [[Heard(event, number) for number, event in enumerate(said)]] * 8
