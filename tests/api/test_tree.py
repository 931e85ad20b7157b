"""Versions and branches: what is edited, cut and chosen, as a client sees it."""

from uuid import uuid4

import pytest

from tests.evidence import assert_problem


def texts(turns):
    return [turn["content"] for turn in turns]


def shown(client, conversation_id):
    """What the branch that is shown says."""
    return texts(client.messages(conversation_id))


def everything(client, conversation_id):
    answer = client.get(f"/conversations/{conversation_id}/messages?branch=all&limit=100")
    return answer.json["messages"]


def record(client, conversation_id):
    return client.get(f"/conversations/{conversation_id}").json


@pytest.fixture
def talk(client):
    """A conversation of four messages: its id, and each message's id by what it says."""
    made = client.create("a", "b", "c", "d")
    return made["id"], {turn["content"]: turn["id"] for turn in made["messages"]}


@pytest.fixture
def at(client, talk):
    """Addresses of the conversation's messages, by what they say."""
    conversation_id, ids = talk
    return {text: f"/conversations/{conversation_id}/messages/{ids[text]}" for text in ids}


def test_an_edit_shows_a_new_version_and_keeps_the_old_one_with_what_followed(client, talk, at):
    conversation_id, ids = talk
    before = record(client, conversation_id)
    edited = client.patch(at["c"], json={"content": "C"})
    assert edited.status_code == 201
    version = edited.json["message"]
    assert (version["role"], version["parent_id"], version["seq"]) == ("user", ids["b"], 5)
    assert shown(client, conversation_id) == ["a", "b", "C"]
    assert {turn["content"]: turn["is_active"] for turn in everything(client, conversation_id)} == {
        "a": True, "b": True, "c": False, "d": False, "C": True,
    }  # fmt: skip
    after = record(client, conversation_id)
    assert after["revision"] == edited.json["revision"] == before["revision"] + 1
    assert (after["message_count"], after["preview"], after["active_leaf_id"]) == (
        5, "C", version["id"],
    )  # fmt: skip
    assert client.get(at["d"]).json["message"]["content"] == "d"


def test_versions_are_siblings_oldest_first(client, talk, at):
    conversation_id, _ = talk
    for content in ("C", "Ç"):
        client.patch(at["c"], json={"content": content})
    versions = client.get(f"{at['c']}/versions").json
    assert texts(versions["messages"]) == ["c", "C", "Ç"]
    assert versions["next_cursor"] is None
    page = client.get(f"{at['c']}/versions?limit=2").json
    assert texts(page["messages"]) == ["C", "Ç"]
    rest = client.get(f"{at['c']}/versions?limit=2&before={page['next_cursor']}").json
    assert (texts(rest["messages"]), rest["next_cursor"]) == (["c"], None)
    client.patch(at["a"], json={"content": "A"})
    assert texts(client.get(f"{at['a']}/versions").json["messages"]) == ["a", "A"]
    assert shown(client, conversation_id) == ["A"]


def test_the_branch_that_is_chosen_is_remembered(client, talk, at, stranger):
    conversation_id, ids = talk
    version = client.patch(at["c"], json={"content": "C"}).json["message"]["id"]
    client.say(conversation_id, "D")
    for chosen, path in ((ids["c"], "abcd"), (version, "abCD"), (ids["d"], "abcd")):
        answer = client.put(
            f"/conversations/{conversation_id}/active-leaf", json={"message_id": chosen}
        )
        assert answer.status_code == 200
        assert "".join(texts(answer.json["messages"])) == path
        assert "".join(shown(client, conversation_id)) == path
        assert record(client, conversation_id)["preview"] == path[-1]
    revision = record(client, conversation_id)["revision"]
    for shown_already in (ids["d"], ids["a"]):
        body = {"message_id": shown_already}
        same = client.put(f"/conversations/{conversation_id}/active-leaf", json=body)
        assert same.json["revision"] == revision
        assert "".join(texts(same.json["messages"])) == "abcd"
    client.say(conversation_id, "e")
    assert "".join(shown(client, conversation_id)) == "abcde"


def test_choosing_a_branch_moves_no_conversation_in_the_list(client, talk, at):
    conversation_id, ids = talk
    client.patch(at["c"], json={"content": "C"})
    moment = record(client, conversation_id)["updated_at"]
    client.put(f"/conversations/{conversation_id}/active-leaf", json={"message_id": ids["d"]})
    assert record(client, conversation_id)["updated_at"] == moment


