"""How PostgreSQL would go about what the application asks of it, as the application's role."""

import re
from contextlib import closing

from .driver import asked_of

_DONE_BEFORE = re.compile(r"\b(PREPARE|DEALLOCATE)\b[^;]*; ")  # a note of a doubt may come first
_DONE = re.compile(r"(PREPARE|DEALLOCATE|SET LOCAL)\b")


def plans_of(database, work, *, is_run=False):
    """The plan of each statement that `work` sends, as text; with what it came upon if it is run.

    Nothing of it happens twice. What is prepared has two: for its values, and for all values.
    """
    explain = "EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF)" if is_run else "EXPLAIN"
    database.engine.dispose()  # so that all is prepared anew, and seen
    with asked_of(database) as asked:
        work()
    told = []
    with closing(database.engine.raw_connection()) as connection, connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
        for text, values in asked:
            told += _plans(cursor, explain, text, values)
            connection.rollback()
            if "force_custom_plan" in text:
                kept = _DONE_BEFORE.sub("", text).replace("force_custom_plan", "force_generic_plan")
                told += _plans(cursor, explain, kept, values)
                connection.rollback()
        connection.invalidate()
    return told


def _plans(cursor, explain, text, values):
    for command in re.split(r";\s+", text.rstrip("; \n")):
        if _DONE.match(command):
            cursor.execute(command, values)
            continue
        cursor.execute(f"{explain} {command}", values)
        yield "\n".join(line for (line,) in cursor.fetchall())
