"""The sessions of openai-agents."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from agents.extensions.memory import RedisSession, SQLAlchemySession
from sqlalchemy.ext.asyncio import create_async_engine

from .said import BULK, READ, TEXT, texts


def _items(count: int) -> list[Any]:
    return [{"role": role, "content": text} for role, text in texts(count)]


class _Sessions:
    OPERATIONS = ("append", "read", "bulk")

    async def prepare(self) -> None:
        self._growing, self._read = self.open(str(uuid4())), self.open(str(uuid4()))
        self._many = _items(BULK)
        await self._read.add_items(_items(READ))

    def open(self, session_id: str) -> Any:
        raise NotImplementedError

    async def append(self) -> None:
        await self._growing.add_items([{"role": "user", "content": TEXT}])

    async def read(self) -> None:
        assert len(await self._read.get_items(limit=READ)) == READ  # noqa: S101

    async def bulk(self) -> None:
        await self.open(str(uuid4())).add_items(self._many)


class Sql(_Sessions):
    def __init__(self, *, postgres: str, **_: str) -> None:
        self._engine = create_async_engine(postgres.replace("postgresql:", "postgresql+asyncpg:"))

    def open(self, session_id: str) -> Any:
        return SQLAlchemySession(session_id, engine=self._engine, create_tables=True)


class Redis(_Sessions):
    def __init__(self, *, redis: str, **_: str) -> None:
        self._url = redis

    def open(self, session_id: str) -> Any:
        return RedisSession.from_url(session_id, url=self._url)


PEERS: dict[str, Callable[..., Any]] = {
    "openai-agents SQLAlchemySession": Sql,
    "openai-agents RedisSession": Redis,
}
