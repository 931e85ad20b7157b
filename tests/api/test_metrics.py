"""What /metrics tells of real traffic: over all workers, in numbers, and nothing of anybody."""

import os
import re
import signal
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from uuid import uuid4

import httpx2
import psutil
import pytest
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy.engine import make_url

from app.processes import free_port
from tests.client import Client, bearer
from tests.proxy import Proxy
from tests.scrapes import Scrape, scraped
from tests.server import Server
from tests.streams import until

SECONDS = 2.0
"""Within which /metrics must answer whatever else is the matter."""
LABEL = re.compile(r"[a-z0-9_/{}.+-]*|GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS", re.I)
UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}")
SAID = "Where is Huế? zanzibar@example.com"


class Served:
    """Two workers, each answer over a connection of its own."""

    def __init__(self, app, url, folder):
        self.url = url
        self.email = f"{uuid4().hex}@example.com"
        self._folder = folder
        self._headers = {"Authorization": f"Bearer {bearer(app, self.email)}"}

    def post(self, path, body):
        answer = httpx2.post(self.url + path, json=body, headers=self._headers, timeout=20)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def stream(self, message):
        body = {"message": message}
        return httpx2.stream("POST", f"{self.url}/chat", json=body, headers=self._headers)

    def scrape(self):
        return Scrape(httpx2.get(f"{self.url}/metrics", timeout=5).text)

    def of_each_worker(self, name):
        """What each worker has counted by itself, by its process id."""
        found = {}
        for path in self._folder.glob("parley-metrics-*/*.db"):
            pid = int(path.stem.rpartition("_")[2])
            with suppress(FileNotFoundError, struct.error):  # it ends, or it starts
                for metric in MultiProcessCollector.merge([str(path)]):
                    values = [it.value for it in metric.samples if it.name == f"parley_{name}"]
                    found[pid] = found.get(pid, 0) + sum(values)
        return found


