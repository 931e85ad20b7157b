"""How PostgreSQL is reached: the pool, and what happens to each connection and statement of it."""

import time
from collections.abc import Callable
from typing import Any, cast

import orjson
import structlog
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.queue import Empty

from . import metrics
from .lines import SET_OWNER, Backend, keep_backend
from .settings import Settings
from .statements import OWNER

log = structlog.get_logger(__name__)

BY_ITSELF = {"isolation_level": "AUTOCOMMIT"}
"""Execution options under which each statement takes effect by itself."""


class PatientPool(QueuePool):
    """Opens a connection beyond its size only when none comes back for a moment.

    One that is opened at once, for a burst, costs more than the burst: a process of PostgreSQL,
    and everything prepared anew, only to be closed when the burst is over. The moment comes
    before the pool's own timeout, and is no longer than that.
    """

    __module__ = QueuePool.__module__  # its log is SQLAlchemy's, and as quiet
    PATIENCE = 0.5  # seconds

    def _do_get(self) -> ConnectionPoolEntry:
        if self.size() and self.overflow() >= 0:  # all that are kept are open
            try:
                return self._pool.get(block=True, timeout=min(self.PATIENCE, self._timeout))
            except Empty:
                pass
        return super()._do_get()


def make_engine(url: str, settings: Settings) -> Engine:
    patience = PatientPool.PATIENCE
    engine = create_engine(
        url,
        poolclass=PatientPool,
        pool_size=settings.db_pool_size,
        max_overflow=settings.db_max_overflow,
        pool_timeout=max(settings.db_pool_timeout / 2, settings.db_pool_timeout - patience),
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
    event.listen(engine, "connect", _Backends(settings).note)
    event.listen(engine, "checkin", _end_autocommit)
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


def _end_autocommit(connection: Any, _record: object) -> None:
    """Whoever takes it next begins a transaction, however it came back."""
    if connection is not None and not connection.closed:
        connection.autocommit = False


class _Backends:
    """Decides for each new connection whether statements are prepared on it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._has_told = False

    def note(self, connection: Any, record: Any) -> None:
        prepares = self._settings.db_prepare and self._keeps(connection)
        backend = Backend(prepares=prepares, slow_ms=self._settings.db_slow_query_ms)
        if prepares:
            backend.look(connection)
        connection.rollback()
        keep_backend(record, backend)

    def _keeps(self, connection: Any) -> bool:
        is_direct = _is_direct(connection)
        if not (is_direct or self._has_told):
            self._has_told = True
            log.warning("statements_not_prepared", reason="pooler", setting="DB_PREPARE=false")
        return is_direct


def _is_direct(connection: Any) -> bool:
    """Whether what was prepared will be there: no, when a pooler may change what is behind it.

    A pooler shows itself: libpq was told of another process than the one that answers.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        is_direct: bool = cursor.fetchone() == (connection.info.backend_pid,)
    return is_direct


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
    named = {OWNER: owner}
    if isinstance(parameters, list):
        return SET_OWNER + statement, [row | named for row in parameters]
    return SET_OWNER + statement, dict(parameters) | named


def _slow_statement_log(limit_ms: int) -> Callable[..., None]:
    """Logs slow statements without their parameters, which are what people said."""

    def log_if_slow(*event: Any) -> None:
        _connection, _cursor, statement, _parameters, context, _executemany = event
        spent = _count_time(context) * 1000
        if spent >= limit_ms:
            text = cast(str, statement).removeprefix(SET_OWNER)
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


def count_connections(engine: Engine) -> None:
    """After the guard of roles: what it refuses is no connection."""
    event.listen(engine, "connect", lambda *_: metrics.connections_open.inc())
    event.listen(engine, "close", lambda *_: metrics.connections_open.dec())
    event.listen(engine, "checkout", lambda *_: metrics.connections_in_use.inc())
    event.listen(engine, "checkin", lambda *_: metrics.connections_in_use.dec())
