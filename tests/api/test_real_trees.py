"""Conversations that people have really branched go in and come back with every branch."""

import pytest

from tests.client import Client
from tests.real_data import needs_data, trees

pytestmark = [needs_data, pytest.mark.usefixtures("unmeasured")]
OASST = 50  # trees of one root each; then LibreChat's conversation, with all its roots


def conversations():
    roots = trees()
    return [*([root] for root in roots[:OASST]), roots[OASST:]]


def store(client, roots):
    """A conversation's id, and for each leaf its id with the texts that lead to it."""
    conversation_id = client.post("/conversations", json={}).json["id"]
    leaves, waiting = [], [(root, None, []) for root in roots]
    while waiting:
        node, parent_id, path = waiting.pop()
        said = {"messages": [{"role": node.role, "content": node.text}], "parent_id": parent_id}
        stored = client.post(f"/conversations/{conversation_id}/messages", json=said)
        assert stored.status_code == 201, stored.text
        message_id, path = stored.json["messages"][0]["id"], [*path, (node.role, node.text)]
        waiting += [(child, message_id, path) for child in node.children]
        if not node.children:
            leaves.append((message_id, path))
    return conversation_id, leaves


def said(turns):
    return [(turn["role"], turn["content"]) for turn in turns]


def whole_tree(client, conversation_id):
    """Every message, page by page from the end."""
    address = f"/conversations/{conversation_id}/messages?branch=all&limit=100"
    turns, page = [], client.get(address).json
    while True:
        turns = page["messages"] + turns
        if page["next_cursor"] is None:
            return turns
        page = client.get(f"{address}&before={page['next_cursor']}").json


def test_every_leafs_path_reads_back_equal(app, email):
    client, messages, branch_points, paths = Client(app, email), 0, 0, 0
    for roots in conversations():
        nodes = [node for root in roots for node in root.walk()]
        conversation_id, leaves = store(client, roots)
        assert len(whole_tree(client, conversation_id)) == len(nodes)
        for leaf_id, path in leaves:
            body = {"message_id": leaf_id}
            shown = client.put(f"/conversations/{conversation_id}/active-leaf?limit=100", json=body)
            assert said(shown.json["messages"]) == path
            assert said(client.messages(conversation_id)) == path
        messages += len(nodes)
        branch_points += sum(len(node.children) > 1 for node in nodes)
        paths += len(leaves)
    print(f"{messages} messages, {branch_points} branch points, {paths} paths")
    assert messages >= 549 + 9
    assert branch_points >= 119
    assert paths > branch_points
