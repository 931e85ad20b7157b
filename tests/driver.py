"""What the driver is given to send: every statement of an engine passes through here."""

from contextlib import contextmanager
from threading import get_ident

from psycopg2.extensions import cursor
from sqlalchemy import event


@contextmanager
def cursors(engine, kind):
    """Connections that are taken within give cursors of this kind."""

    def use(connection, *_):
        connection.cursor_factory = kind

    def leave(connection, _record):
        if connection is not None:
            connection.cursor_factory = None

    event.listen(engine, "checkout", use)
    event.listen(engine, "checkin", leave)
    try:
        yield
    finally:
        event.remove(engine, "checkout", use)
        event.remove(engine, "checkin", leave)


def rewriting(change):
    """Cursors that send `change(text)` for each statement's text."""

    class Rewriting(cursor):
        def execute(self, text, values=None):
            return super().execute(change(text), values)

    return Rewriting


@contextmanager
def asked_of(database):
    """The statements that are sent within, with the owner in front: pairs of SQL and values."""
    asked = []

    class Noting(cursor):
        def execute(self, text, values=None):
            asked.append((text, values))
            return super().execute(text, values)

    with cursors(database.engine, Noting):
        yield asked


@contextmanager
def statements_of(database):
    """What this thread sends to PostgreSQL: the requests' statements, not those of runs."""
    seen, here = [], get_ident()

    class Noting(cursor):
        def execute(self, text, values=None):
            if get_ident() == here:
                seen.append(text)
            return super().execute(text, values)

    with cursors(database.engine, Noting):
        yield seen
