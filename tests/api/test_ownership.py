"""Whose is what: every route, called by all who should get nothing, for all that is not theirs.

The matrix is made from the application's own map of routes: a route without an entry in routes.py
fails, and so does an entry without a route.
"""

import re
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import create_engine

from app import Parley
from app.database import Database
from app.repositories.conversations import ConversationRepository
from app.sessions import OwnedSession
from tests.driver import cursors, rewriting
from tests.evidence import assert_problem
from tests.fixtures import SECRET
from tests.signing import claims, later, signed, visitor_claims
from tests.tokens import HOSTILE

from .routes import HEADERS, PUBLIC, ROUTES
from .stories import (
    KINDS,
    STATES,
    Story,
    Visitor,
    absent,
    call_from_home,
    caller,
    is_same,
    placed,
    send,
    user,
    whole,
)

pytestmark = pytest.mark.usefixtures("unmeasured")

# Last comes what makes a foreigner's own conversation under a name that somebody else has too.
CALLS = sorted(
    [(method, call) for (method, _), calls in ROUTES.items() for call in calls],
    key=lambda pair: pair[1].writes(pair[0]),
)
FIRST_CALLS = [
    (method, calls[0]) for (method, _), calls in ROUTES.items() if not calls[0].writes(method)
]

_OWN = re.compile(
    r"(?<!SET LOCAL )(?<!SET LOCAL app\.)"
    r"(?:\b\w+\.)?\b(?:user_email|email) = (%\(\w+\)s(?:::\w+)?)"
)


def without_owner_filter(statement):
    """Statements as they would be if somebody had forgotten the owner in all of them."""
    return _OWN.sub(r"\1 IS NOT NULL", statement)


@pytest.fixture(scope="module")
def welcoming(settings):
    """Settings that let visitors in."""
    return replace(settings, auth=replace(settings.auth, allow_anonymous=True))


@pytest.fixture(scope="module")
def teller(app, welcoming):
    """An application that remembers who was there, so that the one under test does not."""
    parley = Parley(settings=welcoming)
    yield parley.application()
    parley.close()


@pytest.fixture(scope="module", params=["both walls", "the first alone", "the second alone"])
def walled(request, app, welcoming):
    """The application: with both walls, the owner filter alone, row-level security alone."""
    # With one wall it logs all its statements.
    limit = welcoming.db_slow_query_ms if request.param == "both walls" else 0
    is_filtered = request.param != "the second alone"
    settings = replace(welcoming, db_slow_query_ms=limit, db_prepare=is_filtered)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        if request.param == "the first alone":
            patch.setattr(Database, "from_settings", _as_the_tables_owner)
        parley = Parley(settings=settings)
        if not is_filtered:
            stack.enter_context(cursors(parley.database.engine, rewriting(without_owner_filter)))
        yield parley.application()
        parley.close()


def _as_the_tables_owner(settings):
    """Row-level security lets it pass."""
    return Database.of_owner(settings.database_owner_url, settings)


@pytest.fixture(scope="module")
def foreigner(walled):
    return caller(walled, "user")


@pytest.fixture(scope="module")
def story(walled, rows, foreigner):
    """Somebody's, for attempts of a foreigner who was there before."""
    return Story(user(walled), rows)


def _fault(method, call, *circumstances):
    return " ".join([method, call.address, str(call.body)[:60], *map(str, circumstances)])


