"""The one door to PostgreSQL: Base and db for the models, Database for who works with rows.

This is the only file that commits. An owner travels with each statement, in the statement's own
round trip: `SELECT set_config('app.user_email', …, true)` is sent in front of it, for row-level
security to see. Nothing is left behind in the pooled connection. What a session changed is
announced here, too: after the commit, never before it, and not at all when there is none.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import orjson
import structlog
from flask_sqlalchemy import SQLAlchemy
from prometheus_client import Counter
from sqlalchemy import Connection, Engine, ExceptionContext, MetaData, create_engine, event
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Session

from . import metrics
from .errors import MissingOwnerError, UnavailableError, UnguardedError, places
from .revisions import Revision
from .roles import RoleGuard
from .settings import Settings
from .writes import Changes, Guard, NoGuard, Written

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
_NOW = """
SELECT id, revision, rev FROM conversations
WHERE user_email = %(owner)s AND id = ANY (%(ids)s::uuid[])
"""
_SET_OWNER = "SELECT set_config('app.user_email', %(app_user_email)s, true); "


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


db = SQLAlchemy(model_class=Base)
if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model


class _StatementSession(Session):
    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, expire_on_commit=False, autoflush=False)

    def run(self, statement: str, values: dict[str, Any]) -> list[Any]:
        """The rows of one hand-written statement, in one round trip."""
        result = self.connection().exec_driver_sql(statement, values)
        return list(result.all()) if result.returns_rows else []


class OwnedSession(_StatementSession):
    """A session that works for one owner and, by row-level security, sees nobody else's rows.

    There is none without an owner: MissingOwnerError.
    """

    def __init__(self, engine: Engine, owner: str, *, is_copied: bool = False) -> None:
        if not (isinstance(owner, str) and owner):
            raise MissingOwnerError
        super().__init__(engine)
        self._owner = owner
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

    def run(self, statement: str, values: dict[str, Any]) -> list[Any]:
        if self._doubted:  # a note that was there before the change could be delivered before it
            statement, values = f"{_NOTE}; {statement}", values | {"noted": self._doubted}
            self._doubted = []
        return super().run(statement, values)

    def end(self) -> None:
        """What was told is so, and nothing else was changed."""
        for begun in self._begun:
            self._guard.end(begun, self.changes.written)


class OperationSession(_StatementSession):
    """A session for the program's own work, for no owner: row-level security shows it no row."""


class Database:
    """Hands out sessions. Every method raises UnavailableError while PostgreSQL is away."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        _count_connections(engine)
        self._listeners: list[Listener] = []
        self._guard: Guard = NoGuard()

    @classmethod
    def from_settings(cls, settings: Settings) -> "Database":
        engine = _engine(settings.database_url, settings)
        event.listen(engine, "connect", RoleGuard(db.metadata.tables).check)
        return cls(engine)

    @classmethod
    def of_owner(cls, owner_url: str, settings: Settings) -> "Database":
        """As the tables' owner: for operators' commands, never for what serves requests."""
        return cls(_engine(owner_url, settings))

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
        self._guard.end(begun, session.changes.written)
        self._announce(session)

    @contextmanager
    def statement(self, owner: str) -> Iterator[OwnedSession]:
        """Statements that each take effect by themselves: one round trip, no BEGIN, no COMMIT."""
        session = _SingleSession(self._autocommit, owner, self._guard)
        is_certain = False
        try:
            with _availability(), session:
                yield session
            is_certain = True
        except (OperationalError, InterfaceError, UnavailableError):
            raise
        except BaseException:
            is_certain = True
            raise
        finally:
            if is_certain:  # else a statement may have taken effect: nobody reads copies meanwhile
                session.end()
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


def _engine(url: str, settings: Settings) -> Engine:
    engine = create_engine(
        url,
        pool_size=settings.db_pool_size,
        max_overflow=settings.db_max_overflow,
        pool_timeout=settings.db_pool_timeout,
        pool_use_lifo=True,
        hide_parameters=True,  # they are what people said; an error's text may end up in a log
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={
            "connect_timeout": 5,
            "application_name": "parley",
            "keepalives_idle": 30,
            "options": _timeouts(settings),
        },
    )
    engine.dialect.set_isolation_level = _switch_autocommit  # type: ignore[assignment]
    event.listen(engine, "before_cursor_execute", _send_owner_along, retval=True)
    event.listen(engine, "after_cursor_execute", _slow_statement_log(settings.db_slow_query_ms))
    event.listen(engine, "handle_error", _count_failed)
    return engine


def _timeouts(settings: Settings) -> str:
    """Connection options: a SET in a hook would vanish at the first rollback."""
    limits = {
        "statement_timeout": settings.db_statement_timeout,
        "lock_timeout": settings.db_lock_timeout,
        "idle_in_transaction_session_timeout": settings.db_statement_timeout,
    }
    return " ".join(f"-c {name}={round(limit * 1000)}" for name, limit in limits.items())


def _switch_autocommit(connection: Any, level: str) -> None:
    """AUTOCOMMIT or not, without a word to the server.

    SQLAlchemy's own way sends `SET default_transaction_isolation` whenever it switches back: a
    second round trip for each statement.
    """
    connection.autocommit = level == "AUTOCOMMIT"


def _send_owner_along(
    connection: Connection,
    _cursor: object,
    statement: str,
    parameters: Any,
    context: Any,
    _executemany: bool,  # noqa: FBT001
) -> tuple[str, Any]:
    context.started = time.perf_counter()
    owner = connection.get_execution_options().get("owner")
    if owner is None:
        return statement, parameters
    named = {"app_user_email": owner}
    if isinstance(parameters, list):
        return _SET_OWNER + statement, [row | named for row in parameters]
    return _SET_OWNER + statement, dict(parameters) | named


def _slow_statement_log(limit_ms: int) -> Callable[..., None]:
    """Logs slow statements without their parameters, which are what people said."""

    def log_if_slow(*event: Any) -> None:
        _connection, _cursor, statement, _parameters, context, _executemany = event
        spent = _count_time(context) * 1000
        if spent >= limit_ms:
            text = cast(str, statement).removeprefix(_SET_OWNER)
            log.warning("slow_statement", duration_ms=round(spent), statement=text[:500])

    return log_if_slow


def _count_failed(failure: ExceptionContext) -> None:
    """A statement that fails took its time, too: all that it had, perhaps."""
    if hasattr(failure.execution_context, "started"):
        _count_time(failure.execution_context)


def _count_time(context: Any) -> float:
    """Seconds since a statement was sent."""
    seconds: float = time.perf_counter() - context.started
    metrics.database_query_seconds.labels(metrics.work.get()).observe(seconds)
    return seconds


def _count_connections(engine: Engine) -> None:
    """After the guard of roles: what it refuses is no connection."""
    event.listen(engine, "connect", lambda *_: metrics.connections_open.inc())
    event.listen(engine, "close", lambda *_: metrics.connections_open.dec())
    event.listen(engine, "checkout", lambda *_: metrics.connections_in_use.inc())
    event.listen(engine, "checkin", lambda *_: metrics.connections_in_use.dec())
