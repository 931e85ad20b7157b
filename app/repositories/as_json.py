"""Rows as the house writes them in JSON, made by PostgreSQL: what is stored is sent as it is.

Members stand in the order of schemas.conversations and of transcript.Turn.
"""


def _time(moment: str) -> str:
    """A house timestamp, cut to milliseconds; see clock.timestamp."""
    return f"""to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


def _object(columns: str) -> str:
    """Columns as the members of one object."""
    return f"(SELECT row_to_json(made)::text FROM (SELECT {columns}) made)"


_ITEM = f"""
    c.id, CASE c.source WHEN 'client' THEN c.source_id END AS client_id, c.title, c.preview,
    c.mode, c.model, c.tags, c.is_pinned, c.is_archived, c.message_count, c.total_tokens,
    c.revision, {_time("c.created_at")} AS created_at, {_time("c.updated_at")} AS updated_at"""

ITEM_JSON = _object(_ITEM)
"""Of a row `c` of conversations, as lists have it."""

TRASHED_JSON = _object(f"{_ITEM}, {_time('c.deleted_at')} AS deleted_at")
"""The same in the trash."""

RECORD_JSON = _object(f"{_ITEM}, c.title_source, c.active_leaf_id, c.system_prompt, c.metadata")
"""The whole of it, but for its messages."""

TURN_JSON = _object(f"""
    m.id, m.seq, m.parent_id, m.role, m.content, m.status, {_time("m.created_at")} AS created_at,
    m.is_active, m.parts, m.client_message_id, m.model, m.finish_reason, m.error_class,
    m.prompt_tokens, m.completion_tokens, m.tokens_used, m.usage_is_estimated, m.latency_ms,
    m.first_token_ms, m.retrieved_docs AS contexts, m.metadata""")
"""Of a row `m` of messages."""
