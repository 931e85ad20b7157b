"""Makes a conversation whole again out of what is stored of it, for the tables' owner.

Within a transaction, the conversation locked; each statement changes only what is wrong.
"""

from typing import Any
from uuid import UUID

from ..models import Conversation
from .base import Repository

_OWN = "m.conversation_id = %(conversation_id)s AND m.user_email = %(owner)s"

_LOCK = """
SELECT user_email FROM conversations
WHERE id = %(conversation_id)s AND user_email = %(owner)s FOR UPDATE
"""

_ABANDONED = f"""
SELECT m.id, coalesce(string_agg(k.text, '' ORDER BY r.created_at, r.id, k.n), m.content) AS kept
FROM messages m
LEFT JOIN runs r ON r.conversation_id = m.conversation_id AND r.message_id = m.id
LEFT JOIN run_chunks k ON k.run_id = r.id
WHERE {_OWN} AND m.status = 'streaming'
GROUP BY m.id, m.content HAVING coalesce(bool_and(r.status <> 'running'), true)
"""
_INTERRUPT = f"""
UPDATE messages m SET
    status = 'interrupted', error_class = 'crashed', content = %(content)s,
    search_words = %(search_words)s::tsvector, completion_tokens = %(tokens)s,
    tokens_used = %(tokens)s, usage_is_estimated = true, updated_at = clock_timestamp()
WHERE {_OWN} AND m.id = %(message_id)s
"""
_END_RUNS = f"""
UPDATE runs r SET status = m.status, ended_at = clock_timestamp() FROM messages m
WHERE {_OWN} AND r.conversation_id = m.conversation_id AND r.message_id = m.id
    AND r.user_email = %(owner)s AND r.status = 'running' AND m.status <> 'streaming'
"""
_SWEEP = """
DELETE FROM run_chunks k USING runs r
WHERE r.conversation_id = %(conversation_id)s AND r.user_email = %(owner)s
    AND k.run_id = r.id AND r.status <> 'running'
"""

# The leaf that is chosen, if it is there, else the newest message.
_LEAF = f"""
UPDATE conversations c SET active_leaf_id = (
    SELECT m.id FROM messages m WHERE {_OWN}
    ORDER BY (m.id = c.active_leaf_id) DESC NULLS LAST, m.seq DESC LIMIT 1)
WHERE c.id = %(conversation_id)s AND c.user_email = %(owner)s
"""
# It ends where a parent is not older than its child, so that it ends.
_PATH = f"""
WITH RECURSIVE path AS (
    SELECT m.id, m.parent_id, m.seq FROM conversations c JOIN messages m ON m.id = c.active_leaf_id
    WHERE {_OWN} AND c.id = %(conversation_id)s AND c.user_email = %(owner)s
    UNION ALL
    SELECT m.id, m.parent_id, m.seq
    FROM path p JOIN messages m ON m.id = p.parent_id AND m.seq < p.seq WHERE {_OWN})
UPDATE messages m SET is_active = NOT m.is_active
WHERE {_OWN} AND m.is_active <> (m.id IN (SELECT id FROM path))
"""
_REINDEX = f"""
UPDATE messages m SET search_words = %(search_words)s::tsvector
WHERE {_OWN} AND m.id = %(message_id)s
"""
_RECOUNT = f"""
UPDATE conversations c SET
    message_count = n.messages, total_tokens = n.tokens,
    next_seq = greatest(c.next_seq, n.last_seq + 1),
    preview = %(preview)s, title_words = %(title_words)s::tsvector,
    title_source = CASE WHEN c.title IS NULL THEN 'auto' ELSE c.title_source END,
    revision = greatest(c.revision, 0) + 1, rev = gen_random_uuid()
FROM (
    SELECT count(*) AS messages, coalesce(sum(m.tokens_used), 0) AS tokens,
        coalesce(max(m.seq), 0) AS last_seq
    FROM messages m WHERE {_OWN}) n
WHERE c.id = %(conversation_id)s AND c.user_email = %(owner)s
"""


class MendingRepository(Repository[Conversation]):
    model = Conversation

    def lock(self, conversation_id: UUID) -> bool:
        """Nobody else changes it until the transaction ends; False when it is gone."""
        return bool(self._run(_LOCK, conversation_id))

    def abandoned(self, conversation_id: UUID) -> list[Any]:
        """Answers that nobody writes any more: rows of id, and the text that was kept."""
        return self._run(_ABANDONED, conversation_id)

    def interrupt(
        self, conversation_id: UUID, message_id: UUID, *, content: str, words: str, tokens: int
    ) -> None:
        """Ends an answer with what there is of it."""
        values = {"content": content, "search_words": words, "tokens": tokens}
        self._run(_INTERRUPT, conversation_id, message_id=message_id, **values)

    def settle(self, conversation_id: UUID) -> None:
        """Ends runs whose answer is final, and clears what they left."""
        for sql in (_END_RUNS, _SWEEP):
            self._run(sql, conversation_id)

    def draw_path(self, conversation_id: UUID) -> None:
        """Shows the path to the active leaf, or to the newest message if there is no such leaf."""
        for sql in (_LEAF, _PATH):
            self._run(sql, conversation_id)

    def reindex(self, conversation_id: UUID, message_id: UUID, search_words: str) -> None:
        self._run(_REINDEX, conversation_id, message_id=message_id, search_words=search_words)

    def recount(self, conversation_id: UUID, *, preview: str | None, title_words: str) -> None:
        """Counts its messages, and makes it another revision."""
        self._run(_RECOUNT, conversation_id, preview=preview, title_words=title_words)
        self.session.changed(conversation_id)

    def _run(self, sql: str, conversation_id: UUID, **values: Any) -> list[Any]:
        named = {"owner": self.session.owner, "conversation_id": conversation_id}
        return self.session.run(sql, named | values)
