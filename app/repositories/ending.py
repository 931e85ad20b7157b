"""The statement that ends a run: its answer, the counters, the ledger's line, all at once."""

from dataclasses import dataclass
from typing import Any

from ..json_text import dumps
from ..revisions import Revision
from ..statements import Statement
from ..transcript import Turn
from ..writes import Said, Written
from .as_json import RECORD_JSON

# An answer that ends in the trash is no visible change: what comes back is one revision on.
# The conversation is locked first, as an append locks it: the other order could deadlock.
FINISH = Statement(
    "finish",
    f"""
WITH locked AS (
    SELECT c.id FROM conversations c
    WHERE c.user_email = %(owner)s AND c.id = (
        SELECT conversation_id FROM runs WHERE id = %(run_id)s AND user_email = %(owner)s)
    FOR NO KEY UPDATE),
run AS (
    UPDATE runs r SET status = %(status)s, ended_at = clock_timestamp()
    FROM locked
    WHERE r.id = %(run_id)s AND r.user_email = %(owner)s AND r.attempt = %(attempt)s
        AND r.status = 'running'
    RETURNING r.id, r.conversation_id, r.message_id,
        round(extract(epoch FROM clock_timestamp() - r.created_at) * 1000)::int AS latency_ms,
        r.created_at),
answer AS (
    UPDATE messages m SET
        content = %(content)s, parts = %(parts)s::jsonb, status = %(status)s,
        model = %(model)s, finish_reason = %(finish_reason)s, error_class = %(error_class)s,
        prompt_tokens = %(prompt_tokens)s, completion_tokens = %(completion_tokens)s,
        tokens_used = %(tokens_used)s, usage_is_estimated = %(usage_is_estimated)s,
        latency_ms = run.latency_ms, first_token_ms = %(first_token_ms)s,
        retrieved_docs = %(contexts)s::jsonb, search_words = %(search_words)s::tsvector,
        updated_at = clock_timestamp()
    FROM run
    WHERE m.conversation_id = run.conversation_id AND m.id = run.message_id
        AND m.user_email = %(owner)s AND m.status = 'streaming'
    RETURNING m.conversation_id, m.id, m.seq, m.parent_id, m.is_active, m.client_message_id,
        m.created_at, m.latency_ms),
counted AS (
    UPDATE conversations c SET
        revision = CASE WHEN c.deleted_at IS NULL THEN c.revision + 1 ELSE c.revision END,
        rev = CASE WHEN c.deleted_at IS NULL THEN gen_random_uuid() ELSE c.rev END,
        total_tokens = c.total_tokens + coalesce(%(tokens_used)s, 0),
        preview = CASE WHEN c.active_leaf_id = answer.id AND %(preview)s <> ''
            THEN %(preview)s ELSE c.preview END,
        updated_at = CASE WHEN c.deleted_at IS NULL
            THEN greatest(c.updated_at, clock_timestamp()) ELSE c.updated_at END
    FROM answer WHERE c.id = answer.conversation_id AND c.user_email = %(owner)s
    RETURNING c.id, c.revision, c.rev, c.mode,
        CASE WHEN %(is_told)s AND c.deleted_at IS NULL THEN {RECORD_JSON} END AS record),
swept AS (
    DELETE FROM run_chunks USING run
    WHERE run_chunks.run_id = run.id AND run_chunks.user_email = %(owner)s),
logged AS (
    INSERT INTO query_logs (
        id, user_email, sid, conversation_id, message_id, query, mode, model,
        contexts_retrieved, tokens_used, response_time_ms, first_token_ms, status, error_class,
        created_at)
    SELECT %(log_id)s, %(owner)s, %(sid)s, answer.conversation_id, answer.id, question.content,
        coalesce(%(mode)s, counted.mode), %(model)s, %(contexts_retrieved)s, %(tokens_used)s,
        answer.latency_ms, %(first_token_ms)s, %(status)s, %(error_class)s, run.created_at
    FROM counted JOIN answer ON answer.conversation_id = counted.id
        JOIN run ON run.message_id = answer.id
        LEFT JOIN messages question ON question.conversation_id = answer.conversation_id
            AND question.id = answer.parent_id AND question.user_email = %(owner)s)
SELECT answer.id, answer.seq, answer.parent_id, answer.is_active, answer.client_message_id,
    answer.created_at, answer.latency_ms, counted.revision, counted.rev, counted.record
FROM answer, counted
""",
)

# Only who holds the attempt can have ended it: an ending whose reply got lost is found again.
FINISHED = Statement(
    "finished",
    """
SELECT m.id, m.seq, m.parent_id, m.is_active, m.client_message_id, m.created_at, m.latency_ms,
    c.revision, c.rev, NULL AS record
FROM runs r
    JOIN messages m ON m.conversation_id = r.conversation_id AND m.id = r.message_id
        AND m.user_email = %(owner)s
    JOIN conversations c ON c.id = r.conversation_id AND c.user_email = %(owner)s
WHERE r.id = %(run_id)s AND r.user_email = %(owner)s AND r.attempt = %(attempt)s
    AND r.status = %(status)s
""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What an answer came to, as it is stored; see the columns of messages and query_logs."""

    status: str
    content: str
    preview: str
    search_words: str
    parts: list[dict[str, Any]] | None = None
    contexts: list[dict[str, Any]] | None = None
    model: str | None = None
    mode: str | None = None
    sid: str | None = None
    finish_reason: str | None = None
    error_class: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens_used: int | None = None
    usage_is_estimated: bool = False
    first_token_ms: int | None = None

    def values(self) -> dict[str, Any]:
        """Its columns by their names, JSON as text."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {
            "parts": _json(self.parts),
            "contexts": _json(self.contexts),
            "contexts_retrieved": len(self.contexts or ()),
        }


def ended_turn(row: Any, ending: Ending) -> Turn:
    """The answer as it is stored."""
    places = (
        "id", "seq", "parent_id", "is_active", "client_message_id", "created_at", "latency_ms",
    )  # fmt: skip
    kept = (
        "content", "status", "parts", "contexts", "model", "finish_reason", "error_class",
        "prompt_tokens", "completion_tokens", "tokens_used", "usage_is_estimated",
        "first_token_ms",
    )  # fmt: skip
    fields = {name: getattr(row, name) for name in places}
    return Turn(role="assistant", **fields, **{name: getattr(ending, name) for name in kept})


def written(row: Any, turn: Turn) -> Written:
    """What the end of an answer tells of its conversation, if it is of the shown branch."""
    revision = Revision.of(row)
    if row.record is None or not turn.is_active:
        return Written(revision)
    return Written(revision, row.record.encode(), changed=[Said(turn.id, dumps(turn))])


def _json(items: list[dict[str, Any]] | None) -> str | None:
    return dumps(items).decode() if items else None
