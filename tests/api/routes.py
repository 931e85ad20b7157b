"""Every route of the API and how to call it, for tests that call them all.

A route that is in neither table fails tests/api/test_ownership.py.
"""

from dataclasses import dataclass

ONE = "/conversations/{conversation_id}"
MESSAGES = f"{ONE}/messages"
TAKEN = {"messages": [{"role": "user", "content": "Taken over"}]}
QUESTION = {"message": "What was said?"}


@dataclass(frozen=True)
class Call:
    """How a route is called. Braces in address and body are filled with the names of a Place.

    `status`: what the owner gets for an own, live object; `trashed`: for one in the trash.
    """

    address: str
    body: object = None
    status: int = 200
    trashed: int = 404


@dataclass(frozen=True)
class Place:
    """A conversation, a message of it, and a list's cursor; `home` is the caller's own."""

    conversation_id: str
    message_id: str
    cursor: str
    home: str


def ask(wire):
    return Call(f"/chat?wire={wire}", QUESTION | {"conversation_id": "{conversation_id}"})


ROUTES = {
    ("GET", "/conversations"): [
        Call("/conversations", trashed=200),
        Call("/conversations?cursor={cursor}", trashed=200),
    ],
    ("POST", "/conversations"): [Call("/conversations", {"title": "Mine"}, 201, trashed=201)],
    ("GET", ONE): [Call(ONE), Call(f"{ONE}?limit=1")],
    ("PATCH", ONE): [Call(ONE, {"title": "Taken over", "tags": [], "metadata": {}})],
    ("DELETE", ONE): [Call(ONE), Call(f"{ONE}?permanent=true", trashed=200)],
    ("GET", MESSAGES): [
        Call(MESSAGES),
        Call(f"{MESSAGES}?before={{message_id}}"),
        Call(f"{MESSAGES}?after={{message_id}}"),
        Call("/conversations/{home}/messages?before={message_id}", trashed=200),
        Call("/conversations/{home}/messages?after={message_id}", trashed=200),
    ],
    ("POST", MESSAGES): [
        Call(MESSAGES, TAKEN, 201),
        Call(MESSAGES, {"messages": [TAKEN["messages"][0] | {"client_message_id": "first"}]}, 409),
    ],
    ("POST", "/chat"): [ask("json"), ask("text"), ask("sse")],
}
PUBLIC = {("GET", path) for path in ("/livez", "/readyz", "/version", "/openapi.json", "/docs")}
PUBLIC |= {("GET", "/docs/{asset}")}
PUBLIC |= {
    (method, path)
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    for path in ("/", "/{_unknown}")
}
