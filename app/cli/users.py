from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import current_app
from flask.cli import AppGroup

from ..errors import InvalidAddressError, RecordNotFoundError
from ..json_text import dumps, loads
from ..services.accounts import AccountService
from .operators import plainly

users = AppGroup(
    "users",
    help="Users' accounts, for operators: EMAIL is an address, or a visitor's anon:<uuid>.",
)
_QUOTA = click.IntRange(0, 2**31 - 1)


def _quota(context: click.Context, parameter: click.Parameter, text: str) -> int | None:
    """A number of messages; None for `none`."""
    return None if text == "none" else _QUOTA(text, parameter, context)


@users.command()
@click.argument("email")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def show(email: str, *, as_json: bool) -> None:
    """Print what is known of a user, and how much is stored; never what was said."""
    with _accounts() as accounts:
        account = dumps(accounts.find_or_raise(email)).decode()
    lines = (f"{name}: {_word(value)}" for name, value in loads(account).items())
    click.echo(account if as_json else "\n".join(lines))


@users.command()
@click.argument("email")
def release_subject(email: str) -> None:
    """Let the next token's subject have an address that is pinned to another."""
    with _accounts() as accounts:
        accounts.release_subject(email)
    click.echo("Released: the next token with a subject pins the address anew.")


@users.command()
@click.argument("email")
def deactivate(email: str) -> None:
    """Shut a user out within five seconds; what is stored stays."""
    with _accounts() as accounts:
        accounts.deactivate(email)
    click.echo("Deactivated: refused everywhere within five seconds.")


@users.command()
@click.argument("email")
def activate(email: str) -> None:
    """Let a deactivated user in again."""
    with _accounts() as accounts:
        accounts.activate(email)
    click.echo("Activated.")


@users.command()
@click.argument("email")
@click.argument("messages", metavar="N|none", callback=_quota)
def set_quota(email: str, messages: int | None) -> None:
    """Set how many messages a day a user may send; none: DAILY_MESSAGE_QUOTA counts."""
    with _accounts() as accounts:
        accounts.set_daily_quota(email, messages)
    click.echo(f"Messages a day: {_word(messages)}.")


@contextmanager
def _accounts() -> Iterator[AccountService]:
    """The operator's service; what it raises becomes a line on stderr."""
    try:
        with plainly(), current_app.extensions["parley"].operations.accounts() as accounts:
            yield accounts
    except InvalidAddressError as error:
        raise click.BadParameter(str(error), param_hint="EMAIL") from None
    except RecordNotFoundError:
        raise click.ClickException("Nobody with this address was ever here.") from None


def _word(value: object) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
