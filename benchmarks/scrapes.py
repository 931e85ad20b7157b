"""What Parley's own /metrics say, summed over its workers."""

import re
from collections import Counter
from collections.abc import Iterator

_SAMPLE = re.compile(r"^parley_(\w+?)(?:\{(.*)\})? ([0-9.e+]+)$", re.M)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_APART = {"background", "/metrics"}


def statements(text: str) -> float:
    """SQL statements of requests so far, but for those of the scrapes and the background."""
    return sum(
        value
        for name, labels, value in _samples(text)
        if name == "database_query_seconds_count" and labels["route"] not in _APART
    )


def cache_reads(text: str) -> Counter[str]:
    """Reads of the cache so far, by what became of them."""
    found: Counter[str] = Counter()
    for name, labels, value in _samples(text):
        if name == "cache_events_total" and labels["event"] == "read":
            found[labels["reason"]] += round(value)
    return found


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for name, labels, value in _SAMPLE.findall(text):
        yield name, dict(_LABEL.findall(labels)), float(value)
