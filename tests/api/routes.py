"""Every route of the API and how to call it, for tests that call them all.

A route that is in neither table fails tests/api/test_ownership.py.
"""

from dataclasses import dataclass

ONE = "/conversations/{conversation_id}"
MESSAGES = f"{ONE}/messages"
OWN = "/conversations/{client_id}"
HOME = "/conversations/{home}"
TAKEN = {"messages": [{"role": "user", "content": "Taken over"}]}
QUESTION = {"message": "What was said?"}

# Somebody's names where nobody should look for any: none of them may mean anything.
NESTED = {
    "conversation_id": "{conversation_id}",
    "message_id": "{message_id}",
    "client_id": "{client_id}",
    "user_email": "{email}",
    "owner": {"email": "{email}", "ids": ["{conversation_id}", "{message_id}"]},
}
NESTED_MESSAGE = {
    "role": "user",
    "content": "See {conversation_id}",
    "client_message_id": "{message_id}",
    "parts": [{"type": "file", "file_id": "{message_id}", **NESTED}],
    "metadata": NESTED,
}
HEADERS = {
    "X-Conversation-Id": "{conversation_id}",
    "X-User-Email": "{email}",
    "X-Forwarded-User": "{email}",
    "X-Forwarded-Email": "{email}",
    "X-Auth-Request-Email": "{email}",
    "X-Original-Url": ONE,
    "X-Rewrite-Url": ONE,
    "X-HTTP-Method-Override": "DELETE",
    "Last-Event-ID": "{message_id}",
    "Idempotency-Key": "{message_id}",
    "If-Match": '"{conversation_id}"',
    "If-None-Match": '"{conversation_id}"',
    "Cookie": "user_email={email}; session={conversation_id}; conversation_id={conversation_id}",
    "Referer": f"http://localhost{ONE}",
    "From": "{email}",
    "Range": "bytes=0-9",
}


@dataclass(frozen=True)
class Call:
    """How a route is called. Braces in address and body are filled with the names of a Place.

    `status`: what the owner gets for an own, live object; `trashed`: for one in the trash;
    `missing`: what anybody gets for one that is absent or somebody else's.
    """

    address: str
    body: object = None
    status: int = 200
    trashed: int = 404
    missing: int = 404

    def writes(self, method):
        """Whether it also leaves something where nothing of what it names is there."""
        return method != "GET" and self.missing < 300


@dataclass(frozen=True)
class Place:
    """A conversation, with its client's own id for it, a message of it, a list's cursor, and
    whose they are; `home` is the caller's own conversation.
    """

    conversation_id: str
    client_id: str
    message_id: str
    cursor: str
    email: str
    home: str


def anywhere(address, body=None, status=200):
    """A call that gets the same, whatever is there behind the names in it."""
    return Call(address, body, status, trashed=status, missing=status)


def ask(wire, conversation_id="{conversation_id}", **fields):
    return f"/chat?wire={wire}", QUESTION | {"conversation_id": conversation_id} | fields


ROUTES = {
    ("GET", "/conversations"): [
        anywhere("/conversations"),
        anywhere("/conversations?cursor={cursor}"),
        anywhere("/conversations?user_email={email}", status=422),
    ],
    ("POST", "/conversations"): [
        anywhere("/conversations", {"title": "Mine"}, 201),
        anywhere("/conversations", {"metadata": NESTED, "messages": [NESTED_MESSAGE]}, 201),
        anywhere("/conversations", {"client_id": "{conversation_id}"}, 422),
        anywhere("/conversations", {"id": "{conversation_id}", "user_email": "{email}"}, 422),
    ],
    ("GET", ONE): [Call(ONE), Call(f"{ONE}?limit=1"), Call(OWN)],
    ("PATCH", ONE): [
        Call(ONE, {"title": "Taken over", "tags": [], "metadata": {}}),
        Call(OWN, {"title": "Taken over"}),
        Call(ONE, {"user_email": "{email}"}, 422, trashed=422, missing=422),
        anywhere(HOME, {"tags": ["{conversation_id}"], "metadata": NESTED}),
    ],
    ("DELETE", ONE): [Call(ONE), Call(OWN), Call(f"{ONE}?permanent=true", trashed=200)],
    ("GET", MESSAGES): [
        Call(MESSAGES),
        Call(f"{OWN}/messages"),
        Call(f"{MESSAGES}?before={{message_id}}"),
        Call(f"{MESSAGES}?after={{message_id}}"),
        anywhere(f"{HOME}/messages?before={{message_id}}"),
        anywhere(f"{HOME}/messages?after={{message_id}}"),
    ],
    ("POST", MESSAGES): [
        Call(MESSAGES, TAKEN, 201),
        Call(f"{OWN}/messages", TAKEN, 201),
        Call(
            MESSAGES,
            {"messages": [TAKEN["messages"][0] | {"client_message_id": "first"}]},
            409,
        ),
        anywhere(f"{HOME}/messages", {"messages": [NESTED_MESSAGE]}, 201),
    ],
    ("POST", "/chat"): [
        Call(*ask("json")),
        Call(*ask("text")),
        Call(*ask("sse")),
        Call(*ask("json", client_message_id="first"), 409),
        Call(*ask("json", "{client_id}"), missing=200),
        anywhere(*ask("json", "{home}", filters=[NESTED], client_message_id="{message_id}")),
        anywhere(*ask("json", None, client_message_id="{message_id}")),
    ],
}
PUBLIC = {("GET", path) for path in ("/livez", "/readyz", "/version", "/openapi.json", "/docs")}
PUBLIC |= {("GET", "/docs/{asset}")}
PUBLIC |= {
    (method, path)
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    for path in ("/", "/{_unknown}")
}
