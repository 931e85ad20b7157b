"""Rows as the house writes them in JSON, made by PostgreSQL: what is stored is sent as it is.

Members stand in the order of schemas.conversations.ConversationRecord and of transcript.Turn.
"""


def _time(moment: str) -> str:
    """A house timestamp, cut to milliseconds; see clock.timestamp."""
    return f"""to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


RECORD_JSON = f"""
(SELECT row_to_json(record)::text FROM (
    SELECT c.id, CASE c.source WHEN 'client' THEN c.source_id END AS client_id, c.title, c.preview,
        c.mode, c.model, c.tags, c.is_pinned, c.is_archived, c.message_count, c.total_tokens,
        c.revision, {_time("c.created_at")} AS created_at, {_time("c.updated_at")} AS updated_at,
        c.title_source, c.active_leaf_id, c.system_prompt, c.metadata) record)
"""
"""Of a row `c` of conversations."""

TURN_JSON = f"""
(SELECT row_to_json(turn)::text FROM (
    SELECT m.id, m.seq, m.parent_id, m.role, m.content, m.status,
        {_time("m.created_at")} AS created_at, m.is_active, m.parts, m.client_message_id, m.model,
        m.finish_reason, m.error_class, m.prompt_tokens, m.completion_tokens, m.tokens_used,
        m.usage_is_estimated, m.latency_ms, m.first_token_ms, m.retrieved_docs AS contexts,
        m.metadata) turn)
"""
"""Of a row `m` of messages."""
