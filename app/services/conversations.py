"""Conversations of one owner: create, find, rename, delete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from ..database import Database
from ..errors import RecordNotFoundError
from ..ids import is_foreign, new_id, parse_id
from ..json_text import dumps
from ..repositories.conversations import ConversationRepository
from ..revisions import ANY, Expected, Revision
from ..search_words import search_words
from ..sessions import OwnedSession
from .history import HistoryService, Reading
from .messages import Draft, MessageService
from .once import Effect, Once, OnceService, Reference
from .wording import title_of

_LAST_MESSAGES = 50  # so many does a creation show, if it has that many


class Source(NamedTuple):
    """Where a conversation comes from, and the id that it has there: one conversation each."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Created:
    """A conversation after its creation. `is_replay`: it was there before."""

    reading: Reading
    is_replay: bool


class ConversationService:
    def __init__(
        self,
        database: Database,
        *,
        history: HistoryService,
        messages: MessageService,
        once: OnceService,
    ) -> None:
        self._database = database
        self._history = history
        self._messages = messages
        self._once = once

    def create(
        self,
        owner: str,
        fields: Mapping[str, Any],
        drafts: Sequence[Draft] = (),
        *,
        client_id: str | None = None,
        once: Once | None = None,
    ) -> Created:
        """A new conversation, with its first messages if any: all of it or nothing.

        One that has this client's own id already stays as it is, but for drafts that it lacks:
        they are appended, see MessageService.append. RecordNotFoundError: it lies in the trash.
        """
        source = clients_own(client_id) if client_id else None

        def make(session: OwnedSession) -> _Made:
            made = self._make(session, fields, drafts, source)
            if once and made.is_replay:
                self.lock(session, made.conversation_id)
                if drafts:
                    self._messages.append_rest(session, made.conversation_id, drafts)
            return made

        if once or drafts:
            made = self._once.run(owner, once, Effect(make, _Made._asdict, _Made.recall))
        else:  # nothing else has to take effect with it
            with self._database.statement(owner) as session:
                made = make(session)
        if drafts and made.is_replay and not once:
            self._messages.append(owner, made.conversation_id, drafts)
        limit = max(len(drafts), _LAST_MESSAGES)
        reading = self._history.read(owner, made.conversation_id, limit=limit)
        return Created(reading, is_replay=made.is_replay)

    def create_in(
        self, session: OwnedSession, fields: Mapping[str, Any], source: Source | None = None
    ) -> UUID:
        """The id of a new conversation, or of the one that comes from this source already.

        It may lie in the trash. RecordNotFoundError: it was erased just now.
        """
        return self._make(session, fields, (), source).conversation_id

    def _make(
        self,
        session: OwnedSession,
        fields: Mapping[str, Any],
        drafts: Sequence[Draft],
        source: Source | None,
    ) -> "_Made":
        conversations = ConversationRepository(session)
        made = conversations.create_once(_new_conversation(fields, source))
        if made and drafts:
            self._messages.append_in(session, made, drafts)
        found = made or (source and conversations.find_source(*source))
        if found is None:
            raise RecordNotFoundError
        return _Made(found, is_replay=not made)

    def find(self, owner: str, reference: str) -> UUID:
        """The id behind a reference: an id of ours, or a client's own. RecordNotFoundError.

        An id of ours is not looked up: the statement that uses it names the owner.
        """
        found = parse_id(reference)
        if (found is None or is_foreign(found)) and "\0" not in reference:
            found = self.find_source(owner, clients_own(reference)) or found
        if found is None:
            raise RecordNotFoundError
        return found

    def find_source(self, owner: str, source: Source) -> UUID | None:
        """The conversation that comes from a source, if there is one."""
        with self._database.statement(owner) as session:
            return ConversationRepository(session).find_source(*source)

    def read(self, owner: str, reference: str, *, limit: int) -> Reading:
        """A conversation with its last messages. RecordNotFoundError: absent or not the owner's."""
        return self._history.read(owner, self.find(owner, reference), limit=limit)

    def revision(self, owner: str, reference: str) -> Revision:
        """The state of a conversation. RecordNotFoundError: absent or not the owner's."""
        return self._history.revision(owner, self.find(owner, reference))

    def lock(
        self,
        session: OwnedSession,
        conversation_id: UUID,
        expected: Expected = ANY,
        *,
        is_in_trash: bool = False,
    ) -> Any:
        """Its state, which nobody else changes until the transaction ends.

        RecordNotFoundError: absent, not the owner's, or in the trash (or not, as you ask for);
        StaleError: it is not as expected.
        """
        state = ConversationRepository(session).lock(conversation_id)
        if state is None or (state.deleted_at is not None) != is_in_trash:
            raise RecordNotFoundError
        expected.check(Revision.of(state))
        return state

    def update(
        self,
        owner: str,
        reference: str,
        fields: Mapping[str, Any],
        *,
        expected: Expected = ANY,
        once: Once | None = None,
    ) -> Any:
        """Changes what the owner says of a conversation, which reorders no list: the record."""
        data = {**fields, **_of_chosen_title(fields)}
        return self.rewrite(owner, reference, data, expected=expected, once=once)

    def rewrite(
        self,
        owner: str,
        reference: str,
        data: Mapping[str, Any],
        *,
        expected: Expected = ANY,
        once: Once | None = None,
        is_in_trash: bool = False,
    ) -> Any:
        """Writes columns of a conversation, as a new revision: the record."""
        conversation_id = self.find(owner, reference)

        def rewrite(session: OwnedSession) -> Any:
            self.lock(session, conversation_id, expected, is_in_trash=is_in_trash)
            return ConversationRepository(session).rewrite(conversation_id, data)

        return self._once.run(owner, once, Effect(rewrite, _reference_to, _record_of))

    def entitle(self, owner: str, conversation_id: UUID, better: str) -> None:
        """A better title than the first question's, made as that; never over a user's own."""
        if title := title_of(better):
            with self._database.statement(owner) as session:
                ConversationRepository(session).entitle(conversation_id, title)

    def trash(self, owner: str, reference: str, *, expected: Expected = ANY) -> Revision:
        """Puts a conversation into the trash and ends its runs; the new state."""
        conversation_id = self.find(owner, reference)
        with self._database.transaction(owner) as session:
            self.lock(session, conversation_id, expected)
            return ConversationRepository(session).trash(conversation_id)

    def erase(self, owner: str, reference: str, *, expected: Expected = ANY) -> None:
        """Removes a conversation and all its messages for good, from the trash too."""
        conversation_id = self.find(owner, reference)
        with self._database.transaction(owner) as session:
            conversations = ConversationRepository(session)
            state = conversations.lock(conversation_id)
            if state is None:
                raise RecordNotFoundError
            expected.check(Revision.of(state))
            conversations.erase(conversation_id)


