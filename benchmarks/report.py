"""Writes down what was measured: a page for the run, the plots, and the tables of the docs.

    .venv-peers/bin/python -m benchmarks.report [results.json]

All comes from one JSON file, by default the newest, and can be made again at any time. The prose
of docs/performance.md is its own; only what stands between its marks is renewed, and only when
every target was measured.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from .figures import RESULTS, Figure, Results, results_path, spread
from .targets import KNOWN, TARGETS, judged, missed, sentence

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PLOTS = DOCS / "performance.md", DOCS / "performance"

TITLES = {
    "statements": "Statements, beside the least that PostgreSQL can be asked for",
    "endpoints": "HTTP, beside endpoints written by hand",
    "libraries": "Beside libraries",
    "scale": "What size costs",
    "bench_scale": "What ten millions cost",
    "redis_away": "Redis away",
}
PLOTTED = {
    "statements": {"statements": "appends a second, beside INSERT and five statements"},
    "endpoints": {
        "endpoints": "requests a second, and processor time of a request, by operation",
        "clients": "share of the hand-written rate at 1, 16 and 64 clients",
    },
    "libraries": {"libraries": "how many times as many a second, beside libraries"},
    "scale": {"scale": "milliseconds of a call by the number of messages"},
    "redis_away": {"redis_away": "a call while Redis is away, and without a cache"},
}
"""The plots of a part, each with what it shows."""


def page(results: Results) -> str:
    """The whole run as Markdown."""
    parts = [
        f"# Measured on {results.machine['date']}",
        "Each figure is the median of its rounds (least…greatest). A ratio is ours by what it "
        "stands beside, round by round, in the same run.",
        machine(results),
        "## Targets",
        targets(results),
        "## Not reached",
        not_reached(results),
        "## Beside what people expect of such systems",
        known(results),
    ]
    for name in results.parts:
        parts += [f"## {TITLES.get(name, name)}", part(results, name)]
    return "\n\n".join(parts) + "\n"


def machine(results: Results) -> str:
    facts = [f"{name}: {value}" for name, value in results.machine.items()]
    rows = (
        [f"`{part.command}`", f"{part.seconds:.0f} s", str(len(part.figures))]
        for part in results.parts.values()
    )
    return "; ".join(facts) + ".\n\n" + table(["run again with", "took", "figures"], rows)


def targets(results: Results) -> str:
    """Every target beside what was measured for it."""
    rows = (
        [
            target.operation,
            *_beside(figure),
            target.limit,
            _word(verdict),
            figure.against if figure else "",
            results.part_of(target.figure),
        ]
        for target, figure, verdict in judged(results)
    )
    head = ["operation", "measured", "ours", "beside", "ratio", "limit", ""]
    return table([*head, "measured against", "`NAMES`"], rows)


def not_reached(results: Results) -> str:
    """In plain words."""
    found = missed(results)
    absent = sum(verdict == "not measured" for _, _, verdict in judged(results))
    lines = [f"- {line}." for line in found] or ["Every target that was measured is met."]
    if absent:
        lines += ["", f"Not measured in this run: {absent} of {len(TARGETS)}."]
    return "\n".join(lines)


def known(results: Results) -> str:
    """The figures that people know from such systems, and ours."""
    rows = []
    for target in KNOWN:
        figure = results.figures.get(target.figure)
        ours = spread(figure.ours) if figure else "–"
        against = figure.against if figure else ""
        verdict, again = _word(target.verdict(figure)), results.part_of(target.figure)
        rows.append([target.operation, ours, target.limit, verdict, against, again])
    return table(["", "ours", "expected", "", "measured", "`NAMES`"], rows)


def part(results: Results, name: str) -> str:
    """All figures of a part."""
    found = results.parts[name]
    rows = ([figure.what, *_values(figure), _against(figure)] for figure in found.figures)
    head = ["measured", "ours", "beside", "unit", "ratio", "measured against"]
    return f"Again with `{found.command}`.\n\n" + table(head, rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '∣') for cell in line)} |" for line in lines)


def _beside(figure: Figure | None) -> list[str]:
    if figure is None:
        return ["–"] * 4
    ours, theirs, unit, ratio = _values(figure)
    return [figure.what, f"{ours} {unit}", f"{theirs} {unit}" if figure.theirs else "–", ratio]


def _values(figure: Figure) -> list[str]:
    if not figure.theirs:
        return [spread(figure.ours), "–", figure.unit, "–"]
    return [spread(figure.ours), spread(figure.theirs), figure.unit, spread(figure.ratios)]


def _against(figure: Figure | None) -> str:
    if figure is None:
        return ""
    return f"{figure.against} ({figure.note})" if figure.note else figure.against


def _word(verdict: str) -> str:
    return {"missed": "**missed**"}.get(verdict, verdict)


def renewed(text: str, results: Results) -> str:
    """The text with what stands between its marks, `<!-- name -->` and `<!-- /name -->`, anew."""
    blocks = {"machine": machine, "targets": targets, "not_reached": not_reached, "known": known}
    for name, block in blocks.items():
        text = _between(text, name, block(results))
    for name in results.parts:
        text = _between(text, name, "\n\n".join([*_plots(name), part(results, name)]))
    return text


def _plots(name: str) -> list[str]:
    shown = PLOTTED.get(name, {})
    return [f"![{words}]({PLOTS.name}/{plot}.svg)" for plot, words in shown.items()]


def _between(text: str, name: str, block: str) -> str:
    marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
    return marks.sub(lambda found: f"{found[1]}\n{block}\n\n{found[2]}", text)


def summary(results: Results) -> str:
    """What one reads first."""
    lines = [
        f"{verdict:>12}  {sentence(figure)} (limit {target.limit})"
        for target, figure, verdict in judged(results)
        if figure
    ]
    return "\n".join(lines)


def _first_of(wanted: Path, other: Path) -> Path:
    return wanted if wanted.exists() else other


def main() -> None:
    from . import plots

    newest = max(RESULTS.glob("????-??-??.json"), default=results_path())
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else _first_of(results_path(), newest)
    if not path.exists():
        print("Nothing is recorded: what was measured is printed alone.")
        return
    results = Results.load(path)
    path.with_suffix(".md").write_text(page(results))
    print(f"{summary(results)}\n\nWritten: {path.with_suffix('.md')}")
    if all(figure for _, figure, _ in judged(results)):
        PAGE.write_text(renewed(PAGE.read_text(), results))
        plots.draw(results, PLOTS)
        print(f"Renewed: {PAGE}, {PLOTS}")
    else:
        print(f"{PAGE} stays as it is: not every target was measured.")


if __name__ == "__main__":
    main()
