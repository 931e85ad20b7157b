"""The cache's outbox: which conversations' changes Redis may have missed."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from ..database import OperationSession

_STANDING = """
SELECT epoch, conversation_id, note, version FROM parley_cache_standing(%(max_notes)s)
"""
_FORGET = "SELECT FROM parley_forget_changes(%(notes)s::uuid[])"


def standing(session: OperationSession, max_notes: int) -> list[Any]:
    """Rows of epoch, conversation_id, note and version, oldest first; version None: it is gone.

    Without any notes, one row of the epoch alone.
    """
    return session.run(_STANDING, {"max_notes": max_notes})


def forget(session: OperationSession, notes: Sequence[UUID]) -> None:
    """Removes notes that were delivered."""
    session.run(_FORGET, {"notes": list(notes)})
