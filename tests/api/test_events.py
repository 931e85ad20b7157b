"""What the tabs that have a conversation open are told, by whichever worker serves them."""

from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Thread
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import event as engine_event

from app import TextDelta
from app.cache import subscription
from app.cache.changes import MOST_OF_AN_OWNER, channel_of
from tests.client import Client, bearer
from tests.evidence import assert_problem
from tests.proxy import Proxy
from tests.responders import Gate
from tests.server import Server
from tests.streams import until
from tests.tabs import PATIENCE, Tab, tab_of


@pytest.fixture
def gate():
    return Gate("before", after=("after",))


@pytest.fixture
def writer(make_app, email, gate):
    """Somebody on one worker, with a model that waits to be let go on."""
    return Client(make_app(gate), email)


@pytest.fixture
def reader(make_app, email):
    """The same person on another worker."""
    return Client(make_app(), email)


def hub_of(client):
    return client.app.extensions["parley"].changes


def open_tabs(conversation_id, *clients):
    """A tab on each worker, when both hear what the other announces; and both know the state."""
    tabs = [tab_of(client, conversation_id) for client in clients]
    for client, tab in zip(clients, tabs, strict=True):
        until(partial(hub_of(client).hears, channel_of(client.email)), seconds=PATIENCE)
        tab.hear("state")
    return tabs


def heard(tabs, *names):
    """What all tabs hear, which is the same for all."""
    first, *others = [tab.hear(*names) for tab in tabs]
    assert all(other == first for other in others)
    return first


def test_tabs_on_two_workers_are_told_of_whatever_changes(writer, reader, gate):
    made = writer.create("Where is Huế?", "In Vietnam.", "And Đà Nẵng?")
    path, (first, second, third) = f"/conversations/{made['id']}", made["messages"]
    tabs = open_tabs(made["id"], writer, reader)

    appended = writer.say(made["id"], "Tell me!").json
    (told,) = heard(tabs, "messages")
    assert told["messages"] == appended["messages"]
    assert (told["message_count"], told["removed"]) == (4, 0)
    assert told["revision"] == appended["revision"]

    edited = writer.patch(f"{path}/messages/{third['id']}", json={"content": "And Hội An?"}).json
    told, branch = heard(tabs, "messages", "branch")
    assert [turn["content"] for turn in told["messages"]] == ["And Hội An?"]
    leaf = edited["message"]["id"]
    assert branch == {"revision": edited["revision"], "active_leaf_id": leaf}

    writer.put(f"{path}/active-leaf", json={"message_id": third["id"]})
    (branch,) = heard(tabs, "branch")
    assert branch["active_leaf_id"] == appended["messages"][0]["id"]

    writer.delete(f"{path}/messages/{third['id']}")
    told, branch = heard(tabs, "messages", "branch")
    assert (told["messages"], told["removed"], told["message_count"]) == ([], 2, 3)
    assert branch["active_leaf_id"] == leaf

    renamed = writer.patch(path, json={"title": "Central Vietnam"}).json
    (title,) = heard(tabs, "title")
    assert title == {"revision": renamed["revision"], "title": "Central Vietnam"}

    writer.patch(path, json={"tags": ["travel"], "is_pinned": True})
    assert heard(tabs, "changed") == [{"revision": renamed["revision"] + 1}]

    answer = writer.post(f"{path}/messages/{first['id']}/regenerate?wire=sse")
    told, branch = heard(tabs, "messages", "branch")
    (streaming,) = told["messages"]
    assert (streaming["status"], streaming["parent_id"]) == ("streaming", first["id"])
    assert branch["active_leaf_id"] == streaming["id"] != second["id"]
    gate.opened.set()
    (told,) = heard(tabs, "messages")
    (finished,) = told["messages"]
    assert (finished["id"], finished["status"]) == (streaming["id"], "complete")
    assert finished["content"] == "beforeafter"
    assert (told["removed"], told["message_count"]) == (0, 4)
    answer.get_data()

    writer.delete(path)
    heard(tabs, "deleted")
    assert all(tab.ends() for tab in tabs)