def test_messages_are_appended_under_any_message_and_without_one(client, talk):
    conversation_id, ids = talk
    address = f"/conversations/{conversation_id}/messages"
    said = [{"role": "assistant", "content": "B"}, {"role": "user", "content": "C"}]
    under = client.post(address, json={"messages": said, "parent_id": ids["a"]})
    assert under.status_code == 201
    assert [turn["parent_id"] for turn in under.json["messages"]] == [
        ids["a"], under.json["messages"][0]["id"],
    ]  # fmt: skip
    assert "".join(shown(client, conversation_id)) == "aBC"
    root = client.post(address, json={"messages": said[1:], "parent_id": None})
    assert root.json["messages"][0]["parent_id"] is None
    assert shown(client, conversation_id) == ["C"]
    deep = client.post(address, json={"messages": said[:1], "parent_id": ids["d"]})
    assert deep.status_code == 201
    assert "".join(shown(client, conversation_id)) == "abcdB"
    assert [turn["seq"] for turn in everything(client, conversation_id)] == [*range(1, 9)]


def test_what_is_no_message_of_the_conversation_is_named(client, talk):
    conversation_id, _ = talk
    other = client.create("x")["messages"][0]["id"]
    address = f"/conversations/{conversation_id}"
    before = record(client, conversation_id)
    for message_id in (str(uuid4()), other):
        body = {"messages": [{"role": "user", "content": "x"}], "parent_id": message_id}
        refused = client.post(f"{address}/messages", json=body)
        problem = assert_problem(refused, 422, "invalid_fields")
        assert [fault["pointer"] for fault in problem["errors"]] == ["/parent_id"]
        refused = client.ask("x", conversation_id=conversation_id, parent_id=message_id)
        assert [fault["pointer"] for fault in refused.json["errors"]] == ["/parent_id"]
        refused = client.put(f"{address}/active-leaf", json={"message_id": message_id})
        assert [fault["pointer"] for fault in refused.json["errors"]] == ["/message_id"]
        for answer in (
            client.get(f"{address}/messages/{message_id}"),
            client.get(f"{address}/messages/{message_id}/versions"),
            client.patch(f"{address}/messages/{message_id}", json={"content": "x"}),
            client.delete(f"{address}/messages/{message_id}"),
            client.post(f"{address}/messages/{message_id}/regenerate"),
        ):
            assert_problem(answer, 404, "not_found")
    assert record(client, conversation_id) == before


def test_a_message_goes_with_all_that_follows_from_it(client, talk, at, rows):
    conversation_id, ids = talk
    client.patch(at["c"], json={"content": "C"})
    before = record(client, conversation_id)
    cut = client.delete(at["b"])
    assert cut.json == {
        "success": True,
        "conversation_id": conversation_id,
        "revision": before["revision"] + 1,
        "deleted": 4,
        "active_leaf_id": ids["a"],
    }
    assert everything(client, conversation_id) == client.messages(conversation_id)
    assert shown(client, conversation_id) == ["a"]
    after = record(client, conversation_id)
    assert (after["message_count"], after["preview"]) == (1, "a")
    assert_problem(client.delete(at["b"]), 404, "not_found")
    assert client.say(conversation_id, "new").json["messages"][0]["seq"] == 6


def test_after_a_cut_the_newest_other_version_is_shown(client, talk, at):
    conversation_id, ids = talk
    for content in ("C", "Ç"):
        newest = client.patch(at["c"], json={"content": content}).json["message"]["id"]
    client.delete(f"/conversations/{conversation_id}/messages/{newest}")
    assert shown(client, conversation_id) == ["a", "b", "C"]
    client.put(f"/conversations/{conversation_id}/active-leaf", json={"message_id": ids["d"]})
    client.delete(at["c"])
    assert shown(client, conversation_id) == ["a", "b", "C"]


def test_a_cut_beside_the_shown_branch_leaves_it_alone(client, talk, at):
    conversation_id, _ = talk
    client.patch(at["c"], json={"content": "C"})
    preview = record(client, conversation_id)["preview"]
    assert client.delete(at["c"]).json["deleted"] == 2
    assert shown(client, conversation_id) == ["a", "b", "C"]
    assert record(client, conversation_id)["preview"] == preview