def test_every_route_has_its_entry_and_every_entry_its_route(app):
    routes = {
        (method, re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert routes == ROUTES.keys() | PUBLIC
    assert not ROUTES.keys() & PUBLIC


@pytest.mark.parametrize("kind", KINDS)
def test_an_owner_reaches_what_is_live_or_archived(walled, rows, kind):
    client, faults = caller(walled, kind), []
    story = Story(client, rows)
    for (method, call), state in product(CALLS, ("live", "archived")):
        answer = call_from_home(client, method, call, story.places[state])
        if answer.status_code != call.status:
            faults.append(_fault(method, call, state, answer.status))
        if call.spends(method) and answer.status_code < 300:
            story.renew(state)
    assert faults == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_in_the_trash_is_as_good_as_absent(walled, rows, kind):
    client, faults = caller(walled, kind), []
    story = Story(client, rows)
    for method, call in CALLS:
        place = story.places["trashed"]
        nothing = replace(absent(place), cursor=place.cursor)
        missing = call_from_home(client, method, call, nothing)
        answer = call_from_home(client, method, call, place)
        if (answer.status_code, missing.status_code) != (call.trashed, call.missing):
            faults.append(_fault(method, call, answer.status, missing.status))
        if call.trashed == call.missing and not is_same(method, call, answer, missing):
            faults.append(_fault(method, call, "differs"))
        if call.spends(method) and answer.status_code < 300:
            story.renew("trashed")
    assert faults == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_somebody_elses_is_as_good_as_absent(walled, rows, kind):
    foreigner, faults = caller(walled, kind), []
    stories = [Story(somebody(walled), rows) for somebody in KINDS.values()]
    before = [rows.of(story.client.email) for story in stories]
    for method, call in CALLS:
        missing = call_from_home(foreigner, method, call, absent(stories[0].places["live"]))
        for story, state in product(stories, _states(method, call)):
            foreign = call_from_home(foreigner, method, call, story.places[state])
            if foreign.status_code != call.missing or not is_same(method, call, foreign, missing):
                faults.append(_fault(method, call, state, foreign.status, missing.status))
            faults += _leaks(story, foreign, method, call, state)
    assert faults == []
    assert [rows.of(story.client.email) for story in stories] == before


def _states(method, call):
    """Where it matters: what looks for nothing that a caller names does so once."""
    return ["live"] if call.writes(method) else STATES


def _leaks(story, answer, method, call, *circumstances):
    told = story.found_in(answer, is_named="{email}" in str(call))
    return [_fault(method, call, *circumstances, "tells", *told)] if told else []


def test_headers_that_name_what_is_somebody_elses_change_nothing(walled, rows, story):
    foreigner, faults = caller(walled, "user"), []
    before = rows.of(story.client.email)
    for method, call in CALLS:
        plain = call_from_home(foreigner, method, call, absent(story.places["live"]))
        for state, names in _headed(method, call):
            headers = placed(story.places[state], {name: HEADERS[name] for name in names})
            named = call_from_home(foreigner, method, call, story.places[state], **headers)
            if not is_same(method, call, plain, named):
                faults.append(_fault(method, call, state, *names, plain.status, named.status))
            faults += _leaks(story, named, method, call, state, *names)
    assert faults == []
    assert rows.of(story.client.email) == before


def _headed(method, call):
    """All headers together in each state; and each alone, for one call of each route."""
    yield from ((state, list(HEADERS)) for state in _states(method, call))
    if (method, call) in FIRST_CALLS:
        yield from (("live", [name]) for name in HEADERS)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_gets_anything_without_a_token_that_holds(walled, teller, rows, kind):
    faults, foreigner = [], user(walled)
    story = Story(KINDS[kind](teller), rows)
    email, live = story.client.email, story.places["live"]
    before = rows.of(email)
    void = [(proof, live) for proof in _void_proofs(story)]
    refusals = [_answers(foreigner, method, call, void) for method, call in CALLS]
    assert rows.of(email) == before
    rows.run("UPDATE users SET is_active = false WHERE email = :email", email=email)
    before = rows.of(email)
    places = (*story.places.values(), absent(live))
    deactivated = [(f"Bearer {story.client.token}", place) for place in places]
    for (method, call), refused in zip(CALLS, refusals, strict=True):
        answers = [*refused, *_answers(foreigner, method, call, deactivated)]
        assert_problem(answers[0], 401, "unauthorized")
        assert answers[0].headers["WWW-Authenticate"] == "Bearer"
        if len({whole(answer) for answer in answers}) != 1:
            faults.append(_fault(method, call, *(answer.status for answer in answers)))
    assert faults == []
    assert rows.of(email) == before


def _answers(client, method, call, tried):
    """To a call with each proof, for each place, that is tried."""
    return [send(client, method, call, place, Authorization=proof) for proof, place in tried]


def _void_proofs(story):
    """An hour past its end, signed with another key, and none at all."""
    times = {"iat": later(-7200), "exp": later(-3600)}
    if isinstance(story.client, Visitor):
        expired = signed(visitor_claims(visitor=story.name, **times))
    else:
        expired = signed(claims(email=story.client.email, **times))
    forged = HOSTILE["signed with another secret"]()
    return [f"Bearer {expired}", f"Bearer {forged}", ""]


def test_public_routes_tell_nothing_about_anybody(walled, story):
    for method, path in sorted(PUBLIC):
        for headers in ({}, {"Authorization": f"Bearer {story.client.token}"}):
            address = path.replace("{_unknown}", story.places["live"].home)
            answer = walled.test_client().open(address, method=method, headers=headers)
            assert answer.status_code in {200, 404}
            assert story.found_in(answer) == []


def test_a_clients_own_id_names_each_users_own_conversation(story, foreigner):
    shared = f"chat-{uuid4().hex}"
    asked = story.client.ask(story.secrets[1], conversation_id=shared).json
    answer = foreigner.ask("What was said?", conversation_id=shared)
    assert answer.json["conversation_id"] != asked["conversation_id"]
    assert story.found_in(answer) == []
    read = foreigner.get(f"/conversations/{shared}")
    assert read.json["message_count"] == 2
    assert story.found_in(read) == []


def test_the_offline_answer_recalls_nothing_of_others(story, foreigner):
    home = foreigner.create("Hello")["id"]
    answer = foreigner.ask(" ".join(story.secrets[:3]), conversation_id=home)
    stored = foreigner.get(f"/conversations/{home}/messages").json["messages"]
    assert answer.json["message"]["contexts"] in (None, [])
    assert stored[-1]["contexts"] in (None, [])


def test_a_list_holds_its_owners_conversations_alone_and_no_trash(story, foreigner):
    ids = {name: place.conversation_id for name, place in story.places.items()}
    listed = {client: _listed(client) for client in (story.client, foreigner)}
    assert listed[story.client] >= {ids["live"], ids["archived"]}
    assert ids["trashed"] not in listed[story.client]
    assert foreigner.home in listed[foreigner]
    assert not listed[foreigner] & listed[story.client]


def _listed(client):
    answers = [client.get(f"/conversations?limit=100&archived={it}") for it in (True, False)]
    return {item["id"] for answer in answers for item in answer.json["conversations"]}


def test_nothing_that_was_said_is_logged(settings, story, foreigner):
    foreigner.get(f"/conversations/{story.places['live'].conversation_id}")
    log = Path(settings.log_file).read_bytes()
    assert b'"event":"request"' in log
    assert re.findall(rb"canary[0-9a-f]{32}|anon:[0-9a-f-]{36}", log) == []
    assert story.client.token.encode() not in log
    assert SECRET.encode() not in log


def test_the_second_matrix_really_has_no_owner_filter(database_urls, story):
    """The control: with neither wall the rows are there for anybody."""
    engine = create_engine(database_urls.owner, isolation_level="AUTOCOMMIT")
    wanted = story.places["live"].conversation_id
    with OwnedSession(engine, "somebody@example.com") as session:
        assert ConversationRepository(session).record(wanted) is None
    with (
        cursors(engine, rewriting(without_owner_filter)),
        OwnedSession(engine, "somebody@example.com") as session,
    ):
        conversations = ConversationRepository(session)
        assert conversations.record(wanted).title.startswith(story.secrets[0])
        assert conversations.count(where={"id": UUID(wanted)}) == 1
    engine.dispose()
