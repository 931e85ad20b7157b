"""/conversations as a client calls it."""

import re
from uuid import UUID, uuid4

import pytest

from tests.evidence import Rows, assert_problem, pointers

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ITEM = {
    "id", "client_id", "title", "preview", "mode", "model", "tags", "is_pinned", "is_archived",
    "message_count", "total_tokens", "revision", "created_at", "updated_at",
}  # fmt: skip
RECORD = ITEM | {"title_source", "system_prompt", "metadata", "active_leaf_id"}


def listed(client, query=""):
    return client.get(f"/conversations{query}").json["conversations"]


def titles(client, query=""):
    return [item["title"] for item in listed(client, query)]


def contents(page):
    return [message["content"] for message in page["messages"]]


def test_a_conversation_is_made_with_its_first_messages_and_read_back(client):
    made = client.create("Where is Huế?", "In central Vietnam.", tags=["travel"])
    read = client.get(f"/conversations/{made['id']}").json
    assert read == made
    assert [message["content"] for message in read["messages"]] == [
        "Where is Huế?",
        "In central Vietnam.",
    ]
    assert read["title"] == "Where is Huế?"
    assert read["preview"] == "In central Vietnam."
    assert (read["message_count"], read["tags"], read["revision"]) == (2, ["travel"], 2)


def test_an_empty_conversation_can_be_made(client):
    answer = client.post("/conversations", json={})
    assert answer.status_code == 201
    assert answer.headers["Location"].endswith(f"/conversations/{answer.json['id']}")
    assert client.get(answer.headers["Location"]).json == answer.json
    assert UUID(answer.json["id"]).version == 7
    assert answer.json.keys() == RECORD | {"messages"}
    assert (answer.json["title"], answer.json["messages"], answer.json["revision"]) == (None, [], 1)


def test_all_that_is_given_is_kept(client):
    given = {
        "title": "Huế",
        "mode": "quality",
        "model": "gpt-x",
        "system_prompt": "Be brief.",
        "tags": ["travel", "Việt Nam"],
        "metadata": {"a": {"b": [1, 2.5, None, True, "c", 2**63]}, "": {}},
    }
    made = client.create(**given)
    assert {name: made[name] for name in given} == given
    assert made["title_source"] == "user"


def test_a_message_keeps_all_that_it_is_given(client):
    given = {
        "role": "assistant",
        "content": "In central Vietnam.",
        "client_message_id": "9C5QTtA8lMeNU0Kb",
        "parts": [{"type": "reasoning", "text": "Hm."}, {"type": "data-x", "data": {"y": [1]}}],
        "model": "gpt-x",
        "tokens_used": 12,
        "metadata": {"source": "import"},
    }
    made = client.create()
    stored = client.post(f"/conversations/{made['id']}/messages", json={"messages": [given]}).json
    read = client.get(f"/conversations/{made['id']}").json
    assert read["messages"] == stored["messages"]
    assert {name: read["messages"][0][name] for name in given} == given
    assert read["total_tokens"] == 12


def test_moments_have_milliseconds_and_a_z(client):
    made = client.create("Hello")
    for moment in (made["created_at"], made["updated_at"], made["messages"][0]["created_at"]):
        assert MOMENT.fullmatch(moment)


def test_messages_follow_each_other(client):
    made = client.create("One", "Two")
    client.say(made["id"], "Three", "Four")
    messages = client.messages(made["id"])
    assert [message["seq"] for message in messages] == [1, 2, 3, 4]
    parents = [None, *(message["id"] for message in messages[:-1])]
    assert [message["parent_id"] for message in messages] == parents


def test_the_list_shows_newest_activity_first(client):
    one, two, three = (client.create(title=title)["id"] for title in ("one", "two", "three"))
    assert titles(client) == ["three", "two", "one"]
    client.say(one, "Hello")
    client.patch(f"/conversations/{two}", json={"tags": ["x"], "metadata": {"y": 1}})
    assert titles(client) == ["one", "three", "two"]
    assert listed(client)[0].keys() == ITEM
    assert listed(client)[0]["preview"] == "Hello"
    client.delete(f"/conversations/{three}")
    assert titles(client) == ["one", "two"]


def test_a_list_is_read_page_by_page_without_a_gap_or_a_repetition(client):
    made = [client.create(title=str(n))["title"] for n in range(7)]
    seen, address = [], "/conversations?limit=3"
    while address:
        page = client.get(address)
        seen += [item["title"] for item in page.json["conversations"]]
        link = re.fullmatch(r'<(\?.*)>; rel="next"', page.headers.get("Link", ""))
        assert bool(link) == bool(page.json["next_cursor"])
        address = link and f"/conversations{link[1]}"
    assert seen == made[::-1]


