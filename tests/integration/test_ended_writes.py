"""Writes whose thread is ended before it knows what became of them."""

from uuid import UUID

import pytest

from app.ids import new_id
from app.repositories.appending import NewMessage
from app.repositories.messages import MessageRepository


def append_and_end(database, owner, conversation_id, ending):
    """The statement takes effect; the thread never comes to say so."""
    with database.statement(owner) as session:
        session.told = raising(ending)
        append(session, conversation_id)


def append(session, conversation_id):
    message = NewMessage(id=new_id(), role="user", content="And now?")
    MessageRepository(session).append(conversation_id, [message], title=None, preview="")


def raising(error):
    def raise_it(*_):
        raise error

    return raise_it


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, RuntimeError])
def test_a_copy_is_not_given_back_after_a_statement_that_took_effect(ending, client, parley):
    conversation_id = client.create("Hello", "Good morning")["id"]
    before = client.messages(conversation_id)
    with pytest.raises(ending):
        append_and_end(parley.database, client.email, UUID(conversation_id), ending)
    assert len(client.messages(conversation_id)) == len(before) + 1
