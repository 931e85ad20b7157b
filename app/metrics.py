"""What is counted for Prometheus: over all workers of a server, or within this process.

The metrics have a registry of their own: a host's default one stays as it is. Labels are routes,
states and words of Parley's, never whose, which or what.
"""

import os
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names where workers keep what they count; without it each counts for itself."""

BACKGROUND = "background"
work: ContextVar[str] = ContextVar("parley_work", default=BACKGROUND)
"""What this thread is at: a route, `run` (an answer is being written) or BACKGROUND."""

_PREFIX = "parley_"
_REGISTRY = CollectorRegistry()
_QUICK = (0.0025, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_PATIENT = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_RATES = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500)
# Responders are the hosts' own, too: what word they give must not become a label.
_ERROR_CLASSES = {
    "bad_request", "broken_off", "crashed", "fenced", "rate_limited", "refused", "responder",
    "shutdown", "stopped", "timeout", "unauthorized", "unavailable", "upstream",
}  # fmt: skip


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(_PREFIX + name, meaning, labels, registry=_REGISTRY)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    """Of the workers that live, the sum."""
    return Gauge(_PREFIX + name, meaning, labels, registry=_REGISTRY, multiprocess_mode="livesum")


def _histogram(
    name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = _PATIENT
) -> Histogram:
    return Histogram(_PREFIX + name, meaning, labels, registry=_REGISTRY, buckets=buckets)


runs_active = _gauge("runs_active", "Answers that are being written.")
runs_reaped = _counter("runs_reaped", "Runs that another process had to end.")
watchers = _gauge("watchers", "Responses that wait for an answer's next word.")
answers_resumed = _counter("answers_resumed", "Answers watched again after the first response.")
conversations_created = _counter("conversations_created", "Conversations created.")
messages_stored = _counter("messages_stored", "Messages stored.", "role")
request_seconds = _histogram(
    "request_seconds", "Until the first byte.", "method", "route", "status", buckets=_QUICK
)
database_query_seconds = _histogram(
    "database_query_seconds", "Within statements.", "route", buckets=_QUICK
)
connections_open = _gauge("database_connections_open", "Connections to PostgreSQL.")
connections_in_use = _gauge("database_connections_in_use", "Those that somebody works with.")
cache_events = _counter("cache_events", "What the cache and Redis did.", "event", "reason")
breaker_state = Gauge(
    f"{_PREFIX}breaker_state",
    "0 closed, 1 probing, 2 open: the worst of all workers.",
    ["breaker"],
    registry=_REGISTRY,
    multiprocess_mode="livemax",
)

_runs_ended = _counter("runs_ended", "Answers that ended.", "status", "error_class")
_run_seconds = _histogram("run_seconds", "From the question to the answer's end.")
_first_token_seconds = _histogram("first_token_seconds", "Until the model's first word.")
_tokens_per_second = _histogram(
    "answer_tokens_per_second", "Of an answer, from its first word to its end.", buckets=_RATES
)


@cache
def of_requests(method: str, route: str, status: str) -> Histogram:
    """What `request_seconds` counts for these labels: looked up once, not with each request."""
    return request_seconds.labels(method, route, status)


def run_ended(
    status: str,
    error_class: str | None,
    *,
    milliseconds: int | None = None,
    first_token_ms: int | None = None,
    tokens: int | None = None,
) -> None:
    """Counts an answer that ended, and how long it took where that was measured."""
    word = error_class if error_class in _ERROR_CLASSES else error_class and "other"
    _runs_ended.labels(status, word or "none").inc()
    if milliseconds is not None:
        _run_seconds.observe(milliseconds / 1000)
    if first_token_ms is None:
        return
    _first_token_seconds.observe(first_token_ms / 1000)
    speaking = (milliseconds or 0) - first_token_ms
    if tokens and speaking > 0:
        _tokens_per_second.observe(tokens * 1000 / speaking)


def exposition(*, version: str, active_conversations: int | None) -> bytes:
    """All that is counted, and what is known at this moment, in Prometheus's text format 0.0.4."""
    build = GaugeMetricFamily(f"{_PREFIX}build_info", "What runs.", labels=["version"])
    build.add_metric([version], 1)
    known = [build]
    if active_conversations is not None:
        name, meaning = f"{_PREFIX}active_conversations", "With a new message within 15 minutes."
        known.append(GaugeMetricFamily(name, meaning, active_conversations))
    return generate_latest(_Scrape(known))


class _Scrape(Collector):
    """Ours alone: the workers' folder may be a host's."""

    def __init__(self, known: list[GaugeMetricFamily]) -> None:
        self._known = known

    def collect(self) -> Iterator[Metric]:
        yield from self._known
        for metric in _counted():
            if metric.name.startswith(_PREFIX):
                metric.samples = [it for it in metric.samples if not it.name.endswith("_created")]
                yield metric


def _counted() -> Iterable[Metric]:
    if FOLDER not in os.environ:
        return _REGISTRY.collect()
    files = [str(path) for path in Path(os.environ[FOLDER]).glob("*.db") if _is_filled(path)]
    merge = MultiProcessCollector.merge
    return cast(Iterable[Metric], merge(files))  # type: ignore[no-untyped-call]


def _is_filled(path: Path) -> bool:
    """A worker that starts makes its files empty; those of one that ends may be gone by now."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
