from typing import Any
from uuid import UUID

from ..errors import RecordNotFoundError
from ..ids import new_id
from ..models import Conversation
from ..revisions import Revision
from ..search_words import search_words
from ..statements import IN_ORDER, Statement
from ..writes import Written
from .as_json import RECORD_JSON, TURN_JSON
from .base import Repository
from .data import Data
from .runs import FENCED, LEFT_IN_LEDGER

CLIENT_ID = "CASE source WHEN 'client' THEN source_id END AS client_id"

_RECORD = Statement(
    "record",
    f"""
SELECT id, {CLIENT_ID}, title, title_source, preview, mode, model, system_prompt, tags,
    is_pinned, is_archived, metadata, message_count, total_tokens, active_leaf_id, revision, rev,
    created_at, updated_at
FROM conversations
WHERE user_email = %(owner)s AND id = %(conversation_id)s
    AND deleted_at IS NULL AND is_published
""",
)

# Record and messages are of one snapshot. A line of JSON has no line feed in it.
_SNAPSHOT = Statement(
    "snapshot",
    f"""
SELECT c.revision, c.rev, {RECORD_JSON} AS record, (
    SELECT string_agg(t.turn, chr(10) ORDER BY t.seq) FROM (
        SELECT m.seq, {TURN_JSON} AS turn FROM messages m
        WHERE m.conversation_id = %(conversation_id)s AND m.user_email = %(owner)s AND m.is_active
        ORDER BY m.seq DESC LIMIT %(take)s) t) AS messages
FROM conversations c
WHERE c.user_email = %(owner)s AND c.id = %(conversation_id)s
    AND c.deleted_at IS NULL AND c.is_published
""",
    settings=IN_ORDER,
)

# Waiting for a writer belongs to a statement of its own: what follows sees what it wrote.
_LOCK = Statement(
    "lock",
    """
SELECT id, revision, rev, active_leaf_id, title, preview, deleted_at FROM conversations
WHERE user_email = %(owner)s AND id = %(conversation_id)s AND is_published FOR UPDATE
""",
)

_ENTITLE = f"""
UPDATE conversations c SET
    title = %(title)s, title_words = %(title_words)s::tsvector,
    revision = revision + 1, rev = gen_random_uuid()
WHERE user_email = %(owner)s AND id = %(conversation_id)s AND deleted_at IS NULL
    AND title_source = 'auto' AND title IS DISTINCT FROM %(title)s
RETURNING revision, rev, {RECORD_JSON} AS record
"""

_RETITLE = """
UPDATE conversations SET title = %(title)s, title_words = %(title_words)s::tsvector
WHERE user_email = %(owner)s AND id = %(conversation_id)s AND title_source = 'auto'
"""

_BRANCH = """
UPDATE conversations SET
    active_leaf_id = %(leaf_id)s, preview = %(preview)s,
    message_count = message_count - %(messages)s, total_tokens = total_tokens - %(tokens)s,
    revision = revision + 1, rev = gen_random_uuid()
WHERE user_email = %(owner)s AND id = %(conversation_id)s
RETURNING revision, rev
"""

# These two change conversations that are locked. What comes into the trash has its runs fenced.
CHANGE = f"""
WITH gone AS (
    UPDATE conversations SET {{change}}, revision = revision + 1, rev = gen_random_uuid()
    WHERE user_email = %(owner)s AND id = ANY (%(ids)s::uuid[])
    RETURNING id, revision, rev, deleted_at),
fenced AS (
    {FENCED} FROM gone
    WHERE r.conversation_id = gone.id AND r.user_email = %(owner)s AND r.status = 'running'
        AND gone.deleted_at IS NOT NULL)
SELECT id, revision, rev FROM gone
"""
ERASE = f"""
WITH gone AS (
    DELETE FROM conversations WHERE user_email = %(owner)s AND id = ANY (%(ids)s::uuid[])
    RETURNING id, id AS conversation_id),
{LEFT_IN_LEDGER.format(column="conversation_id")}
SELECT id, NULL::bigint AS revision FROM gone
"""
INTO_TRASH = "deleted_at = clock_timestamp()"

_CREATE = Statement(
    "create",
    """
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
""",
)

