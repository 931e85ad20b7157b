from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from ..errors import AlreadySentError
from ..json_text import dumps
from ..models import Message
from ..search_words import search_words
from ..transcript import Role, Status, Turn
from .base import Repository
from .runs import IN_TURN, IS_ALLOWED, Allowance

# One statement: lock, count, insert. The lock comes first, so that two writers never take the
# same seq; the count comes before the insert, which reads it.
_APPENDED = """
WITH locked AS (
    SELECT id, active_leaf_id FROM conversations
    WHERE id = %(conversation_id)s AND user_email = %(owner)s AND deleted_at IS NULL {limit}
    FOR NO KEY UPDATE),
changed AS (
    UPDATE conversations c SET
        next_seq = c.next_seq + %(count)s,
        message_count = c.message_count + %(count)s,
        total_tokens = c.total_tokens + %(tokens)s,
        revision = c.revision + 1,
        rev = gen_random_uuid(),
        active_leaf_id = %(leaf_id)s,
        title = coalesce(c.title, %(title)s),
        title_words = CASE
            WHEN c.title IS NULL THEN %(title_words)s::tsvector ELSE c.title_words END,
        preview = %(preview)s,
        updated_at = greatest(c.updated_at, clock_timestamp())
    FROM locked WHERE c.id = locked.id
    RETURNING c.id, c.next_seq - %(count)s AS first_seq, c.revision, c.rev, c.title,
        c.system_prompt, c.mode, c.model),
inserted AS (
    INSERT INTO messages (
        conversation_id, id, user_email, seq, parent_id, role, content, parts, status,
        client_message_id, payload_sha256, model, tokens_used, metadata, search_words,
        created_at, updated_at)
    SELECT changed.id, m.id, %(owner)s, changed.first_seq + m.place,
        coalesce(m.parent_id, locked.active_leaf_id), m.role, m.content, m.parts, m.status,
        m.client_message_id, decode(m.payload_sha256, 'hex'), m.model, m.tokens_used,
        m.metadata, m.search_words::tsvector, clock_timestamp(), clock_timestamp()
    FROM locked, changed, json_to_recordset(%(messages)s::json) AS m (
        place int, id uuid, parent_id uuid, role text, content text, parts jsonb, status text,
        client_message_id text, payload_sha256 text, model text, tokens_used int,
        metadata jsonb, search_words text)
    RETURNING conversation_id, id, seq, parent_id, created_at, status)
{run}
SELECT i.id, i.seq, i.parent_id, i.created_at, c.revision, c.rev, c.title, c.system_prompt,
    c.mode, c.model
FROM inserted i, changed c ORDER BY i.seq
"""
_APPEND = _APPENDED.format(limit="", run="")
_START = IN_TURN + _APPENDED.format(
    limit=f"AND {IS_ALLOWED}",
    run=""",
started AS (
    INSERT INTO runs (id, conversation_id, message_id, user_email, lease_until)
    SELECT %(run_id)s, conversation_id, id, %(owner)s,
        clock_timestamp() + %(lease_seconds)s * interval '1 second'
    FROM inserted WHERE status = 'streaming')""",
)

_SHOWN = """
    m.id, m.seq, m.parent_id, m.role, m.content, m.status, m.created_at, m.parts,
    m.client_message_id, m.model, m.finish_reason, m.error_class, m.prompt_tokens,
    m.completion_tokens, m.tokens_used, m.usage_is_estimated, m.latency_ms, m.first_token_ms,
    m.retrieved_docs AS contexts, m.metadata
"""
_OF_CONVERSATION = f"""
SELECT {_SHOWN} FROM messages m
WHERE m.conversation_id = %(conversation_id)s AND m.user_email = %(owner)s
"""
_TAIL = _OF_CONVERSATION + "AND m.is_active ORDER BY m.seq DESC LIMIT %(take)s"
_SEQ = """(
    SELECT seq FROM messages WHERE conversation_id = %(conversation_id)s
        AND user_email = %(owner)s AND id = %(anchor_id)s)
"""
_BEFORE = (
    _OF_CONVERSATION + f"AND m.is_active AND m.seq < {_SEQ} ORDER BY m.seq DESC LIMIT %(take)s"
)
_AFTER = _OF_CONVERSATION + f"AND m.is_active AND m.seq > {_SEQ} ORDER BY m.seq LIMIT %(take)s"

