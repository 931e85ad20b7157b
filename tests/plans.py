"""How PostgreSQL would go about what the application asks of it, as the application's role."""

import re
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


def plans_of(database, work, *, is_run=False):
    """The plan of each statement that `work` sends, as text; with what it came upon if it is run.

    Nothing of it happens twice.
    """
    explain = "EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF)" if is_run else "EXPLAIN"
    with asked_of(database) as asked:
        work()
    told = []
    with closing(database.engine.raw_connection()) as connection, connection.cursor() as cursor:
        for text, values in asked:
            owner, *statements = re.split(r";\s+", text.rstrip("; \n"))
            cursor.execute(owner, values)
            for statement in statements:
                cursor.execute(f"{explain} {statement}", values)
                told.append("\n".join(line for (line,) in cursor.fetchall()))
            connection.rollback()
    return told
