"""The plots of docs/performance: drawn from the results alone, the same each time."""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot

from .figures import Results

OURS, THEIRS, LINE = "#2563a8", "#b9c3cf", "#444444"
_STYLE = {
    "svg.hashsalt": "parley",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}
_OPERATIONS = {
    "cached_read": "cached read, 20",
    "cached_100": "cached read, 100",
    "cold_15": "cold read, 15",
    "cold_100": "cold read, 100",
    "append": "append",
    "create": "create",
    "list_200": "first page of 200",
    "list_20000": "first page of 20,000",
    "list_deep": "deep page of 20,000",
}
_GROWING = {
    "append": "append",
    "tail": "last 50 messages",
    "list": "first page",
    "search": "six searches",
}


def draw(results: Results, folder: Path) -> None:
    """A plot of each part that was measured."""
    folder.mkdir(exist_ok=True)
    with mpl.rc_context(_STYLE):
        for name, (part, plot) in PLOTS.items():
            if part in results.parts:
                plotted = plot(results)
                plotted.savefig(folder / f"{name}.svg", metadata={"Date": None})
                pyplot.close(plotted)


def _endpoints(results: Results) -> Any:
    plotted, axes = pyplot.subplots(1, 2, figsize=(10, 4.6), sharey=True)
    for axis, kind, label in (
        (axes[0], "rate", "requests a second, 16 clients"),
        (axes[1], "processor", "processor time of a request (µs)"),
    ):
        named = [(_OPERATIONS[name], f"{name}.{kind}@16") for name in _OPERATIONS]
        _bars(axis, results, named, label)
    axes[0].legend(frameon=False, loc="lower right")
    return plotted


def _clients(results: Results) -> Any:
    """How the share of the hand-written rate changes with the clients."""
    plotted, axis = pyplot.subplots(figsize=(8, 3.6))
    for place, name in enumerate(_OPERATIONS):
        found = [results.figures.get(f"{name}.rate@{clients}") for clients in (1, 16, 64)]
        for shift, figure in enumerate(found):
            if figure:
                color = ("#9dbfe0", OURS, "#143a63")[shift]
                axis.bar(place + (shift - 1) * 0.27, figure.value, 0.25, color=color)
    axis.axhline(1, color=LINE, linewidth=0.8)
    axis.set_xticks(range(len(_OPERATIONS)), list(_OPERATIONS.values()), rotation=25, ha="right")
    axis.set_ylabel("of the hand-written rate\nat 1, 16, 64 clients")
    return plotted


def _statements(results: Results) -> Any:
    plotted, axis = pyplot.subplots(figsize=(8, 3))
    shown = [
        (f"{connections}, {words}", f"append_statement.{name}@{at}")
        for at, connections in ((1, "1 connection"), (8, "8 connections"))
        for name, words in (("raw", "INSERT + COMMIT"), ("five", "five statements"))
    ]
    _bars(axis, results, shown, "appends a second")
    axis.legend(frameon=False)
    return plotted


def _libraries(results: Results) -> Any:
    """How many times as fast: right of the line ours is."""
    kinds = {"append": "append", "read_20": "read of 20", "bulk": "bulk of 1,000"}
    plotted, axes = pyplot.subplots(1, 3, figsize=(11, 3.2), sharey=True)
    found = results.parts["libraries"].figures
    libraries = [each.against for each in found if each.name.startswith("append.")]
    for axis, (name, label) in zip(axes, kinds.items(), strict=True):
        for place, library in enumerate(libraries):
            if figure := results.figures.get(f"{name}.{library}"):
                is_durable = "not durable" not in figure.note
                axis.barh(place, figure.value, color=OURS if is_durable else THEIRS)
                _whisker(axis, figure.ratios, place)
        axis.axvline(1, color=LINE, linewidth=0.8)
        _logarithmic(axis, "x")
        axis.set_xlabel(f"{label}: times as many a second")
    axes[0].set_yticks(range(len(libraries)), libraries)
    axes[0].invert_yaxis()
    return plotted


def _scale(results: Results) -> Any:
    plotted, axis = pyplot.subplots(figsize=(7, 3.6))
    for name, label in _GROWING.items():
        sizes, spent = zip(*sorted(_growth(results, name)), strict=True)
        axis.plot(sizes, spent, marker="o", label=label)
    _logarithmic(axis, "x")
    _logarithmic(axis, "y")
    axis.set_xlabel("messages in the database")
    axis.set_ylabel("ms a call")
    axis.legend(frameon=False, ncols=2)
    return plotted


def _growth(results: Results, name: str) -> Iterator[tuple[int, float]]:
    """Sizes and milliseconds."""
    largest = results.figures[f"growth.{name}"]
    yield _size(largest.against), statistics.median(largest.theirs) / 1000
    for found in results.figures.values():
        start, _, which = found.name.partition(".")
        if start.startswith("growth") and which.partition("@")[0] == name:
            yield _size(found.what), statistics.median(found.ours) / 1000


def _size(words: str) -> int:
    """The number in `… with 10,000 messages`."""
    return int(words.rpartition("with ")[2].split()[0].replace(",", ""))


def _redis_away(results: Results) -> Any:
    plotted, axis = pyplot.subplots(figsize=(7, 1.8))
    shown = [("read of 20", "redis_away.read"), ("append", "redis_away.append")]
    _bars(axis, results, shown, "µs a call", others="cache off")
    axis.legend(frameon=False)
    return plotted


def _bars(
    axis: Any,
    results: Results,
    shown: Sequence[tuple[str, str]],
    label: str,
    others: str = "by hand",
) -> None:
    found = [(words, results.figures[name]) for words, name in shown if name in results.figures]
    for place, (_, figure) in enumerate(found):
        for values, shift, color, name in (
            (figure.ours, -0.2, OURS, "Parley"),
            (figure.theirs, 0.2, THEIRS, others),
        ):
            middle = statistics.median(values)
            axis.barh(place + shift, middle, 0.38, color=color, label=None if place else name)
            _whisker(axis, values, place + shift)
    axis.set_yticks(range(len(found)), [words for words, _ in found])
    if not axis.yaxis_inverted():
        axis.invert_yaxis()
    axis.set_xlabel(label)


def _logarithmic(axis: Any, which: str) -> None:
    """With numbers as one reads them."""
    axis.set(**{f"{which}scale": "log"})
    scale = axis.xaxis if which == "x" else axis.yaxis
    scale.set_major_formatter("{x:,.9g}")
    scale.set_minor_formatter("")


def _whisker(axis: Any, values: Sequence[float], place: float) -> None:
    axis.hlines(place, min(values), max(values), color=LINE, linewidth=1)


PLOTS = {
    "statements": ("statements", _statements),
    "endpoints": ("endpoints", _endpoints),
    "clients": ("endpoints", _clients),
    "libraries": ("libraries", _libraries),
    "scale": ("scale", _scale),
    "redis_away": ("redis_away", _redis_away),
}
