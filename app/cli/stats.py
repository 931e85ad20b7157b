from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, cast, get_args

import click
from flask import current_app
from flask.cli import with_appcontext

from ..errors import InvalidFieldsError
from ..json_text import dumps
from ..services.stats import LedgerService, Part, Period, Stats
from .operators import plainly

_PERCENTILES = ("first_token_ms", "response_time_ms")
_WHEN = "A date or a timestamp, UTC; by default the last 30 days."


@click.command()
@click.option("--from", "first", help=_WHEN)
@click.option("--to", "last", help="A date, included, or a timestamp, excluded.")
@click.option("--by", type=click.Choice(get_args(Part)), default="day", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@with_appcontext
def stats(first: str | None, last: str | None, by: str, *, as_json: bool) -> None:
    """Print how much all users asked, how it ended and how long it took; never what was said."""
    part, period = cast(Part, by), _period(first, last)
    with _ledger() as ledger:
        found = ledger.report(period, by=part)
    click.echo(dumps(_record(found, part)) if as_json else "\n".join(_table(found, part)))


def _period(first: str | None, last: str | None) -> Period:
    try:
        return Period.between(first, last)
    except InvalidFieldsError as error:
        fault = error.faults[0]
        hint = fault.pointer.replace("/", "--")
        raise click.BadParameter(fault.detail, param_hint=hint) from None


@contextmanager
def _ledger() -> Iterator[LedgerService]:
    with plainly(), current_app.extensions["parley"].operations.ledger() as ledger:
        yield ledger


def _record(stats: Stats, part: Part) -> dict[str, Any]:
    total, *groups = _rows(stats, part)
    del total[part]
    return {
        "from": stats.period.since,
        "to": stats.period.until,
        "total": total,
        f"by_{part}": groups,
    }


def _rows(stats: Stats, part: Part) -> list[dict[str, Any]]:
    """The total first, then the groups, each with its name under that of the part."""
    numbers = [asdict(group) for group in (stats.questions.total, *stats.questions.by[part])]
    return [{part: row.pop("name"), **row} for row in numbers]


def _table(stats: Stats, part: Part) -> list[str]:
    """Lines with columns as wide as need be, the total last."""
    total, *groups = _rows(stats, part)
    rows = [*groups, total | {part: "total"}]
    cells = [_titles(total), *([_cell(row[name]) for name in total] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [_line(row, widths) for row in cells]


def _titles(row: dict[str, Any]) -> list[str]:
    return [f"{name} 50/90/95/99%" if name in _PERCENTILES else name for name in row]


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return "/".join(str(number) for number in value.values())
    text = "none" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = (
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join((name, *numbers))
