"""What agno keeps of an agent's run: a run's row, and the row of its session."""

import time
from collections.abc import Callable
from itertools import count
from typing import Any
from uuid import uuid4

from agno.db.base import SessionType
from agno.db.postgres import PostgresDb
from agno.models.message import Message
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.session.agent import AgentSession

from .said import READ, TEXT, texts

AGENT, USER = "benchmark", "somebody@example.com"


class Sessions:
    """Writes as agno's agent does when a run is over: `upsert_session`, then `upsert_run`."""

    OPERATIONS = ("append", "read")

    def __init__(self, *, postgres: str, **_: str) -> None:
        url = postgres.replace("postgresql:", "postgresql+psycopg:")
        self._db = PostgresDb(db_url=url)
        self._growing, self._read = _session(), _session()
        self._places = count()

    def prepare(self) -> None:
        said = [Message(role=role, content=text) for role, text in texts(READ)]
        for place in range(0, READ, 2):
            self._write(self._read, said[place : place + 2], place // 2)
        self._write(self._growing, [Message(role="user", content=TEXT)], next(self._places))

    def append(self) -> None:
        self._write(self._growing, [Message(role="user", content=TEXT)], next(self._places))

    def read(self) -> None:
        session: Any = self._db.get_session(
            self._read.session_id, session_type=SessionType.AGENT, user_id=USER
        )
        assert len(session.get_messages()) == READ  # noqa: S101

    def _write(self, session: AgentSession, messages: list[Message], place: int) -> None:
        run = RunOutput(
            run_id=str(uuid4()),
            session_id=session.session_id,
            agent_id=AGENT,
            user_id=USER,
            messages=messages,
            status=RunStatus.completed,
        )
        self._db.upsert_session(session)
        self._db.upsert_run(run, session.session_id, user_id=USER, run_index=place)


def _session() -> AgentSession:
    now = int(time.time())
    return AgentSession(
        session_id=str(uuid4()), agent_id=AGENT, user_id=USER, session_data={}, created_at=now
    )


PEERS: dict[str, Callable[..., Any]] = {"agno PostgresDb": Sessions}