_SENT_BEFORE = f"""
SELECT {_SHOWN}, encode(m.payload_sha256, 'hex') AS payload_sha256, c.revision, c.title
FROM messages m JOIN conversations c ON c.id = m.conversation_id
WHERE m.conversation_id = %(conversation_id)s AND m.user_email = %(owner)s
    AND m.client_message_id = ANY(%(client_message_ids)s)
    AND c.user_email = %(owner)s AND c.deleted_at IS NULL
"""
_ANSWER_TO = _OF_CONVERSATION + (
    "AND m.parent_id = %(message_id)s AND m.role = 'assistant' ORDER BY m.seq DESC LIMIT 1"
)

_SEARCH = """
SELECT conversation_id, message_id, title, role, content, created_at, rank
FROM parley_search_messages(%(query)s::tsquery, %(asked)s, %(take)s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to append. Without a parent it follows the active leaf."""

    id: UUID
    role: Role
    content: str
    search_words: str = ""
    payload_sha256: str | None = None
    status: Status = "complete"
    parent_id: UUID | None = None
    parts: Sequence[Mapping[str, Any]] | None = None
    client_message_id: str | None = None
    model: str | None = None
    tokens_used: int | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """The run that fills an appended answer, if what its owner is allowed is not used up."""

    run_id: UUID
    lease_seconds: float
    allowance: Allowance


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A stored turn, the SHA-256 of its payload (hex), and its conversation's state now."""

    turn: Turn
    payload_sha256: str | None
    revision: int
    title: str | None


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
    ) -> list[Any]:
        """Appends in one round trip: a row a message, with the conversation's new state.

        No rows: the conversation is absent, somebody else's or in the trash, or the run is not
        allowed. AlreadySentError: a client_message_id is taken; nothing is stored.
        """
        values: dict[str, Any] = {
            "owner": self.session.owner,
            "conversation_id": conversation_id,
            "messages": _as_recordset(messages),
            "count": len(messages),
            "tokens": sum(message.tokens_used or 0 for message in messages),
            "leaf_id": messages[-1].id,
            "title": title,
            "title_words": search_words(title or ""),
            "preview": preview,
        }
        try:
            if run is None:
                return self.session.run(_APPEND, values)
            started = {"run_id": run.run_id, "lease_seconds": run.lease_seconds}
            return self.session.run(_START, values | started | asdict(run.allowance))
        except IntegrityError as error:
            if error.orig and error.orig.diag.constraint_name == _CLIENT_ID:  # type: ignore[attr-defined]
                raise AlreadySentError from error
            raise

    def tail(self, conversation_id: UUID, take: int) -> list[Turn]:
        """The last `take` turns of the active path, oldest first."""
        return _turns(reversed(self._run(_TAIL, conversation_id, take=take)))

    def before(self, conversation_id: UUID, message_id: UUID, take: int) -> list[Turn]:
        """The `take` turns of the active path just before a message, oldest first."""
        rows = self._run(_BEFORE, conversation_id, take=take, anchor_id=message_id)
        return _turns(reversed(rows))

    def after(self, conversation_id: UUID, message_id: UUID, take: int) -> list[Turn]:
        """The `take` turns of the active path just after a message, oldest first."""
        return _turns(self._run(_AFTER, conversation_id, take=take, anchor_id=message_id))

    def sent_before(
        self, conversation_id: UUID, client_message_ids: Sequence[str]
    ) -> dict[str, SentMessage]:
        """What is stored under client ids, by client_message_id."""
        rows = self._run(_SENT_BEFORE, conversation_id, client_message_ids=list(client_message_ids))
        return {
            row.client_message_id: SentMessage(
                _turn(row), row.payload_sha256, row.revision, row.title
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

    def _run(self, statement: str, conversation_id: UUID, **values: Any) -> list[Any]:
        named = {"owner": self.session.owner, "conversation_id": conversation_id}
        return self.session.run(statement, named | values)


def _as_recordset(messages: Sequence[NewMessage]) -> str:
    """The messages as JSON, chained: each follows the one before it."""
    records: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        record = {name: getattr(message, name) for name in _RECORD_FIELDS}
        parent_id = message.parent_id or (messages[place - 1].id if place else None)
        metadata = message.metadata or {}
        records.append(record | {"place": place, "parent_id": parent_id, "metadata": metadata})
    return dumps(records).decode()


_CLIENT_ID = "uq_messages_client_message_id"
_RECORD_FIELDS = tuple(NewMessage.__dataclass_fields__)
_TURN_FIELDS = tuple(Turn.__dataclass_fields__)


def _turn(row: Any) -> Turn:
    fields = row._mapping
    return Turn(**{name: fields[name] for name in _TURN_FIELDS})


def _turns(rows: Any) -> list[Turn]:
    return [_turn(row) for row in rows]


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
