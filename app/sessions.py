"""Units of work, for one owner or for nobody; what they change is said to them.

Their transactions are `database`'s to begin and to end.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from prometheus_client import Counter
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from . import metrics
from .engine import BY_ITSELF
from .errors import MissingOwnerError, UnguardedError
from .lines import Line
from .statements import Statement
from .writes import KNOWN_SECONDS, Changes, Guard, Written

NOTE = "SELECT parley_note_changes(%(noted)s::uuid[])"
"""Leaves a note of conversations whose copies may be old; see docs/cache-strategy.md."""
_NOTE_IN_DOUBT = "SELECT parley_note_in_doubt(%(noted)s::uuid[], %(known_seconds)s)"
_KNOWN = "parley: known"  # as PostgreSQL remarks it


class _StatementSession(Session):
    """Runs statements by the driver alone, and gives the vocabulary of Repository a Connection.

    It never holds two connections at once.
    """

    _owner: str | None = None

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, expire_on_commit=False, autoflush=False)
        self._engine = engine
        self._is_by_itself = engine.get_execution_options() == BY_ITSELF
        self._line: Line | None = None
        self._is_alone = True
        self._remarks: Sequence[str] = ()

    def run(self, statement: str | Statement, values: Mapping[str, Any]) -> list[Any]:
        """The rows of one hand-written statement, in one round trip."""
        return self._run(statement, values)

    def _run(
        self, statement: str | Statement, values: Mapping[str, Any], before: str = ""
    ) -> list[Any]:
        """The same with what goes `before` it: `…; `. All of it takes effect, or nothing."""
        line = self._line if self._line and self._line.is_usable else self._taken()
        self._remarks = line.remarks
        return line.run(statement, values, before=before)

    def _taken(self) -> Line:
        self._let_go()
        if self.in_transaction() or not self._is_by_itself:
            return Line(self._engine, self.connection().connection, self._owner)
        self._line = Line.taken(self._engine, self._owner)
        return self._line

    def connection(self, *args: Any, **kwargs: Any) -> Connection:
        self._let_go()
        self._is_alone = False
        return super().connection(*args, **kwargs)

    def close(self) -> None:
        self._let_go()
        if not self._is_alone:  # or there is nothing that a Session would have to end
            super().close()

    def _let_go(self) -> None:
        line, self._line = self._line, None
        if line:
            line.close()


class OwnedSession(_StatementSession):
    """A session that works for one owner and, by row-level security, sees nobody else's rows.

    There is none without an owner: MissingOwnerError.
    """

    def __init__(self, engine: Engine, owner: str, *, most_told: int = 0) -> None:
        if not (isinstance(owner, str) and owner):
            raise MissingOwnerError
        super().__init__(engine)
        self._owner: str = owner
        self.changes = Changes()
        self.most_told = most_told
        """How many new messages who keeps copies is to be told of; 0: of nothing that is new.

        A write that takes effect by itself asks for it after `changing`.
        """
        self.to_count: list[Counter] = []
        """What is to be counted, once each, when it is stored."""
        self.are_notes_known = True
        """Whether older notes keep everybody from showing copies of what was noted here."""

    @property
    def owner(self) -> str:
        return self._owner

    def changed(self, *conversation_ids: UUID) -> None:
        """Whoever makes another revision of a conversation says so here."""
        self.changes.change(*conversation_ids)

    def changing(self, conversation_id: UUID) -> None:
        """Whoever is about to change a conversation by a single statement says so here."""

    def told(self, conversation_id: UUID, written: Written) -> None:
        """A conversation is now as it is said here."""
        self.changes.tell(conversation_id, written)

    def note(self, conversation_ids: Sequence[UUID]) -> None:
        """Leaves a note of conversations whose copies may be old once it all takes effect."""
        self._run_with_note(conversation_ids, _NOTE_IN_DOUBT, {})

    def _run_with_note(
        self,
        conversation_ids: Sequence[UUID],
        statement: str | Statement,
        values: Mapping[str, Any],
        before: str = "",
    ) -> list[Any]:
        noted = {"noted": list(conversation_ids), "known_seconds": KNOWN_SECONDS}
        rows = self._run(statement, {**values, **noted}, before=before)
        self.are_notes_known &= any(_KNOWN in remark for remark in self._remarks)
        return rows

    def created(self, conversation_id: UUID) -> None:
        """A conversation was made."""
        self.changes.create(conversation_id)
        self.to_count.append(metrics.conversations_created)

    def connection(self, *args: Any, **kwargs: Any) -> Connection:
        connection = super().connection(*args, **kwargs)
        if connection.get_execution_options().get("owner") != self.owner:
            connection.execution_options(owner=self.owner)
        return connection


class SingleSession(OwnedSession):
    """For statements that each take effect by themselves: a guard hears of them before."""

    def __init__(self, engine: Engine, owner: str, guard: Guard) -> None:
        super().__init__(engine, owner, most_told=guard.most_told)
        self._guard = guard
        self._begun: list[Any] = []
        self._doubted: list[UUID] = []

    def changed(self, *_conversation_ids: UUID) -> None:
        """Raises UnguardedError: it is too late here to say so."""
        raise UnguardedError

    def changing(self, conversation_id: UUID) -> None:
        begun = self._guard.begin(self.owner, [conversation_id], is_told=True)
        self._begun.append(begun)
        if begun.is_doubtful:
            self.most_told = 0  # nobody could store it
            self._doubted.append(conversation_id)

    def run(self, statement: str | Statement, values: Mapping[str, Any]) -> list[Any]:
        doubted, self._doubted = self._doubted, []
        if not doubted:
            return self._run(statement, values)
        # A note that was there before the change could be delivered before it.
        return self._run_with_note(doubted, statement, values, before=f"{_NOTE_IN_DOUBT}; ")

    @property
    def is_noted(self) -> bool:
        """Whether what was doubtful was noted with it, and nothing else was begun."""
        return all(begun.is_doubtful for begun in self._begun)

    def leave(self) -> None:
        """What may have taken effect or not keeps its mark: nobody shows copies meanwhile."""
        self._begun.clear()

    def end(self) -> bool:
        """What was told is so, and nothing else was changed; whether all copies are right."""
        written = self.changes.written
        are_right = [self._guard.end(begun, written) for begun in self._begun]
        return all(are_right) or not written


class OperationSession(_StatementSession):
    """A session for the program's own work, for no owner: row-level security shows it no row."""
