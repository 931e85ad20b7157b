"""A thousand messages at once, beside COPY."""

import io
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from app.search_words import search_words
from app.services.messages import Draft

from .figures import Figure, Work, by_turns, milliseconds
from .ground import OWNER, Ground
from .peers.said import BULK, texts
from .recorded import statements_of

ROUNDS = 10
MANY = [Draft(role=role, content=text) for role, text in texts(BULK)]

_COPY = """
COPY messages (conversation_id, id, user_email, seq, parent_id, role, content, search_words)
FROM STDIN
"""


def at_once(made: Ground) -> Iterator[Figure]:
    tree = made.parley.services.tree
    database, first = made.parley.database, next(made.empty)
    with statements_of(database) as sent:
        tree.append(OWNER, first, MANY)
    statement = max(sent, key=len)
    own = database.engine.raw_connection()
    own.detach()
    own.dbapi_connection.autocommit = True
    works: dict[str, Work] = {
        "ours": lambda: milliseconds(lambda: tree.append(OWNER, next(made.empty), MANY)),
        "alone": lambda: _replayed(own, statement, first, next(made.empty)),
        "copy": lambda: milliseconds(lambda: _copy(made.there.admin, _rows(next(made.empty)))),
        "copy_alone": lambda: _copied(made.there.admin, _rows(next(made.empty))),
    }
    found = by_turns(works, rounds=ROUNDS)
    yield Figure(
        name="bulk.copy",
        what="1,000 messages stored at once, through the services",
        against="COPY, its rows made from the same messages, their words for the search too",
        unit="ms",
        ours=found["ours"],
        theirs=found["copy"],
    )
    yield Figure(
        name="bulk.copy_statement",
        what="the same statement alone, its text lying ready",
        against="COPY alone, its rows lying ready",
        unit="ms",
        ours=found["alone"],
        theirs=found["copy_alone"],
    )
    yield Figure(
        name="bulk.seconds",
        what="1,000 messages stored at once, through the services",
        against="the whole call",
        unit="s",
        ours=[each / 1000 for each in found["ours"]],
    )


def _replayed(connection: Any, statement: bytes, first: str, conversation_id: str) -> float:
    text = statement.replace(first.encode(), conversation_id.encode())

    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute(text)
            cursor.fetchall()

    return milliseconds(work)


def _rows(conversation_id: str) -> io.StringIO:
    lines, parent_id = [], r"\N"
    for place, draft in enumerate(MANY, 1):
        message_id = str(uuid4())
        row = [conversation_id, message_id, OWNER, str(place), parent_id, draft.role]
        lines.append("\t".join([*row, draft.content, search_words(draft.content)]))
        parent_id = message_id
    return io.StringIO("\n".join(lines) + "\n")


def _copied(connection: Any, rows: io.StringIO) -> float:
    return milliseconds(lambda: _copy(connection, rows))


def _copy(connection: Any, rows: io.StringIO) -> None:
    """As a superuser: PostgreSQL refuses COPY to those whom row-level security binds."""
    with connection.cursor() as cursor:
        cursor.copy_expert(_COPY, rows)
