"""Every route of the API and how to call it, for tests that call them all.

A route that is in neither table fails tests/api/test_ownership.py.
"""

from dataclasses import dataclass

ONE = "/conversations/{conversation_id}"
MESSAGES = f"{ONE}/messages"
MESSAGE = f"{MESSAGES}/{{message_id}}"
OWN_MESSAGE = "/conversations/{client_id}/messages/second"
LEAF = f"{ONE}/active-leaf"
EVENTS = f"{ONE}/events"
OWN = "/conversations/{client_id}"
AGENT = "/chat/agent"
STREAM = "/chat/{conversation_id}/stream"
STOP = "/chat/{conversation_id}/stop"
HOME = "/conversations/{home}"
TAKEN = {"messages": [{"role": "user", "content": "Taken over"}]}
QUESTION = {"message": "What was said?"}
TAGGING = {"action": "tag", "tags": ["taken over"]}
RAG = "/compat/rag/chat"
RAG_ONE = f"{RAG}/sessions/{{conversation_id}}"
CHATBOT = "/compat/chatbot"

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
    is_deletion: bool = False

    def spends(self, method):
        """Whether what it names is gone afterwards, or no longer in the trash."""
        return method == "DELETE" or self.is_deletion or self.address.endswith("/restore")

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


def ask(wire, conversation_id="{conversation_id}", path="/chat", **fields):
    return f"{path}?wire={wire}", QUESTION | {"conversation_id": conversation_id} | fields


def ui(conversation_id, trigger="submit-message", **fields):
    """The AI SDK's form."""
    said = {"role": "user", "parts": [{"type": "text", "text": "What was said?"}]}
    body = {"id": conversation_id, "trigger": trigger, "message": said | {"metadata": NESTED}}
    return "/chat?wire=ui", body | fields


