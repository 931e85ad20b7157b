"""Two gunicorn workers and their cache, as clients meet them."""

import random
from contextlib import ExitStack
from threading import Event
from uuid import uuid4

import httpx2
import pytest

from tests.client import at_once, bearer
from tests.redis_servers import RedisServer
from tests.scrapes import Scrape
from tests.server import Server

CLIENTS = 8
ROUNDS = 15


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def served(app, settings, redis):
    with Server(settings, REDIS_URL=redis.url) as server:
        yield server


class Someone:
    """A person whose every request may come to another worker."""

    def __init__(self, app, server, seed):
        self.chosen = random.Random(seed)
        self.email = f"{uuid4().hex}@example.com"
        self._http = httpx2.Client(
            base_url=server.url,
            headers={"Authorization": f"Bearer {bearer(app, self.email)}"},
            limits=httpx2.Limits(max_keepalive_connections=0),
            timeout=20,
        )

    def call(self, method, path, **options):
        """On a connection of its own, which any worker may take."""
        answer = self._http.request(method, path, **options)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def create(self):
        return self.call("POST", "/conversations", json={"messages": [self.said("Hello")]})

    def said(self, text):
        return {"role": "user", "content": f"{text} from {self.email}"}

    def append(self, place):
        body = {"messages": [self.said(uuid4().hex)]}
        return self.call("POST", f"/conversations/{place}/messages", json=body)["revision"]

    def rename(self, place):
        body = {"title": uuid4().hex}
        return self.call("PATCH", f"/conversations/{place}", json=body)["revision"]

    def read(self, place, limit=50):
        return self.call("GET", f"/conversations/{place}?limit={limit}")


def converse(someone, rounds=ROUNDS):
    """Writes and reads by turns: how many reads were older than what was acknowledged."""
    made = someone.create()
    place, acknowledged, old = made["id"], made["revision"], 0
    for _ in range(rounds):
        write = someone.chosen.choice([someone.append, someone.append, someone.rename])
        acknowledged = max(acknowledged, write(place))
        for _ in range(2):
            found = someone.read(place, someone.chosen.choice([1, 5, 50]))
            old += found["revision"] < acknowledged
            assert all(someone.email in it["content"] for it in found["messages"])
    whole = someone.read(place, 100)
    assert whole["message_count"] == len(whole["messages"])
    return old


def test_what_one_worker_writes_the_other_shows_at_once(app, served):
    seed = random.randrange(2**32)
    print("seed", seed)
    people = [Someone(app, served, seed + number) for number in range(CLIENTS)]
    assert sum(at_once(converse, people)) == 0


def test_many_who_write_into_one_conversation_never_read_what_was_before_their_write(app, served):
    someone = Someone(app, served, 0)
    place = someone.create()["id"]

    def write_and_read(_):
        revisions = []
        for _ in range(8):
            acknowledged = someone.append(place)
            found = someone.read(place)["revision"]
            assert found >= acknowledged
            revisions.append(found)
        return revisions

    for revisions in at_once(write_and_read, range(CLIENTS)):
        assert revisions == sorted(revisions)


def events(server):
    scraped = Scrape(httpx2.get(f"{server.url}/metrics", timeout=5).text)
    return {
        sample.labels["reason"]: sample.value
        for sample in scraped.samples
        if sample.name == "parley_cache_events_total" and sample.labels["event"] == "read"
    }


def test_an_active_conversation_is_read_from_redis(app, served):
    """Ask, answer, reload: what a tab does."""
    before = events(served)
    someone = Someone(app, served, 0)
    place = someone.create()["id"]
    for number in range(25):
        body = {"message": f"What is {number}?", "conversation_id": place}
        someone.call("POST", "/chat?wire=json", json=body)
        someone.read(place)
    grown = {reason: value - before.get(reason, 0) for reason, value in events(served).items()}
    rate = grown["hit"] / sum(grown.values())
    print(f"hit rate {rate:.3f} of {sum(grown.values()):.0f} reads")
    assert rate >= 0.9


def test_nothing_old_is_shown_while_redis_dies_and_comes_back(app, served, redis):
    people = [Someone(app, served, number) for number in range(CLIENTS - 1)]
    is_over = Event()

    def die(_):
        while not is_over.wait(0.7):
            redis.stop()
            is_over.wait(0.7)
            redis.start()
        return 0

    def talk(someone):
        return converse(someone, rounds=12)

    with ExitStack() as stack:
        stack.callback(is_over.set)
        work = [(die, None), *((talk, someone) for someone in people)]
        left = len(people)

        def do(item):
            nonlocal left
            deed, someone = item
            try:
                return deed(someone)
            finally:
                left -= someone is not None
                if not left:
                    is_over.set()

        assert sum(at_once(do, work)) == 0
