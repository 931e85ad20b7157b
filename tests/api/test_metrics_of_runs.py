"""What /metrics tells of answers, where no other process can be the one that ends them."""

from operator import gt

from tests.client import Client
from tests.responders import Gate
from tests.scrapes import scraped
from tests.streams import until


def test_who_comes_back_to_an_answer_and_who_ends_it_for_its_writer_is_counted(make_app, email):
    gate = Gate("half an ")
    client = Client(make_app(gate), email)
    before = scraped(client.app)
    answer = client.ask("Anyone?", wire="text")
    conversation_id = answer.headers["X-Conversation-Id"]
    assert gate.reached.wait(10)
    client.get(f"/chat/{conversation_id}/stream").close()
    resumed = scraped(client.app)
    assert resumed.value("answers_resumed_total") == before.value("answers_resumed_total") + 1
    assert resumed.value("runs_active") >= 1
    assert client.delete(f"/conversations/{conversation_id}").status_code == 200

    def reaped(scrape):
        fenced = {"status": "interrupted", "error_class": "fenced"}
        return scrape.value("runs_reaped_total"), scrape.value("runs_ended_total", **fenced)

    until(lambda: all(map(gt, reaped(scraped(client.app)), reaped(before))))
    gate.opened.set()
    answer.close()
