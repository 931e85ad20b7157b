"""The one statement that appends: it locks the conversation, counts, and inserts.

The lock comes first, so that two writers never take the same seq; the count comes before the
insert, which reads it. Under a message of another branch it also moves the path that is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from ..json_text import dumps
from ..statements import Statement
from ..transcript import Role, Status
from .as_json import RECORD_JSON
from .runs import FENCED, IN_TURN, IS_ALLOWED, Allowance

# Waiting for another writer belongs to a statement of its own: what follows sees what it wrote.
_IN_LINE = """
SELECT FROM conversations WHERE id = %(conversation_id)s AND user_email = %(owner)s
FOR NO KEY UPDATE
"""

_LOCKED = """
locked AS (
    SELECT id, active_leaf_id FROM conversations
    WHERE id = %(conversation_id)s AND user_email = %(owner)s AND deleted_at IS NULL {limit}
    FOR NO KEY UPDATE)"""

# Behind the active leaf, the path that is shown only grows.
_BEHIND = """
place AS (
    SELECT id, active_leaf_id AS parent_id FROM locked)"""

# From the parent up to the first message that is shown; what is shown beyond that is so no more.
_UNDER = f"""
walked AS (
    SELECT m.id, m.parent_id, m.seq, m.is_active FROM messages m, locked
    WHERE m.conversation_id = %(conversation_id)s AND m.user_email = %(owner)s
        AND m.id = %(parent_id)s::uuid
    UNION ALL
    SELECT p.id, p.parent_id, p.seq, p.is_active FROM walked w CROSS JOIN LATERAL (
        SELECT m.id, m.parent_id, m.seq, m.is_active FROM messages m
        WHERE m.conversation_id = %(conversation_id)s AND m.user_email = %(owner)s
            AND m.id = w.parent_id OFFSET 0) p
    WHERE NOT w.is_active),
place AS (
    SELECT id, %(parent_id)s::uuid AS parent_id FROM locked
    WHERE %(parent_id)s::uuid IS NULL OR EXISTS (SELECT FROM walked)),
hidden AS (
    UPDATE messages m SET is_active = false FROM place
    WHERE m.conversation_id = place.id AND m.user_email = %(owner)s AND m.is_active
        AND m.seq > coalesce((SELECT seq FROM walked WHERE is_active), 0)
    RETURNING m.id),
shown AS (
    UPDATE messages m SET is_active = true FROM place
    WHERE m.conversation_id = place.id AND m.user_email = %(owner)s
        AND m.id = ANY (ARRAY(SELECT id FROM walked WHERE NOT is_active))),
fenced AS (
    {FENCED} FROM hidden
    WHERE r.conversation_id = %(conversation_id)s AND r.user_email = %(owner)s
        AND r.message_id = hidden.id AND r.status = 'running')"""

_INSERTED = """
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
    FROM place WHERE c.id = place.id
    RETURNING c.id, c.next_seq - %(count)s AS first_seq, c.revision, c.rev, c.title,
        c.system_prompt, c.mode, c.model,
        CASE WHEN %(is_told)s THEN {record} END AS record),
inserted AS (
    INSERT INTO messages (
        conversation_id, id, user_email, seq, parent_id, role, content, parts, status,
        client_message_id, payload_sha256, model, tokens_used, metadata, search_words,
        created_at, updated_at)
    SELECT changed.id, m.id, %(owner)s, changed.first_seq + m.place,
        coalesce(m.parent_id, place.parent_id), m.role, m.content, m.parts, m.status,
        m.client_message_id, decode(m.payload_sha256, 'hex'), m.model, m.tokens_used,
        m.metadata, m.search_words::tsvector, clock_timestamp(), clock_timestamp()
    FROM place, changed, json_to_recordset(%(messages)s::json) AS m (
        place int, id uuid, parent_id uuid, role text, content text, parts jsonb, status text,
        client_message_id text, payload_sha256 text, model text, tokens_used int,
        metadata jsonb, search_words text)
    RETURNING conversation_id, id, seq, parent_id, created_at, status)"""

_STARTED = """
started AS (
    INSERT INTO runs (id, conversation_id, message_id, user_email, lease_until)
    SELECT %(run_id)s, conversation_id, id, %(owner)s,
        clock_timestamp() + %(lease_seconds)s * interval '1 second'
    FROM inserted WHERE status = 'streaming')"""

_APPENDED = """
SELECT i.id, i.seq, i.parent_id, i.created_at, c.revision, c.rev, c.title, c.system_prompt,
    c.mode, c.model, c.record
FROM inserted i, changed c ORDER BY i.seq
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to append; it follows the one before it."""

    id: UUID
    role: Role
    content: str
    search_words: str = ""
    payload_sha256: str | None = None
    status: Status = "complete"
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


@cache
def statement(*, starts_run: bool, is_under: bool) -> Statement:
    """What appends: with a run or not, under a parent or behind the active leaf."""
    turns = [*([IN_TURN] if starts_run else ()), *([_IN_LINE] if is_under else ())]
    steps = [
        _LOCKED.format(limit=f"AND {IS_ALLOWED}" if starts_run else ""),
        _UNDER if is_under else _BEHIND,
        _INSERTED.format(record=RECORD_JSON),
        *([_STARTED] if starts_run else ()),
    ]
    sql = f"WITH {'RECURSIVE ' * is_under}{','.join(steps)}{_APPENDED}"
    return Statement("ask" if starts_run else "append", sql, before=turns)


def as_recordset(messages: Sequence[NewMessage]) -> str:
    """The messages as JSON, chained: each follows the one before it."""
    records: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        record = {name: getattr(message, name) for name in NewMessage.__dataclass_fields__}
        parent_id = messages[place - 1].id if place else None
        metadata = message.metadata or {}
        records.append(record | {"place": place, "parent_id": parent_id, "metadata": metadata})
    return dumps(records).decode()
