"""The live wire: every watcher sees every event, from the first to the ending."""

import time
from threading import Barrier, Event, Thread

import pytest

from app.streaming.events import Done, Failed, Text
from app.streaming.wire import Wire

FAILED = Failed("failed", "upstream", "Sorry.")
DONE = Done(None, 3)


def in_background(work, *arguments):
    thread = Thread(target=work, args=arguments)
    thread.start()
    return thread


def test_a_late_watcher_sees_everything_from_the_first():
    wire = Wire([Text("a")])
    wire.publish(Text("b"))
    wire.publish(DONE)
    assert list(wire.watch()) == [Text("a"), Text("b"), DONE]
    assert list(wire.watch()) == [Text("a"), Text("b"), DONE]


@pytest.mark.parametrize("ending", [DONE, FAILED])
def test_nothing_follows_an_ending(ending):
    wire = Wire()
    for event in (ending, Text("late"), DONE, FAILED):
        wire.publish(event)
    assert wire.is_ended
    assert list(wire.watch()) == [ending]


def test_silence_is_told():
    watching = Wire([Text("a")]).watch(heartbeat=0.001)
    assert [next(watching) for _ in range(3)] == [Text("a"), None, None]


def test_an_event_is_heard_at_once_not_at_the_next_heartbeat():
    wire, heard = Wire(), Event()
    watcher = in_background(lambda: (next(wire.watch(heartbeat=30)), heard.set()))
    time.sleep(0.01)
    wire.publish(Text("a"))
    assert heard.wait(5)
    watcher.join()


def test_a_watcher_that_leaves_disturbs_nobody():
    wire = Wire([Text("a")])
    leaving, staying = wire.watch(), wire.watch()
    assert (next(leaving), next(staying)) == (Text("a"), Text("a"))
    leaving.close()
    wire.publish(DONE)
    assert list(staying) == [DONE]


def test_many_watchers_of_a_quick_writer_all_see_the_whole_in_order():
    wire, seen, ready = Wire(), [[] for _ in range(8)], Barrier(9)

    def watch(into):
        ready.wait()
        into.extend(event for event in wire.watch() if event)

    watchers = [in_background(watch, into) for into in seen]
    ready.wait()
    said = [*(Text(str(number)) for number in range(500)), DONE]
    for event in said:
        wire.publish(event)
    for watcher in watchers:
        watcher.join(10)
    assert all(into == said for into in seen)
