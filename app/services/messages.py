"""Messages as their senders write them, stored once each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from ..database import Database, OwnedSession
from ..errors import (
    AlreadySentError,
    PayloadMismatchError,
    RecordNotFoundError,
    TooLargeError,
)
from ..ids import new_id
from ..json_text import dumps
from ..repositories.messages import (
    MessageRepository,
    NewMessage,
    SentMessage,
    appended_turn,
)
from ..search_words import search_words
from ..transcript import Role, Turn
from .wording import preview_of, title_of

# Another writer can store one of the same messages between two looks, but not for ever.
_MOST_RACES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message as its sender wrote it."""

    role: Role
    content: str
    client_message_id: str | None = None
    parts: Sequence[Mapping[str, Any]] | None = None
    model: str | None = None
    tokens_used: int | None = None
    metadata: Mapping[str, Any] | None = None

    def size(self) -> int:
        """Bytes of what is said: the content, and the parts as JSON."""
        return len(self.content.encode()) + (len(dumps(self.parts)) if self.parts else 0)

    def payload_sha256(self) -> str:
        """Equal for equal messages: what makes a repeated client_message_id a repetition."""
        payload = [self.role, self.content, self.parts, self.model, self.tokens_used]
        return sha256(dumps([*payload, self.metadata or {}])).hexdigest()


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append came to. `is_replay`: all of it was stored before."""

    conversation_id: UUID
    revision: int
    turns: Sequence[Turn]
    is_replay: bool = False


class MessageService:
    def __init__(self, database: Database, *, max_message_bytes: int) -> None:
        self._database = database
        self._max_message_bytes = max_message_bytes

    def append(self, owner: str, conversation_id: UUID, drafts: Sequence[Draft]) -> Appended:
        """Stores messages behind the active leaf, in one statement.

        What is stored already under its client_message_id is not stored again; with another
        payload it is a PayloadMismatchError. RecordNotFoundError: absent or not the owner's.
        """
        sent: dict[str, SentMessage] = {}
        for _ in range(_MOST_RACES):
            missing = [draft for draft in drafts if draft.client_message_id not in sent]
            if not missing:
                return _replay(conversation_id, drafts, sent)
            try:
                with self._database.statement(owner) as session:
                    stored = self.append_in(session, conversation_id, missing)
            except AlreadySentError:
                sent = self.sent_before(owner, conversation_id, drafts)
            else:
                return _merged(stored, drafts, sent)
        raise AlreadySentError

    def append_in(
        self, session: OwnedSession, conversation_id: UUID, drafts: Sequence[Draft]
    ) -> Appended:
        """The same within a session, for drafts that are not stored yet."""
        self.check_sizes(drafts)
        messages = [new_message(draft) for draft in drafts]
        rows = MessageRepository(session).append(
            conversation_id,
            messages,
            title=first_title(drafts),
            preview=preview_of(drafts[-1].content),
        )
        if not rows:
            raise RecordNotFoundError
        turns = [appended_turn(message, row) for message, row in zip(messages, rows, strict=True)]
        return Appended(conversation_id, rows[0].revision, turns)

    def sent_before(
        self, owner: str, conversation_id: UUID, drafts: Sequence[Draft]
    ) -> dict[str, SentMessage]:
        """What is stored of drafts, by client_message_id. PayloadMismatchError: not the same."""
        client_ids = [draft.client_message_id for draft in drafts if draft.client_message_id]
        with self._database.statement(owner) as session:
            sent = MessageRepository(session).sent_before(conversation_id, client_ids)
        for draft in drafts:
            stored = sent.get(draft.client_message_id or "")
            if stored and stored.payload_sha256 != draft.payload_sha256():
                raise PayloadMismatchError
        return sent

    def check_sizes(self, drafts: Sequence[Draft]) -> None:
        """Raises TooLargeError that names the first message over the limit, parts included."""
        for place, draft in enumerate(drafts):
            if draft.size() > self._max_message_bytes:
                limit = self._max_message_bytes
                raise TooLargeError(f"Message {place} is larger than {limit} bytes.")


def new_message(draft: Draft) -> NewMessage:
    """A draft with its id, its fingerprint and its search words."""
    return NewMessage(
        id=new_id(),
        role=draft.role,
        content=draft.content,
        payload_sha256=draft.payload_sha256(),
        search_words=search_words(draft.content),
        parts=draft.parts,
        client_message_id=draft.client_message_id,
        model=draft.model,
        tokens_used=draft.tokens_used,
        metadata=draft.metadata,
    )


def first_title(drafts: Sequence[Draft]) -> str | None:
    """A title from the first user message among them."""
    asked = next((draft.content for draft in drafts if draft.role == "user"), None)
    return title_of(asked) if asked else None


def _replay(
    conversation_id: UUID, drafts: Sequence[Draft], sent: Mapping[str, SentMessage]
) -> Appended:
    stored = [sent[draft.client_message_id or ""] for draft in drafts]
    turns = [message.turn for message in stored]
    return Appended(conversation_id, stored[0].revision, turns, is_replay=True)


def _merged(stored: Appended, drafts: Sequence[Draft], sent: Mapping[str, SentMessage]) -> Appended:
    """The turns in the order of their drafts: those stored now, and those stored before."""
    fresh = iter(stored.turns)
    before = [sent.get(draft.client_message_id or "") for draft in drafts]
    turns = [known.turn if known else next(fresh) for known in before]
    return Appended(stored.conversation_id, stored.revision, turns)
