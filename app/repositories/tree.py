"""A conversation's messages as a tree, of which one path is shown: from a root to its leaf.

For conversations that are locked: see ConversationRepository.lock.
"""

from typing import Any, NamedTuple
from uuid import UUID

from ..models import Message
from ..statements import Statement
from ..transcript import Turn
from .base import Repository
from .messages import TURN_COLUMNS, turns_of
from .runs import LEFT_IN_LEDGER

_OWN = "m.conversation_id = %(conversation_id)s AND m.user_email = %(owner)s"

_BELOW = f"""
below AS (
    SELECT m.id, m.seq, m.is_active FROM messages m WHERE {_OWN} AND m.id = %(message_id)s
    UNION ALL
    SELECT c.id, c.seq, c.is_active FROM below b CROSS JOIN LATERAL (
        SELECT m.id, m.seq, m.is_active FROM messages m
        WHERE {_OWN} AND m.parent_id = b.id OFFSET 0) c)"""

# To the newest end, or to the one that is shown already; from there up to what is shown.
_SHOW = Statement(
    "show",
    f"""
WITH RECURSIVE {_BELOW},
leaf AS (
    SELECT id FROM below ORDER BY is_active DESC, seq DESC LIMIT 1),
walked AS (
    SELECT m.id, m.parent_id, m.seq, m.is_active FROM leaf JOIN messages m ON m.id = leaf.id
    WHERE {_OWN}
    UNION ALL
    SELECT p.id, p.parent_id, p.seq, p.is_active FROM walked w CROSS JOIN LATERAL (
        SELECT m.id, m.parent_id, m.seq, m.is_active FROM messages m
        WHERE {_OWN} AND m.id = w.parent_id OFFSET 0) p
    WHERE NOT w.is_active),
hidden AS (
    UPDATE messages m SET is_active = false
    WHERE {_OWN} AND m.is_active AND EXISTS (SELECT FROM leaf)
        AND m.seq > coalesce((SELECT seq FROM walked WHERE is_active), 0)),
shown AS (
    UPDATE messages m SET is_active = true
    WHERE {_OWN} AND m.id = ANY (ARRAY(SELECT id FROM walked WHERE NOT is_active)))
SELECT m.id, left(m.content, %(head)s) AS head FROM leaf JOIN messages m ON m.id = leaf.id
WHERE {_OWN}
""",
)

_CUT = Statement(
    "cut",
    f"""
WITH RECURSIVE {_BELOW},
gone AS (
    DELETE FROM messages m WHERE {_OWN} AND m.id = ANY (ARRAY(SELECT id FROM below))
    RETURNING m.conversation_id, m.id, m.tokens_used, m.is_active),
{LEFT_IN_LEDGER.format(column="message_id")}
SELECT count(*) AS messages, coalesce(sum(tokens_used), 0) AS tokens,
    coalesce(bool_or(is_active), false) AS was_shown
FROM gone
""",
)

_NEWEST_CHILD = f"""
SELECT m.id FROM messages m WHERE {_OWN} AND m.parent_id = %(parent_id)s
ORDER BY m.seq DESC LIMIT 1
"""
_FIRST_QUESTIONS = f"""
SELECT m.id, left(m.content, 2000) AS content FROM messages m WHERE {_OWN} AND m.role = 'user'
ORDER BY m.seq LIMIT 20
"""
_NEWEST_ROOT = _NEWEST_CHILD.replace("= %(parent_id)s", "IS NULL")

_PATH = Statement(
    "path",
    f"""
WITH RECURSIVE path AS (
    SELECT m.id, m.parent_id, 1 AS n FROM messages m WHERE {_OWN} AND m.id = %(message_id)s
    UNION ALL
    SELECT b.id, b.parent_id, p.n + 1 FROM path p CROSS JOIN LATERAL (
        SELECT m.id, m.parent_id FROM messages m
        WHERE {_OWN} AND m.id = p.parent_id OFFSET 0) b
    WHERE p.n < %(take)s)
SELECT {TURN_COLUMNS} FROM messages m
WHERE {_OWN} AND m.id = ANY (ARRAY(SELECT id FROM path))
ORDER BY m.seq
""",
)


class Leaf(NamedTuple):
    """The end of the path that is shown, and the beginning of what it says."""

    id: UUID
    head: str


class Cut(NamedTuple):
    """What a cut took away, and whether the path that is shown lost something."""

    messages: int
    tokens: int
    was_shown: bool


class TreeRepository(Repository[Message]):
    model = Message

    def show(self, conversation_id: UUID, message_id: UUID, *, head: int) -> Leaf | None:
        """Shows the path through a message: its leaf, with `head` characters of what it says.

        It goes on to the newest message below, unless it is shown already. None: no such message.
        """
        rows = self._run(_SHOW, conversation_id, message_id=message_id, head=head)
        return Leaf(*rows[0]) if rows else None

    def cut(self, conversation_id: UUID, message_id: UUID) -> Cut:
        """Deletes a message and all that follows from it, on every branch."""
        (row,) = self._run(_CUT, conversation_id, message_id=message_id)
        return Cut(*row)

    def newest_child(self, conversation_id: UUID, parent_id: UUID | None) -> UUID | None:
        """What followed a message last; without one, the newest root."""
        sql = _NEWEST_CHILD if parent_id else _NEWEST_ROOT
        rows = self._run(sql, conversation_id, parent_id=parent_id)
        return rows[0].id if rows else None

    def first_questions(self, conversation_id: UUID) -> dict[UUID, str]:
        """The beginnings of what the user said in the first twenty messages that are there."""
        return {row.id: row.content for row in self._run(_FIRST_QUESTIONS, conversation_id)}

    def path(self, conversation_id: UUID, message_id: UUID, take: int) -> list[Turn]:
        """At most `take` turns up to a message and with it, oldest first."""
        return turns_of(self._run(_PATH, conversation_id, message_id=message_id, take=take))

    def _run(self, sql: str | Statement, conversation_id: UUID, **values: Any) -> list[Any]:
        named = {"owner": self.session.owner, "conversation_id": conversation_id}
        return self.session.run(sql, named | values)
