"""The same question again, because its answer got lost on the way or did not come to its end."""

from threading import Barrier, Event, Lock, Thread

import pytest

from app.errors import ModelTimeoutError
from tests.client import Client, at_once
from tests.evidence import assert_problem
from tests.responders import Gate
from tests.streams import frames, text_of, until

QUESTION = "Where is Huế?"


class Moody:
    """A model that fails after half an answer as often as it is told to; it counts its calls."""

    def __init__(self, fails=0):
        self.calls = 0
        self._fails = fails
        self._counting = Lock()

    def __call__(self, prompt):
        with self._counting:
            self.calls += 1
            call = self.calls
        yield f"{call}: half"
        if call <= self._fails:
            raise ModelTimeoutError
        yield " and whole"


@pytest.fixture
def gate():
    gate = Gate("so far")
    yield gate
    gate.open()


def again(client, place, *, text=QUESTION, **fields):
    """The question's frames, asked under its one id."""
    named = {} if place is None else {"conversation_id": place}
    body = {"client_message_id": "q-1", **named, **fields}
    return list(frames(client.ask(text, wire="sse", **body).response))


def ending_of(seen):
    return seen[-1].event, seen[-1].data.get("status"), seen[-1].data.get("code")


def answers_of(rows, email):
    return rows.run(
        "SELECT * FROM messages WHERE user_email = :email AND role = 'assistant' ORDER BY seq",
        email=email,
    )


@pytest.mark.parametrize("is_retry", [False, True])
def test_an_answer_that_is_complete_is_told_again_and_not_asked_again(workers, rows, is_retry):
    model = Moody()
    here, other = workers(model)
    first = again(here, None)
    place = first[0].data["conversation_id"]
    for client in (here, other):
        for where in (place, None):
            seen = again(client, where, retry=is_retry)
            assert text_of(seen) == "1: half and whole"
            assert seen[0].data["message_id"] == first[0].data["message_id"]
            assert seen[-1].data["message"] == first[-1].data["message"]
    assert model.calls == 1
    assert len(answers_of(rows, here.email)) == 1


@pytest.mark.parametrize("is_retry", [False, True])
def test_an_answer_that_is_being_written_is_joined_from_anywhere(workers, rows, gate, is_retry):
    here, other = workers(gate)
    asked = frames(here.ask(QUESTION, wire="sse", client_message_id="q-1").response)
    first = next(asked)
    joined = []
    for client in (here, other):
        response = client.ask(QUESTION, wire="sse", client_message_id="q-1", retry=is_retry)
        joined.append(frames(response.response))
        assert next(joined[-1]).data["message_id"] == first.data["message_id"]
    gate.open()
    assert [text_of(seen) for seen in (asked, *joined)] == ["so farafter"] * 3
    assert len(gate.prompts) == len(answers_of(rows, here.email)) == 1


def break_off(client, status, place):
    """Lets an answer end so; what is stored of it."""
    if status == "failed":
        seen = again(client, place)
        return seen[0].data, "1: half"
    response = client.ask(QUESTION, wire="sse", client_message_id="q-1", conversation_id=place)
    heard = frames(response.response)
    first = next(heard)
    while next(heard).event != "delta":
        pass
    if status == "cancelled":
        client.post(f"/chat/{place}/stop")
    else:
        client.app.extensions["parley"].runner.end_soon(0)
    list(heard)
    return first.data, "so far"


@pytest.mark.parametrize(
    ("status", "error_class"),
    [("failed", "timeout"), ("cancelled", "stopped"), ("interrupted", "shutdown")],
)
def test_an_answer_that_was_broken_off_is_told_as_it_is_until_it_is_retried(
    make_app, rows, email, gate, status, error_class
):
    model = Moody(fails=1) if status == "failed" else gate
    client = Client(make_app(model), email)
    place = client.create("hello", "there")["id"]
    first, text = break_off(client, status, place)
    other = Client(make_app(lambda prompt: iter(["at last"])), email)
    for _ in range(2):
        seen = again(other, place)
        assert seen[0].data["message_id"] == first["message_id"]
        assert (text_of(seen), ending_of(seen)) == (text, ("error", status, error_class))
    retried = again(other, place, retry=True)
    assert (text_of(retried), retried[-1].event) == ("at last", "done")
    assert retried[0].data["user_message_id"] == first["user_message_id"]
    told = again(other, place)
    assert told[0].data["message_id"] == retried[0].data["message_id"] != first["message_id"]
    assert text_of(again(other, place, retry=True)) == "at last"
    *_, broken, whole = answers_of(rows, email)
    assert (broken.status, broken.content, broken.error_class) == (status, text, error_class)
    assert (whole.parent_id, whole.content) == (broken.parent_id, "at last")
    assert [it["content"] for it in other.messages(place)][-1] == "at last"