def test_tabs_are_told_of_deletion_in_whatever_way(writer, reader):
    bulk = {"trash": {"action": "trash"}, "delete": {"action": "delete"}}
    ways = {
        "erasure": lambda name: writer.delete(f"/conversations/{name}?permanent=true"),
        **{
            action: lambda name, body=body: writer.post(
                "/conversations/bulk", json=body | {"ids": [name]}
            )
            for action, body in bulk.items()
        },
    }
    for how, delete in ways.items():
        conversation_id = writer.create("Hello")["id"]
        tabs = open_tabs(conversation_id, writer, reader)
        assert delete(conversation_id).status_code == 200, how
        heard(tabs, "deleted")
        assert all(tab.ends() for tab in tabs)


def test_a_first_answer_brings_its_messages_and_the_title_that_it_gives(client):
    conversation_id = client.create()["id"]
    (tab,) = open_tabs(conversation_id, client)
    asked = client.ask("Where is Huế?", conversation_id=conversation_id).json
    until(lambda: asked["revision"] in [told.data["revision"] for told in tab.told])
    names = [told.event for told in tab.told]
    assert names[:3] == ["state", "messages", "title"]
    assert set(names[3:]) <= {"messages"}
    seen = {turn["id"]: turn for told in tab.told for turn in told.data.get("messages", ())}
    assert set(seen) == {asked["user_message_id"], asked["message"]["id"]}
    assert seen[asked["message"]["id"]] == asked["message"]


class Naming:
    """A responder that names conversations."""

    def stream(self, prompt):
        yield TextDelta("Because.")

    def title(self, prompt, answer):
        return "A better title"


def test_a_title_that_the_responder_gives_is_told(make_app, email):
    client = Client(make_app(Naming()), email)
    conversation_id = client.create()["id"]
    (tab,) = open_tabs(conversation_id, client)
    client.ask("Why is the sky blue?", conversation_id=conversation_id)
    until(lambda: "A better title" in [told.data.get("title") for told in tab.told])


@pytest.fixture
def over_http(app, email):
    headers = {"Authorization": f"Bearer {bearer(app, email)}"}
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


def test_who_comes_back_is_told_what_was_missed(writer, gate):
    conversation_id = writer.create("Hello")["id"]
    question = writer.ask("Go on?", wire="sse", conversation_id=conversation_id)
    (tab,) = open_tabs(conversation_id, writer)
    last = tab.told[-1].mark
    gate.opened.set()
    question.get_data()
    writer.say(conversation_id, "Thanks!")
    again = tab_of(writer, conversation_id, seconds=0, **{"Last-Event-ID": last})
    state, told = again.hear("state", "messages")
    assert [turn["content"] for turn in told["messages"]] == ["beforeafter", "Thanks!"]
    assert [turn["status"] for turn in told["messages"]] == ["complete", "complete"]
    assert told["revision"] == state["revision"]
    assert again.ends()

    for known in (again.told[-1].mark, "99-1", "x", "1", "1-2-3", "٣-٤", "9" * 40):
        tab = tab_of(writer, conversation_id, seconds=0, **{"Last-Event-ID": known})
        assert tab.hear("state") == [state]
        assert tab.ends()


def test_who_missed_very_much_is_told_to_read_again(client):
    conversation_id = client.create("Hello")["id"]
    (tab,) = open_tabs(conversation_id, client)
    first = tab.told[0].mark
    for _ in range(2):
        client.say(conversation_id, *["!"] * 60)
    tab = tab_of(client, conversation_id, seconds=0, **{"Last-Event-ID": first})
    (state,) = tab.hear("state")
    assert state["message_count"] == 121
    assert tab.ends()


