"""What /metrics tells of answers that somebody comes back to, or ends for their writer."""

from operator import gt

import pytest

from tests.client import Client
from tests.responders import Gate
from tests.scrapes import scraped
from tests.streams import until

RUNNING = "SELECT id FROM runs WHERE conversation_id = :it AND status = 'running'"


@pytest.fixture
def gate():
    gate = Gate("half an ")
    yield gate
    gate.opened.set()


def test_who_comes_back_to_an_answer_and_who_ends_it_for_its_writer_is_counted(
    make_app, gate, email, rows
):
    client = Client(make_app(gate), email)
    before = scraped(client.app)
    answer = client.ask("Anyone?", wire="text")
    conversation_id = answer.headers["X-Conversation-Id"]
    assert gate.reached.wait(10)
    client.get(f"/chat/{conversation_id}/stream").close()
    resumed = scraped(client.app)
    assert resumed.value("answers_resumed_total") == before.value("answers_resumed_total") + 1
    assert resumed.value("runs_active") >= 1

    def reaped(scrape):
        fenced = {"status": "interrupted", "error_class": "fenced"}
        return scrape.value("runs_reaped_total"), scrape.value("runs_ended_total", **fenced)

    def is_reaped_here():
        """Other processes on this database end such runs as well."""
        left = client.ask("Anyone?", wire="text").headers["X-Conversation-Id"]
        assert client.delete(f"/conversations/{left}").status_code == 200
        until(lambda: not rows.run(RUNNING, it=left))
        return all(map(gt, reaped(scraped(client.app)), reaped(before)))

    until(is_reaped_here)
    answer.close()
