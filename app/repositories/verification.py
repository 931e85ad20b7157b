"""What must hold of stored conversations, for the tables' owner: one statement finds all breaks.

A conversation's own messages are those of its owner; what else hangs on it is a break of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from ..sessions import OperationSession, OwnedSession
from ..storable import MAX_DEPTH

# As many conversations as have so many messages together: a statement must end in time.
_BATCH = """
SELECT id FROM (
    SELECT id, sum(message_count) OVER (ORDER BY id) - message_count AS messages_before FROM (
        SELECT id, message_count FROM conversations
        WHERE (%(owner)s::text IS NULL OR user_email = %(owner)s)
            AND (%(after)s::uuid IS NULL OR id > %(after)s::uuid)
        ORDER BY id LIMIT 500) next) sized
WHERE messages_before < 20000 ORDER BY id
"""

_PICKED = """
WITH picked AS (
    SELECT * FROM conversations WHERE id = ANY(%(ids)s::uuid[])),
said AS MATERIALIZED (
    SELECT m.conversation_id, m.id, m.seq, m.parent_id, p.seq AS parent_seq, m.is_active,
        m.status, m.tokens_used, m.client_message_id, octet_length(m.payload_sha256) AS hashed
    FROM picked c
    JOIN messages m ON m.conversation_id = c.id AND m.user_email = c.user_email
    LEFT JOIN messages p ON p.conversation_id = c.id AND p.user_email = c.user_email
        AND p.id = m.parent_id),
counted AS (
    SELECT c.id, count(s.id) AS messages, coalesce(sum(s.tokens_used), 0) AS tokens,
        coalesce(max(s.seq), 0) AS last_seq
    FROM picked c LEFT JOIN said s ON s.conversation_id = c.id GROUP BY c.id),
shown AS (
    SELECT conversation_id, id,
        parent_id IS DISTINCT FROM lag(id) OVER in_order AS is_torn,
        lead(id) OVER in_order IS NULL AS is_end
    FROM said WHERE is_active
    WINDOW in_order AS (PARTITION BY conversation_id ORDER BY seq)),
live AS (
    SELECT r.conversation_id, r.message_id FROM picked c
    JOIN runs r ON r.conversation_id = c.id AND r.user_email = c.user_email
    WHERE r.status = 'running')
