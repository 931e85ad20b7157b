"""What the tabs that have a conversation open are told, by whichever worker serves them."""

from uuid import UUID, uuid4

import pytest

from app import TextDelta
from app.cache.changes import MOST_OF_AN_OWNER
from tests.client import Client
from tests.driver import asked_of
from tests.evidence import assert_problem
from tests.responders import Gate
from tests.streams import until
from tests.tabs import heard, hub_of, open_tabs, tab_of


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


def test_a_stream_ends_in_time_and_gives_signs_of_life(client, monkeypatch):
    monkeypatch.setattr("app.services.changes.HEARTBEAT_SECONDS", 0.1)
    tab = tab_of(client, client.create("Hello")["id"], seconds=1)
    assert tab.hear("state")
    assert tab.ends()
    assert tab.signs_of_life >= 3


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
    with asked_of(parley.database) as asked:
        assert client.say(conversation_id, "And?").status_code == 201
    ((text, _values),) = asked
    assert "EXECUTE parley_append" in text
