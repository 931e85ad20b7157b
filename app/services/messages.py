"""Messages as their senders write them, stored once each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from ..database import Database
from ..errors import (
    AlreadySentError,
    PayloadMismatchError,
    RecordNotFoundError,
    TooLargeError,
)
from ..ids import new_id
from ..json_text import dumps
from ..repositories.appending import NewMessage
from ..repositories.conversations import ConversationRepository
from ..repositories.messages import MessageRepository, SentMessage, appended_turn
from ..revisions import Revision
from ..search_words import search_words
from ..sessions import OwnedSession
from ..transcript import Role, Turn, Under
from .once import Reference
from .wording import preview_of, title_of

# Another writer can store one of the same messages between two looks, but not for ever.
_MOST_RACES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What a message says in another version, as its sender wrote it."""

    content: str
    client_message_id: str | None = None
    parts: Sequence[Mapping[str, Any]] | None = None
    model: str | None = None
    tokens_used: int | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(Edit):
    """A message as its sender wrote it."""

    role: Role

    @classmethod
    def of(cls, edit: Edit, role: Role) -> "Draft":
        """What an edit says, in somebody's role."""
        return cls(role=role, **{name: getattr(edit, name) for name in Edit.__dataclass_fields__})

    def size(self) -> int:
        """Bytes of what is said: the content, and the parts as JSON."""
        return len(self.content.encode()) + (len(dumps(self.parts)) if self.parts else 0)

    def payload_sha256(self) -> str:
        """Equal for equal messages: what makes a repeated client_message_id a repetition."""
        payload = [self.role, self.content, self.parts, self.model, self.tokens_used]
        return sha256(dumps([*payload, self.metadata or {}])).hexdigest()


@dataclass(frozen=True, slots=True)
class Stored:
    """Messages as they are stored, and the state of their conversation.

    `is_replay`: they were there already when they were sent.
    """

    conversation_id: UUID
    revision: Revision
    turns: Sequence[Turn]
    is_replay: bool = False

    def reference(self) -> Reference:
        """What was stored, without a word of what it says; see `recall`."""
        return {
            "conversation_id": self.conversation_id,
            "revision": self.revision._asdict(),
            "message_ids": [turn.id for turn in self.turns],
            "is_replay": self.is_replay,
        }

    @classmethod
    def recall(cls, session: OwnedSession, reference: Reference) -> "Stored":
        """The messages as they are now. RecordNotFoundError: not all of them are there."""
        conversation_id = UUID(reference["conversation_id"])
        ConversationRepository(session).record_or_raise(conversation_id)
        ids = [UUID(message_id) for message_id in reference["message_ids"]]
        found = MessageRepository(session).find_all(conversation_id, ids)
        if len(found) < len(ids):
            raise RecordNotFoundError
        turns = [found[message_id] for message_id in ids]
        revision = Revision.from_json(reference["revision"])
        return cls(conversation_id, revision, turns, is_replay=reference["is_replay"])


