from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from ..models import Conversation
from .base import Repository

_LISTED = """
SELECT id, title, title_source, preview, mode, model, tags, is_pinned, is_archived,
    message_count, total_tokens, revision, rev, created_at, updated_at
FROM conversations
WHERE user_email = %(owner)s AND deleted_at IS NULL AND is_published {after}
ORDER BY updated_at DESC, id DESC LIMIT %(take)s
"""
_FIRST_PAGE = _LISTED.format(after="")
_NEXT_PAGE = _LISTED.format(after="AND (updated_at, id) < (%(updated_at)s, %(id)s)")

_RECORD = """
SELECT id, title, title_source, preview, mode, model, system_prompt, tags, is_pinned,
    is_archived, metadata, message_count, total_tokens, revision, rev, created_at, updated_at
FROM conversations
WHERE user_email = %(owner)s AND id = %(conversation_id)s
    AND deleted_at IS NULL AND is_published
"""

# Waiting for a writer belongs to a statement of its own: what follows sees what it wrote.
_LOCK = """
SELECT id FROM conversations WHERE user_email = %(owner)s AND id = %(conversation_id)s FOR UPDATE
"""

# Whoever writes to these conversations has lost them: the reaper ends the fenced runs.
_FENCE = """
fenced AS (
    UPDATE runs r SET attempt = r.attempt + 1, lease_until = '-infinity'
    FROM gone WHERE r.conversation_id = gone.id AND r.status = 'running')
"""
_TRASH = f"""
WITH gone AS (
    UPDATE conversations SET
        deleted_at = clock_timestamp(), revision = revision + 1, rev = gen_random_uuid()
    WHERE user_email = %(owner)s AND id = %(conversation_id)s AND deleted_at IS NULL
    RETURNING id, revision),
{_FENCE}
SELECT revision FROM gone
"""

# The ledger's numbers stay; what was said goes.
# A run that goes with it has its line in the ledger all the same: it counts as asked.
_ERASE = """
WITH gone AS (
    DELETE FROM conversations WHERE user_email = %(owner)s AND id = %(conversation_id)s
    RETURNING id, revision),
forgotten AS (
    UPDATE query_logs q SET query = NULL FROM gone
    WHERE q.conversation_id = gone.id AND q.user_email = %(owner)s),
logged AS (
    INSERT INTO query_logs (
        id, user_email, conversation_id, message_id, contexts_retrieved, tokens_used, status,
        created_at)
    SELECT gen_random_uuid(), r.user_email, r.conversation_id, r.message_id, 0,
        (SELECT (sum(char_length(k.text)) + 3) / 4 FROM run_chunks k
            WHERE k.run_id = r.id AND k.user_email = %(owner)s),
        'cancelled', r.created_at
    FROM runs r JOIN gone ON gone.id = r.conversation_id
    WHERE r.user_email = %(owner)s AND r.status = 'running')
SELECT revision FROM gone
"""

_CREATE = """
WITH made AS (
    INSERT INTO conversations (
        id, user_email, title, title_source, title_words, mode, model, system_prompt, tags,
        metadata, source, source_id)
    VALUES (
        %(id)s, %(owner)s, %(title)s, %(title_source)s, %(title_words)s::tsvector, %(mode)s,
        %(model)s, %(system_prompt)s, %(tags)s::text[], %(metadata)s::jsonb, %(source)s,
        %(source_id)s)
    ON CONFLICT (user_email, source, source_id) DO NOTHING
    RETURNING id)
SELECT id FROM made
"""

_OF_SOURCE = """
SELECT id FROM conversations
WHERE user_email = %(owner)s AND source = %(source)s AND source_id = %(source_id)s
"""


class ListCursor(NamedTuple):
    """The last conversation of a page, in list order."""

    updated_at: datetime
    id: UUID


class ConversationRepository(Repository[Conversation]):
    model = Conversation

    def page(self, *, take: int, cursor: ListCursor | None) -> list[Any]:
        """Rows of a list, newest activity first, after `cursor`."""
        values: dict[str, Any] = {"owner": self.session.owner, "take": take}
        if cursor is None:
            return self.session.run(_FIRST_PAGE, values)
        return self.session.run(_NEXT_PAGE, values | cursor._asdict())

    def record(self, conversation_id: UUID) -> Any | None:
        """The row that an API shows, or None. Also the version that a cache compares with."""
        rows = self.session.run(_RECORD, self._named(conversation_id))
        return rows[0] if rows else None

    def find_source(self, source: str, source_id: str) -> UUID | None:
        """The id of the conversation that something else knows by an id of its own."""
        values = {"owner": self.session.owner, "source": source, "source_id": source_id}
        rows = self.session.run(_OF_SOURCE, values)
        return rows[0].id if rows else None

    def create_once(self, fields: dict[str, Any]) -> UUID | None:
        """A new conversation's id; None when its source id is taken already."""
        rows = self.session.run(_CREATE, fields | {"owner": self.session.owner})
        return rows[0].id if rows else None

    def trash(self, conversation_id: UUID) -> int | None:
        """Puts it into the trash and fences its runs, in a transaction: the revision, or None."""
        self.session.run(_LOCK, self._named(conversation_id))
        rows = self.session.run(_TRASH, self._named(conversation_id))
        return rows[0].revision if rows else None

    def erase(self, conversation_id: UUID) -> bool:
        """Removes it with all its messages, in a transaction; False when there is none."""
        self.session.run(_LOCK, self._named(conversation_id))
        return bool(self.session.run(_ERASE, self._named(conversation_id)))

    def _named(self, conversation_id: UUID) -> dict[str, Any]:
        return {"owner": self.session.owner, "conversation_id": conversation_id}
