from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from .. import metrics
from ..errors import AlreadySentError, AnswerWaitsError
from ..json_text import dumps
from ..models import Message
from ..revisions import Revision
from ..search_words import search_words
from ..statements import BY_INDEX, IN_ORDER, Statement
from ..transcript import Turn, Under
from ..writes import Said, Written
from .appending import NewMessage, NewRun, as_recordset, statement
from .base import Repository

TURN_COLUMNS = """
    m.id, m.seq, m.parent_id, m.is_active, m.role, m.content, m.status, m.created_at,
    m.parts, m.client_message_id, m.model, m.finish_reason, m.error_class, m.prompt_tokens,
    m.completion_tokens, m.tokens_used, m.usage_is_estimated, m.latency_ms, m.first_token_ms,
    m.retrieved_docs AS contexts, m.metadata
"""
_OF_CONVERSATION = f"""
SELECT {TURN_COLUMNS} FROM messages m
WHERE m.conversation_id = %(conversation_id)s AND m.user_email = %(owner)s
"""
_SEQ = """(
    SELECT seq FROM messages WHERE conversation_id = %(conversation_id)s
        AND user_email = %(owner)s AND id = %(anchor_id)s)
"""
_NEWEST_FIRST = "ORDER BY m.seq DESC LIMIT %(take)s"
_PAGES = {
    "tail": _NEWEST_FIRST,
    "before": f"AND m.seq < {_SEQ} {_NEWEST_FIRST}",
    "after": f"AND m.seq > {_SEQ} ORDER BY m.seq LIMIT %(take)s",
}
_ONE = Statement("one", _OF_CONVERSATION + "AND m.id = %(message_id)s")
_SEVERAL = _OF_CONVERSATION + "AND m.id = ANY(%(message_ids)s::uuid[])"
_OF_CLIENT = """
SELECT id FROM messages
WHERE conversation_id = %(conversation_id)s AND user_email = %(owner)s
    AND client_message_id = %(client_message_id)s
"""
_NOTED = _OF_CONVERSATION + (
    "AND m.metadata ->> %(name)s = %(value)s ORDER BY m.is_active DESC, m.seq DESC LIMIT 1"
)

_SENT_BEFORE = Statement(
    "sent",
    f"""
SELECT {TURN_COLUMNS}, encode(m.payload_sha256, 'hex') AS payload_sha256, c.revision,
    c.rev, c.title
FROM messages m JOIN conversations c ON c.id = m.conversation_id
WHERE m.conversation_id = %(conversation_id)s AND m.user_email = %(owner)s
    AND m.client_message_id = ANY(%(client_message_ids)s)
    AND c.user_email = %(owner)s AND c.deleted_at IS NULL
""",
)
_ANSWER_TO = _OF_CONVERSATION + (
    "AND m.parent_id = %(message_id)s AND m.role = 'assistant' ORDER BY m.seq DESC LIMIT 1"
)

_SEARCH = """
SELECT conversation_id, message_id, title, role, content, created_at, rank
FROM parley_search_messages(%(query)s::tsquery, %(asked)s, %(take)s)
"""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A stored turn, the SHA-256 of its payload (hex), and its conversation's state now."""

    turn: Turn
    payload_sha256: str | None
    revision: Revision
    title: str | None


@dataclass(frozen=True, slots=True)
class Among:
    """Which messages of a conversation a page is of."""

    condition: str
    parent_id: UUID | None = None

    @classmethod
    def children_of(cls, parent_id: UUID | None) -> "Among":
        """What follows a message directly; None: the roots."""
        is_child = "= %(parent_id)s" if parent_id else "IS NULL"
        return cls(f"AND m.parent_id {is_child}", parent_id)


ACTIVE = Among("AND m.is_active")
ALL = Among("")


