from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import click
from flask import current_app
from flask.cli import AppGroup

from ..errors import InvalidAddressError, RecordNotFoundError
from ..json_text import dumps
from ..services.trash import PurgeService
from ..services.verification import Finding, VerificationService
from .operators import plainly

conversations = AppGroup("conversations", help="Stored conversations, of all users.")


class _NotCheckedError(click.ClickException):
    exit_code = 2


@conversations.command()
@click.option("--repair", is_flag=True, help="Mend what follows from the rest that is stored.")
@click.option("--owner", help="One user's only: an address, or a visitor's anon:<uuid>.")
@click.option("--deep", is_flag=True, help="Read every text, to check the words searches look for.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def verify(owner: str | None, *, repair: bool, deep: bool, as_json: bool) -> None:
    """Check that what is stored holds together; never print what was said.

    Exit code 0: all is well, or mended; 1: something is left; 2: it could not be checked.
    """
    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    with _verification() as verification:
        for part in verification.verify(address=owner, is_deep=deep, repairs=repair):
            counts["conversations"] += part.conversations
            counts["mended"] += sum(finding.is_mended for finding in part.findings)
            counts["left"] += sum(not finding.is_mended for finding in part.findings)
            if as_json:
                findings += part.findings
            else:
                _print_findings(part.findings)
    told = {name: counts[name] for name in ("conversations", "mended", "left")}
    click.echo(dumps(told | {"findings": findings}) if as_json else _line_of(told))
    raise SystemExit(1 if counts["left"] else 0)


@conversations.command()
@click.option("--days", type=click.IntRange(0, 36_500), help="By default TRASH_DAYS.")
@click.option("--dry-run", is_flag=True, help="Only count them.")
def purge_trash(days: int | None, *, dry_run: bool) -> None:
    """Remove for good what has been in the trash for more than so many days, of all users."""
    with _purge() as trash:
        count = trash.count(days) if dry_run else trash.purge(days)
    click.echo(f"{'To be removed' if dry_run else 'Removed'}: {count}.")


@contextmanager
def _purge() -> Iterator[PurgeService]:
    with plainly(), current_app.extensions["parley"].operations.purge() as trash:
        yield trash


@contextmanager
def _verification() -> Iterator[VerificationService]:
    """The operator's service; what keeps it from its work becomes a line on stderr."""
    try:
        with plainly(), current_app.extensions["parley"].operations.verification() as verification:
            yield verification
    except InvalidAddressError as error:
        raise click.BadParameter(str(error), param_hint="--owner") from None
    except RecordNotFoundError:
        raise click.BadParameter("Nobody with this address was ever here.") from None
    except click.ClickException as error:
        raise _NotCheckedError(error.message) from None


def _print_findings(findings: Sequence[Finding]) -> None:
    for it in findings:
        state = "mended" if it.is_mended else "left"
        place = f"{it.check:<20}  {it.conversation_id}  {state:<6}"
        click.echo(f"{place}  {it.found}; should be: {it.expected}")


def _line_of(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())
