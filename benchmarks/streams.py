"""What many streams at once cost, beside an application that does nothing but stream.

    .venv/bin/python -m app.embedded --data DIR -- .venv/bin/python -m benchmarks.streams

Parley and a bare Flask application are served by turns, with the same gunicorn settings: the delay
of each token from when it is due, memory, and how many short requests are answered alone and beside
the streams. A database of its own; takes some four minutes.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .crowd import Caller, Crowd, Listener
from .serving import CALLERS, WORKERS, Sample, Served, bare, environments, parley
from .spoken import EACH, TOKENS

ROUNDS = 3
STREAMS = 500
ASKED, UNDER_WAY = 8.0, 10.0  # seconds until all questions are sent, and until the first token
ALONE = 4.0  # seconds of short requests before
MOST_DELAY_MS, LEAST_PERCENT = 50, 60


@dataclass(frozen=True)
class Streamed:
    """What became of as many streams at once, whose first tokens came from `since` on.

    `samples`: the first from before.
    """

    listeners: Sequence[Listener]
    since: float
    samples: Sequence[Sample]

    @property
    def delays(self) -> list[float]:
        """Of each token, in milliseconds."""
        return [delay * 1000 for one in self.listeners for delay in one.delays]

    @property
    def endings(self) -> list[float]:
        """From the last token's time to the end of the answer, in milliseconds."""
        return [(one.ended - float(one.heard[-1])) * 1000 for one in self.listeners]

    @property
    def memory(self) -> float:
        """Bytes that a stream takes."""
        before, *rest = self.samples
        return (max(sample.memory for sample in rest) - before.memory) / len(self.listeners)

    @property
    def processor(self) -> float:
        """How many processors the workers kept busy while all streams were under way."""
        meanwhile = [sample for sample in self.samples if self._is_meanwhile(sample.moment)]
        first, last = meanwhile[0], meanwhile[-1]
        return (last.processor - first.processor) / (last.moment - first.moment)

    def rate(self, callers: Sequence[Caller]) -> float:
        """Short requests a second while all streams were under way."""
        moments = [moment for caller in callers for moment in caller.answered]
        return sum(map(self._is_meanwhile, moments)) / (TOKENS * EACH)

    def _is_meanwhile(self, moment: float) -> bool:
        return self.since < moment < self.since + TOKENS * EACH


@dataclass(frozen=True)
class Measured:
    """Times in milliseconds, alone and beside short requests; requests a second; bytes."""

    broken: int
    median: float
    p99: float
    p99_beside: float
    ending: float
    memory: float
    processor: float
    alone: float
    beside: float

    @property
    def percent(self) -> float:
        return self.beside / self.alone * 100


def measure(served: Served) -> Measured:
    stream(served, count=40, within=0.2, after=0.5)  # warms up
    callers = served.callers()
    Crowd(served.port).call(callers, seconds=ALONE)
    calm = stream(served)
    beside = served.callers()
    busy = stream(served, beside)
    heard = [*calm.listeners, *busy.listeners]
    return Measured(
        broken=sum(not (one.is_whole and served.ending in one.ending) for one in heard),
        median=statistics.median(calm.delays),
        p99=p99(calm.delays),
        p99_beside=p99(busy.delays),
        ending=p99(calm.endings),
        memory=calm.memory,
        processor=calm.processor,
        alone=sum(len(caller.answered) for caller in callers) / ALONE,
        beside=busy.rate(beside),
    )


def stream(
    served: Served,
    callers: Sequence[Caller] = (),
    *,
    count: int = STREAMS,
    within: float = ASKED,
    after: float = UNDER_WAY,
) -> Streamed:
    """Asks `within` so many seconds; `after` so many all begin to answer, each at its moment."""
    samples = [served.sample()]
    since = time.monotonic() + after
    asked = [served.question(n, f"{since + EACH * n / count:.6f}") for n in range(count)]
    listeners = [Listener(question, TOKENS) for question in asked]
    crowd = Crowd(served.port, look=lambda: samples.append(served.sample()))
    crowd.listen(listeners, callers, within=within)
    return Streamed(listeners, since + EACH, samples)


def p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[-1]


def _rounds() -> tuple[list[Measured], list[Measured]]:
    """Parley's and the bare application's, round by round, on fresh workers."""
    found: tuple[list[Measured], list[Measured]] = ([], [])
    with environments() as (made, environ):
        for number in range(ROUNDS):
            for index in (0, 1) if number % 2 else (1, 0):
                with bare() if index else parley(made, environ, users=STREAMS) as served:
                    found[index].append(measure(served))
                    print(f"Round {number + 1}: {found[index][-1]}", flush=True)
    return found


ROWS: dict[str, tuple[Callable[[Measured], float], str]] = {
    "streams not whole": (lambda one: one.broken, "0"),
    "delay of a token, median (ms)": (lambda one: one.median, ""),
    "delay of a token, p99 (ms)": (lambda one: one.p99, f"≤ {MOST_DELAY_MS}"),
    "the same beside short requests (ms)": (lambda one: one.p99_beside, ""),
    "end after the last token, p99 (ms)": (lambda one: one.ending, ""),
    "memory of a stream (kB)": (lambda one: one.memory / 1000, ""),
    "processors that the workers keep busy (%)": (lambda one: one.processor * 100, ""),
    "short requests a second, alone": (lambda one: one.alone, ""),
    "the same beside the streams": (lambda one: one.beside, ""),
    "of those alone (%)": (lambda one: one.percent, f"≥ {LEAST_PERCENT}"),
}


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}…{max(values):.1f})"


def main() -> None:
    ours, theirs = _rounds()
    print(
        f"\n{STREAMS} streams at once of {TOKENS} tokens, one each {EACH * 1000:.0f} ms, asked for"
    )
    print(f"within {ASKED:.0f} s, on {WORKERS} gevent workers; {CALLERS} connections ask for short")
    print(f"answers. {ROUNDS} rounds: median (least…greatest); {os.cpu_count()} cores, which the")
    print(f"clients and servers share, Python {platform.python_version()}.\n")
    print("| | Parley | bare Flask | limit |\n|---|---|---|---|")
    for name, (value, limit) in ROWS.items():
        columns = [_spread([value(one) for one in each]) for each in (ours, theirs)]
        print(f"| {name} | {' | '.join(columns)} | {limit} |")


if __name__ == "__main__":
    main()