class MessageService:
    def __init__(self, database: Database, *, max_message_bytes: int) -> None:
        self._database = database
        self._max_message_bytes = max_message_bytes

    def append(
        self,
        owner: str,
        conversation_id: UUID,
        drafts: Sequence[Draft],
        *,
        under: Under | None = None,
    ) -> Stored:
        """Stores messages behind the active leaf, or under a message, in one statement.

        What is stored already under its client_message_id is not stored again; with another
        payload it is a PayloadMismatchError. RecordNotFoundError: absent or not the owner's, or
        without the message to go under.
        """
        sent: dict[str, SentMessage] = {}
        for _ in range(_MOST_RACES):
            missing = [draft for draft in drafts if draft.client_message_id not in sent]
            if not missing:
                return _replay(conversation_id, drafts, sent)
            try:
                place = _place_of_rest(drafts, sent, under)
                with self._database.statement(owner) as session:
                    stored = self.append_in(session, conversation_id, missing, under=place)
            except AlreadySentError:
                sent = self.sent_before(owner, conversation_id, drafts)
            else:
                return _merged(stored, drafts, sent)
        raise AlreadySentError

    def append_rest(
        self,
        session: OwnedSession,
        conversation_id: UUID,
        drafts: Sequence[Draft],
        *,
        under: Under | None = None,
        check: Callable[[], None] | None = None,
    ) -> Stored:
        """The same within a transaction, on a conversation that it has locked.

        `check` may refuse what is not stored yet; a repetition has been let in before.
        """
        payloads = _payloads(drafts)
        sent = _sent_before(session, conversation_id, payloads) if payloads else {}
        missing = [draft for draft in drafts if draft.client_message_id not in sent]
        if not missing:
            return _replay(conversation_id, drafts, sent)
        if check:
            check()
        place = _place_of_rest(drafts, sent, under)
        return _merged(self.append_in(session, conversation_id, missing, under=place), drafts, sent)

    def append_in(
        self,
        session: OwnedSession,
        conversation_id: UUID,
        drafts: Sequence[Draft],
        *,
        under: Under | None = None,
    ) -> Stored:
        """The same within a session, for drafts that are not stored yet."""
        self.check_sizes(drafts)
        messages = [new_message(draft) for draft in drafts]
        rows = MessageRepository(session).append(
            conversation_id,
            messages,
            title=first_title(drafts),
            preview=preview_of(drafts[-1].content),
            under=under,
        )
        if not rows:
            raise RecordNotFoundError
        turns = [appended_turn(message, row) for message, row in zip(messages, rows, strict=True)]
        return Stored(conversation_id, Revision.of(rows[0]), turns)

    def sent_before(
        self, owner: str, conversation_id: UUID, drafts: Sequence[Draft]
    ) -> dict[str, SentMessage]:
        """What is stored of drafts, by client_message_id. PayloadMismatchError: not the same."""
        return self.stored_as(owner, conversation_id, _payloads(drafts))

    def stored_as(
        self, owner: str, conversation_id: UUID, payloads: Mapping[str, str]
    ) -> dict[str, SentMessage]:
        """What is stored by client_message_id. PayloadMismatchError: not with this payload."""
        with self._database.statement(owner) as session:
            return _sent_before(session, conversation_id, payloads)

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


def _payloads(drafts: Sequence[Draft]) -> dict[str, str]:
    """The fingerprints of drafts, by the client's ids of those that have one."""
    named = [draft for draft in drafts if draft.client_message_id]
    return {str(draft.client_message_id): draft.payload_sha256() for draft in named}


def _sent_before(
    session: OwnedSession, conversation_id: UUID, payloads: Mapping[str, str]
) -> dict[str, SentMessage]:
    sent = MessageRepository(session).sent_before(conversation_id, list(payloads))
    if any(stored.payload_sha256 != payloads[name] for name, stored in sent.items()):
        raise PayloadMismatchError
    return sent


def _place_of_rest(
    drafts: Sequence[Draft], sent: Mapping[str, SentMessage], under: Under | None
) -> Under | None:
    """Where the first draft that is not stored goes, if a place is named: under the one before."""
    for draft in drafts:
        if under is None or (stored := sent.get(draft.client_message_id or "")) is None:
            break
        under = Under(stored.turn.id)
    return under


def _replay(
    conversation_id: UUID, drafts: Sequence[Draft], sent: Mapping[str, SentMessage]
) -> Stored:
    stored = [sent[draft.client_message_id or ""] for draft in drafts]
    turns = [message.turn for message in stored]
    return Stored(conversation_id, stored[0].revision, turns, is_replay=True)


def _merged(stored: Stored, drafts: Sequence[Draft], sent: Mapping[str, SentMessage]) -> Stored:
    """The turns in the order of their drafts: those stored now, and those stored before."""
    fresh = iter(stored.turns)
    before = [sent.get(draft.client_message_id or "") for draft in drafts]
    turns = [known.turn if known else next(fresh) for known in before]
    return Stored(stored.conversation_id, stored.revision, turns)
