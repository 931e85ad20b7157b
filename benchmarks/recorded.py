"""A statement as it was sent, to be sent again with other ids: what PostgreSQL alone has to do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from psycopg2 import extensions
from sqlalchemy import event

from app.database import Database


@contextmanager
def statements_of(database: Database) -> Iterator[list[bytes]]:
    """All that is sent meanwhile, by any way through the pool, with its values in it."""
    sent: list[bytes] = []

    class Recording(extensions.cursor):  # type: ignore[misc]
        def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2's name
            sent.append(self.mogrify(query, vars))
            super().execute(query, vars)

    def begin(connection: Any, *_: object) -> None:
        connection.cursor_factory = Recording

    def end(connection: Any, *_: object) -> None:
        connection.cursor_factory = extensions.cursor

    event.listen(database.engine, "checkout", begin)
    event.listen(database.engine, "checkin", end)
    try:
        yield sent
    finally:
        event.remove(database.engine, "checkout", begin)
        event.remove(database.engine, "checkin", end)


def again(sent: bytes, *ids: UUID) -> Callable[[], bytes]:
    """The statement with new ids in the place of these, each time it is called."""

    def renewed() -> bytes:
        text = sent
        for each in ids:
            text = text.replace(str(each).encode(), str(uuid4()).encode())
        return text

    return renewed