def test_a_conversation_can_lose_all_its_messages_and_go_on(client, talk, at):
    conversation_id, _ = talk
    cut = client.delete(at["a"]).json
    assert (cut["deleted"], cut["active_leaf_id"]) == (4, None)
    empty = record(client, conversation_id)
    assert (empty["messages"], empty["preview"], empty["message_count"]) == ([], None, 0)
    client.say(conversation_id, "again")
    assert shown(client, conversation_id) == ["again"]


def test_tokens_go_with_their_messages(client):
    said = [{"role": "user", "content": text, "tokens_used": n} for n, text in enumerate("abc", 5)]
    made = client.post("/conversations", json={"messages": said}).json
    assert made["total_tokens"] == 18
    client.delete(f"/conversations/{made['id']}/messages/{made['messages'][1]['id']}")
    assert record(client, made["id"])["total_tokens"] == 5


def test_messages_are_known_by_their_clients_ids_too(client):
    said = [{"role": "user", "content": "a", "client_message_id": "9C5QTtA8lMeNU0Kb"}]
    made = client.post("/conversations", json={"messages": said}).json
    address = f"/conversations/{made['id']}/messages/9C5QTtA8lMeNU0Kb"
    assert client.get(address).json["message"] == made["messages"][0]
    edited = client.patch(address, json={"content": "A", "client_message_id": "second"})
    assert edited.status_code == 201
    again = client.patch(address, json={"content": "A", "client_message_id": "second"})
    assert (again.status_code, again.json["message"]) == (200, edited.json["message"])
    other = client.patch(address, json={"content": "B", "client_message_id": "second"})
    assert_problem(other, 409, "payload_mismatch")
    assert client.delete(address).json["deleted"] == 1
    assert shown(client, made["id"]) == ["A"]


def test_a_clients_own_id_may_be_a_uuid(client):
    said = [{"role": "user", "content": "a", "client_message_id": str(uuid4())}]
    made = client.post("/conversations", json={"messages": said}).json
    address = f"/conversations/{made['id']}/messages/{said[0]['client_message_id']}"
    assert client.get(address).json["message"] == made["messages"][0]


def test_a_title_goes_with_the_question_that_it_was_made_of(client):
    made = client.create("secret plan", "b", "c")
    address = f"/conversations/{made['id']}/messages"
    client.delete(f"{address}/{made['messages'][2]['id']}")
    assert record(client, made["id"])["title"] == "secret plan"
    edited = client.patch(f"{address}/{made['messages'][0]['id']}", json={"content": "harmless"})
    client.delete(f"{address}/{made['messages'][0]['id']}")
    assert record(client, made["id"])["title"] == "harmless"
    assert client.get("/search?q=secret").json["results"] == []
    client.delete(f"{address}/{edited.json['message']['id']}")
    assert record(client, made["id"])["title"] is None
    client.patch(f"/conversations/{made['id']}", json={"title": "chosen"})
    kept = client.say(made["id"], "new").json["messages"][0]["id"]
    client.delete(f"{address}/{kept}")
    assert record(client, made["id"])["title"] == "chosen"


def test_pages_of_the_whole_tree_are_read_both_ways(client, talk, at):
    conversation_id, ids = talk
    client.patch(at["b"], json={"content": "B"})
    address = f"/conversations/{conversation_id}/messages?branch=all&limit=2"
    last = client.get(address).json
    assert texts(last["messages"]) == ["d", "B"]
    assert texts(client.get(f"{address}&before={last['next_cursor']}").json["messages"]) == [
        "b",
        "c",
    ]
    assert texts(client.get(f"{address}&after={ids['b']}").json["messages"]) == ["c", "d"]


def test_what_was_asked_leaves_the_ledger_with_its_answer(client, rows):
    asked = client.ask("A secret question?").json
    query = "SELECT query FROM query_logs WHERE user_email = :email"
    assert rows.run(query, email=client.email) == [("A secret question?",)]
    address = f"/conversations/{asked['conversation_id']}/messages/{asked['user_message_id']}"
    assert client.delete(address).json["deleted"] == 2
    assert rows.run(query, email=client.email) == [(None,)]
