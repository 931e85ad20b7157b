from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import current_app
from flask.cli import AppGroup

from ..json_text import dumps
from ..services.cache import CacheService, Drift
from .operators import plainly

cache = AppGroup("cache", help="Copies of conversations in Redis, of all users.")


@cache.command()
@click.option("--remove", "removes", is_flag=True, help="Remove copies that are not true.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def verify(*, removes: bool, as_json: bool) -> None:
    """Compare each copy with PostgreSQL; never print what was said.

    Exit code 0: all are true; 1: some were not; 2: they could not be compared.
    """
    copies, drifts = 0, list[Drift]()
    with _keeping() as keeping:
        for part in keeping.verify(removes=removes):
            copies += part.copies
            drifts += part.drifts
    if as_json:
        click.echo(dumps({"copies": copies, "drifts": drifts}))
    else:
        for it in drifts:
            click.echo(f"{it.conversation_id}  {_told(it)}")
        removed = f", removed: {len(drifts)}" if removes else ""
        click.echo(f"copies: {copies}, not true: {len(drifts)}{removed}")
    raise SystemExit(1 if drifts else 0)


@cache.command()
@click.option("--hours", type=click.FloatRange(0, 8760), default=24, show_default=True)
@click.option("--most", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True)
def warm(*, hours: float, most: int) -> None:
    """Copy the conversations that changed within the last hours, newest first."""
    conversations, copied_before = 0, 0
    with _keeping() as keeping:
        for part in keeping.warm(hours=hours, most=most):
            conversations += part.conversations
            copied_before += part.copied_before
    click.echo(f"conversations: {conversations}, copied before: {copied_before}")


def _told(drift: Drift) -> str:
    if drift.copied is None:
        return "damaged"
    is_same = drift.copied == drift.stored
    return f"copied {drift.copied}, stored {drift.stored or 'none'}{', otherwise' * is_same}"


class _NotComparedError(click.ClickException):
    exit_code = 2


@contextmanager
def _keeping() -> Iterator[CacheService]:
    try:
        with plainly(), current_app.extensions["parley"].operations.copies() as keeping:
            yield keeping
    except click.ClickException as error:
        raise _NotComparedError(error.message) from None