def test_a_full_last_page_has_no_next_one(client):
    for n in range(3):
        client.create(title=str(n))
    page = client.get("/conversations?limit=3")
    assert page.json["next_cursor"] is None
    assert "Link" not in page.headers


def test_messages_are_read_page_by_page_both_ways(client):
    made = client.create(*"abcdefg")
    address = f"/conversations/{made['id']}/messages?limit=3"
    last = client.get(address).json
    assert contents(last) == ["e", "f", "g"]
    middle = client.get(f"{address}&before={last['next_cursor']}").json
    assert contents(middle) == ["b", "c", "d"]
    first = client.get(f"{address}&before={middle['next_cursor']}").json
    assert (contents(first), first["next_cursor"]) == (["a"], None)
    onward = client.get(f"{address}&after={first['messages'][0]['id']}").json
    assert contents(onward) == ["b", "c", "d"]
    assert contents(client.get(f"{address}&after={onward['next_cursor']}").json) == ["e", "f", "g"]


def test_the_edge_of_a_page_must_be_there(client):
    made = client.create("Hello")
    address = f"/conversations/{made['id']}/messages"
    for way in ("before", "after"):
        problem = assert_problem(client.get(f"{address}?{way}={uuid4()}"), 422, "invalid_fields")
        assert pointers(problem) == {f"/{way}"}
        alone = client.get(f"{address}?{way}={made['messages'][0]['id']}")
        assert alone.json == {"messages": [], "next_cursor": None}


@pytest.mark.parametrize("count", [1, 49, 50, 51, 60, 100])
def test_a_read_shows_as_many_of_the_last_messages_as_are_asked_for(client, count):
    made = client.create()
    client.say(made["id"], *(str(n) for n in range(60)))
    expected = [str(n) for n in range(60)][-count:]
    for _ in range(2):  # cold, then from the cache
        assert contents(client.get(f"/conversations/{made['id']}?limit={count}").json) == expected
    assert len(client.get(f"/conversations/{made['id']}").json["messages"]) == 50


def test_a_change_raises_the_revision_and_shows_at_once(client):
    made = client.create("Hello")
    address = f"/conversations/{made['id']}"
    changes = {"title": "Renamed", "mode": "fast", "tags": ["x", "y"], "metadata": {"z": [1]}}
    changed = client.patch(address, json=changes)
    assert changed.status_code == 200
    assert changed.json.keys() == RECORD
    assert {name: changed.json[name] for name in changes} == changes
    assert changed.json["revision"] == made["revision"] + 1
    assert changed.json["updated_at"] == made["updated_at"]
    assert changed.json["title_source"] == "user"
    assert client.get(address).json == changed.json | {"messages": made["messages"]}
    assert client.patch(address, json={"mode": None}).json["mode"] is None


def test_a_title_that_somebody_chose_is_not_replaced_by_a_first_message(client):
    made = client.create(title="Chosen")
    client.say(made["id"], "Hello")
    assert titles(client) == ["Chosen"]


def test_what_is_deleted_lies_in_the_trash_and_takes_no_writing(client):
    made = client.create("Hello")
    address = f"/conversations/{made['id']}"
    answer = client.delete(address)
    assert answer.json == {"success": True, "id": made["id"], "revision": made["revision"] + 1}
    for late in (
        client.get(address),
        client.get(f"{address}/messages"),
        client.patch(address, json={"title": "Late"}),
        client.say(made["id"], "Late"),
        client.ask("Late?", conversation_id=made["id"]),
        client.delete(address),
    ):
        assert_problem(late, 404, "not_found")


def test_what_is_deleted_for_good_leaves_no_text(client, settings):
    made = client.create("A pelican", title="pelican", tags=["pelican"])
    client.ask("Which pelican?", conversation_id=made["id"])
    answer = client.delete(f"/conversations/{made['id']}?permanent=true")
    assert answer.json == {"success": True, "id": made["id"], "revision": None}
    stored = Rows(settings.database_owner_url).of(client.email)
    assert "pelican" not in str(stored)
    assert len(stored["query_logs"]) == 1
    assert_problem(client.delete(f"/conversations/{made['id']}?permanent=true"), 404)


def test_the_trash_can_be_emptied(client):
    made = client.create("Hello")
    client.delete(f"/conversations/{made['id']}")
    answer = client.delete(f"/conversations/{made['id']}?permanent=true")
    assert answer.json["success"] is True


def test_an_id_is_found_in_any_case(client):
    made = client.create("Hello")
    assert client.get(f"/conversations/{made['id'].upper()}").json == made
