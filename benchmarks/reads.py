"""Reads within the server: not cached beside one SELECT, and what Redis alone takes."""

import statistics
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle

import orjson

from app import Parley

from . import handwritten
from .figures import Figure, alternating, milliseconds
from .ground import OWNER, Ground

ROUNDS, CALLS, MANY_CALLS = 5, 100, 2000


def cold(made: Ground) -> Iterator[Figure]:
    connection = made.connect()
    connection.autocommit = True
    with closing(Parley("recall", settings=made.there.settings)) as uncached:
        read = uncached.services.conversations.read
        for limit in (15, 100):
            one, other = cycle(made.long), cycle(made.long)

            def ours(limit: int = limit, ids: Iterator[str] = one) -> object:
                return read(OWNER, next(ids), limit=limit)

            def theirs(limit: int = limit, ids: Iterator[str] = other) -> bytes:
                found = handwritten.messages(connection, OWNER, next(ids), limit)
                return orjson.dumps(found)

            works = {"ours": ours, "theirs": theirs}
            yield Figure(
                name=f"read_cold_{limit}",
                what=f"a conversation with its last {limit} messages, not cached, as JSON",
                against="one SELECT of the messages on psycopg2, and orjson",
                unit="µs",
                **alternating(works, rounds=ROUNDS, calls=CALLS),
            )


def cached(made: Ground) -> Iterator[Figure]:
    read, number = made.parley.services.conversations.read, made.long[0]
    spent = sorted(milliseconds(lambda: read(OWNER, number, limit=20)) for _ in range(MANY_CALLS))
    yield Figure(
        name="read_cached.p99",
        what="a conversation with its last 20 messages, cached, within the server",
        against=f"{MANY_CALLS:,} calls of a service; the median is "
        f"{statistics.median(spent):.2f} ms",
        unit="ms",
        ours=[spent[-MANY_CALLS // 100]],
    )


def redis_commands(made: Ground) -> Iterator[Figure]:
    redis = made.parley.redis
    redis.set("benchmark:command", b"x" * 5000, ttl_ms=60_000)
    get = redis.get
    spent = sorted(
        milliseconds(lambda: get("benchmark:command", max_bytes=1 << 20)) for _ in range(MANY_CALLS)
    )
    yield Figure(
        name="redis.p99",
        what="5 kB from Redis, through the application's client",
        against=f"{MANY_CALLS:,} commands; the median is {statistics.median(spent):.2f} ms",
        unit="ms",
        ours=[spent[-MANY_CALLS // 100]],
    )
