"""Stopping an answer: from any worker, without waiting for the model, and keeping what was said."""

import time
from threading import Event, Thread

import pytest

from tests.client import Client, at_once
from tests.evidence import assert_problem
from tests.responders import Gate
from tests.streams import frames, text_of, until

STORED = "SELECT * FROM messages WHERE id = :id"
LEDGER = "SELECT * FROM query_logs WHERE message_id = :id"
STREAMING = "SELECT 1 FROM messages WHERE user_email = :email AND status = 'streaming'"


class Talker:
    """A model that says a word each few milliseconds until it is closed; then it answers at once.

    `hangs_after`: it says so many words and then nothing, until the test lets it go.
    """

    def __init__(self, hangs_after=None):
        self.calls, self.released, self.closed = 0, Event(), Event()
        self._hangs_after = hangs_after

    def __call__(self, prompt):
        self.calls += 1
        if prompt.question == "Quickly.":
            yield "Yes."
            return
        try:
            for number in range(100_000):
                if number == self._hangs_after:
                    self.released.wait(20)
                yield f"{number} 字 "
                time.sleep(0.002)
        finally:
            self.closed.set()


@pytest.fixture
def talker():
    return Talker()


@pytest.fixture
def hanging():
    talker = Talker(hangs_after=3)
    yield talker
    talker.released.set()


def ask(client, **fields):
    """The first frame of an answer that is being written, and those that follow."""
    response = client.ask("Where is Huế?", wire="sse", **fields)
    assert response.status_code == 200, response.text
    heard = frames(response.response)
    first = next(heard)
    return first, heard


def said(heard, words=3):
    """The frames until some words were said."""
    seen = []
    while text_of(seen).count("字") < words:
        seen.append(next(heard))
    return seen


def stop(client, place, **body):
    return client.post(f"/chat/{place}/stop", **({"json": body} if body else {}))


def stopped(answer, place, count=1):
    assert (answer.status_code, answer.json) == (
        200, {"conversation_id": place, "stopped": count},
    )  # fmt: skip
    return True


def watched(client, place):
    """What somebody hears who watches an answer, in a thread, as it comes."""
    seen = frames(client.get(f"/chat/{place}/stream?wire=sse").response)
    heard = [next(seen)]
    thread = Thread(target=lambda: heard.extend(seen))
    thread.start()
    return heard, thread


def kept(rows, first):
    """The answer's row, when it is over."""
    (row,) = until(
        lambda: [it for it in rows.run(STORED, id=first.data["message_id"])
                 if it.status != "streaming"],
    )  # fmt: skip
    return row


@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize("changes", [{}, {"redis_url": None}], ids=["redis", "no redis"])
def test_an_answer_is_stopped_from_anywhere_and_everybody_hears_it(
    workers, rows, talker, where, changes
):
    pair = workers(talker, **changes)
    here, other = pair
    first, heard = ask(here)
    place = first.data["conversation_id"]
    begun = said(heard)
    watchers = [watched(Client(client.app, here.email), place) for client in (here, other)]
    assert stopped(stop(pair[where], place), place)
    seen = [first, *begun, *heard]
    row = kept(rows, first)
    assert (row.status, row.error_class) == ("cancelled", "stopped")
    assert row.content == text_of(seen) != ""
    (entry,) = rows.run(LEDGER, id=first.data["message_id"])
    assert (entry.status, entry.error_class) == ("cancelled", "stopped")
    assert rows.run("SELECT 1 FROM run_chunks WHERE user_email = :email", email=here.email) == []
    assert talker.closed.wait(5)
    for told, thread in [*watchers, (seen, None)]:
        if thread:
            thread.join(10)
        assert (told[-1].event, told[-1].data["status"]) == ("error", "cancelled")
        assert told[-1].data["code"] == "stopped"
        assert told[-1].data["message"]["content"] == text_of(told) == row.content
    again = here.ask("Quickly.", conversation_id=place)
    assert (again.status_code, again.json["message"]["content"]) == (200, "Yes.")


def test_what_is_stopped_is_an_answer_in_every_form(workers, talker):
    here, _ = workers(talker)
    place = here.create("hello", "there")["id"]
    answers = []
    asking = Thread(
        target=lambda: answers.append(
            Client(here.app, here.email).ask("Where?", conversation_id=place, wire="json")
        )
    )
    asking.start()
    until(lambda: stop(here, place).json["stopped"])
    asking.join(10)
    (answer,) = answers
    assert answer.status_code == 200
    assert (answer.json["message"]["status"], answer.json["message"]["error_class"]) == (
        "cancelled", "stopped",
    )  # fmt: skip
    assert here.messages(place)[-1] == answer.json["message"]


