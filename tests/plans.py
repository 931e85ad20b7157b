"""How PostgreSQL would go about what the application asks of it, as the application's role."""

from contextlib import closing, contextmanager

from sqlalchemy import event


@contextmanager
def asked_of(database):
    """The statements that are sent within, with the owner in front: pairs of SQL and values."""
    asked = []

    def note(_connection, _cursor, text, values, _context, _many):
        asked.append((text, values))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def plans_of(database, work):
    """The plan of each statement that `work` sends, as text; nothing of it happens twice."""
    with asked_of(database) as asked:
        work()
    told = []
    with closing(database.engine.raw_connection()) as connection, connection.cursor() as cursor:
        for text, values in asked:
            before, _, statement = text.rstrip("; \n").rpartition(";")
            cursor.execute(f"{before}; EXPLAIN {statement}", values)
            told.append("\n".join(line for (line,) in cursor.fetchall()))
            connection.rollback()
    return told
