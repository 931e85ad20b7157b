"""What it costs to count: an append over HTTP with the metrics and without, and a scrape.

    .venv/bin/python -m app.embedded --data DIR -- .venv/bin/python -m benchmarks.counting

Within one process that counts as a server's workers do, by turns, in a database of its own.
"""

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

ROUNDS, CALLS = 9, 200
OWNER = "somebody@example.com"
BODY = {"messages": [{"role": "user", "content": "And one more thing."}]}


class Uncounted:
    """A metric that forgets."""

    def labels(self, *_: str) -> "Uncounted":
        return self

    def inc(self, _: float = 1) -> None:
        pass

    dec = observe = set = inc


@contextmanager
def uncounted(metrics: Any) -> Iterator[None]:
    """Whatever is counted within is forgotten."""
    counted = {name: it for name, it in vars(metrics).items() if hasattr(it, "labels")}
    vars(metrics).update(dict.fromkeys(counted, Uncounted()))
    yield
    vars(metrics).update(counted)


def measured(http: Any, path: str, metrics: Any) -> list[tuple[float, float]]:
    """Medians in ms of each round, counted and uncounted."""
    rounds = []
    for _ in range(-1, ROUNDS):  # the first warms up
        spent: dict[bool, list[float]] = {True: [], False: []}
        for call in range(2 * CALLS):
            is_counted = call % 2 == 0
            if is_counted:
                spent[is_counted].append(_milliseconds(http, path))
            else:
                with uncounted(metrics):
                    spent[is_counted].append(_milliseconds(http, path))
        rounds.append((statistics.median(spent[True]), statistics.median(spent[False])))
    return rounds[1:]


def _milliseconds(http: Any, path: str) -> float:
    started = time.perf_counter()
    answer = http.post(path, json=BODY)
    spent = (time.perf_counter() - started) * 1000
    assert answer.status_code == 201, answer.text  # noqa: S101
    return spent


def _scrape(http: Any) -> float:
    started = time.perf_counter()
    http.get("/metrics")
    return (time.perf_counter() - started) * 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # before prometheus_client is imported
        from dataclasses import replace

        from app import create_app, metrics

        from .scratch import scratch

        with scratch("parley_benchmark") as made:
            settings = replace(made.settings, rate_limit_default=None, rate_limit_create=None)
            app = create_app(settings)
            parley = app.extensions["parley"]
            token = parley.services.tokens.issue(OWNER, lifetime=timedelta(hours=1))
            http = app.test_client()
            http.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
            conversation_id = http.post("/conversations", json={}).json["id"]
            rounds = measured(http, f"/conversations/{conversation_id}/messages", metrics)
            scrapes = [_scrape(http) for _ in range(20)]
            parley.close()
    counted, forgotten = ([pair[side] for pair in rounds] for side in (0, 1))
    ratios = [one / other for one, other in rounds]
    print(f"{ROUNDS} rounds of {CALLS} calls; {os.cpu_count()} cores,", end=" ")
    print(f"Python {platform.python_version()}.")
    print(f"An append: {statistics.median(counted):.2f} ms counted,", end=" ")
    print(f"{statistics.median(forgotten):.2f} ms uncounted; ratio", end=" ")
    print(f"{statistics.median(ratios):.3f} ({min(ratios):.3f}…{max(ratios):.3f}).")
    print(f"A scrape: {statistics.median(scrapes):.1f} ms.")


if __name__ == "__main__":
    main()