"""


def _belongs(rows: str) -> str:
    """Rows (r) of a conversation (c) that name another owner, or none."""
    return f"""
    SELECT c.id, count(*)::text AS found, '0' AS expected FROM picked c JOIN {rows}
    WHERE r.user_email IS DISTINCT FROM c.user_email GROUP BY c.id"""


def _counts(column: str, counted: str) -> str:
    return f"""
    SELECT id, c.{column}::text, n.{counted}::text FROM picked c JOIN counted n USING (id)
    WHERE c.{column} <> n.{counted}"""


def _none(condition: str) -> str:
    """No message is such."""
    return f"""
    SELECT s.conversation_id, count(*)::text, '0' FROM said s WHERE {condition} GROUP BY 1"""


def _too_deep(*columns: str) -> str:
    """JSON with something beyond the deepest level that may be stored."""
    path = f"$.**{{{MAX_DEPTH + 1}}}"
    return " OR ".join(f"jsonb_path_exists({column}, '{path}')" for column in columns)


_HAS_RUN = "(s.conversation_id, s.id) IN (SELECT conversation_id, message_id FROM live)"

# Each finds conversations with what is there and what should be, numbers mostly, never a text.
_CHECKS: Mapping[str, str] = {
    "owner": """
    SELECT c.id, 'nobody' AS found, 'a user' AS expected FROM picked c
    WHERE NOT EXISTS (SELECT FROM users u WHERE u.email = c.user_email)""",
    "messages_of_others": _belongs("messages r ON r.conversation_id = c.id"),
    "runs_of_others": _belongs("runs r ON r.conversation_id = c.id"),
    "chunks_of_others": _belongs(
        "runs o ON o.conversation_id = c.id JOIN run_chunks r ON r.run_id = o.id"
    ),
    "ledger_of_others": _belongs("query_logs r ON r.conversation_id = c.id"),
    "message_count": _counts("message_count", "messages"),
    "total_tokens": _counts("total_tokens", "tokens"),
    "next_seq": """
    SELECT id, c.next_seq::text, '> ' || n.last_seq FROM picked c JOIN counted n USING (id)
    WHERE c.next_seq <= n.last_seq""",
    "revision": "SELECT c.id, c.revision::text, '> 0' FROM picked c WHERE c.revision < 1",
    "seq": """
    SELECT s.conversation_id, count(DISTINCT s.seq)::text, count(*)::text FROM said s
    GROUP BY 1 HAVING count(*) <> count(DISTINCT s.seq) OR min(s.seq) < 1""",
    "parent": _none("s.parent_id IS NOT NULL AND s.parent_seq IS NULL"),
    "order": _none("s.parent_seq >= s.seq"),
    "active_leaf": """
    SELECT c.id, coalesce(c.active_leaf_id::text, 'none'),
        CASE WHEN n.messages = 0 THEN 'none' ELSE 'a message of it' END
    FROM picked c JOIN counted n USING (id)
    WHERE (n.messages > 0 OR c.active_leaf_id IS NOT NULL) AND NOT EXISTS (
        SELECT FROM said s WHERE s.conversation_id = c.id AND s.id = c.active_leaf_id)""",
    "active_path": """
    SELECT c.id, count(p.id) || ' messages, ' || count(p.id) FILTER (WHERE p.is_torn) || ' breaks',
        'a path to the active leaf'
    FROM picked c JOIN counted n USING (id) LEFT JOIN shown p ON p.conversation_id = c.id
    WHERE n.messages > 0
    GROUP BY c.id HAVING bool_or(p.is_torn)
        OR NOT coalesce(bool_or(p.is_end AND p.id = c.active_leaf_id), false)""",
    "live_answers": """
    SELECT s.conversation_id, max(s.n)::text, '1' FROM (
        SELECT conversation_id, count(*) AS n FROM said WHERE status = 'streaming'
        GROUP BY conversation_id, parent_id HAVING count(*) > 1) s GROUP BY 1""",
    "answer_without_run": _none(f"s.status = 'streaming' AND NOT {_HAS_RUN}"),
    "run_without_answer": """
    SELECT l.conversation_id, count(*)::text, '0' FROM live l WHERE NOT EXISTS (
        SELECT FROM said s WHERE s.conversation_id = l.conversation_id AND s.id = l.message_id
            AND s.status = 'streaming') GROUP BY 1""",
    "runs_of_answer": """
    SELECT l.conversation_id, max(l.n)::text, '1' FROM (
        SELECT conversation_id, count(*) AS n FROM live
        GROUP BY conversation_id, message_id HAVING count(*) > 1) l GROUP BY 1""",
    "chunks_of_ended_run": """
    SELECT c.id, count(*)::text, '0' FROM picked c
    JOIN runs r ON r.conversation_id = c.id JOIN run_chunks k ON k.run_id = r.id
    WHERE r.status <> 'running' GROUP BY c.id""",
    "client_message_id": """
    SELECT s.conversation_id, count(s.client_message_id)::text,
        count(DISTINCT s.client_message_id)::text
    FROM said s GROUP BY 1
    HAVING count(s.client_message_id) <> count(DISTINCT s.client_message_id)""",
    "payload": _none("s.client_message_id IS NOT NULL AND s.hashed IS DISTINCT FROM 32"),
    "depth_of_messages": f"""
    SELECT c.id, count(*)::text, '0' FROM picked c JOIN messages m ON m.conversation_id = c.id
    WHERE {_too_deep("m.parts", "m.retrieved_docs", "m.metadata")} GROUP BY c.id""",
    "depth": f"""
    SELECT c.id, 'too deep', '<= {MAX_DEPTH}' FROM picked c WHERE {_too_deep("c.metadata")}""",
    "title_source": """
    SELECT c.id, c.title_source, 'auto' FROM picked c
    WHERE c.title IS NULL AND c.title_source = 'user'""",
}
_BREAKS = _PICKED + " UNION ALL ".join(
    f"SELECT '{name}' AS broken, b.* FROM ({check}) b" for name, check in _CHECKS.items()
)

# What is worked out of texts here, and of what it is.
_WORDING = """
SELECT c.id, c.title, c.title_words::text AS title_words, c.preview,
    left(leaf.content, %(head)s) AS said, left(before.content, %(head)s) AS said_before
FROM conversations c
LEFT JOIN messages leaf ON leaf.conversation_id = c.id AND leaf.user_email = c.user_email
    AND leaf.id = c.active_leaf_id
LEFT JOIN messages before ON before.conversation_id = c.id AND before.user_email = c.user_email
    AND before.id = leaf.parent_id
WHERE c.id = ANY(%(ids)s::uuid[])
"""
_SAID = """
SELECT m.id, m.seq, m.content, m.search_words::text AS search_words FROM messages m
WHERE m.conversation_id = %(conversation_id)s AND m.seq > %(after)s AND m.status <> 'streaming'
ORDER BY m.seq LIMIT 50
"""
_USER = "SELECT FROM users WHERE email = %(owner)s"
_OWNERS = "SELECT id, user_email FROM conversations WHERE id = ANY(%(ids)s::uuid[]) ORDER BY id"


def batch(session: OperationSession, *, owner: str | None, after: UUID | None) -> list[UUID]:
    """The next conversations, of all users or of one, in the order of their ids."""
    rows = session.run(_BATCH, {"owner": owner, "after": after})
    return [row.id for row in rows]


def breaks(session: OperationSession, ids: Sequence[UUID]) -> list[Any]:
    """What does not hold of conversations, at one moment: rows of broken, id, found, expected."""
    return session.run(_BREAKS, {"ids": list(ids)})


def wording(
    session: OperationSession | OwnedSession, ids: Sequence[UUID], *, head: int
) -> list[Any]:
    """Titles and previews, and the first `head` characters of what these are made of."""
    return session.run(_WORDING, {"ids": list(ids), "head": head})


def said(
    session: OperationSession | OwnedSession, conversation_id: UUID, *, after: int
) -> list[Any]:
    """The next messages after a seq with their search words, but for those being written."""
    return session.run(_SAID, {"conversation_id": conversation_id, "after": after})


def owners(session: OperationSession, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Whose conversations these are."""
    return {row.id: row.user_email for row in session.run(_OWNERS, {"ids": list(ids)})}


def is_known(session: OperationSession, owner: str) -> bool:
    """Whether there is such a user."""
    return bool(session.run(_USER, {"owner": owner}))
