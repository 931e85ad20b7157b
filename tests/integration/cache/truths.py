"""What PostgreSQL would say, and how the cache is held against it."""

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

import orjson

from app.cache.breaker import Breaker
from app.cache.values import SCHEMA, Snapshot, Stamp

BOUND = 2.0
"""Seconds that one call may take, whatever happens to Redis: on a busy machine, too."""


@dataclass(frozen=True)
class Truth:
    """What PostgreSQL would say: a conversation at one revision."""

    conversation_id: UUID = field(default_factory=uuid4)
    owner: str = "ana@example.org"
    version: int = 7
    rev: UUID = field(default_factory=uuid4)
    texts: tuple[str, ...] = ("one", "two", "three")

    @property
    def items(self):
        return [orjson.dumps({"owner": self.owner, "content": text}) for text in self.texts]

    @property
    def key(self):
        return f"s:{SCHEMA}:{{{self.conversation_id}}}"

    @property
    def stamp(self):
        return Stamp(str(self.conversation_id), self.owner, self.version, str(self.rev))

    @property
    def record(self):
        return orjson.dumps({"id": str(self.conversation_id), "revision": self.version})

    @property
    def value(self):
        return self.snapshot().encoded()

    def snapshot(self, *, complete_from_start=True):
        return Snapshot(self.stamp, self.record, self.items, complete_from_start)

    def after(self, text):
        return replace(self, version=self.version + 1, rev=uuid4(), texts=(*self.texts, text))


def fill(cache, truth, *, complete_from_start=True):
    return cache.fill(truth.snapshot(complete_from_start=complete_from_start))


def read(cache, truth, limit=50):
    return cache.read(
        truth.conversation_id, truth.owner, version=truth.version, rev=truth.rev, limit=limit
    )


def is_hit(found, truth):
    """True for the truth, False for a miss; anything else must never be."""
    if found is None:
        return False
    assert found.array == b"[" + b",".join(truth.items) + b"]"
    assert found.record == truth.record
    return True


@contextmanager
def bounded(seconds=BOUND):
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def counts(cache):
    return cache._client.counts.snapshot()


def patient():
    """A breaker that doesn't open within a test."""
    return Breaker(failures=10**9)
