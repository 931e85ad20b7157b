"""What the cache's upkeep asks for, across all owners: never a text."""

from collections.abc import Sequence
from typing import Any

from ..sessions import OperationSession

_STANDING = """
SELECT epoch, conversation_id, note, version FROM parley_cache_standing(%(max_notes)s)
"""
_RECENT = """
SELECT id, user_email FROM conversations
WHERE deleted_at IS NULL AND is_published AND updated_at > now() - %(hours)s * interval '1 hour'
ORDER BY updated_at DESC LIMIT %(most)s
"""
_FORGET = "SELECT parley_forget_changes(%(notes)s::bigint[]) AS forgotten"


def standing(session: OperationSession, max_notes: int) -> list[Any]:
    """Rows of epoch, conversation_id, note and version; version None: it is gone.

    Without any notes, one row of the epoch alone.
    """
    return session.run(_STANDING, {"max_notes": max_notes})


def forget(session: OperationSession, notes: Sequence[int]) -> int:
    """Removes notes that were delivered: how many. One that a write counts on stays for now."""
    (row,) = session.run(_FORGET, {"notes": list(notes)})
    forgotten: int = row.forgotten
    return forgotten


def recent(session: OperationSession, *, hours: float, most: int) -> list[Any]:
    """Conversations with messages of the last hours, newest first, for the tables' owner.

    Rows of id and user_email.
    """
    return session.run(_RECENT, {"hours": hours, "most": most})