_OF_SOURCE = Statement(
    "source",
    """
SELECT id FROM conversations
WHERE user_email = %(owner)s AND source = %(source)s AND source_id = %(source_id)s
""",
)


class ConversationRepository(Repository[Conversation]):
    model = Conversation

    def record(self, conversation_id: UUID) -> Any | None:
        """The row that an API shows, or None. Also the version that a cache compares with."""
        rows = self.session.run(_RECORD, self._named(conversation_id))
        return rows[0] if rows else None

    def record_or_raise(self, conversation_id: UUID) -> Any:
        """As record; RecordNotFoundError when there is none."""
        record = self.record(conversation_id)
        if record is None:
            raise RecordNotFoundError
        return record

    def snapshot(self, conversation_id: UUID, take: int) -> Any | None:
        """Its record and the last `take` messages of the shown branch, as JSON; None: absent.

        A row of revision, rev, record, and messages: one a line, oldest first; None: there are
        none.
        """
        values = {"take": take}
        rows = self.session.run(_SNAPSHOT, values | self._named(conversation_id))
        return rows[0] if rows else None

    def find_source(self, source: str, source_id: str) -> UUID | None:
        """The id of the conversation that something else knows by an id of its own."""
        values = {"owner": self.session.owner, "source": source, "source_id": source_id}
        rows = self.session.run(_OF_SOURCE, values)
        return rows[0].id if rows else None

    def create_once(self, fields: dict[str, Any]) -> UUID | None:
        """A new conversation's id; None when its source id is taken already."""
        rows = self.session.run(_CREATE, fields | {"owner": self.session.owner})
        for row in rows:
            self.session.created(row.id)
        return rows[0].id if rows else None

    def lock(self, conversation_id: UUID) -> Any | None:
        """Its state, which nobody else changes until the transaction ends; None when it is absent.

        A row of id, revision, rev, active_leaf_id, title, preview and deleted_at.
        """
        rows = self.session.run(_LOCK, self._named(conversation_id))
        return rows[0] if rows else None

    def trash(self, conversation_id: UUID) -> Revision:
        """Puts a locked conversation into the trash and fences its runs."""
        values = {"owner": self.session.owner, "ids": [conversation_id]}
        (row,) = self.session.run(CHANGE.format(change=INTO_TRASH), values)
        self.session.changed(conversation_id)
        return Revision.of(row)

    def erase(self, conversation_id: UUID) -> None:
        """Removes a locked conversation with all its messages."""
        self.session.run(ERASE, {"owner": self.session.owner, "ids": [conversation_id]})
        self.session.changed(conversation_id)

    def entitle(self, conversation_id: UUID, title: str) -> None:
        """Another title, unless somebody chose the one that it has."""
        values = {"title": title, "title_words": search_words(title)}
        self.session.changing(conversation_id)
        for row in self.session.run(_ENTITLE, values | self._named(conversation_id)):
            self.session.told(conversation_id, Written(Revision.of(row), row.record.encode()))

    def retitle(self, conversation_id: UUID, title: str | None) -> None:
        """Another automatic title, or none, as part of another change of a locked conversation."""
        values = {"title": title, "title_words": search_words(title or "")}
        self.session.run(_RETITLE, values | self._named(conversation_id))

    def rewrite(self, conversation_id: UUID, data: Data) -> Any | None:
        """Other columns for a locked conversation, as a new revision: its record; None: trashed."""
        data = {**data, "revision": {"increment": 1}, "rev": new_id()}
        self.update_many(where={"id": conversation_id}, data=data)
        self.session.changed(conversation_id)
        return self.record(conversation_id)

    def branch(
        self,
        conversation_id: UUID,
        *,
        leaf_id: UUID | None,
        preview: str | None,
        messages: int = 0,
        tokens: int = 0,
    ) -> Revision:
        """Another leaf for a locked conversation, which has lost so many messages and tokens."""
        values = {"leaf_id": leaf_id, "preview": preview, "messages": messages, "tokens": tokens}
        (row,) = self.session.run(_BRANCH, values | self._named(conversation_id))
        self.session.changed(conversation_id)
        return Revision.of(row)

    def _named(self, conversation_id: UUID) -> dict[str, Any]:
        return {"owner": self.session.owner, "conversation_id": conversation_id}
