"""What is asked over HTTP: Parley and the hand-written endpoints, served alike on the same data."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

import httpx2
import psutil
import redis

from app import Parley

from .crowd import Asker, Crowd
from .scratch import Scratch, redis_database, scratch, superuser_url
from .seeding import Batch, conversations_of, fill
from .serving import gunicorn

SECONDS = 0.5  # of a turn
USERS = 100  # of the crowd
OWNER, FEW, MANY = "somebody@example.com", "few@example.com", "many@example.com"
BATCHES = (
    Batch(OWNER, 64, 20),
    Batch(OWNER, 16, 101),
    Batch(OWNER, 2_000, 15),
    Batch(OWNER, 1_000, 100),
    Batch(OWNER, 128, 1),
    Batch(FEW, 200, 2),
    Batch(MANY, 20_000, 2),
    Batch("crowd%s@example.com", 1, 20, users=USERS),
)

Requests = Callable[[int, int], Sequence[bytes]]
"""What a client asks, given its number and how many there are."""


class Taken(NamedTuple):
    """What became of a turn: answers a second, and what one took of the workers' processors (µs).

    `generator`: the share of the time in which the clients themselves were busy.
    """

    rate: float
    processor: float
    seconds: Sequence[float]
    failed: Sequence[bytes]
    generator: float


@dataclass(frozen=True)
class Side:
    """One of the two that are served."""

    port: int
    process: psutil.Process

    def asked(self, requests: Requests, clients: int, *, seconds: float = SECONDS) -> Taken:
        askers = [Asker(requests(number, clients)) for number in range(clients)]
        spent, busy, began = self._processor(), time.thread_time(), time.monotonic()
        Crowd(self.port).call(askers, seconds=seconds)
        wall, busy = time.monotonic() - began, time.thread_time() - busy
        spent = self._processor() - spent
        waits = [each for asker in askers for each in asker.seconds]
        failed = [each for asker in askers for each in asker.failed]
        answers = len(waits) or 1
        return Taken(answers / wall, spent / answers * 1e6, waits, failed, busy / wall)

    def get(self, path: str, token: str = "") -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else None
        return httpx2.get(f"http://127.0.0.1:{self.port}{path}", headers=headers)

    def _processor(self) -> float:
        times = [worker.cpu_times() for worker in self.process.children()]
        return sum(each.user + each.system for each in times)


@dataclass(frozen=True)
class Ground:
    """Both sides, what is stored, and who asks."""

    parley: Side
    other: Side
    there: Scratch
    cache: "redis.Redis[bytes]"
    made: Parley

    def token(self, owner: str = OWNER) -> str:
        return self.made.services.tokens.issue(owner, lifetime=timedelta(hours=1))

    def ids(self, messages: int, owner: str = OWNER) -> list[str]:
        return conversations_of(self.there, owner, messages)


@contextmanager
def ground() -> Iterator[Ground]:
    with ExitStack() as stack:
        there = stack.enter_context(scratch("parley_endpoints"))
        fill(there, BATCHES)
        redis_url = stack.enter_context(redis_database())
        cache = stack.enter_context(closing(redis.Redis.from_url(redis_url)))
        auth = replace(there.settings.auth, secrets={"": secrets.token_urlsafe(40)})
        made = Parley("recall", settings=replace(there.settings, auth=auth))
        stack.enter_context(closing(made))
        environ = _environ(made, redis_url)
        served = (
            stack.enter_context(gunicorn(application, dict(environ)))
            for application in ("wsgi:app", "benchmarks.handwritten:application()")
        )
        yield Ground(*(Side(*each) for each in served), there, cache, made)


def _environ(made: Parley, redis_url: str) -> dict[str, str]:
    auth, settings = made.settings.auth, made.settings
    return {
        "DATABASE_URL": settings.database_url,
        "HANDWRITTEN_DATABASE_URL": superuser_url(settings),
        "REDIS_URL": redis_url,
        "SERVICE_AUTH_SECRET": auth.secrets[""],
        "SERVICE_AUTH_ISSUER": auth.issuer or "",
        "SERVICE_AUTH_AUDIENCE": auth.audience or "",
        "RATE_LIMIT_DEFAULT": "none",
        "RATE_LIMIT_CREATE": "none",
    }
