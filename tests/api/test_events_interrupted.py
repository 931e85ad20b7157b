"""Tabs whose worker is stopped, or loses Redis or PostgreSQL for a while."""

from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Thread
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx2
import pytest

from app.cache import subscription
from app.cache.changes import MOST_OF_AN_OWNER, channel_of
from tests.client import Client, bearer
from tests.proxy import Proxy
from tests.server import Server
from tests.streams import until
from tests.tabs import PATIENCE, Tab, heard, hub_of, open_tabs, tab_of


@pytest.fixture
def over_http(app, email):
    # Not kept alive: a worker that is asked to end waits five seconds for idle connections.
    headers = {"Authorization": f"Bearer {bearer(app, email)}", "Connection": "close"}
    with httpx2.Client(headers=headers, timeout=30) as http:
        yield http


def test_two_gunicorn_workers_tell_the_same(client, server, over_http):
    url = f"{server.url}/conversations/{client.create('Hello')['id']}"
    with ExitStack() as stack:
        streams = [over_http.stream("GET", f"{url}/events") for _ in range(6)]
        tabs = [Tab(stack.enter_context(stream).iter_raw()) for stream in streams]
        heard(tabs, "state")
        body = {"messages": [{"role": "user", "content": "And?"}]}
        appended = over_http.post(f"{url}/messages", json=body).json()
        (told,) = heard(tabs, "messages")
        assert told["messages"] == appended["messages"]
        assert over_http.delete(url).status_code == 200
        heard(tabs, "deleted")
        assert all(tab.ends() for tab in tabs)


def test_a_worker_lets_go_of_who_leaves_and_of_all_when_it_is_stopped(client, settings, over_http):
    conversation_id = client.create("Hello")["id"]
    with Server(settings, WEB_CONCURRENCY="1") as server:
        url = f"{server.url}/conversations/{conversation_id}/events"
        with ExitStack() as stack:
            streams = [over_http.stream("GET", url) for _ in range(MOST_OF_AN_OWNER)]
            assert {stack.enter_context(stream).status_code for stream in streams} == {200}
            assert over_http.get(f"{url}?seconds=0").status_code == 429

        def is_let_in():
            client.say(conversation_id, "Is anybody there?")  # who has left is noticed by writing
            return over_http.get(f"{url}?seconds=0").status_code == 200

        until(is_let_in, seconds=PATIENCE)
        with over_http.stream("GET", url) as answer:
            tab = Tab(answer.iter_raw())
            tab.hear("state")
            stopping = Thread(target=server.stop)
            stopping.start()
            assert tab.ends()  # long before the worker's time is over
            stopping.join()


def test_all_streams_end_at_once_when_the_worker_does(make_app, email):
    client = Client(make_app(), email)
    conversation_id = client.create("Hello")["id"]
    tabs = open_tabs(conversation_id, client, client)
    hub_of(client).close()
    assert all(tab.ends() for tab in tabs)
    late = tab_of(client, conversation_id)
    assert late.hear("state")
    assert late.ends()


@pytest.fixture
def cable(settings, monkeypatch):
    """What leads to Redis, which is trusted again soon after an interruption."""
    monkeypatch.setattr(subscription, "DISTRUST_SECONDS", 0.2)
    with Proxy(urlsplit(settings.redis_url).port) as proxy:
        yield proxy


def through(cable, url):
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{cable.port}")).geturl()


@contextmanager
def cut(cable):
    cable.stop()
    yield
    cable.resume()


@contextmanager
def dead(cable):
    cable.swallows = True
    yield
    cable.swallows = False


@contextmanager
def talking_nonsense(cable):
    cable.forged = b"*1\r\n:1\r\nnonsense\r\n"
    yield
    cable.forged = None


@pytest.mark.parametrize("trouble", [cut, dead, talking_nonsense])
def test_while_redis_is_away_tabs_are_told_and_at_once_when_it_is_back(
    make_app, settings, email, cable, trouble
):
    url = through(cable, settings.redis_url)
    writer, reader = (Client(make_app(redis_url=url), email) for _ in range(2))
    conversation_id = writer.create("Hello")["id"]
    tabs = open_tabs(conversation_id, writer, reader)
    with trouble(cable):
        assert writer.say(conversation_id, "Redis is away").status_code == 201
        heard(tabs, "messages")
        writer.patch(f"/conversations/{conversation_id}", json={"title": "Away"})
        heard(tabs, "title")
    until(partial(hub_of(reader).hears, channel_of(email)), seconds=PATIENCE)
    redis = writer.app.extensions["parley"].redis
    until(lambda: redis.set("nobody", b"", ttl_ms=1000), seconds=PATIENCE)
    writer.say(conversation_id, "Redis is back")
    heard(tabs, "messages")


def test_while_postgresql_is_away_a_tab_stays_and_is_told_later(make_app, settings, rows, email):
    with Proxy(urlsplit(settings.database_url).port) as cable:
        client = Client(make_app(database_url=through(cable, settings.database_url)), email)
        conversation_id = client.create("Hello")["id"]
        (tab,) = open_tabs(conversation_id, client)
        cable.stop()
        rows.run(
            "UPDATE conversations SET title = 'New', revision = revision + 1, rev = :rev "
            "WHERE id = :id",
            id=conversation_id,
            rev=uuid4(),
        )
        hub_of(client).announce(email, [UUID(conversation_id)])
        signs = tab.signs_of_life
        until(lambda: tab.signs_of_life > signs)
        cable.resume()
        assert tab.hear("title")[0]["title"] == "New"


def test_without_redis_tabs_on_two_workers_are_told(make_app, email):
    writer, reader = (Client(make_app(redis_url=None), email) for _ in range(2))
    conversation_id = writer.create("Hello")["id"]
    tabs = [tab_of(client, conversation_id) for client in (writer, reader)]
    heard(tabs, "state")
    writer.say(conversation_id, "And?")
    heard(tabs, "messages")
