"""Pages of a conversation's messages, oldest first, by the id of a message at their edge."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from ..errors import FieldFault, InvalidFieldsError
from ..repositories.conversations import ConversationRepository
from ..repositories.messages import Among, MessageRepository
from ..revisions import Revision
from ..sessions import OwnedSession
from ..transcript import Turn

NO_MESSAGE = "is no message of this conversation."


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which page: the last `limit` turns, or those just before or after a message."""

    limit: int
    before: UUID | None = None
    after: UUID | None = None


@dataclass(frozen=True, slots=True)
class TurnPage:
    """Turns, oldest first; `has_more`: there are others beyond them in the direction asked."""

    turns: Sequence[Turn]
    has_more: bool
    revision: Revision


def read_page(
    session: OwnedSession, conversation_id: UUID, window: Window, among: Among
) -> TurnPage:
    """A page of some of a conversation's messages. RecordNotFoundError: absent or not the owner's.

    InvalidFieldsError: the message that it is to begin or end at is none of them.
    """
    record = ConversationRepository(session).record_or_raise(conversation_id)
    revision = Revision.of(record)
    messages, take = MessageRepository(session), window.limit + 1
    if window.after is not None:
        turns = messages.after(conversation_id, window.after, take, among)
        _check_edge(messages, conversation_id, turns, "after", window.after)
        return TurnPage(turns[: window.limit], len(turns) == take, revision)
    if window.before is not None:
        turns = messages.before(conversation_id, window.before, take, among)
        _check_edge(messages, conversation_id, turns, "before", window.before)
    else:
        turns = messages.tail(conversation_id, take, among)
    return TurnPage(turns[-window.limit :], len(turns) == take, revision)


def _check_edge(
    messages: MessageRepository,
    conversation_id: UUID,
    turns: Sequence[Turn],
    name: str,
    message_id: UUID,
) -> None:
    """Nothing beyond a message is its page's end, but not when that message is gone."""
    if not turns and messages.find(conversation_id, message_id) is None:
        raise InvalidFieldsError([FieldFault(f"/{name}", NO_MESSAGE)])
