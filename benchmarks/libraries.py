"""What libraries that keep conversations take for the same, on the same servers.

    make bench NAMES=libraries

They run in an environment and a process of their own (`peers`), by turns with Parley's services:
one message appended, 20 read, 1,000 stored at once. What each of them really does stands beside it.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

from app import Parley
from app.services.messages import Draft

from .figures import Figure, by_turns, record
from .peers.said import BULK, READ, TEXT, texts
from .scratch import redis_database, scratch, superuser_url
from .seeding import Batch, conversations_of, fill
from .serving import ROOT

PYTHON = ROOT / ".venv-peers" / "bin" / "python"
ROUNDS = 5
TIMES = {"append": 60, "read": 60, "bulk": 1}
OWNER = "somebody@example.com"

WHAT = {
    "append": "one message appended",
    "read": f"{READ} messages read",
    "bulk": f"{BULK:,} messages stored at once",
}
DOES = {
    "langchain-postgres": "durable: a bare INSERT and COMMIT; no owner, no counters, no order but "
    "that of a serial number; reads the whole session",
    "langchain-community SQL": "durable: an ORM INSERT and COMMIT; no index on the session, no "
    "owner; reads the whole session",
    "langchain-community Redis": "not durable: an LPUSH for each message; reads the whole list",
    "openai-agents SQLAlchemySession": "durable: a transaction that makes or locks the session, "
    "inserts, and touches it (asyncpg)",
    "openai-agents RedisSession": "not durable: WATCH, type checks, then MULTI with RPUSH",
    "agno PostgresDb": "durable: an upsert of the session and one of the run, two commits; "
    "a run holds its messages as JSON",
}


class Peers:
    """The process that runs them."""

    def __init__(self, urls: dict[str, str]) -> None:
        command = [str(PYTHON), "-m", "benchmarks.peers.serve"]
        environ = os.environ | {"AGNO_TELEMETRY": "false", "OPENAI_AGENTS_DISABLE_TRACING": "1"}
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.operations: dict[str, list[str]] = self._ask(urls)

    def rate(self, peer: str, operation: str) -> float:
        """How often a second."""
        times = TIMES[operation]
        taken = self._ask({"peer": peer, "operation": operation, "times": times})
        return float(times / taken["seconds"])

    def close(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(30)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()  # type: ignore[union-attr]
        if not answer:
            raise SystemExit("The peers' process is gone; what it said stands above.")
        return dict(json.loads(answer))


@dataclass(frozen=True)
class Ours:
    """The same through Parley's services."""

    parley: Parley
    uncached: Parley
    growing: str
    filled: str
    empty: Iterator[str]

    def append(self) -> None:
        drafts = [Draft(role="user", content=TEXT)]
        self.parley.services.tree.append(OWNER, self.growing, drafts)

    def read(self) -> None:
        self.parley.services.conversations.read(OWNER, self.filled, limit=READ)

    def read_cold(self) -> None:
        self.uncached.services.conversations.read(OWNER, self.filled, limit=READ)

    def bulk(self) -> None:
        drafts = [Draft(role=role, content=text) for role, text in texts(BULK)]
        self.parley.services.tree.append(OWNER, next(self.empty), drafts)


@contextmanager
def sides() -> Iterator[tuple[Ours, Peers]]:
    with ExitStack() as stack:
        there = stack.enter_context(scratch("parley_libraries"))
        fill(there, [Batch(OWNER, 2_000, 0), Batch(OWNER, 500, READ)])
        redis_url = stack.enter_context(redis_database())
        made = [
            stack.enter_context(closing(Parley("recall", settings=settings)))
            for settings in (replace(there.settings, redis_url=redis_url), there.settings)
        ]
        empty, filled = (conversations_of(there, OWNER, count) for count in (0, READ))
        urls = {"postgres": superuser_url(there.settings), "redis": redis_url}
        yield (
            Ours(*made, empty.pop(), filled[0], iter(empty)),
            stack.enter_context(closing(Peers(urls))),
        )


def measure() -> Iterator[Figure]:
    with sides() as (ours, peers):
        for operation in ("append", "read", "read_cold", "bulk"):
            yield from _compared(ours, peers, operation)


def _compared(ours: Ours, peers: Peers, ours_is: str) -> Iterator[Figure]:
    operation = ours_is.removesuffix("_cold")
    others = [peer for peer, able in peers.operations.items() if operation in able]
    works: dict[str, Callable[[], float]] = {
        peer: partial(peers.rate, peer, operation) for peer in others
    }
    works["ours"] = partial(_rate, getattr(ours, ours_is), TIMES[operation])
    found = by_turns(works, rounds=ROUNDS)
    name = ours_is.replace("read", f"read_{READ}")
    cached = {"read": ", cached", "read_cold": ", without a cache"}.get(ours_is, "")
    for peer in others:
        yield Figure(
            name=f"{name}.{peer}",
            what=WHAT[operation] + cached,
            against=peer,
            unit="1/s",
            ours=found["ours"],
            theirs=found[peer],
            note=DOES[peer],
        )


def _rate(work: Callable[[], object], times: int) -> float:
    started = perf_counter()
    for _ in range(times):
        work()
    return times / (perf_counter() - started)


if __name__ == "__main__":
    record("libraries", measure)
