"""The one door to PostgreSQL: Base and db for the models, Database for who works with rows.

This is the only file that commits. An owner travels with each statement, in the statement's own
round trip: `SET LOCAL app.user_email = …` is sent in front of it, for row-level security to see.
Nothing is left behind in the pooled connection. What a session changed is announced here, too:
after the commit, never before it, and not at all when there is none.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, MetaData, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase

from .engine import BY_ITSELF, count_connections, make_engine
from .errors import ParleyError, UnavailableError, places
from .revisions import Revision
from .roles import RoleGuard
from .sessions import NOTE, OperationSession, OwnedSession, SingleSession
from .settings import Settings
from .writes import KNOWN_SECONDS, Guard, NoGuard, Written

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
        most_told = self._guard.most_told
        with _availability(), OwnedSession(self.engine, owner, most_told=most_told) as session:
            yield session
            begun = self._begin(session)
            session.commit()
        if not self._guard.end(begun, session.changes.written):
            self._settle(session, is_noted=begun.is_doubtful)
        self._announce(session)

    @contextmanager
    def statement(self, owner: str) -> Iterator[OwnedSession]:
        """Statements that each take effect by themselves: one round trip, no BEGIN, no COMMIT."""
        session = SingleSession(self._autocommit, owner, self._guard)
        try:
            with _availability(), session:
                yield session
        except BaseException as error:
            if not _is_sure(error):
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
                now = Written(found.get(conversation_id), takes_away=True)
                changes.tell(conversation_id, now)
        is_told = any(written.record for written in changes.written.values())
        begun = self._guard.begin(session.owner, ids, is_told=is_told)
        if ids and begun.is_doubtful:
            session.note(list(ids))
        return begun

    def _settle(self, session: OwnedSession, *, is_noted: bool) -> None:
        """Sees to it that nobody shows old copies of what has changed, before it is told."""
        if is_noted and session.are_notes_known:
            return
        ids = list(session.changes.conversation_ids)
        try:
            with self.operation() as operation:
                if not is_noted:  # by itself: what is known is asked when the note is there
                    operation.run(NOTE, {"noted": ids})
                (row,) = operation.run(_KNOWN, {"seconds": KNOWN_SECONDS})
                if row.are_known:
                    return
        except (UnavailableError, DBAPIError):  # the write is stored all the same
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


def _is_sure(error: BaseException) -> bool:
    """Whether a statement that failed so did nothing: we refused it, or the server says so.

    Whoever is ended in the middle of one, or loses the answer, can't know.
    """
    if isinstance(error, DBAPIError):
        return getattr(error.orig, "pgcode", None) is not None
    return isinstance(error, ParleyError) and not isinstance(error, UnavailableError)


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
