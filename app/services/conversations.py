"""Conversations of one owner: list, create, find, rename, delete, and pages of their messages."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from ..clock import parse, timestamp
from ..database import Database, OwnedSession
from ..errors import FieldFault, InvalidFieldsError, RecordNotFoundError
from ..ids import new_id, parse_id
from ..json_text import dumps, loads
from ..repositories.conversations import ConversationRepository, ListCursor
from ..repositories.messages import MessageRepository
from ..search_words import search_words
from ..transcript import Turn
from .history import HistoryService, Reading
from .messages import Appended, Draft, MessageService

_SHOWN = 50  # how many of the last messages a creation shows, if it has that many


class Source(NamedTuple):
    """Where a conversation comes from, and the id that it has there: one conversation each."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Created:
    """A conversation after its creation. `is_replay`: it was there before."""

    reading: Reading
    is_replay: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a list; `next_cursor` is opaque, None at the end."""

    conversations: Sequence[Any]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class TurnPage:
    """Turns, oldest first; `has_more`: there are others beyond them in the direction asked."""

    turns: Sequence[Turn]
    has_more: bool


class ConversationService:
    def __init__(
        self, database: Database, *, history: HistoryService, messages: MessageService
    ) -> None:
        self._database = database
        self._history = history
        self._messages = messages

    def page(self, owner: str, *, limit: int, cursor: str | None = None) -> Page:
        """The owner's conversations, newest activity first. InvalidFieldsError: a foul cursor."""
        after = _decode_cursor(cursor) if cursor else None
        with self._database.statement(owner) as session:
            rows = ConversationRepository(session).page(take=limit + 1, cursor=after)
        has_more = len(rows) > limit
        return Page(rows[:limit], _encode_cursor(rows[limit - 1]) if has_more else None)

    def create(
        self,
        owner: str,
        fields: Mapping[str, Any],
        drafts: Sequence[Draft] = (),
        *,
        client_id: str | None = None,
    ) -> Created:
        """A new conversation, with its first messages if any: all of it or nothing.

        One that has this client's own id already stays as it is, but for drafts that it lacks:
        they are appended, see MessageService.append. RecordNotFoundError: it lies in the trash.
        """
        source = clients_own(client_id) if client_id else None
        with self._database.transaction(owner) as session:
            made = ConversationRepository(session).create_once(_new_conversation(fields, source))
            if made and drafts:
                self._messages.append_in(session, made, drafts)
        found = made or (source and self.find_source(owner, source))
        if found is None:
            raise RecordNotFoundError
        if drafts and not made:
            self._messages.append(owner, found, drafts)
        reading = self._history.read(owner, found, limit=max(len(drafts), _SHOWN))
        return Created(reading, is_replay=not made)

    def create_in(
        self, session: OwnedSession, fields: Mapping[str, Any], source: Source | None = None
    ) -> UUID:
        """The id of a new conversation, or of the one that comes from this source already.

        RecordNotFoundError: the conversation from this source lies in the trash.
        """
        conversations = ConversationRepository(session)
        made = conversations.create_once(_new_conversation(fields, source))
        found = made or (source and conversations.find_source(*source))
        if found is None:
            raise RecordNotFoundError
        return found

    def find(self, owner: str, reference: str) -> UUID:
        """The id behind a reference: an id of ours, or a client's own. RecordNotFoundError.

        An id of ours is not looked up: the statement that uses it names the owner.
        """
        found = parse_id(reference)
        if found is None and "\0" not in reference:
            found = self.find_source(owner, clients_own(reference))
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

    def append(self, owner: str, reference: str, drafts: Sequence[Draft]) -> Appended:
        """Stores messages at the conversation's end; see MessageService.append."""
        return self._messages.append(owner, self.find(owner, reference), drafts)

    def turns(
        self,
        owner: str,
        reference: str,
        *,
        limit: int,
        before: UUID | None = None,
        after: UUID | None = None,
    ) -> TurnPage:
        """A page of the active path: its end, or what comes before or after a message."""
        conversation_id = self.find(owner, reference)
        with self._database.statement(owner) as session:
            if ConversationRepository(session).record(conversation_id) is None:
                raise RecordNotFoundError
            messages = MessageRepository(session)
            if after is not None:
                turns = messages.after(conversation_id, after, limit + 1)
                return TurnPage(turns[:limit], len(turns) > limit)
            if before is not None:
                turns = messages.before(conversation_id, before, limit + 1)
            else:
                turns = messages.tail(conversation_id, limit + 1)
        return TurnPage(turns[-limit:], len(turns) > limit)

    def update(self, owner: str, reference: str, fields: Mapping[str, Any]) -> Any:
        """Changes title, mode, tags or metadata, which reorders no list; the changed record."""
        conversation_id = self.find(owner, reference)
        data = {**fields, **_named(fields), "revision": {"increment": 1}, "rev": new_id()}
        where = {"id": conversation_id, "deleted_at": None}
        with self._database.statement(owner) as session:
            conversations = ConversationRepository(session)
            if not conversations.update_many(where=where, data=data):
                raise RecordNotFoundError
            record = conversations.record(conversation_id)
        if record is None:
            raise RecordNotFoundError
        return record

    def trash(self, owner: str, reference: str) -> int:
        """Puts a conversation into the trash and ends its runs; the new revision."""
        conversation_id = self.find(owner, reference)
        with self._database.transaction(owner) as session:
            revision = ConversationRepository(session).trash(conversation_id)
        if revision is None:
            raise RecordNotFoundError
        self._history.forget(conversation_id)
        return revision

    def erase(self, owner: str, reference: str) -> None:
        """Removes a conversation and all its messages for good, from the trash too."""
        conversation_id = self.find(owner, reference)
        with self._database.transaction(owner) as session:
            if not ConversationRepository(session).erase(conversation_id):
                raise RecordNotFoundError
        self._history.forget(conversation_id)


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


def _named(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What goes with a title that the user gives."""
    title = fields.get("title")
    return {"title_source": "user", "title_words": search_words(title)} if title else {}


def _encode_cursor(row: Any) -> str:
    return base64.urlsafe_b64encode(dumps([row.updated_at, row.id])).decode().rstrip("=")


def _decode_cursor(cursor: str) -> ListCursor:
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        updated_at, conversation_id = loads(base64.urlsafe_b64decode(padded))
        moment = parse(updated_at)
        if timestamp(moment) == updated_at:
            return ListCursor(moment, UUID(conversation_id))
    except (ValueError, TypeError, AttributeError, OverflowError):
        pass
    fault = FieldFault("/cursor", "is not a cursor that a list answer gave.")
    raise InvalidFieldsError([fault])
