"""Whose is what: every route, called by all who should get nothing, for all that is not theirs.

The matrix is made from the application's own map of routes: a route without an entry in routes.py
fails, and so does an entry without a route.
"""

import base64
import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import create_engine, event

from app import Parley, database
from app.database import OwnedSession
from app.repositories.conversations import ConversationRepository
from tests.client import Client
from tests.evidence import Rows, assert_problem
from tests.fixtures import SECRET
from tests.tokens import HOSTILE

from .routes import PUBLIC, ROUTES, Place

every_call = pytest.mark.parametrize(
    ("method", "call"),
    [
        pytest.param(method, call, id=f"{method} {call.address} {call.status}")
        for (method, _), calls in ROUTES.items()
        for call in calls
    ],
)

_OWN = re.compile(r"(?:\b\w+\.)?\b(?:user_email|email) = (%\(\w+\)s(?:::\w+)?)")


def without_owner_filter(_connection, _cursor, statement, parameters, _context, _many):
    """Statements as they would be if somebody had forgotten the owner in all of them."""
    return _OWN.sub(r"\1 IS NOT NULL", statement), parameters


@pytest.fixture(scope="module")
def rows(settings):
    return Rows(settings.database_owner_url)


@pytest.fixture(scope="module", params=["both walls", "the first alone", "the second alone"])
def walled(request, app, settings):
    """The application; and two of its own, each with one wall: both log all their statements."""
    build = {"the first alone": _owner_filter_alone, "the second alone": _row_level_security_alone}
    if request.param not in build:
        yield app
        return
    with pytest.MonkeyPatch.context() as patch:
        parley = build[request.param](replace(settings, db_slow_query_ms=0), patch)
        yield parley.application()
        parley.close()


def _owner_filter_alone(settings, patch):
    """Connected as the tables' owner, whom row-level security lets pass."""
    patch.setattr(database, "_ROLE_FAULTS", "SELECT current_user, false, false, false")
    return Parley(settings=replace(settings, database_url=settings.database_owner_url))


def _row_level_security_alone(settings, _patch):
    parley = Parley(settings=settings)
    engine = parley.database.engine
    event.listen(engine, "before_cursor_execute", without_owner_filter, retval=True)
    return parley


class Story:
    """What one person has: a live and a trashed conversation, full of words found nowhere else."""

    def __init__(self, app):
        self.words = [f"canary{uuid4().hex}" for _ in range(8)]
        self.email = f"{self.words[0]}@example.com"
        self.client = Client(app, self.email)
        live, trashed = self._tell("live"), self._tell("trashed")
        assert self.client.delete(f"/conversations/{trashed['id']}").status_code == 200
        other = self._tell("other")
        cursor = self.client.get("/conversations?limit=1").json["next_cursor"]
        self.live = Place(live["id"], live["messages"][1]["id"], cursor, other["id"])
        self.trashed = Place(trashed["id"], trashed["messages"][1]["id"], cursor, other["id"])

    def _tell(self, name):
        _, title, asked, answered, tag, detail, prompt, part = self.words
        said = [
            {"role": "user", "content": f"{asked} {name}?", "client_message_id": "first"},
            {"role": "assistant", "content": f"{answered}.", "metadata": {"note": detail}},
            {"role": "user", "content": asked, "parts": [{"type": "text", "text": part}]},
        ]
        body = {"title": f"{title} {name}", "tags": [tag], "system_prompt": prompt}
        body |= {"metadata": {"kept": detail}, "messages": said}
        made = self.client.post("/conversations", json=body)
        assert made.status_code == 201
        asked = self.client.ask(f"{asked} again?", conversation_id=made.json["id"])
        assert asked.status_code == 200
        return made.json


@pytest.fixture(scope="module")
def story(walled, foreigner):
    """Somebody's, for all attempts of others: none of them may change anything."""
    return Story(walled)


@pytest.fixture(scope="module")
def foreigner(walled):
    """Somebody else, with a conversation that tells nothing."""
    client = Client(walled, f"{uuid4().hex}@example.com")
    client.home = client.create("Hello", "Good morning", "And now?")["id"]
    return client


def placed(place, value):
    """An address or a body with the names of a Place filled in."""
    text = json.dumps(value)
    for name in Place.__dataclass_fields__:
        text = text.replace("{" + name + "}", getattr(place, name))
    return json.loads(text)


def send(client, method, call, place, **headers):
    headers = {"X-Request-Id": "the-same"} | headers
    body = {} if call.body is None else {"json": placed(place, call.body)}
    return getattr(client, method.lower())(placed(place, call.address), headers=headers, **body)


def whole(answer):
    """Every byte that a client gets."""
    head = "\n".join(f"{name}: {value}" for name, value in answer.headers)
    return f"{answer.status}\n{head}\n\n".encode() + answer.data


def seen_from(place, foreigner):
    """Somebody's place, named by somebody else."""
    return Place(place.conversation_id, place.message_id, place.cursor, foreigner.home)


def absent(place):
    """Names like those of `place`, of nothing."""
    padded = place.cursor + "=" * (-len(place.cursor) % 4)
    moment, _ = json.loads(base64.urlsafe_b64decode(padded))
    cursor = base64.urlsafe_b64encode(json.dumps([moment, str(uuid4())]).encode()).decode()
    return Place(str(uuid4()), str(uuid4()), cursor.rstrip("="), place.home)


