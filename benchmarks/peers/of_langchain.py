"""The histories of langchain-postgres and langchain-community."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import psycopg
from langchain_community.chat_message_histories import (
    RedisChatMessageHistory,
    SQLChatMessageHistory,
)
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_postgres import PostgresChatMessageHistory
from sqlalchemy import create_engine

from .said import BULK, READ, TEXT, texts

_KINDS = {"user": HumanMessage, "assistant": AIMessage}


def _messages(count: int) -> Sequence[BaseMessage]:
    return [_KINDS[role](content=text) for role, text in texts(count)]


class _Histories:
    """`open` gives the history of a session; a new one for each use, as an application has it."""

    OPERATIONS = ("append", "read", "bulk")

    def prepare(self) -> None:
        self._growing, self._read = str(uuid4()), str(uuid4())
        self._many = _messages(BULK)
        self.open(self._read).add_messages(_messages(READ))

    def open(self, session_id: str) -> Any:
        raise NotImplementedError

    def append(self) -> None:
        self.open(self._growing).add_messages([HumanMessage(content=TEXT)])

    def read(self) -> None:
        assert len(self.open(self._read).messages) == READ  # noqa: S101

    def bulk(self) -> None:
        self.open(str(uuid4())).add_messages(self._many)


class Postgres(_Histories):
    def __init__(self, *, postgres: str, **_: str) -> None:
        self._connection = psycopg.connect(postgres)

    def prepare(self) -> None:
        PostgresChatMessageHistory.create_tables(self._connection, "langchain_history")
        super().prepare()

    def open(self, session_id: str) -> Any:
        return PostgresChatMessageHistory(
            "langchain_history", session_id, sync_connection=self._connection
        )


class Sql(_Histories):
    """Its table has no index on the session: it is made once, and kept small."""

    def __init__(self, *, postgres: str, **_: str) -> None:
        self._engine = create_engine(postgres.replace("postgresql:", "postgresql+psycopg2:"))
        self._opened: dict[str, Any] = {}

    def open(self, session_id: str) -> Any:
        """Kept: to open one looks whether its table is there, and makes a class for it."""
        if session_id not in self._opened:
            self._opened[session_id] = SQLChatMessageHistory(session_id, connection=self._engine)
        return self._opened[session_id]


class Redis(_Histories):
    def __init__(self, *, redis: str, **_: str) -> None:
        self._url = redis
        self._opened: dict[str, Any] = {}

    def open(self, session_id: str) -> Any:
        """Kept: each has a connection of its own."""
        if session_id not in self._opened:
            self._opened[session_id] = RedisChatMessageHistory(session_id, url=self._url)
        return self._opened[session_id]


PEERS: dict[str, Callable[..., Any]] = {
    "langchain-postgres": Postgres,
    "langchain-community SQL": Sql,
    "langchain-community Redis": Redis,
}
