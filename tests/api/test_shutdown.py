"""A server that is asked to end: answers are finished, or broken off with all that was said."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from threading import Semaphore, Thread
from uuid import uuid4

import httpx2
import pytest

from tests.client import Client, bearer
from tests.responders import Gate
from tests.server import Server
from tests.streams import frames, text_of, until

BRIEF, LONG = "Be brief.", "Tell me all."
STORED = """
SELECT m.id, m.status, m.error_class, m.content, q.content AS question FROM messages m
JOIN messages q ON q.conversation_id = m.conversation_id AND q.id = m.parent_id
WHERE m.user_email = :email
"""


class Listener:
    """Somebody who asks, or watches, over HTTP, and notes all that is told."""

    def __init__(self, app, server, email, begun):
        self._url, self._begun = server.url, begun
        self._headers = {"Authorization": f"Bearer {bearer(app, email)}"}
        self.seen = []

    def ask(self, question):
        return self._listen("POST", "/chat?wire=sse", json={"message": question})

    def watch(self, conversation_id):
        return self._listen("GET", f"/chat/{conversation_id}/stream?wire=sse")

    @property
    def conversation_id(self):
        return until(lambda: self.seen, seconds=30)[0].data["conversation_id"]

    def _listen(self, method, path, **options):
        with (
            httpx2.Client(headers=self._headers, timeout=40) as http,
            http.stream(method, self._url + path, **options) as answer,
        ):
            assert answer.status_code == 200
            for frame in frames(answer.iter_bytes()):
                self.seen.append(frame)
                if len(self.seen) == 3:
                    self._begun.release()
        return self


@pytest.mark.parametrize("worker_class", ["gevent", "gthread"])
def test_short_answers_are_finished_and_long_ones_broken_off_with_all_that_was_said(
    app, settings, rows, tmp_path, worker_class
):
    begun, emails = Semaphore(0), [f"{uuid4().hex}@example.com" for _ in range(2)]
    environ = {"WORKER_CLASS": worker_class, "GRACE_SECONDS": "3"}
    environ["ENDING"] = str(tmp_path / "ending")
    with (
        Server(settings, application="tests.hurried:app", **environ) as server,
        ThreadPoolExecutor(16) as threads,
    ):
        asking = [(email, text) for email in emails for text in (BRIEF, BRIEF, LONG, LONG)]
        askers = [Listener(app, server, email, begun) for email, _ in asking]
        told = [threads.submit(it.ask, text) for it, (_, text) in zip(askers, asking, strict=True)]
        watchers = [Listener(app, server, email, begun) for email, _ in asking]
        told += [
            threads.submit(watcher.watch, asker.conversation_id)
            for watcher, asker in zip(watchers, askers, strict=True)
        ]
        assert all(begun.acquire(timeout=30) for _ in told)
        (tmp_path / "ending").touch()
        asked_to_end = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - asked_to_end < 30
        heard = [listener.result(20).seen for listener in told]
    answers = list(chain(*(rows.run(STORED, email=email) for email in emails)))
    assert len(answers) == len(asking)
    for row in answers:
        seen = [it for it in heard if it[0].data["message_id"] == str(row.id)]
        assert [text_of(it) for it in seen] == [row.content, row.content]
        assert row.content.startswith("0 字 1 字 2 字 ")
        if row.question == BRIEF:
            assert (row.status, row.content[-10:]) == ("complete", "and 9 end.")
            assert [it[-1].event for it in seen] == ["done", "done"]
        else:
            assert (row.status, row.error_class) == ("interrupted", "shutdown")
            assert [it[-1].data["code"] for it in seen] == ["shutdown", "shutdown"]
    left = "SELECT 1 FROM run_chunks WHERE user_email = ANY(:emails)"
    assert rows.run(left, emails=emails) == []


# One process


@pytest.fixture
def gate():
    gate = Gate("so far")
    yield gate
    gate.open()


@pytest.fixture
def client(make_app, email, gate):
    return Client(make_app(gate), email)


def ask(client):
    """An answer whose first words were said, and that nobody listens to any more."""
    response = client.ask("Where is Huế?", wire="sse")
    heard = frames(response.response)
    place = next(heard).data["conversation_id"]
    assert next(heard).data == {"text": "so far"}
    response.close()
    return place


def test_who_drains_waits_for_answers_that_nobody_listens_to(client, gate):
    place, parley = ask(client), client.app.extensions["parley"]
    draining = Thread(target=parley.drain)
    draining.start()
    gate.open()
    draining.join(10)
    assert not draining.is_alive()
    assert client.messages(place)[-1]["content"] == "so farafter"


def test_what_is_not_over_in_time_is_kept_though_its_model_hangs(client, gate):
    place, parley = ask(client), client.app.extensions["parley"]
    parley.runner.end_soon(0)
    parley.drain()
    answer = client.messages(place)[-1]
    assert (answer["status"], answer["error_class"]) == ("interrupted", "shutdown")
    assert answer["content"] == "so far"
    gate.open()
    assert gate.closed.wait(5)
    assert client.messages(place)[-1] == answer


def test_a_second_request_to_end_gives_no_more_time(client):
    place, runner = ask(client), client.app.extensions["parley"].runner
    runner.end_soon(0)
    runner.end_soon(100)
    until(lambda: client.messages(place)[-1]["status"] == "interrupted")


def test_where_nothing_is_written_nothing_is_waited_for(client):
    draining = Thread(target=client.app.extensions["parley"].drain)
    draining.start()
    draining.join(10)
    assert not draining.is_alive()
