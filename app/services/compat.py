"""For clients of other systems: what they ask with a question, and where they believe to be.

Some of them know no conversation but the current one. It is the one with the client's own id
`chatbot`, until it is ended: so there is one at most, whoever else asks at the same time.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from ..clock import now
from ..database import Database
from ..errors import RecordNotFoundError
from ..repositories.conversations import ConversationRepository
from ..streaming.events import Watch
from ..transcript import Turn, Under
from .chat import ChatService
from .conversations import ConversationService, clients_own
from .identity import Identity
from .questions import Question

CURRENT = "chatbot"
# Those clients know no pages.
MOST_TURNS = 200
_MOST_LISTED = 200
_SOURCE = clients_own(CURRENT)
_IS_CURRENT = {"source": _SOURCE.name, "source_id": _SOURCE.id}
_IN_TRASH = {"deleted_at": {"not": None}}
_LISTED = {"deleted_at": None, "is_published": True, "is_archived": False}
_NEWEST_FIRST = [{"updated_at": "desc"}, {"id": "desc"}]


class Pair(NamedTuple):
    """A question and what was answered; either may be missing."""

    question: Turn | None
    answer: Turn | None

    @property
    def said_at(self) -> datetime:
        return next(turn.created_at for turn in self if turn)


class Heard(NamedTuple):
    """A conversation's fields, and the newest turns of its active path, oldest first."""

    fields: Mapping[str, Any]
    turns: Sequence[Turn]


class Sessions(NamedTuple):
    """The newest conversations, and how many there are."""

    newest: Sequence[Any]
    total: int


class CompatService:
    def __init__(
        self, database: Database, *, chat: ChatService, conversations: ConversationService
    ) -> None:
        self._database = database
        self._chat = chat
        self._conversations = conversations

    def ask(
        self,
        identity: Identity,
        text: str,
        notes: Mapping[str, Any],
        history: Sequence[Mapping[str, Any]] | None = None,
    ) -> Watch:
        """The answer in the current conversation; see ChatService.ask.

        `notes`: what its client wants kept beside the question, as the message's metadata.
        `history`: what its client takes for all that was said before. Where that ends earlier
        than ours, the question is a new version of the one that followed there.
        """
        self._end(identity.user_email, _IN_TRASH)
        under = None if history is None else self._under(identity.user_email, history)
        question = Question(text=text, conversation=CURRENT, under=under, metadata=notes)
        return self._chat.ask(identity, question)

    def ask_in(
        self, identity: Identity, reference: str | None, text: str, notes: Mapping[str, Any]
    ) -> Watch:
        """The same in a conversation that is there, or in a new one. RecordNotFoundError."""
        found = reference and str(self._conversations.find(identity.user_email, reference))
        question = Question(text=text, conversation=found, metadata=notes)
        return self._chat.ask(identity, question)

    def pairs(self, owner: str) -> list[Pair]:
        """What was said last in the current conversation, oldest first."""
        return _paired(self._heard_now(owner))

    def heard(self, owner: str, reference: str, *, limit: int = MOST_TURNS) -> Heard:
        """A conversation with what was said last in it. RecordNotFoundError."""
        reading = self._conversations.read(owner, reference, limit=limit)
        return Heard(reading.fields(), reading.turns())

    def sessions(self, owner: str) -> Sessions:
        """Conversations, newest activity first, without the trash and the archive."""
        with self._database.statement(owner) as session:
            conversations = ConversationRepository(session)
            newest = conversations.find_many(
                where=_LISTED, order_by=_NEWEST_FIRST, take=_MOST_LISTED
            )
            return Sessions(newest, conversations.count(where=_LISTED))

    def begin(self, owner: str) -> UUID:
        """The id of a current conversation in which nothing was said yet."""
        self.end(owner)
        created = self._conversations.create(owner, {}, client_id=CURRENT)
        conversation_id: UUID = created.reading.conversation_id
        return conversation_id

    def end(self, owner: str) -> None:
        """Lets the next question begin a new conversation; the one so far stays in the list."""
        self._end(owner, {"OR": [_IN_TRASH, {"message_count": {"gt": 0}}]})

    def _heard_now(self, owner: str) -> Sequence[Turn]:
        try:
            return self.heard(owner, CURRENT).turns
        except RecordNotFoundError:
            return ()

    def _under(self, owner: str, history: Sequence[Mapping[str, Any]]) -> Under | None:
        """Where the question goes that has this history; None, the end, if it is not like ours."""
        turns = self._heard_now(owner)
        asked = [turn for turn in turns if turn.role == "user"]
        told = _told(history)
        is_like_ours = told == [turn.content.strip() for turn in asked[: len(told)]]
        if len(turns) == MOST_TURNS or len(told) == len(asked) or not is_like_ours:
            return None
        return Under(asked[len(told)].parent_id)

    def _end(self, owner: str, where: Mapping[str, Any]) -> None:
        ended = {"source": None, "source_id": None, "ended_at": now()}
        with self._database.statement(owner) as session:
            ConversationRepository(session).update_many(where={**_IS_CURRENT, **where}, data=ended)


def _told(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The questions of a history of pairs, or of messages with a role."""
    questions = [
        said.get("user") or said.get("content")
        for said in history
        if "user" in said or said.get("role") == "user"
    ]
    return [str(question).strip() for question in questions]


def _paired(turns: Sequence[Turn]) -> list[Pair]:
    pairs: list[Pair] = []
    for turn in turns:
        if turn.role == "user":
            pairs.append(Pair(turn, None))
        elif turn.role == "assistant" and pairs and pairs[-1].answer is None:
            pairs[-1] = pairs[-1]._replace(answer=turn)
        elif turn.role == "assistant":
            pairs.append(Pair(None, turn))
    return pairs
