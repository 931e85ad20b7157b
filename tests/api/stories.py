"""Who calls and what they have, full of words that are found nowhere else."""

import base64
import json
import re
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from app.addresses import visitor_owner
from app.ids import new_id
from tests.client import Client

from .routes import Place

STATES = ("live", "archived", "trashed")
_ARCHIVE = "UPDATE conversations SET is_archived = true WHERE id = :conversation_id"

_NAMES = re.compile(
    rb"(?:anon:)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
    rb"|(?:canary)?[0-9a-f]{32}(?:@example\.com)?"
    rb"|\d+"
)


class Visitor(Client):
    """The API as somebody calls it who has no account."""

    def __init__(self, app):
        visitor_id = uuid4()
        tokens = app.extensions["parley"].services.tokens
        self.app = app
        self.email = visitor_owner(visitor_id)
        self.token = tokens.issue_visitor(visitor_id, lifetime=timedelta(hours=1))
        self._http = app.test_client()


def user(app):
    return Client(app, f"canary{uuid4().hex}@example.com")


KINDS = {"user": user, "visitor": Visitor}


def caller(app, kind):
    """Somebody with a conversation that tells nothing."""
    client = KINDS[kind](app)
    client.home = _home(client)
    return client


def _home(client):
    return client.create("Hello", "Good morning", "And now?")["id"]


class Story:
    """What one person has: a conversation in each state, and another one.

    `secrets`: words and ids that nobody else may see, and that no call names.
    """

    def __init__(self, client, rows):
        self.client, self._rows = client, rows
        self.name = client.email.removeprefix("anon:").partition("@")[0]
        self._words = [f"canary{uuid4().hex}" for _ in range(7)]
        self.secrets = list(self._words)
        told = {name: self._tell(name) for name in (*STATES, "other")}
        self._cursor = client.get("/conversations?limit=1").json["next_cursor"]
        self._home = told["other"]["id"]
        self.secrets.append(self._home)
        self.places = {state: self._place(state, told[state]) for state in STATES}

    def renew(self, state):
        """Another conversation in that state, for one that a call has spent."""
        self.places[state] = self._place(state, self._tell(state))

    def found_in(self, answer, *, is_named=False):
        """Which secrets an answer tells; the owner's name is none where the call says it."""
        secrets = self.secrets if is_named else [*self.secrets, self.name]
        return [secret for secret in secrets if secret.encode() in whole(answer)]

    def _tell(self, name):
        title, asked, answered, tag, detail, prompt, part = self._words
        said = [
            {"role": "user", "content": f"{asked} {name}?"},
            {"role": "assistant", "content": f"{answered}.", "metadata": {"note": detail}},
            {"role": "user", "content": asked, "parts": [{"type": "text", "text": part}]},
        ]
        numbered = zip(said, ("first", "second", "third"), strict=True)
        messages = [message | {"client_message_id": number} for message, number in numbered]
        body = {"title": f"{title} {name}", "tags": [tag], "system_prompt": prompt}
        body |= {"client_id": f"chat-{uuid4().hex}", "metadata": {"kept": detail}}
        made = self.client.post("/conversations", json=body | {"messages": messages})
        assert made.status_code == 201, made.text
        asked_again = self.client.ask(f"{asked} again?", conversation_id=made.json["id"])
        assert asked_again.status_code == 200, asked_again.text
        self.secrets.append(made.json["messages"][0]["id"])
        return made.json | {"client_id": body["client_id"]}

    def _place(self, state, conversation):
        """The names of a conversation, which is put into that state."""
        if state == "trashed":
            assert self.client.delete(f"/conversations/{conversation['id']}").status_code == 200
        elif state == "archived":
            self._rows.run(_ARCHIVE, conversation_id=conversation["id"])
        return Place(
            conversation_id=conversation["id"],
            client_id=conversation["client_id"],
            message_id=conversation["messages"][1]["id"],
            cursor=self._cursor,
            email=self.client.email,
            home=self._home,
        )


def absent(place):
    """Names like those of `place`, of nothing and nobody."""
    padded = place.cursor + "=" * (-len(place.cursor) % 4)
    *kind, _ = json.loads(base64.urlsafe_b64decode(padded))
    cursor = base64.urlsafe_b64encode(json.dumps([*kind, str(uuid4())]).encode()).decode()
    is_visitor = place.email.startswith("anon:")
    return Place(
        conversation_id=str(new_id()),
        client_id=f"chat-{uuid4().hex}",
        message_id=str(uuid4()),
        cursor=cursor.rstrip("="),
        email=visitor_owner(uuid4()) if is_visitor else f"canary{uuid4().hex}@example.com",
        home=place.home,
    )


def placed(place, value):
    """An address, a body or headers with the names of a Place filled in."""
    text = json.dumps(value)
    for name in Place.__dataclass_fields__:
        text = text.replace("{" + name + "}", getattr(place, name))
    return json.loads(text)


def send(client, method, call, place, **headers):
    headers = {"X-Request-Id": "the-same"} | headers
    body = {} if call.body is None else {"json": placed(place, call.body)}
    answer = getattr(client, method.lower())(placed(place, call.address), headers=headers, **body)
    answer.get_data()
    return answer


def call_from_home(client, method, call, place, **headers):
    """A call to `place` as this caller sees it; what writes at home finds one as it was."""
    is_written = "{home}" in str(call) and call.writes(method)
    home = _home(client) if is_written else client.home
    return send(client, method, call, replace(place, home=home), **headers)


def whole(answer):
    """Every byte that a client gets."""
    head = "\n".join(f"{name}: {value}" for name, value in answer.headers)
    return f"{answer.status}\n{head}\n\n".encode() + answer.data


def is_same(method, call, one, other):
    """Byte for byte; but for the names and numbers of what both have made."""
    if not call.writes(method):
        return whole(one) == whole(other)
    return _NAMES.sub(b"#", whole(one)) == _NAMES.sub(b"#", whole(other))
