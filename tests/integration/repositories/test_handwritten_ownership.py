"""Hand-written statements keep to their owner where row-level security lets everything pass."""

from uuid import UUID

import pytest
from sqlalchemy import create_engine

from app.ids import new_id
from app.repositories.appending import NewMessage
from app.repositories.changes import ChangeRepository
from app.repositories.conversations import ConversationRepository
from app.repositories.messages import MessageRepository
from app.repositories.runs import RunRepository
from app.repositories.tree import TreeRepository
from app.sessions import OwnedSession
from app.transcript import Under
from tests.evidence import Rows


@pytest.fixture(scope="module")
def unwalled(database_urls):
    """An engine that works as the tables' owner."""
    engine = create_engine(database_urls.owner, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture
def told(client, settings):
    """A conversation with a question that is being answered: ids of it, its messages, its run."""
    rows = Rows(settings.database_owner_url)
    made = client.create("One", "Two")
    client.ask("Three?", client_message_id="first", conversation_id=made["id"])
    ((run_id,),) = rows.run(
        "UPDATE runs SET status = 'running', lease_until = clock_timestamp() + interval '1 hour' "
        "WHERE user_email = :email RETURNING id",
        email=client.email,
    )
    rows.run(
        "INSERT INTO run_chunks (run_id, n, user_email, text) VALUES (:run_id, 0, :email, 'half')",
        run_id=run_id,
        email=client.email,
    )
    messages = [UUID(message["id"]) for message in client.messages(made["id"])]
    yield UUID(made["id"]), messages, run_id
    rows.run("DELETE FROM conversations WHERE user_email = :email", email=client.email)


def reached(session, told):
    """What statements find and do that name a conversation, a message or a run by its id alone."""
    conversation_id, messages, run_id = told
    of_messages, of_runs = MessageRepository(session), RunRepository(session)
    of_conversations, of_tree = ConversationRepository(session), TreeRepository(session)
    return {
        "record": of_conversations.record(conversation_id),
        "lock": of_conversations.lock(conversation_id),
        "find": of_messages.find(conversation_id, messages[1]),
        "find_client_id": of_messages.find_client_id(conversation_id, "first"),
        "path": of_tree.path(conversation_id, messages[1], 9),
        "newest_child": of_tree.newest_child(conversation_id, messages[0]),
        "newest_root": of_tree.newest_child(conversation_id, None),
        "tail": of_messages.tail(conversation_id, 9),
        "before": of_messages.before(conversation_id, messages[1], 9),
        "after": of_messages.after(conversation_id, messages[1], 9),
        "sent_before": of_messages.sent_before(conversation_id, ["first"]),
        "answer_to": of_messages.answer_to(conversation_id, messages[2]),
        "text_so_far": of_runs.text_so_far(run_id),
        "text_of": of_runs.text_of(conversation_id, messages[3]),
        "live": of_runs.live(conversation_id),
        "stop": of_runs.stop(conversation_id, None),
        "stop one": of_runs.stop(conversation_id, messages[3]),
        "append": append(of_messages, conversation_id),
        "append under": append(of_messages, conversation_id, under=Under(messages[1])),
        "append anew": append(of_messages, conversation_id, under=Under(None)),
        "look": ChangeRepository(session).look(conversation_id, after_seq=0, take=9),
        "show": of_tree.show(conversation_id, messages[3], head=9),
        "cut": of_tree.cut(conversation_id, messages[1]).messages,
    }


def append(of_messages, conversation_id, **place):
    said = [NewMessage(id=new_id(), role="user", content="Taken over")]
    return of_messages.append(conversation_id, said, title=None, preview="", **place)


def test_nobody_reaches_what_is_somebody_elses_by_its_id(unwalled, told, client, stranger):
    with OwnedSession(unwalled, stranger.email) as session:
        assert not any(reached(session, told).values())
    with OwnedSession(unwalled, client.email) as session:  # the control; it ends with a cut
        assert all(reached(session, told).values())