@pytest.mark.parametrize("model_is", ["quick", "slow"])
def test_however_many_retry_at_once_there_is_one_more_answer(workers, rows, gate, model_is):
    model = Moody(fails=1)
    calls = []

    def answer(prompt):
        calls.append(prompt)
        yield from model(prompt) if model_is == "quick" or len(calls) == 1 else gate(prompt)

    pair = workers(answer)
    place = again(pair[0], None)[0].data["conversation_id"]
    retries = [Client(pair[n % 2].app, pair[0].email) for n in range(32)]
    begun = Barrier(32, action=gate.open)

    def retry(client):
        body = {"client_message_id": "q-1", "conversation_id": place, "retry": True}
        response = client.ask(QUESTION, wire="sse", **body)
        seen = frames(response.response)
        first = next(seen)
        begun.wait()
        return [first, *seen]

    told = at_once(retry, retries)
    assert len(calls) == 2
    assert len({seen[0].data["message_id"] for seen in told}) == 1
    assert len({text_of(seen) for seen in told}) == 1
    assert {seen[-1].event for seen in told} == {"done"}
    assert [it.status for it in answers_of(rows, pair[0].email)] == ["failed", "complete"]


def test_a_retry_that_comes_late_makes_no_second_answer(workers, rows, monkeypatch):
    """It saw the broken answer; another's retry begins and ends before it goes on."""
    model, seen, over = Moody(fails=1), Event(), Event()
    here, other = workers(model)
    place = again(here, None)[0].data["conversation_id"]
    answers = here.app.extensions["parley"].services.answers
    newest = answers.newest

    def newest_then_wait(*arguments):
        found = newest(*arguments)
        if not seen.is_set():
            seen.set()
            over.wait(10)
        return found

    monkeypatch.setattr(answers, "newest", newest_then_wait)
    late = []
    asking = Thread(target=lambda: late.extend(again(here, place, retry=True)))
    asking.start()
    assert seen.wait(5)
    told = again(other, place, retry=True)
    over.set()
    asking.join(10)
    assert text_of(late) == text_of(told) == "2: half and whole"
    assert model.calls == len(answers_of(rows, here.email)) == 2


def test_a_retry_of_what_was_never_asked_is_a_question(workers):
    model = Moody()
    here, _ = workers(model)
    assert text_of(again(here, None, retry=True)) == "1: half and whole"
    assert text_of(again(here, None, retry=True)) == "1: half and whole"
    assert text_of(list(frames(here.ask("Else?", wire="sse", retry=True).response)))
    assert model.calls == 2


def test_as_often_as_the_model_fails_it_can_be_asked_again(workers, rows):
    model = Moody(fails=3)
    here, other = workers(model)
    place = again(here, None)[0].data["conversation_id"]
    endings = [again(it, place, retry=True)[-1].event for it in (here, other, here, other, here)]
    assert endings == ["error", "error", "done", "done", "done"]
    assert [it.status for it in answers_of(rows, here.email)] == [*["failed"] * 3, "complete"]
    assert model.calls == 4


def test_other_words_under_the_same_id_are_a_conflict_retried_or_not(workers, rows):
    model = Moody(fails=1)
    here, other = workers(model)
    place = again(here, None)[0].data["conversation_id"]
    before = rows.of(here.email)
    for client in (here, other):
        for fields in ({}, {"retry": True}):
            answer = client.ask(
                "Something else?", conversation_id=place, client_message_id="q-1", **fields
            )
            assert_problem(answer, 409, "payload_mismatch")
    assert rows.of(here.email) == before
    assert model.calls == 1


def test_nobody_retries_what_somebody_else_asked(workers, stranger, rows):
    model = Moody(fails=1)
    here, _ = workers(model)
    place = again(here, None)[0].data["conversation_id"]
    before = rows.of(here.email)
    theirs = Client(here.app, stranger.email)
    body = {"conversation_id": place, "client_message_id": "q-1", "retry": True}
    assert_problem(theirs.ask(QUESTION, **body), 404, "not_found")
    assert rows.of(here.email) == before


def test_what_is_asked_again_when_the_quota_is_used_up_is_told_again(workers):
    here, other = workers(Moody(), daily_message_quota=1)
    place = again(here, None)[0].data["conversation_id"]
    assert text_of(again(other, place)) == "1: half and whole"
    assert_problem(other.ask("Else?", conversation_id=place), 429, "quota_used_up")


def test_a_retry_whose_first_answer_is_being_written_ends_with_it(workers, gate):
    here, other = workers(gate)
    response = here.ask(QUESTION, wire="sse", client_message_id="q-1")
    first = next(frames(response.response))
    response.close()
    gate.open()
    place = first.data["conversation_id"]
    until(lambda: here.messages(place)[-1]["status"] == "complete")
    assert again(other, place, retry=True)[0].data["message_id"] == first.data["message_id"]
    assert len(gate.prompts) == 1