def test_every_route_has_its_entry_and_every_entry_its_route(app):
    routes = {
        (method, re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert routes == ROUTES.keys() | PUBLIC
    assert not ROUTES.keys() & PUBLIC


@every_call
def test_an_owner_reaches_what_is_live(walled, method, call):
    owner = Story(walled)
    assert send(owner.client, method, call, owner.live).status_code == call.status


@every_call
def test_what_lies_in_the_trash_is_as_good_as_absent(walled, method, call):
    owner = Story(walled)
    answer = send(owner.client, method, call, owner.trashed)
    assert answer.status_code == call.trashed
    if call.trashed == 404:
        assert whole(answer) == whole(send(owner.client, method, call, absent(owner.trashed)))


@every_call
@pytest.mark.parametrize("state", ["live", "trashed"])
def test_what_is_somebody_elses_is_as_good_as_absent(rows, story, foreigner, method, call, state):
    before = rows.of(story.email)
    place = seen_from(getattr(story, state), foreigner)
    foreign = send(foreigner, method, call, place)
    missing = send(foreigner, method, call, absent(place))
    assert rows.of(story.email) == before
    assert not [word for word in story.words if word.encode() in whole(foreign)]
    if (method, call.address) == ("POST", "/conversations"):
        assert foreign.status_code == missing.status_code == 201
    else:
        assert whole(foreign) == whole(missing)
        assert foreign.status_code == (404 if "{conversation_id}" in str(call) else 200)


@every_call
@pytest.mark.parametrize("proof", ["none", "expired", "of another key"])
def test_nobody_gets_anything_without_a_token_that_holds(
    walled, rows, story, foreigner, method, call, proof
):
    before = rows.of(story.email)
    headers = {"Authorization": _authorization(walled, story.email, proof)}
    answers = [
        send(foreigner, method, call, place, **headers)
        for place in (story.live, story.trashed, absent(story.live))
    ]
    assert rows.of(story.email) == before
    assert len({whole(answer) for answer in answers}) == 1
    assert_problem(answers[0], 401, "unauthorized")
    assert answers[0].headers["WWW-Authenticate"] == "Bearer"


def _authorization(app, email, proof):
    tokens = app.extensions["parley"].services.tokens
    return {
        "none": "",
        "expired": f"Bearer {tokens.issue(email, lifetime=timedelta(hours=-1))}",
        "of another key": f"Bearer {HOSTILE['signed with another secret']()}",
    }[proof]


def test_public_routes_tell_nothing_about_anybody(app, walled):
    story = Story(app)
    for method, path in sorted(PUBLIC):
        for headers in ({}, {"Authorization": f"Bearer {story.client.token}"}):
            address = path.replace("{_unknown}", story.live.conversation_id)
            answer = app.test_client().open(address, method=method, headers=headers)
            assert answer.status_code in {200, 404}
            assert not [word for word in story.words if word.encode() in whole(answer)]


def test_a_clients_own_id_names_each_users_own_conversation(story, foreigner):
    shared = f"chat-{uuid4().hex}"
    asked = story.client.ask(story.words[2], conversation_id=shared).json
    answer = foreigner.ask("What was said?", conversation_id=shared)
    assert answer.json["conversation_id"] != asked["conversation_id"]
    assert not [word for word in story.words if word.encode() in whole(answer)]
    read = foreigner.get(f"/conversations/{shared}")
    assert read.json["message_count"] == 2
    assert not [word for word in story.words if word.encode() in whole(read)]


def test_the_offline_answer_recalls_nothing_of_others(story, foreigner):
    answer = foreigner.ask(" ".join(story.words[1:4]), conversation_id=foreigner.home)
    stored = foreigner.get(f"/conversations/{foreigner.home}/messages").json["messages"]
    assert answer.json["message"]["contexts"] in (None, [])
    assert stored[-1]["contexts"] in (None, [])


def test_a_list_holds_its_owners_conversations_alone(story, foreigner):
    listed = {
        item["id"] for item in foreigner.get("/conversations?limit=100").json["conversations"]
    }
    assert foreigner.home in listed
    assert not listed & {story.live.conversation_id, story.live.home}


def test_nothing_that_was_said_is_logged(settings, story, foreigner):
    foreigner.get(f"/conversations/{story.live.conversation_id}")
    log = Path(settings.log_file).read_bytes()
    assert b'"event": "request"' in log
    assert not [word for word in story.words if word.encode() in log]
    assert story.client.token.encode() not in log
    assert SECRET.encode() not in log


def test_the_second_matrix_really_has_no_owner_filter(database_urls, story):
    """The control: with neither wall the rows are there for anybody."""
    engine = create_engine(database_urls.owner, isolation_level="AUTOCOMMIT")
    wanted = story.live.conversation_id
    with OwnedSession(engine, "somebody@example.com") as session:
        assert ConversationRepository(session).record(wanted) is None
    event.listen(engine, "before_cursor_execute", without_owner_filter, retval=True)
    with OwnedSession(engine, "somebody@example.com") as session:
        conversations = ConversationRepository(session)
        assert conversations.record(wanted).title.startswith(story.words[1])
        assert conversations.count(where={"id": UUID(wanted)}) == 1
    engine.dispose()