@pytest.mark.parametrize("where", [0, 1])
def test_a_stop_does_not_wait_for_a_model_that_hangs(workers, rows, hanging, where):
    pair = workers(hanging)
    first, heard = ask(pair[0])
    place = first.data["conversation_id"]
    begun = said(heard)
    assert stopped(stop(pair[where], place), place)
    *_, ending = heard
    assert not hanging.closed.is_set()
    assert (ending.event, ending.data["code"]) == ("error", "stopped")
    assert kept(rows, first).content == text_of(begun) == "0 字 1 字 2 字 "
    answer = pair[0].ask("Quickly.", conversation_id=place)
    assert answer.json["message"]["content"] == "Yes."
    hanging.released.set()
    assert hanging.closed.wait(5)
    assert kept(rows, first).content == "0 字 1 字 2 字 "


def test_stopping_is_done_once_and_what_is_over_stays_as_it_is(workers, rows, talker):
    here, other = workers(talker)
    empty = here.create("hello", "there")
    for client in (here, other):
        assert stopped(stop(client, empty["id"]), empty["id"], 0)
    first, heard = ask(here, conversation_id=empty["id"])
    said(heard)
    counts = at_once(
        lambda n: stop(Client((here, other)[n % 2].app, here.email), empty["id"]).json["stopped"],
        range(8),
    )
    assert sum(counts) >= 1
    before = kept(rows, first)
    assert stopped(stop(here, empty["id"]), empty["id"], 0)
    assert kept(rows, first) == before
    assert len(rows.run(LEDGER, id=first.data["message_id"])) == 1
    assert here.messages(empty["id"])[1] == empty["messages"][1]


def test_only_the_answer_that_is_meant_is_stopped(workers, rows, talker):
    here, other = workers(talker)
    first, heard = ask(here)
    second, _ = ask(here)
    said(heard)
    place = first.data["conversation_id"]
    mine, elsewhere = first.data["message_id"], second.data["message_id"]
    foreign = stop(other, place, message_id=elsewhere)
    assert_problem(foreign, 404, "not_found")
    assert stopped(stop(other, place, message_id=first.data["user_message_id"]), place, 0)
    assert len(rows.run(STREAMING, email=here.email)) == 2
    assert stopped(stop(other, place, message_id=mine), place)
    assert kept(rows, first).status == "cancelled"
    assert len(rows.run(STREAMING, email=here.email)) == 1
    stop(here, second.data["conversation_id"])
    assert kept(rows, second).status == "cancelled"


def test_nobody_stops_what_is_somebody_elses(workers, rows, stranger, talker):
    here, _ = workers(talker)
    first, heard = ask(here)
    said(heard)
    place, message = first.data["conversation_id"], first.data["message_id"]
    own = stranger.create("hello", "there")["id"]
    absent = "01a1fe7b-6629-77e7-b657-d4a4eae4abc1"
    tries = [(place, {}), (place, {"message_id": message}), (own, {"message_id": message}),
             (absent, {}), ("their-own-chat", {})]  # fmt: skip
    details = {assert_problem(stop(stranger, at, **body), 404)["detail"] for at, body in tries}
    assert len(details) == 1
    assert len(rows.run(STREAMING, email=here.email)) == 1
    assert stopped(stop(here, place), place)
    assert kept(rows, first).status == "cancelled"


def test_a_stop_that_races_the_end_leaves_one_ending(workers, rows):
    """Whoever is first: the row, the ledger and all that is heard agree."""
    gates = []

    def answer(prompt):
        gates.append(Gate("so ", after=["it ", "is."]))
        return gates[-1](prompt)

    here, other = workers(answer, max_runs_per_user=100)
    for round_ in range(12):
        first, heard = ask(here)
        until(lambda: len(gates) > round_ and gates[round_].reached.is_set())  # noqa: B023
        place = first.data["conversation_id"]
        stopping = Client((here, other)[round_ % 2].app, here.email)
        deeds = [gates[-1].open, lambda: stop(stopping, place)]  # noqa: B023
        at_once(lambda deed: deed(), deeds if round_ % 3 else reversed(deeds))
        *_, ending = seen = [first, *heard]
        row = kept(rows, first)
        (entry,) = rows.run(LEDGER, id=row.id)
        assert row.status == entry.status == ending.data["message"]["status"]
        assert ending.event == ("done" if row.status == "complete" else "error")
        assert text_of(seen) == row.content
        assert row.status in ("complete", "cancelled")
        assert row.status == "cancelled" or row.content == "so it is."
    assert rows.run(STREAMING, email=here.email) == []


def test_an_answer_whose_process_died_is_stopped_all_the_same(workers, rows, hanging):
    here, other = workers(hanging)
    first, heard = ask(here)
    said(heard)
    lost = "UPDATE runs SET attempt = attempt + 1, lease_until = now() - interval '1 s' "
    rows.run(lost + "WHERE message_id = :id", id=first.data["message_id"])
    stop(other, first.data["conversation_id"])
    assert kept(rows, first).error_class == "stopped"
