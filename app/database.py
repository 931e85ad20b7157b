"""The one door to PostgreSQL: Base and db for the models, Database for who works with rows.

This is the only file that commits. An owner travels with each statement, in the statement's own
round trip: `SELECT set_config('app.user_email', …, true)` is sent in front of it, for row-level
security to see. Nothing is left behind in the pooled connection. What a session changed is
announced here, too: after the commit, never before it, and not at all when there is none.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from flask_sqlalchemy import SQLAlchemy
from prometheus_client import Counter
from sqlalchemy import Connection, Engine, MetaData, event
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Session

from . import metrics
from .engine import BY_ITSELF, count_connections, make_engine
from .errors import MissingOwnerError, UnavailableError, UnguardedError, places
from .lines import Line
from .revisions import Revision
from .roles import RoleGuard
from .settings import Settings
from .statements import Statement
from .writes import KNOWN_SECONDS, Changes, Guard, NoGuard, Written

log = structlog.get_logger(__name__)

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Listener = Callable[[str, frozenset[UUID]], None]
"""Is told an owner, and the ids of those conversations of theirs that are not as they were."""

_NOTE = "SELECT parley_note_changes(%(noted)s::uuid[])"
_KNOWN = "SELECT parley_changes_are_known(%(seconds)s) AS are_known"
_NOW = """
SELECT id, revision, rev FROM conversations
WHERE user_email = %(owner)s AND id = ANY (%(ids)s::uuid[])
"""


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


db = SQLAlchemy(model_class=Base)
if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model


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

    def run(self, statement: str | Statement, values: Mapping[str, Any]) -> list[Any]:
        """The rows of one hand-written statement, in one round trip."""
        line = self._line
        return (line if line and line.is_usable else self._taken()).run(statement, values)

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

    def __init__(self, engine: Engine, owner: str, *, is_copied: bool = False) -> None:
        if not (isinstance(owner, str) and owner):
            raise MissingOwnerError
        super().__init__(engine)
        self._owner: str = owner
        self.changes = Changes()
        self.is_copied = is_copied
        """Whether somebody keeps copies, and is to be told what is new."""
        self.to_count: list[Counter] = []
        """What is to be counted, once each, when it is stored."""

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

    def created(self, conversation_id: UUID) -> None:
        """A conversation was made."""
        self.changes.create(conversation_id)
        self.to_count.append(metrics.conversations_created)

    def connection(self, *args: Any, **kwargs: Any) -> Connection:
        connection = super().connection(*args, **kwargs)
        if connection.get_execution_options().get("owner") != self.owner:
            connection.execution_options(owner=self.owner)
        return connection


class _SingleSession(OwnedSession):
    """For statements that each take effect by themselves: a guard hears of them before."""

    def __init__(self, engine: Engine, owner: str, guard: Guard) -> None:
        super().__init__(engine, owner, is_copied=guard.is_told)
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
            self._doubted.append(conversation_id)

    def run(self, statement: str | Statement, values: Mapping[str, Any]) -> list[Any]:
        if self._doubted:  # a note that was there before the change could be delivered before it
            text = statement if isinstance(statement, str) else statement.plain(is_owned=False)
            statement, values = f"{_NOTE}; {text}", {**values, "noted": self._doubted}
            self._doubted = []
        return super().run(statement, values)

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


class Database:
    """Hands out sessions. Every method raises UnavailableError while PostgreSQL is away."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._autocommit = engine.execution_options(**BY_ITSELF)
        count_connections(engine)
        self._listeners: list[Listener] = []
        self._guard: Guard = NoGuard()

    @classmethod
    def from_settings(cls, settings: Settings) -> "Database":
        engine = make_engine(settings.database_url, settings)
        event.listen(engine, "connect", RoleGuard(db.metadata.tables).check)
        return cls(engine)

    @classmethod
    def of_owner(cls, owner_url: str, settings: Settings) -> "Database":
        """As the tables' owner: for operators' commands, never for what serves requests."""
        return cls(make_engine(owner_url, settings))

    def guard_with(self, guard: Guard) -> None:
        """Tells `guard` from now on of changes, before and after each commit."""
        self._guard = guard

    def when_changed(self, listener: Listener) -> None:
        """Tells `listener` from now on what sessions changed, when it is stored.

        It is waited for, and what goes wrong with it is no fault of the write.
        """
        self._listeners.append(listener)

    @contextmanager
    def transaction(self, owner: str) -> Iterator[OwnedSession]:
        """Several statements, all or none of which take effect."""
        is_copied = self._guard.is_told
        with _availability(), OwnedSession(self.engine, owner, is_copied=is_copied) as session:
            yield session
            begun = self._begin(session)
            session.commit()
        if not self._guard.end(begun, session.changes.written):
            self._settle(session, is_noted=begun.is_doubtful)
        self._announce(session)

    @contextmanager
    def statement(self, owner: str) -> Iterator[OwnedSession]:
        """Statements that each take effect by themselves: one round trip, no BEGIN, no COMMIT."""
        session = _SingleSession(self._autocommit, owner, self._guard)
        try:
            with _availability(), session:
                yield session
        except UnavailableError:
            session.leave()
            raise
        finally:
            if not session.end():
                self._settle(session, is_noted=session.is_noted)
            self._announce(session)  # what follows a statement does not undo it

    @contextmanager
    def operation(self) -> Iterator[OperationSession]:
        """Statements for nobody, each by itself: only what has no owner is there."""
        with _availability(), OperationSession(self._autocommit) as session:
            yield session

    def check_role(self) -> None:
        """Raises UnsafeRoleError when row-level security would not hold for our role."""
        try:
            with _availability(), self.engine.connect():
                pass
        finally:
            self.engine.dispose()  # a connection must not be shared by the children of a fork

    def close(self) -> None:
        self.engine.dispose()

    def _begin(self, session: OwnedSession) -> Any:
        """Lets the guard know, before the commit, what will be others with it."""
        changes, ids = session.changes, session.changes.conversation_ids
        if untold := changes.untold:
            found = {
                row.id: Revision.of(row)
                for row in session.run(_NOW, {"owner": session.owner, "ids": untold})
            }
            for conversation_id in untold:
                changes.tell(conversation_id, Written(found.get(conversation_id)))
        is_told = any(written.record for written in changes.written.values())
        begun = self._guard.begin(session.owner, ids, is_told=is_told)
        if ids and begun.is_doubtful:
            session.run(_NOTE, {"noted": list(ids)})
        return begun

    def _settle(self, session: OwnedSession, *, is_noted: bool) -> None:
        """Sees to it that nobody shows old copies of what has changed, before it is told."""
        ids = list(session.changes.conversation_ids)
        try:
            with self.operation() as operation:
                statement = _KNOWN if is_noted else f"{_NOTE}; {_KNOWN}"
                (row,) = operation.run(statement, {"noted": ids, "seconds": KNOWN_SECONDS})
                if row.are_known:
                    return
        except UnavailableError:  # the write is stored all the same
            log.warning("changes_not_noted", conversations=len(ids))
        time.sleep(KNOWN_SECONDS)

    def _announce(self, session: OwnedSession) -> None:
        for counter in session.to_count:
            counter.inc()
        changed = session.changes.conversation_ids
        for listener in self._listeners if changed else ():
            try:
                listener(session.owner, changed)
            except Exception as error:  # noqa: BLE001 - the change is stored, whatever this is
                log.error("announcement_failed", error=type(error).__name__, where=places(error))


@contextmanager
def _availability() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        log.warning("database_unavailable", error=type(error.orig).__name__)
        raise UnavailableError from error
    except PoolTimeoutError as error:
        log.warning("database_unavailable", error="pool_timeout")
        raise UnavailableError from error
