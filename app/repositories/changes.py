from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ..models import Conversation
from ..revisions import Revision
from ..statements import IN_ORDER, Statement
from ..transcript import Turn
from .base import Repository
from .messages import TURN_COLUMNS, turns_of

# One statement, so that the turns are those of the revision beside them.
_LOOK = Statement(
    "look",
    f"""
SELECT c.revision, c.rev, c.title, c.active_leaf_id, c.message_count, c.next_seq - 1 AS last_seq,
    ARRAY(
        SELECT o.seq FROM messages o
        WHERE o.conversation_id = c.id AND o.user_email = %(owner)s AND o.status = 'streaming'
        ORDER BY o.seq) AS open_seqs,
    m.*
FROM conversations c
    JOIN users u ON u.email = c.user_email AND u.is_active
    LEFT JOIN LATERAL (
        SELECT {TURN_COLUMNS} FROM messages m
        WHERE m.conversation_id = c.id AND m.user_email = %(owner)s AND m.seq > %(after_seq)s
        ORDER BY m.seq LIMIT %(take)s) m ON true
WHERE c.user_email = %(owner)s AND c.id = %(conversation_id)s
    AND c.deleted_at IS NULL AND c.is_published
ORDER BY m.seq
""",
    settings=IN_ORDER,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A conversation at one moment; `open_seqs` are those of the answers being written."""

    revision: Revision
    title: str | None
    active_leaf_id: UUID | None
    message_count: int
    last_seq: int
    open_seqs: tuple[int, ...]

    @property
    def settled_seq(self) -> int:
        """Up to here, no message will say anything else."""
        return min(self.open_seqs, default=self.last_seq + 1) - 1


class ChangeRepository(Repository[Conversation]):
    model = Conversation

    def look(
        self, conversation_id: UUID, *, after_seq: int, take: int
    ) -> tuple[State, list[Turn]] | None:
        """The state of a conversation, and its first `take` turns after one, on all branches.

        None: it is absent or in the trash, or its owner is shut out.
        """
        values = {"conversation_id": conversation_id, "after_seq": after_seq, "take": take}
        rows = self.session.run(_LOOK, values | {"owner": self.session.owner})
        if not rows:
            return None
        return _state(rows[0]), turns_of(row for row in rows if row.id is not None)


def _state(row: Any) -> State:
    return State(
        revision=Revision.of(row),
        title=row.title,
        active_leaf_id=row.active_leaf_id,
        message_count=row.message_count,
        last_seq=row.last_seq,
        open_seqs=tuple(row.open_seqs),
    )