class MessageRepository(Repository[Message]):
    model = Message

    def append(
        self,
        conversation_id: UUID,
        messages: Sequence[NewMessage],
        *,
        title: str | None,
        preview: str,
        run: NewRun | None = None,
        under: Under | None = None,
    ) -> list[Any]:
        """Appends in one round trip: a row a message, with the conversation's new state.

        Without `under` the first follows the active leaf; the last becomes it. No rows: the
        conversation is absent, somebody else's or in the trash, it has no such parent, or the run
        is not allowed. AlreadySentError: a client_message_id is taken; AnswerWaitsError: another
        answer to the same message is being written. Nothing is stored then.
        """
        self.session.changing(conversation_id)
        values: dict[str, Any] = {
            "owner": self.session.owner,
            "conversation_id": conversation_id,
            "messages": as_recordset(messages),
            "count": len(messages),
            "tokens": sum(message.tokens_used or 0 for message in messages),
            "leaf_id": messages[-1].id,
            "title": title,
            "title_words": search_words(title or ""),
            "preview": preview,
            "is_told": under is None and len(messages) <= self.session.most_told,
        }
        values |= asdict(under) if under else {}
        if run:
            started = {"run_id": run.run_id, "lease_seconds": run.lease_seconds}
            values |= started | asdict(run.allowance)
        try:
            sql = statement(starts_run=run is not None, is_under=under is not None)
            rows = self.session.run(sql, values)
        except IntegrityError as error:
            taken = error.orig and error.orig.diag.constraint_name  # type: ignore[attr-defined]
            if taken not in _CONFLICTS:
                raise
            raise _CONFLICTS[taken] from error
        if rows:
            self.session.told(conversation_id, _written(messages, rows))
            self.session.to_count += [metrics.messages_stored.labels(m.role) for m in messages]
        return rows

    def find(self, conversation_id: UUID, message_id: UUID) -> Turn | None:
        """A message of the conversation."""
        rows = self._run(_ONE, conversation_id, message_id=message_id)
        return _turn(rows[0]) if rows else None

    def find_all(self, conversation_id: UUID, message_ids: Sequence[UUID]) -> dict[UUID, Turn]:
        """Messages of the conversation, by their ids; those that are there."""
        rows = self._run(_SEVERAL, conversation_id, message_ids=list(message_ids))
        return {turn.id: turn for turn in turns_of(rows)}

    def find_client_id(self, conversation_id: UUID, client_message_id: str) -> UUID | None:
        """The id of the message that its client knows by an id of its own."""
        rows = self._run(_OF_CLIENT, conversation_id, client_message_id=client_message_id)
        return rows[0].id if rows else None

    def find_noted(self, conversation_id: UUID, name: str, value: str) -> Turn | None:
        """The newest message whose metadata say so, of the branch that is shown if there is one.

        No index knows them: it looks at each message of the conversation.
        """
        rows = self._run(_NOTED, conversation_id, name=name, value=value)
        return _turn(rows[0]) if rows else None

    def tail(self, conversation_id: UUID, take: int, among: Among = ACTIVE) -> list[Turn]:
        """The last `take` turns, oldest first."""
        return turns_of(reversed(self._window("tail", conversation_id, among, take=take)))

    def before(
        self, conversation_id: UUID, message_id: UUID, take: int, among: Among = ACTIVE
    ) -> list[Turn]:
        """The `take` turns just before a message, oldest first."""
        rows = self._window("before", conversation_id, among, take=take, anchor_id=message_id)
        return turns_of(reversed(rows))

    def after(
        self, conversation_id: UUID, message_id: UUID, take: int, among: Among = ACTIVE
    ) -> list[Turn]:
        """The `take` turns just after a message, oldest first."""
        return turns_of(
            self._window("after", conversation_id, among, take=take, anchor_id=message_id)
        )

    def sent_before(
        self, conversation_id: UUID, client_message_ids: Sequence[str]
    ) -> dict[str, SentMessage]:
        """What is stored under client ids, by client_message_id."""
        rows = self._run(_SENT_BEFORE, conversation_id, client_message_ids=list(client_message_ids))
        return {
            row.client_message_id: SentMessage(
                _turn(row), row.payload_sha256, Revision.of(row), row.title
            )
            for row in rows
        }

    def answer_to(self, conversation_id: UUID, message_id: UUID) -> Turn | None:
        """The newest answer to a question."""
        rows = self._run(_ANSWER_TO, conversation_id, message_id=message_id)
        return _turn(rows[0]) if rows else None

    def search(self, query: str, *, asked: str, take: int) -> list[Any]:
        """Rows that match a tsquery literal, best first, but for those that only repeat `asked`."""
        return self.session.run(_SEARCH, {"query": query, "asked": asked, "take": take})

    def _window(self, page: str, conversation_id: UUID, among: Among, **values: Any) -> list[Any]:
        statement = _page(page, among.condition)
        return self._run(statement, conversation_id, parent_id=among.parent_id, **values)

    def _run(self, sql: str | Statement, conversation_id: UUID, **values: Any) -> list[Any]:
        named = {"owner": self.session.owner, "conversation_id": conversation_id}
        return self.session.run(sql, named | values)


@cache
def _page(name: str, condition: str) -> Statement:
    """Children of a message are looked up by their parent, the others in the index's order."""
    is_in_order = condition in {ACTIVE.condition, ALL.condition}
    sql = f"{_OF_CONVERSATION}{condition} {_PAGES[name]}"
    settings = IN_ORDER if is_in_order else BY_INDEX
    return Statement(name, sql, settings=settings, is_hot=is_in_order)


_CONFLICTS = {
    "uq_messages_client_message_id": AlreadySentError,
    "uq_messages_live_attempt": AnswerWaitsError,
}
_TURN_FIELDS = tuple(Turn.__dataclass_fields__)
_turn_values = attrgetter(*_TURN_FIELDS)


def _turn(row: Any) -> Turn:
    return Turn(**dict(zip(_TURN_FIELDS, _turn_values(row), strict=True)))


def turns_of(rows: Any) -> list[Turn]:
    return [_turn(row) for row in rows]


def _written(messages: Sequence[NewMessage], rows: Sequence[Any]) -> Written:
    """What an append tells of its conversation; nothing but its revision without a record."""
    revision, record = Revision.of(rows[0]), rows[0].record
    if record is None:
        return Written(revision)
    turns = (appended_turn(message, row) for message, row in zip(messages, rows, strict=True))
    said = [Said(turn.id, dumps(turn)) for turn in turns]
    return Written(revision, record.encode(), appended=said)


def appended_turn(message: NewMessage, row: Any) -> Turn:
    """A message as it is stored, from what was sent and the row that `append` gave for it."""
    created_at: datetime = row.created_at
    return Turn(
        id=message.id,
        seq=row.seq,
        parent_id=row.parent_id,
        role=message.role,
        content=message.content,
        status=message.status,
        created_at=created_at,
        parts=message.parts,
        client_message_id=message.client_message_id,
        model=message.model,
        tokens_used=message.tokens_used,
        metadata=message.metadata or {},
    )
