"""Hand-written statements on a pooled connection, each in one round trip, by the driver alone."""

import time
from collections import namedtuple
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import psycopg2
import structlog
from prometheus_client import Histogram
from psycopg2.extensions import STATUS_READY
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import PoolProxiedConnection

from . import metrics
from .statements import LOOKED_UP, OWNER, Statement, with_settings

log = structlog.get_logger(__name__)

SET_OWNER = with_settings({}, is_owned=True) + "; "

_BACKEND = "backend"
_FORGET = "DEALLOCATE ALL; "
_LOOK_SECONDS = 60.0
_MANY_ROWS = 1_000
_LARGE = """
SELECT relname::text FROM pg_class
WHERE oid = ANY (ARRAY(SELECT to_regclass(name) FROM unnest(%(names)s) AS name))
    AND reltuples >= %(rows)s
"""
# What is prepared is not there, is there already, or gives other types than it did.
_STALE = frozenset({"26000", "42P05", "0A000"})


class Backend:
    """What is known of a connection to PostgreSQL, for as long as it lasts."""

    def __init__(self, *, prepares: bool, slow_ms: float) -> None:
        self.prepares, self.slow_ms = prepares, slow_ms
        self._known: set[str] = set()
        self._is_sure = True
        self._large: frozenset[str] = frozenset()
        self._looked_at = float("-inf")

    def keeps(self, statement: str | Statement) -> bool:
        """Whether it is prepared here."""
        return self.prepares and isinstance(statement, Statement) and statement.is_hot

    def look(self, connection: Any) -> None:
        """Finds out, once a minute, of which tables PostgreSQL knows that they are large."""
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        with connection.cursor() as cursor:
            cursor.execute(_LARGE, {"names": list(LOOKED_UP), "rows": _MANY_ROWS})
            large = frozenset(name for (name,) in cursor.fetchall())
        self._looked_at = time.monotonic()
        if large != self._large:
            self._large = large
            self.forget()

    def text(self, statement: Statement, *, is_owned: bool) -> str:
        """What to send for a statement, whatever has to be prepared included."""
        is_kept = statement.tables <= self._large
        text = statement.prepared(self._known, is_owned=is_owned, is_kept=is_kept)
        return text if self._is_sure else _FORGET + text

    def sent(self, statement: Statement) -> None:
        """It ran: it is prepared."""
        if not self._known >= statement.names:
            self._known |= statement.names
            self._is_sure = True

    def failed(self, statement: Statement) -> None:
        """Whether what was not prepared before is so now, nobody knows."""
        if not self._known >= statement.names:
            self.forget()

    def forget(self) -> None:
        """Prepares everything anew, in place of what there may be."""
        self._known.clear()
        self._is_sure = False


def keep_backend(record: Any, backend: Backend) -> None:
    """Remembers it with its connection: see `Line`. Without it nothing is prepared there."""
    record.info[_BACKEND] = backend


_UNKNOWN = Backend(prepares=False, slow_ms=float("inf"))