ROUTES = {
    ("GET", "/conversations"): [
        anywhere("/conversations"),
        anywhere("/conversations?cursor={cursor}"),
        anywhere("/conversations?user_email={email}", status=422),
        anywhere("/conversations?q={conversation_id}&tag={message_id}&pinned_first=true"),
    ],
    ("POST", "/conversations/bulk"): [
        anywhere("/conversations/bulk", {"ids": ["{conversation_id}"], **TAGGING}),
        anywhere("/conversations/bulk", {"ids": ["{client_id}"], **TAGGING}),
        anywhere("/conversations/bulk", {"filter": {"tag": "{message_id}"}, **TAGGING}),
        anywhere("/conversations/bulk", {"filter": {"user_email": "{email}"}, **TAGGING}, 422),
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
    ("POST", f"{ONE}/restore"): [
        Call(f"{ONE}/restore", status=404, trashed=200),
        Call(f"{OWN}/restore", status=404, trashed=200),
    ],
    ("GET", MESSAGES): [
        Call(MESSAGES),
        Call(f"{MESSAGES}?format=ui"),
        Call(f"{OWN}/messages"),
        Call(f"{MESSAGES}?branch=all&limit=1"),
        Call(f"{MESSAGES}?before={{message_id}}"),
        Call(f"{MESSAGES}?after={{message_id}}"),
        anywhere(f"{HOME}/messages?before={{message_id}}", status=422),
        anywhere(f"{HOME}/messages?after={{message_id}}", status=422),
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
        Call(MESSAGES, TAKEN | {"parent_id": "{message_id}"}, 201),
        anywhere(f"{HOME}/messages", TAKEN | {"parent_id": "{message_id}"}, 422),
    ],
    ("GET", MESSAGE): [
        Call(MESSAGE),
        Call(OWN_MESSAGE),
        anywhere(f"{HOME}/messages/{{message_id}}", status=404),
    ],
    ("PATCH", MESSAGE): [
        Call(MESSAGE, {"content": "Taken over"}, 201),
        Call(OWN_MESSAGE, {"content": "Taken over"}, 201),
        anywhere(f"{HOME}/messages/{{message_id}}", {"content": "Taken over"}, 404),
    ],
    ("DELETE", MESSAGE): [
        Call(MESSAGE),
        Call(OWN_MESSAGE),
        anywhere(f"{HOME}/messages/{{message_id}}", status=404),
    ],
    ("GET", f"{MESSAGE}/versions"): [
        Call(f"{MESSAGE}/versions"),
        Call(f"{OWN_MESSAGE}/versions"),
        anywhere(f"{HOME}/messages/{{message_id}}/versions", status=404),
    ],
    ("POST", f"{MESSAGE}/regenerate"): [
        Call(f"{MESSAGE}/regenerate?wire=json"),
        Call(f"{OWN_MESSAGE}/regenerate", {"model": "other"}),
        anywhere(f"{HOME}/messages/{{message_id}}/regenerate", status=404),
    ],
    ("PUT", LEAF): [
        Call(LEAF, {"message_id": "{message_id}"}),
        Call("/conversations/{client_id}/active-leaf", {"message_id": "{message_id}"}),
        anywhere(f"{HOME}/active-leaf", {"message_id": "{message_id}"}, 422),
    ],
    ("GET", EVENTS): [Call(f"{EVENTS}?seconds=0"), Call(f"{OWN}/events?seconds=0")],
    ("GET", "/search"): [
        anywhere("/search?q=said"),
        anywhere("/search?q=hello+OR+canary*&conversation={conversation_id}"),
        anywhere("/search?q=hello+OR+canary*&conversation={client_id}"),
        anywhere("/search?q={message_id}&tag={conversation_id}&role=user"),
        anywhere("/search?q=hello&user_email={email}", status=422),
    ],
    ("POST", "/chat"): [
        Call(*ask("json")),
        Call(*ask("text")),
        Call(*ask("sse")),
        Call(*ask("json", client_message_id="first"), 409),
        Call(*ask("json", "{client_id}"), missing=200),
        anywhere(*ask("json", "{home}", filters=[NESTED], client_message_id="{message_id}")),
        anywhere(*ask("json", None, client_message_id="{message_id}")),
        anywhere(*ask("json", "{home}", parent_id="{message_id}"), 422),
        Call(*ui("{conversation_id}")),
        Call(*ui("{client_id}"), missing=200),
        Call(*ui("{conversation_id}", messageId="second"), 422),
        Call(*ui("{conversation_id}", "regenerate-message", messageId="{message_id}")),
        anywhere(*ui("{home}", messageId="{message_id}")),
        anywhere(*ui("{home}", "regenerate-message", messageId="{message_id}", filters=[NESTED])),
    ],
    ("GET", STREAM): [Call(STREAM, status=204), Call("/chat/{client_id}/stream", status=204)],
    ("POST", STOP): [
        Call(STOP),
        Call("/chat/{client_id}/stop", {"message_id": "{message_id}"}),
        anywhere("/chat/{home}/stop", {"message_id": "{message_id}"}, 404),
    ],
    ("POST", AGENT): [
        Call(*ask("sse", path=AGENT)),
        Call(*ask("json", "{client_id}", path=AGENT), missing=200),
        anywhere(*ask("json", None, path=AGENT, client_message_id="{message_id}")),
        anywhere(*ask("json", "{home}", path=AGENT, parent_id="{message_id}"), 422),
    ],
    ("GET", "/stats"): [anywhere("/stats"), anywhere("/stats?user_email={email}", status=422)],
}
ROUTES |= {
    ("POST", f"{RAG}/create"): [anywhere(f"{RAG}/create?user_id={{email}}")],
    ("POST", f"{RAG}/send"): [
        Call(f"{RAG}/send", QUESTION | {"session_id": "{conversation_id}"}),
        Call(f"{RAG}/send", QUESTION | {"session_id": "{client_id}"}),
    ],
    ("GET", f"{RAG}/history/{{conversation_id}}"): [
        Call(f"{RAG}/history/{{client_id}}?user_id={{email}}"),
    ],
    ("DELETE", f"{RAG}/delete/{{conversation_id}}"): [anywhere(f"{RAG}/delete/{{client_id}}")],
    ("POST", f"{RAG}/sessions"): [anywhere(f"{RAG}/sessions?user_id={{email}}")],
    ("GET", f"{RAG}/sessions"): [anywhere(f"{RAG}/sessions?user_id={{email}}")],
    ("DELETE", RAG_ONE): [anywhere(RAG_ONE)],
    ("POST", f"{RAG_ONE}/messages"): [
        Call(f"{RAG_ONE}/messages", QUESTION | {"metadata": NESTED}),
    ],
    ("GET", f"{RAG_ONE}/history"): [
        Call(f"{RAG_ONE}/history?max_messages=1&user_id={{email}}"),
    ],
    ("POST", f"{CHATBOT}/chat"): [
        anywhere(
            f"{CHATBOT}/chat", QUESTION | {"history": [NESTED], "memory_ids": ["{message_id}"]}
        ),
    ],
    ("POST", f"{CHATBOT}/clear"): [anywhere(f"{CHATBOT}/clear")],
    ("GET", f"{CHATBOT}/history"): [
        anywhere(f"{CHATBOT}/history?conversation_id={{conversation_id}}"),
    ],
    ("POST", f"{CHATBOT}/new-conversation"): [anywhere(f"{CHATBOT}/new-conversation")],
    ("POST", f"{CHATBOT}/delete-conversation"): [
        Call(
            f"{CHATBOT}/delete-conversation",
            {"conversation_id": "{conversation_id}"},
            is_deletion=True,
        ),
    ],
    ("GET", f"{CHATBOT}/list-conversations"): [anywhere(f"{CHATBOT}/list-conversations")],
}
PUBLIC = {
    ("GET", path)
    for path in ("/livez", "/readyz", "/version", "/metrics", "/openapi.json", "/docs")
}
PUBLIC |= {("GET", "/docs/{asset}")}
PUBLIC |= {
    (method, path)
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    for path in ("/", "/{_unknown}")
}
