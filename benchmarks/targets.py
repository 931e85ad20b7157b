"""The targets: what is measured, and what it may come to. They stand here and nowhere else.

None of them is a test: a run that misses some ends as one that meets all, and says which.
"""

import statistics
from dataclasses import dataclass
from functools import partial
from typing import Literal

from .figures import MEASURES, Figure, Results, short

Verdict = Literal["ok", "missed", "not measured"]


@dataclass(frozen=True)
class Target:
    """A limit for a figure's ratio, or for its value where it stands beside nothing.

    `is_absolute`: for its value all the same.
    """

    operation: str
    figure: str
    at_least: float | None = None
    at_most: float | None = None
    is_absolute: bool = False

    @property
    def limit(self) -> str:
        sign, bound = ("≥", self.at_least) if self.at_least is not None else ("≤", self.at_most)
        return f"{sign} {bound:g}"

    def verdict(self, figure: Figure | None) -> Verdict:
        if figure is None:
            return "not measured"
        least = self.at_least if self.at_least is not None else float("-inf")
        most = self.at_most if self.at_most is not None else float("inf")
        value = statistics.median(figure.ours) if self.is_absolute else figure.value
        return "ok" if least <= value <= most else "missed"


_CACHED, _COLD = "cached read over HTTP", "cold read of 15 and of 100 messages"
_STATEMENT = "append, PostgreSQL part"
_LIST = "first page of 20 of 200, and of 20,000"
_BESIDE = "beside libraries, durable"
_BULK, _GROWTH = "bulk of 1,000 messages", "growth 10,000 → 1,000,000 messages"

TARGETS = (
    Target(_CACHED, "cached_read.rate@16", at_least=0.85),
    Target(_CACHED, "cached_read.processor@16", at_most=1.2),
    Target(_CACHED, "cached_read.statements", at_most=0),
    Target(_COLD, "cold_15.processor@16", at_most=1.3),
    Target(_COLD, "cold_100.processor@16", at_most=1.3),
    Target(_STATEMENT, "append_statement.raw@1", at_least=0.85),
    Target(_STATEMENT, "append_statement.raw@8", at_least=0.85),
    Target(_STATEMENT, "append_statement.five@1", at_least=2.5),
    Target(_STATEMENT, "append_statement.five@8", at_least=2.5),
    Target("append with its cache steps", "append_cached.raw", at_most=2.2),
    Target("append over HTTP", "append.rate@16", at_least=0.8),
    Target(_LIST, "list_200.statements", at_most=1),
    Target(_LIST, "list_20000.statements", at_most=1),
    Target(_LIST, "list_200.rate@16", at_least=0.8),
    Target(_LIST, "list_20000.rate@16", at_least=0.8),
    Target(_LIST, "list_20000.beside_200", at_most=1.2),
    Target(_LIST, "list_deep.beside_first", at_most=1.5),
    Target(_BESIDE, "append.langchain-postgres", at_least=1),
    Target(_BESIDE, "append.openai-agents SQLAlchemySession", at_least=4),
    Target(_BESIDE, "append.agno PostgresDb", at_least=5),
    Target(_BESIDE, "append.langchain-community SQL", at_least=1.5),
    Target(_BESIDE, "read_20.langchain-postgres", at_least=3),
    Target(_BESIDE, "read_20.openai-agents SQLAlchemySession", at_least=8),
    Target(_BESIDE, "read_20.langchain-community SQL", at_least=8),
    Target(_BULK, "bulk.copy", at_most=1.6),
    Target(_BULK, "bulk.copy_statement", at_most=1.6),
    Target(_BULK, "bulk.langchain-postgres", at_least=1),
    Target(_GROWTH, "growth.append", at_most=1.5),
    Target(_GROWTH, "growth.tail", at_most=1.5),
    Target(_GROWTH, "growth.list", at_most=1.5),
    Target(_GROWTH, "growth.search", at_most=3),
    Target(_GROWTH, "growth.ilike", at_least=4),
    Target("Redis away", "redis_away.read", at_most=1.3),
    Target("Redis away", "redis_away.append", at_most=1.3),
)

_known = partial(Target, is_absolute=True)

KNOWN = (
    _known("create a conversation, p99 (ms)", "create.p99", at_most=50),
    _known("append a message, p99 (ms)", "append.p99", at_most=80),
    _known("history of 20 messages, p99 (ms)", "cached_read.p99", at_most=100),
    _known("100 messages, cached, p99 (ms)", "cached_100.p99", at_most=100),
    _known("100 messages, not cached, p99 (ms)", "cold_100.p99", at_most=500),
    _known("1,000 messages inserted at once (s)", "bulk.seconds", at_most=5),
    _known("1,000 messages inserted one by one (s)", "inserts.seconds", at_most=5),
    _known("cached read within the server, p99 (ms)", "read_cached.p99", at_most=5),
    _known("one Redis command, p99 (ms)", "redis.p99", at_most=10),
    _known("hit rate of 100 users at once (%)", "crowd.hits", at_least=80),
    _known("errors of 100 users at once (%)", "crowd.errors", at_most=0.1),
)
"""What people expect of such systems, in absolute figures: shown beside ours, never a gate."""


def judged(results: Results) -> list[tuple[Target, Figure | None, Verdict]]:
    """Each target with what was measured for it."""
    found = results.figures
    return [
        (target, found.get(target.figure), target.verdict(found.get(target.figure)))
        for target in TARGETS
    ]


def missed(results: Results) -> list[str]:
    """In words what is not reached."""
    return [
        f"{target.operation}: {sentence(figure)}; the limit is {target.limit}"
        for target, figure, verdict in judged(results)
        if figure and verdict == "missed"
    ]


def sentence(figure: Figure) -> str:
    """What a target limits, in words."""
    if not figure.theirs:
        return f"{figure.what}: {short(figure.value)} {figure.unit}"
    measure = MEASURES.get(figure.unit, figure.unit)
    return f"{figure.what}, at {short(figure.value)} × the {measure} of {figure.against}"
