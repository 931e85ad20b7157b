"""Last-Event-ID: coming back to an answer from where one was."""

import pytest

from tests.responders import Gate
from tests.resuming import (
    AFTER,
    BEFORE,
    NASTY,
    TEXT,
    Listener,
    ask,
    kinds_of,
    numbers_of,
    others_of,
    resume,
    told,
)
from tests.streams import frames, text_of, until


@pytest.fixture
def gate():
    gate = Gate(*BEFORE, after=AFTER)
    yield gate
    gate.open()


def test_who_comes_back_with_an_events_id_hears_what_follows(workers, gate):
    here, other = workers(gate)
    first, heard = ask(here)
    before = [first]
    while text_of(before) != f"Huế lies {NASTY}" or before[-1].event != "data":
        before.append(next(heard))
    place = first.data["conversation_id"]
    resumed = [
        (n, client, Listener(resume(client, place, frame.event_id)))
        for n, frame in enumerate(before)
        for client in (here, other)
    ]
    until(lambda: all(listener.seen for n, _, listener in resumed if n + 1 < len(before)))
    gate.open()
    whole = [*before, *heard]
    for n, client, listener in resumed:
        seen = listener.end()
        if client is here:
            assert seen == whole[n + 1 :]
        elif seen[0].event != "message":
            assert list(told([*whole[: n + 1], *seen])) == list(told(whole))
        else:  # what has no place there, or not yet, is told anew
            assert (text_of(seen), others_of(seen)) == (TEXT, others_of(whole))
        assert seen[-1].data == whole[-1].data


def test_what_is_over_meanwhile_is_told_from_message_to_done(workers, gate):
    here, other = workers(gate)
    first, heard = ask(here)
    gate.open()
    whole = [first, *heard]
    for client in (here, other):
        for frame in (whole[0], whole[5], whole[-1]):
            until(lambda: resume(here, first.data["conversation_id"]).status_code == 204)
            seen = list(
                frames(resume(client, first.data["conversation_id"], frame.event_id).response)
            )
            assert (seen[0].event, seen[-1].event) == ("message", "done")
            assert text_of(seen) == TEXT
            assert kinds_of(seen) == kinds_of(whole)
            assert numbers_of(seen) == []
            assert seen[-1].data["message"] == whole[-1].data["message"]


def test_what_failed_meanwhile_is_told_with_its_end(workers):
    here, _ = workers("tests.responders:failing")
    first, heard = ask(here)
    *_, failed = heard
    seen = list(frames(resume(here, first.data["conversation_id"], first.event_id).response))
    assert text_of(seen) == "half an "
    assert (seen[-1].event, seen[-1].data["code"]) == ("error", "responder")
    assert seen[-1].data["message"] == failed.data["message"]


def test_an_unknown_id_is_told_from_the_start(workers, gate):
    here, other = workers(gate)
    before = here.create("hello", "there")
    earlier = before["messages"][1]["id"]
    first, _ = ask(here, conversation_id=before["id"])
    assert gate.reached.wait(5)
    mine = first.data["message_id"]
    ids = ["", ":", "x", mine, f"{mine}:", f"{mine}:-1", f"{mine}:1e3", f"{mine}:999999", "0" * 999,
           f"{mine}:{'9' * 99}", f"{earlier}:0", f"{before['messages'][0]['id']}:1",
           "01a1fe7b-6629-77e7-b657-d4a4eae4abc1:2", f"{mine}:٣", f"\xff{mine}:1"]  # fmt: skip
    resumed = [
        (last, frames(resume(client, before["id"], last).response))
        for last in ids
        for client in (here, other)
    ]
    begun = [(last, next(heard), heard) for last, heard in resumed]
    gate.open()
    for last, message, heard in begun:
        assert message.data == first.data, last
        seen = list(heard)
        assert (text_of(seen), seen[-1].event) == (TEXT, "done"), last


def test_when_nothing_is_written_an_unknown_id_is_nothing_to_resume(workers):
    here, _ = workers(lambda prompt: iter(["a"]))
    said = here.create("hello", "there")
    foreign = here.create("else", "where")["messages"][1]["id"]
    for last in ("x", f"{foreign}:1", f"{said['messages'][0]['id']}:0"):
        assert resume(here, said["id"], last).status_code == 204


def test_an_answer_that_a_client_stored_itself_is_told_whatever_its_parts_are(workers):
    here, _ = workers(lambda prompt: iter(["a"]))
    place = here.create("hello")["id"]
    for parts in (
        [{"type": "step-start"}, {"type": "tool-search"}],
        [{"type": "step-start"}, {"type": "data-x"}],
        [{"type": "step-start"}, {"type": "text"}],
        [{"type": "step-start"}, {}],
        [{"type": 7}],
        [{}],
    ):
        message = {"role": "assistant", "content": "Its own.", "parts": parts}
        path = f"/conversations/{place}/messages"
        stored = here.post(path, json={"messages": [message]}).json["messages"][0]
        seen = list(frames(resume(here, place, f"{stored['id']}:0").response))
        assert (text_of(seen), seen[-1].event) == ("Its own.", "done"), parts
