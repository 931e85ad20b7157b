"""What was measured: by round, ours and what stands beside it; kept as JSON from part to part."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Work = Callable[[], object]

PROCESSOR = "µs of processor"
MEASURES = {
    "1/s": "calls a second",
    "µs": "time",
    "ms": "time",
    PROCESSOR: "processor time",
}
"""What is compared where a unit is given."""
RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One comparison. `ours` and `theirs` have a value of each round, in the same unit.

    `theirs` is empty where there is nothing to compare with; `against` says what theirs is, or
    how ours was counted.
    """

    name: str
    what: str
    against: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours by theirs, of each round."""
        return [one / other for one, other in zip(self.ours, self.theirs, strict=True)]

    @property
    def value(self) -> float:
        """What a target limits: the median ratio, or ours where there is no other side."""
        return statistics.median(self.ratios if self.theirs else self.ours)


@dataclass
class Part:
    """What one module measured, how long it took, and how to run it again."""

    seconds: float
    command: str
    figures: list[Figure] = field(default_factory=list)


@dataclass
class Results:
    """A run: on which machine, and what each part found."""

    machine: dict[str, str]
    parts: dict[str, Part]

    @property
    def figures(self) -> dict[str, Figure]:
        return {figure.name: figure for part in self.parts.values() for figure in part.figures}

    def part_of(self, figure: str) -> str:
        """The part that measured a figure; nothing where none did."""
        holds = (name for name, part in self.parts.items() if figure in map(_name, part.figures))
        return next(holds, "")

    @classmethod
    def load(cls, path: Path) -> "Results":
        found = json.loads(path.read_text())
        parts = {
            name: Part(
                part["seconds"], part["command"], [Figure(**figure) for figure in part["figures"]]
            )
            for name, part in found["parts"].items()
        }
        return cls(found["machine"], parts)

    def save(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def _name(figure: Figure) -> str:
    return figure.name


def results_path() -> Path:
    """BENCH_RESULTS, or today's file."""
    named = os.environ.get("BENCH_RESULTS")
    return Path(named) if named else RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.json"


def record(name: str, measure: Callable[[], Iterable[Figure]], *, command: str = "") -> None:
    """Measures a part, tells each figure as it comes, and puts them into the results."""
    started, figures = time.perf_counter(), []
    for figure in measure():
        print(told(figure), flush=True)
        figures.append(figure)
    spent, path = time.perf_counter() - started, results_path()
    results = Results.load(path) if path.exists() else Results({}, {})
    results.machine = machine()
    results.parts[name] = Part(spent, command or f"make bench NAMES={name}", figures)
    results.save(path)
    print(f"{name}: {len(figures)} figures in {spent:.0f} s.\n", flush=True)


def told(figure: Figure) -> str:
    """A figure in a line."""
    beside = f" | {spread(figure.theirs)} | ratio {spread(figure.ratios)}" if figure.theirs else ""
    return f"{figure.name}: {spread(figure.ours)}{beside} ({figure.unit})"


def spread(values: Sequence[float]) -> str:
    """The median (least…greatest), to three digits or so."""
    middle = statistics.median(values)
    if len(set(values)) == 1:
        return short(middle)
    return f"{short(middle)} ({short(min(values))}…{short(max(values))})"


def short(value: float) -> str:
    """A number with no more digits than it deserves."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:,.{digits}f}"


def by_turns(
    works: Mapping[str, Callable[[], Any]], *, rounds: int, warm_up: bool = True
) -> dict[str, list[Any]]:
    """What each work gave, round by round; who begins changes with each round."""
    found: dict[str, list[Any]] = {name: [] for name in works}
    for number in range(-warm_up, rounds):
        names = list(works) if number % 2 else list(reversed(works))
        for name in names:
            given = works[name]()
            if number >= 0:
                found[name].append(given)
    return found


def alternating(works: Mapping[str, Work], *, rounds: int, calls: int) -> dict[str, list[float]]:
    """Microseconds of a call: by round the median, each call of one after a call of the others."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(-1, rounds):
        spent: dict[str, list[float]] = {name: [] for name in works}
        for call in range(calls):
            for name in list(works) if call % 2 else list(reversed(works)):
                spent[name].append(microseconds(works[name]))
        if number >= 0:  # the first round warms up
            for name, values in spent.items():
                found[name].append(statistics.median(values))
    return found


def microseconds(work: Work) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e6


def milliseconds(work: Work) -> float:
    return microseconds(work) / 1000


def machine() -> dict[str, str]:
    """What this was measured on."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "Python": platform.python_version(),
    }


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
