"""The trash: what lies there comes back as it was, or goes for good when its time is over."""

from typing import Any

from ..database import Database
from ..repositories.trash import count_purgeable, purge_trash
from ..revisions import ANY, Expected
from .conversations import ConversationService
from .history import HistoryService
from .once import Once
from .privileges import insist_on_owner

_CONVERSATIONS_AT_ONCE = 200
_MESSAGES_AT_ONCE = 20_000


class TrashService:
    def __init__(self, conversations: ConversationService) -> None:
        self._conversations = conversations

    def restore(
        self, owner: str, reference: str, *, expected: Expected = ANY, once: Once | None = None
    ) -> Any:
        """Takes a conversation out of the trash: its record. RecordNotFoundError: it isn't there.

        StaleError: it is not as expected.
        """
        data = {"deleted_at": None}
        return self._conversations.rewrite(
            owner, reference, data, expected=expected, once=once, is_in_trash=True
        )


class PurgeService:
    """For operators."""

    def __init__(self, database: Database, history: HistoryService, *, days: int) -> None:
        """`database`: as the tables' owner. `days`: how long the trash keeps things, usually."""
        self._database = database
        self._history = history
        self._days = days

    def purge(self, days: int | None = None) -> int:
        """Removes for good what came into the trash of any user more than `days` ago: how many.

        A few hundred at a time. Raises SetupError when this is not the tables' owner.
        """
        purged = 0
        while count := self._purge_some(self._days if days is None else days):
            purged += count
        return purged

    def count(self, days: int | None = None) -> int:
        """How many `purge` would remove."""
        with self._database.operation() as session:
            insist_on_owner(session)
            return count_purgeable(session, self._days if days is None else days)

    def _purge_some(self, days: int) -> int:
        with self._database.operation() as session:
            insist_on_owner(session)
            rows = purge_trash(
                session,
                days,
                max_conversations=_CONVERSATIONS_AT_ONCE,
                max_messages=_MESSAGES_AT_ONCE,
            )
        self._history.forget(*(row.id for row in rows))
        return len(rows)