@pytest.fixture(scope="module")
def served(app, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("counted")
    environ = {"TMPDIR": str(folder), "RESPONDER": "tests.responders:endless"}
    with Server(settings, **environ) as server:
        yield Served(app, server.url, folder)
    assert not list(folder.glob("parley-metrics-*"))


def test_the_numbers_are_those_of_all_workers_whichever_is_asked(served):
    conversation_id = served.post("/conversations", {})["id"]
    said = {"messages": [{"role": "user", "content": "Hello"}]}

    def append(_):
        served.post(f"/conversations/{conversation_id}/messages", said)

    before = served.scrape().value("messages_stored_total", role="user")
    count = 0
    with ThreadPoolExecutor(5) as threads:
        while count < 50 or 0 in served.of_each_worker("messages_stored_total").values():
            list(threads.map(append, range(50)))
            count += 50
    for _ in range(10):
        scrape = served.scrape()
        assert scrape.value("messages_stored_total", role="user") == before + count
        assert scrape.value("conversations_created_total") == 1
        route = "/conversations/{conversation_id}/messages"
        answers = {"method": "POST", "route": route, "status": "2xx"}
        assert scrape.value("request_seconds_count", **answers) == before + count
        assert scrape.value("database_query_seconds_count", route=route) >= count
        assert scrape.value("database_connections_open") <= 16
    until(lambda: served.scrape().value("database_connections_in_use") == 0)


def test_a_killed_worker_leaves_no_gauge_behind_but_what_it_counted(served):
    with served.stream("Count.") as answer:
        pieces = answer.iter_raw()  # which hangs up when it is forgotten
        next(pieces)
        stored = until(lambda: served.scrape().value("runs_active") == 1 and served.scrape())
        assert stored.value("watchers") == 1
        active = served.of_each_worker("runs_active")
        (writer,) = [pid for pid, number in active.items() if number]
        workers = len(psutil.Process(writer).parent().children())
        os.kill(writer, signal.SIGKILL)
        until(lambda: served.scrape().value("runs_active") == 0)
    after = served.scrape()
    assert after.value("watchers") == 0
    assert after.value("messages_stored_total") == stored.value("messages_stored_total")
    assert after.value("conversations_created_total") == stored.value("conversations_created_total")
    until(lambda: len(served.of_each_worker("runs_active").keys()) > workers)


def test_what_happens_is_counted_where_it_happens(app, client):
    before = scraped(app)
    conversation_id = client.create("One", "Two")["id"]
    client.say(conversation_id, "Three")
    client.ask("Four?", conversation_id=conversation_id)
    for _ in range(2):
        client.messages(conversation_id)
    assert client.get("/conversations/unknown").status_code == 404
    after = scraped(app)

    def grown(name, **labels):
        return after.value(name, **labels) - before.value(name, **labels)

    route = "/conversations/{conversation_id}"
    assert grown("messages_stored_total", role="user") == 3
    assert grown("messages_stored_total", role="assistant") == 2
    assert grown("conversations_created_total") == 1
    assert grown("runs_ended_total", status="complete", error_class="none") >= 1
    assert grown("run_seconds_count") >= 1
    assert grown("first_token_seconds_count") >= 1
    assert grown("request_seconds_count", method="GET", route=route, status="2xx") == 2
    assert grown("request_seconds_count", method="GET", route=route, status="4xx") == 1
    assert grown("database_query_seconds_count", route=f"{route}/messages") >= 1
    assert grown("database_query_seconds_count", route="run") >= 1
    assert grown("cache_events_total", event="read", reason="hit") >= 1
    assert after.value("database_connections_open") >= 1


def test_redis_away_is_told_as_errors_misses_and_an_open_breaker(make_app, email):
    client = Client(make_app(redis_url=f"redis://127.0.0.1:{free_port()}"), email)
    conversation_id = client.create("Hello")["id"]
    before = scraped(client.app)
    for _ in range(5):
        client.say(conversation_id, "Anybody there?")
        client.messages(conversation_id)
    after = scraped(client.app)
    reasons = {"error": ("connection", "breaker_open"), "read": ("away", "doubted")}
    for event, named in reasons.items():
        assert sum(
            it.value("cache_events_total", event=event, reason=reason) * sign
            for it, sign in ((after, 1), (before, -1))
            for reason in named
        )
    assert after.value("breaker_state", breaker="cache") == 2


def test_what_is_taken_back_is_not_counted(app, client, parley, database, email):
    def create_and_fail():
        with database.transaction(email) as session:
            assert parley.services.conversations.create_in(session, {})
            raise LookupError

    client.create()
    before = scraped(app).value("conversations_created_total")
    with pytest.raises(LookupError):
        create_and_fail()
    assert scraped(app).value("conversations_created_total") == before


def test_no_label_tells_of_anybody_or_of_what_was_said(app, client, email):
    record = client.create(SAID)
    client.say(record["id"], SAID)
    client.ask(SAID, conversation_id="a-clients-own-id", wire="sse")
    for path in (
        f"/conversations/{record['id']}",
        f"/conversations/{email}",
        f"/nowhere/{email}",
        f"/search?q={SAID}",
        f"/{uuid4()}",
    ):
        client.get(path)
        client.open(path, method="PURGE")
    labels = {value for it in scraped(app).samples for value in it.labels.values()}
    assert not [value for value in labels if "@" in value or UUID.search(value)]
    assert all(LABEL.fullmatch(value) for value in labels), labels
    for word in ("zanzibar", "Huế", "a-clients-own-id", email.partition("@")[0], client.token):
        assert not [value for value in labels if word in value]


def test_conversations_with_a_new_message_are_active_for_a_quarter_of_an_hour(app, client, rows):
    before = scraped(app).value("active_conversations")
    one, other = client.create("Hello")["id"], client.create("Hello", "And hello")["id"]
    client.create()
    assert scraped(app).value("active_conversations") == before + 2
    rows.run(
        "UPDATE messages SET created_at = now() - interval '901 seconds' "
        "WHERE conversation_id = :one",
        one=one,
    )
    client.say(other, "Once more")
    assert scraped(app).value("active_conversations") == before + 1


def test_it_answers_in_time_while_postgresql_is_away_or_does_not_answer(make_app, settings):
    url = make_url(settings.database_url)
    with Proxy(url.port) as proxy:
        there = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        app = make_app(database_url=there)
        assert scraped(app).has("active_conversations")
        for make_it_so in (lambda: setattr(proxy, "swallows", True), proxy.stop):
            make_it_so()
            started = monotonic()
            scrape = scraped(app)
            assert monotonic() - started < SECONDS
            assert scrape.has("messages_stored_total")
            assert not scrape.has("active_conversations")


def test_it_is_text_that_prometheus_takes_and_needs_no_token(app):
    answer = app.test_client().get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert Scrape(answer.text).has("build_info", version="development")


def test_switched_off_it_is_not_there(make_app, email):
    app = make_app(enable_metrics=False)
    client = Client(app, email)
    assert client.get("/metrics").status_code == 404
    assert client.get("/openapi.json").json["paths"].keys() & {"/metrics"} == set()
    assert "metrics" not in {tag["name"] for tag in client.get("/openapi.json").json["tags"]}
