"""The trash of all users, for the tables' owner."""

from typing import Any

from ..sessions import OperationSession
from .runs import LEFT_IN_LEDGER

_DUE = "deleted_at < now() - %(days)s * interval '1 day'"

# What somebody restores or deletes just now, or another purge has, is left to them.
_OLDEST = f"""
SELECT id, message_count, deleted_at FROM conversations WHERE {_DUE}
ORDER BY deleted_at, id LIMIT %(max_conversations)s FOR UPDATE SKIP LOCKED"""
# Locked by a statement of their own: what follows sees how their runs have ended.
_PURGE = f"""
{_OLDEST};
WITH locked AS ({_OLDEST}),
counted AS (
    SELECT id, sum(message_count) OVER (ORDER BY deleted_at, id) - message_count AS before
    FROM locked),
gone AS (
    DELETE FROM conversations c USING counted
    WHERE c.id = counted.id AND counted.before < %(max_messages)s
    RETURNING c.id, c.id AS conversation_id, c.user_email),
{LEFT_IN_LEDGER.format(column="conversation_id").replace("%(owner)s", "gone.user_email")}
SELECT id FROM gone
"""
_COUNT = f"SELECT count(*) AS count FROM conversations WHERE {_DUE}"


def purge_trash(
    session: OperationSession, days: int, *, max_conversations: int, max_messages: int
) -> list[Any]:
    """Removes what came into the trash more than `days` ago, oldest first: rows of its ids.

    At most so many conversations, with about so many messages together. None: nothing is left
    that nobody else is busy with.
    """
    values = {"days": days, "max_conversations": max_conversations, "max_messages": max_messages}
    return session.run(_PURGE, values)


def count_purgeable(session: OperationSession, days: int) -> int:
    """How many conversations came into the trash more than `days` ago."""
    count: int = session.run(_COUNT, {"days": days})[0].count
    return count
