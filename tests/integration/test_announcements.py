"""What sessions changed is announced: after the commit, and whoever changed it."""

from itertools import product
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from app.cache.changes import channel_of
from app.database import Database
from app.errors import RecordNotFoundError, UnavailableError, UnguardedError
from app.repositories.appending import NewMessage
from app.repositories.conversations import ConversationRepository
from app.repositories.messages import MessageRepository
from tests.api.routes import ROUTES
from tests.api.stories import Story, call_from_home, caller

# In the trash, nothing happens to what is not found there.
CALLS = [
    (method, call, state)
    for (method, _), calls in ROUTES.items()
    for call, state in product(calls, ("live", "trashed"))
    if method != "GET" and (state == "live" or call.trashed < 300)
]
_REVISIONS = "SELECT id, rev FROM conversations WHERE user_email = :email"
_RENAME = "UPDATE conversations SET title = 'New', title_source = 'user' WHERE id = %(id)s"
_TITLE = "SELECT title FROM conversations WHERE id = :conversation_id"


@pytest.fixture
def database(settings, app):
    """One of its own, so that nobody else's changes are announced."""
    database = Database.from_settings(settings)
    yield database
    database.close()


@pytest.fixture
def announced(database):
    """What is announced, in order."""
    heard = []
    database.when_changed(lambda owner, ids: heard.append((owner, ids)))
    return heard


@pytest.fixture
def conversation_id(client):
    return client.create("Hello")["id"]


def rename(session, conversation_id):
    session.run(_RENAME, {"id": conversation_id})
    session.changed(conversation_id)


def append(session, conversation_id):
    MessageRepository(session).append(
        UUID(conversation_id),
        [NewMessage(id=uuid4(), role="user", content="And now?")],
        title=None,
        preview="And now?",
    )


def test_a_change_is_announced_when_others_can_see_it(database, rows, email, conversation_id):
    seen = []
    database.when_changed(
        lambda owner, ids: seen.append(
            [owner, *(rows.run(_TITLE, conversation_id=each)[0].title for each in ids)]
        )
    )
    with database.transaction(email) as session:
        rename(session, conversation_id)
        assert seen == []
    assert seen == [[email, "New"]]
    with database.statement(email) as session:
        append(session, conversation_id)
    assert seen == [[email, "New"]] * 2
    with pytest.raises(UnguardedError), database.statement(email) as session:
        session.changed(conversation_id)


def done(work, owner, *deeds):
    with work(owner) as session:
        for deed in deeds:
            deed(session)


def test_what_is_not_committed_is_not_announced(
    database, rows, email, announced, conversation_id, connection
):
    def change(session):
        rename(session, conversation_id)

    def fail(session):
        raise RecordNotFoundError

    def lose_connection(session):
        (row,) = session.run("SELECT pg_backend_pid() AS pid", {})
        connection.cursor().execute("SELECT pg_terminate_backend(%s)", [row.pid])

    def break_a_rule(session):
        session.run("UPDATE conversations SET mode = 'unheard of'", {})
        change(session)

    with pytest.raises(RecordNotFoundError):
        done(database.transaction, email, change, fail)
    with pytest.raises(UnavailableError):
        done(database.transaction, email, change, lose_connection)
    with pytest.raises(IntegrityError):
        done(database.transaction, email, break_a_rule)
    assert announced == []
    assert rows.run(_TITLE, conversation_id=conversation_id)[0].title == "Hello"

    with pytest.raises(RecordNotFoundError):
        done(database.statement, email, lambda session: append(session, conversation_id), fail)
    assert announced == [(email, {UUID(conversation_id)})], "a statement by itself has taken effect"


def test_who_only_reads_announces_nothing_and_many_changes_are_announced_once(
    database, email, client, announced
):
    made = [client.create("Hello")["id"] for _ in range(3)]
    with database.transaction(email) as session:
        ConversationRepository(session).record(made[0])
    assert announced == []
    with database.transaction(email) as session:
        session.changed(*made)
        session.changed(made[0])
    assert announced == [(email, set(made))]


def test_an_announcement_that_fails_is_no_fault_of_the_write(
    database, rows, email, conversation_id
):
    def fail(owner, ids):
        raise RuntimeError("nobody listens")

    heard = []
    database.when_changed(fail)
    database.when_changed(lambda owner, ids: heard.append(ids))
    with database.transaction(email) as session:
        rename(session, conversation_id)
    assert rows.run(_TITLE, conversation_id=conversation_id)[0].title == "New"
    assert heard == [{conversation_id}]


def test_whatever_route_makes_another_revision_announces_it(rows, make_app):
    """All routes that there are, so that none can be forgotten."""
    app = make_app()
    client, heard = caller(app, "user"), set()
    story = Story(client, rows)
    app.extensions["parley"].database.when_changed(lambda owner, ids: heard.update(map(str, ids)))
    told = 0
    for method, call, state in CALLS:
        before = revisions(rows, client.email)
        heard.clear()
        answer = call_from_home(client, method, call, story.places[state])
        after = revisions(rows, client.email)
        changed = {name for name, rev in before.items() if after.get(name) != rev}
        assert changed <= heard, (method, call.address, state)
        told += len(changed)
        if call.spends(method) and answer.status_code < 300:
            story.renew(state)
    assert told > 20


def test_what_an_operator_mends_is_announced(parley, rows, client):
    conversation_id = UUID(client.create("Hello")["id"])
    watcher = parley.changes.watch(client.email, conversation_id)
    rows.run("UPDATE conversations SET message_count = 9 WHERE id = :id", id=conversation_id)
    with parley.operations.verification() as verification:
        assert len(list(verification.verify(address=client.email, repairs=True))) == 1
    assert watcher.wait(5)


def test_what_an_operator_announces_is_on_its_way_when_the_command_ends(
    parley, client, monkeypatch
):
    sent = []
    monkeypatch.setattr("app.cache.post.CARRY_SECONDS", 60.0)
    monkeypatch.setattr(parley.redis, "ask_all", lambda *commands: sent.extend(commands))
    conversation_id = client.create("Hello")["id"]
    with parley.operations.accounts():
        pass
    assert [it[:2] for it in sent] == [("PUBLISH", channel_of(client.email))]
    assert conversation_id in sent[0][2]


def revisions(rows, email):
    return {str(row.id): row.rev for row in rows.run(_REVISIONS, email=email)}