class _Made(NamedTuple):
    conversation_id: UUID
    is_replay: bool

    @classmethod
    def recall(cls, _: OwnedSession, reference: Reference) -> "_Made":
        return cls(UUID(reference["conversation_id"]), reference["is_replay"])


def _reference_to(record: Any) -> Reference:
    return {"conversation_id": record.id}


def _record_of(session: OwnedSession, reference: Reference) -> Any:
    conversation_id = UUID(reference["conversation_id"])
    return ConversationRepository(session).record_or_raise(conversation_id)


def clients_own(reference: str) -> Source:
    """The source of a conversation that a client names by an id of its own."""
    return Source("client", reference)


def _new_conversation(fields: Mapping[str, Any], source: Source | None) -> dict[str, Any]:
    optional = ("title", "mode", "model", "system_prompt")
    return {
        "id": new_id(),
        **{name: fields.get(name) for name in optional},
        "title_source": "user" if fields.get("title") else "auto",
        "title_words": search_words(fields.get("title") or ""),
        "tags": list(fields.get("tags") or ()),
        "metadata": dumps(fields.get("metadata") or {}).decode(),
        "source": source and source.name,
        "source_id": source and source.id,
    }


def _of_chosen_title(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What goes with a title that the user gives."""
    title = fields.get("title")
    return {"title_source": "user", "title_words": search_words(title)} if title else {}
