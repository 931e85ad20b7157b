"""The database in which statements are measured, and a Parley on it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from secrets import token_urlsafe
from typing import Any
from uuid import uuid4

import orjson
import psycopg2
import psycopg2.extras

from app import Parley
from app.search_words import search_words

from . import handwritten
from .figures import Work
from .scratch import Scratch, plain, redis_database, scratch
from .seeding import Batch, conversations_of, fill

OWNER = "somebody@example.com"
INSERT = """
INSERT INTO messages (conversation_id, id, user_email, seq, role, content, search_words)
VALUES (%s, %s, %s, %s, 'user', %s, %s)
"""
"""The least that stores a message: it names its own place, and knows of no counters."""


@dataclass(frozen=True)
class Ground:
    """A database with a Parley, and conversations of the owner: empty ones, and of 100 messages."""

    parley: Parley
    there: Scratch
    empty: Iterator[str]
    long: Sequence[str]

    def connect(self) -> Any:
        """A connection of the application's role that works for the owner."""
        connection = psycopg2.connect(plain(self.there.settings.database_url))
        connection.autocommit = True
        handwritten.run(connection, "SELECT set_config('app.user_email', %s, false)", [OWNER])
        psycopg2.extras.register_default_jsonb(connection, loads=orjson.loads)
        connection.autocommit = False
        return connection

    def inserts(self, texts: Sequence[str]) -> Work:
        """INSERTs of messages, and COMMIT: on a connection, and into a conversation, of its own."""
        connection, conversation_id, places = self.connect(), next(self.empty), count(1)
        said = [(text, search_words(text)) for text in texts]

        def work() -> None:
            with connection.cursor() as cursor:
                for text, words in said:
                    values = [conversation_id, str(uuid4()), OWNER, next(places), text, words]
                    cursor.execute(INSERT, values)
            connection.commit()

        return work


@contextmanager
def ground() -> Iterator[Ground]:
    with ExitStack() as stack:
        there = stack.enter_context(scratch("parley_statements"))
        fill(there, [Batch(OWNER, 2_000, 0), Batch(OWNER, 100, 100)])
        redis_url = stack.enter_context(redis_database())
        auth = replace(there.settings.auth, secrets={"": token_urlsafe(40)})
        settings = replace(there.settings, redis_url=redis_url, auth=auth)
        parley = Parley("recall", settings=settings)
        stack.enter_context(closing(parley))
        empty = iter(conversations_of(there, OWNER, 0))
        yield Ground(parley, there, empty, conversations_of(there, OWNER, 100))