class Line:
    """A pooled connection that works for one owner, or for nobody.

    What PostgreSQL refuses is raised as SQLAlchemy's errors; a connection that broke is no more
    in the pool, nor are those that are older.
    """

    def __init__(
        self, engine: Engine, connection: PoolProxiedConnection, owner: str | None
    ) -> None:
        self._engine, self._connection = engine, connection
        self._dbapi: Any = connection.dbapi_connection
        self._owner = owner
        self._backend: Backend = connection.info.get(_BACKEND, _UNKNOWN)

    @classmethod
    def taken(cls, engine: Engine, owner: str | None) -> "Line":
        """One from the pool, on which each statement takes effect by itself."""
        connection = None
        try:
            connection = engine.pool.connect()
            line = cls(engine, connection, owner)
            line._dbapi.autocommit = True
        except psycopg2.Error as error:
            if connection is not None:
                connection.invalidate(error)
            raise _translated(engine, error, "", is_disconnect=False) from error
        return line

    @property
    def is_usable(self) -> bool:
        """Not when it broke."""
        return self._connection.is_valid

    @property
    def remarks(self) -> Sequence[str]:
        """What PostgreSQL remarked at the last statement (NOTICE and the like), until the next."""
        remarks: Sequence[str] = self._dbapi.notices
        return remarks

    def close(self) -> None:
        """Gives the connection back."""
        self._connection.close()

    def run(
        self, statement: str | Statement, values: Mapping[str, Any], *, before: str = ""
    ) -> list[Any]:
        """The rows of one statement, named by its columns. `before`: SQL in front of it, `…; `."""
        began = time.perf_counter()
        if self._owner is not None:
            values = {**values, OWNER: self._owner}
        try:
            if isinstance(statement, Statement) and self._backend.keeps(statement):
                return self._run(statement, values, before)
            return self._execute(before + self._plain(statement), values)
        except psycopg2.Error as error:
            raise self._failure(error, statement) from error
        except BaseException as error:
            if not isinstance(error, Exception):  # stopped while it waited: an answer may come yet
                self._connection.invalidate(error)
            raise
        finally:
            self._count(statement, time.perf_counter() - began)

    def _run(self, statement: Statement, values: Mapping[str, Any], before: str) -> list[Any]:
        """One more time if what is prepared is not as it was, and nothing else is undone by that.

        Whatever went before in the same message is undone with it: nothing happens twice.
        """
        is_first = self._dbapi.status == STATUS_READY
        try:
            return self._send(statement, values, before)
        except psycopg2.Error as error:
            if error.pgcode not in _STALE:
                raise
            self._backend.forget()
            if not is_first:
                raise
            self._dbapi.rollback()
            return self._send(statement, values, before)

    def _send(self, statement: Statement, values: Mapping[str, Any], before: str) -> list[Any]:
        self._backend.look(self._dbapi)
        text = self._backend.text(statement, is_owned=self._owner is not None)
        try:
            rows = self._execute(before + text, values)
        except BaseException:
            self._backend.failed(statement)
            raise
        self._backend.sent(statement)
        return rows

    def _plain(self, statement: str | Statement) -> str:
        is_owned = self._owner is not None
        if isinstance(statement, Statement):
            return statement.plain(is_owned=is_owned)
        return SET_OWNER + statement if is_owned else statement

    def _execute(self, text: str, values: Mapping[str, Any]) -> list[Any]:
        self._dbapi.notices.clear()
        with self._dbapi.cursor() as cursor:
            cursor.execute(text, values)
            if cursor.description is None:
                return []
            row = _row_of(tuple([column.name for column in cursor.description]))
            return [row(*found) for found in cursor.fetchall()]

    def _failure(self, error: psycopg2.Error, statement: str | Statement) -> Exception:
        text = _text_of(statement)
        if error.pgcode in _STALE and self._backend.keeps(statement):
            return OperationalError(text, None, error, hide_parameters=True)  # to be tried again
        is_lost = self._engine.dialect.is_disconnect(error, self._dbapi, None)
        if is_lost:
            self._engine.pool._invalidate(self._connection, error)  # as a Connection does
        return _translated(self._engine, error, text, is_disconnect=is_lost)

    def _count(self, statement: str | Statement, seconds: float) -> None:
        _seconds_of(metrics.work.get()).observe(seconds)
        if seconds * 1000 >= self._backend.slow_ms:
            text = _text_of(statement)[:500]
            log.warning("slow_statement", duration_ms=round(seconds * 1000), statement=text)


def _text_of(statement: str | Statement) -> str:
    return statement if isinstance(statement, str) else statement.sql


def _translated(
    engine: Engine, error: psycopg2.Error, text: str, *, is_disconnect: bool
) -> Exception:
    translated: Exception = DBAPIError.instance(
        text,
        None,
        error,
        psycopg2.Error,
        hide_parameters=True,
        connection_invalidated=is_disconnect,
        dialect=engine.dialect,
    )
    return translated


@cache
def _seconds_of(work: str) -> Histogram:
    return metrics.database_query_seconds.labels(work)


@lru_cache(maxsize=256)
def _row_of(columns: Sequence[str]) -> Any:
    return namedtuple("Row", columns, rename=True)
