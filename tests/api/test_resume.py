"""Coming back to an answer that is being written: all of it from its beginning, then live."""

from threading import Barrier

import pytest

from tests.client import Client, at_once
from tests.evidence import assert_problem
from tests.proxy import Proxy
from tests.responders import Gate
from tests.resuming import AFTER, BEFORE, NASTY, TEXT, ask, kinds_of, others_of, resume, told
from tests.streams import frames, text_of


@pytest.fixture
def gate():
    gate = Gate(*BEFORE, after=AFTER)
    yield gate
    gate.open()


# Nothing is written


def test_when_nothing_is_written_there_is_nothing_to_resume(workers):
    here, _ = workers(lambda prompt: iter(["a"]))
    empty = here.create("hello", "there")["id"]
    done = here.ask("Where?").json["conversation_id"]
    for conversation_id in (empty, done):
        answer = resume(here, conversation_id)
        assert (answer.status_code, answer.data) == (204, b"")


def test_what_is_somebody_elses_or_not_there_is_the_same_404(workers, stranger, gate):
    here, _ = workers(gate)
    first, _ = ask(here)
    absent = "01a1fe7b-6629-77e7-b657-d4a4eae4abc1"
    problems = []
    for conversation_id in (first.data["conversation_id"], absent):
        answer = resume(stranger, conversation_id, first.event_id)
        problem = assert_problem(answer, 404, "not_found")
        problems.append({k: v for k, v in problem.items() if k not in ("request_id", "instance")})
    assert problems[0] == problems[1]
    assert resume(stranger, "my-own-chat", first.event_id).status_code == 404


# From the beginning, then live


@pytest.mark.parametrize("where", [0, 1])
def test_everything_is_heard_from_the_first_event_and_then_live(workers, gate, where):
    here, *others = workers(gate)
    first, heard = ask(here)
    assert gate.reached.wait(5)
    place = first.data["conversation_id"]
    answer = resume([here, *others][where], place)
    assert answer.headers["X-Conversation-Id"] == place
    assert answer.headers["X-Message-Id"] == first.data["message_id"]
    again = frames(answer.response)
    seen = [next(again)]
    assert seen[0].data == first.data
    while text_of(seen) != f"Huế lies {NASTY}":
        seen.append(next(again))
    gate.open()
    asked, seen = [first, *heard], [*seen, *again]
    assert text_of(seen) == text_of(asked) == TEXT
    assert others_of(seen) == others_of(asked)
    assert where or list(told(seen)) == list(told(asked))
    assert (seen[-1].event, asked[-1].event) == ("done", "done")
    assert seen[-1].data == asked[-1].data
    assert here.messages(place)[-1]["content"] == TEXT


def test_without_redis_another_worker_tells_the_same_over_the_database(workers, gate):
    here, other = workers(gate, redis_url=None)
    first, heard = ask(here)
    again = frames(resume(other, first.data["conversation_id"]).response)
    assert next(again).data == first.data
    early = next(frame for frame in again if frame.event)
    assert early.event == "delta"
    gate.open()
    asked, seen = [first, *heard], [first, early, *again]
    assert text_of(seen) == TEXT
    assert seen[-1].data == asked[-1].data
    assert kinds_of(seen) == kinds_of(asked)
    assert others_of(seen) == others_of(asked)


def test_many_watchers_everywhere_hear_the_same(workers, gate):
    pair = workers(gate)
    first, heard = ask(pair[0])
    place = first.data["conversation_id"]

    everybody = Barrier(24, action=gate.open)

    def watch(number):
        client = Client(pair[number % 2].app, pair[0].email)
        seen = frames(resume(client, place).response)
        begun = next(seen)
        everybody.wait()
        return [begun, *seen]

    answers = at_once(watch, range(24))
    assert {text_of(seen) for seen in answers} == {text_of(heard)} == {TEXT}
    assert all(seen[0].data == first.data for seen in answers)
    assert {seen[-1].event for seen in answers} == {"done"}


def test_a_slow_watcher_holds_up_nobody_and_misses_nothing(workers, gate):
    here, other = workers(gate)
    first, heard = ask(here)
    slow = [frames(resume(it, first.data["conversation_id"]).response) for it in (here, other)]
    assert [next(seen).data for seen in slow] == [first.data, first.data]
    gate.open()
    assert text_of(heard) == TEXT
    for seen in map(list, slow):
        assert (text_of(seen), seen[-1].event) == (TEXT, "done")


# Redis goes in the middle


@pytest.fixture
def link(settings):
    port = int(settings.redis_url.rpartition(":")[2].partition("/")[0])
    with Proxy(port) as link:
        yield link


def linked(settings, link):
    before, _, rest = settings.redis_url.rpartition(":")
    return f"{before}:{link.port}/{rest.partition('/')[2]}"


@pytest.mark.parametrize("whose", ["writer", "watcher"])
def test_when_redis_goes_in_the_middle_nothing_is_lost_or_told_twice(
    make_app, email, settings, link, gate, whose
):
    urls = {"writer": settings.redis_url, "watcher": settings.redis_url}
    urls[whose] = linked(settings, link)
    here, other = (Client(make_app(gate, redis_url=urls[it]), email) for it in urls)
    other.app.extensions["parley"].start()
    first, heard = ask(here)
    assert gate.reached.wait(5)
    again = frames(resume(other, first.data["conversation_id"]).response)
    early = [next(again)]
    link.stop()
    gate.open()
    asked, seen = [first, *heard], [*early, *again]
    link.resume()
    assert text_of(seen) == text_of(asked) == TEXT
    assert seen[-1].data == asked[-1].data
    assert kinds_of(seen) == kinds_of(asked)
    assert others_of(seen) == others_of(asked)


def test_redis_may_be_emptied_while_an_answer_is_written_and_watched(workers, gate, parley):
    here, other = workers(gate)
    first, heard = ask(here)
    assert gate.reached.wait(5)
    place = first.data["conversation_id"]
    early = frames(resume(other, place).response)
    next(early)
    parley.redis._execute("FLUSHDB")
    late = frames(resume(other, place).response)
    assert next(late).data == first.data
    gate.open()
    assert text_of(heard) == text_of(early) == text_of(late) == TEXT


def test_a_watcher_that_leaves_stops_nothing(workers, gate):
    here, other = workers(gate)
    first, heard = ask(here)
    for client in (here, other):
        leaving = resume(client, first.data["conversation_id"])
        next(frames(leaving.response))
        leaving.close()
    gate.open()
    assert text_of(heard) == TEXT