def test_only_the_owner_of_a_live_conversation_may_listen(client, stranger):
    conversation_id = client.create(client_id="chat-1")["id"]
    paths = [f"/conversations/{name}/events" for name in (conversation_id, "chat-1", uuid4())]
    for path in paths * MOST_OF_AN_OWNER:
        assert_problem(stranger.get(path), 404, "not_found")
    assert tab_of(client, "chat-1", seconds=0).hear("state")
    client.delete(f"/conversations/{conversation_id}")
    for path in paths:
        assert_problem(client.get(path), 404, "not_found")
    assert_problem(client.get(f"{paths[0]}?seconds=3601"), 422, "invalid_fields")


def test_nobody_hears_anything_of_what_is_somebody_elses(client, stranger):
    mine, theirs = client.create("Hello")["id"], stranger.create("Hello")["id"]
    (tab,) = open_tabs(theirs, stranger)
    client.say(mine, "A secret")
    hub_of(client).announce(stranger.email, [UUID(mine)])
    hub_of(client).announce(client.email, [UUID(theirs)])
    stranger.say(theirs, "The end")
    (told,) = tab.hear("messages")
    assert [turn["content"] for turn in told["messages"]] == ["The end"]


def test_a_user_has_only_so_many_streams_and_those_who_left_do_not_count(make_app, email):
    client = Client(make_app(), email)
    conversation_id = client.create("Hello")["id"]
    path = f"/conversations/{conversation_id}/events"
    answers = [client.get(path) for _ in range(MOST_OF_AN_OWNER)]
    assert {answer.status_code for answer in answers} == {200}
    refused = client.get(path)
    assert_problem(refused, 429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) >= 1
    for answer in answers:
        answer.close()
    del answers, answer
    assert tab_of(client, conversation_id, seconds=0).hear("state")


def test_who_only_asks_for_the_head_leaves_no_stream_behind(make_app, email):
    client = Client(make_app(), email)
    path = f"/conversations/{client.create('Hello')['id']}/events"
    for _ in range(2 * MOST_OF_AN_OWNER):
        assert client.head(path).status_code == 200


def test_a_user_who_is_shut_out_hears_no_more(client, rows, email):
    conversation_id = client.create("Hello")["id"]
    (tab,) = open_tabs(conversation_id, client)
    rows.run("UPDATE users SET is_active = false WHERE email = :email", email=email)
    hub_of(client).announce(email, [UUID(conversation_id)])
    assert tab.hear("deleted")
    assert tab.ends()


def test_all_streams_end_at_once_when_the_worker_does(make_app, email):
    client = Client(make_app(), email)
    conversation_id = client.create("Hello")["id"]
    tabs = open_tabs(conversation_id, client, client)
    hub_of(client).close()
    assert all(tab.ends() for tab in tabs)
    late = tab_of(client, conversation_id)
    assert late.hear("state")
    assert late.ends()


def test_a_stream_ends_in_time_and_gives_signs_of_life(client, monkeypatch):
    monkeypatch.setattr("app.services.changes.HEARTBEAT_SECONDS", 0.1)
    tab = tab_of(client, client.create("Hello")["id"], seconds=1)
    assert tab.hear("state")
    assert tab.ends()
    assert tab.signs_of_life >= 3


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
    until(lambda: redis.publish("nobody", b""), seconds=PATIENCE)
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


def test_two_hundred_tabs_cost_an_append_no_statement(make_app, email):
    """Those of others none at all; each of one's own conversation looks once."""
    client = Client(make_app(), email)
    parley = client.app.extensions["parley"]
    conversation_id = client.create("Hello")["id"]
    others = [Client(client.app, f"{uuid4().hex}@example.com") for _ in range(13)]
    watched = [(other.email, other.create("Hi")["id"]) for other in others]
    streams = [
        parley.services.changes.watch(*place, seconds=60)
        for place in watched
        for _ in range(MOST_OF_AN_OWNER)
    ]
    assert len(streams) > 200
    seen = []
    engine_event.listen(
        parley.database.engine, "before_cursor_execute", lambda *sent: seen.append(sent[2])
    )
    assert client.say(conversation_id, "And?").status_code == 201
    assert len(seen) == 1
    assert "INSERT INTO messages" in seen[0]
