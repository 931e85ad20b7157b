import math
from datetime import timedelta
from uuid import uuid4

import click
from flask import current_app
from flask.cli import AppGroup

from ..errors import IdentityError, InvalidAddressError, SetupError
from ..services import Services

tokens = AppGroup("tokens", help="Bearer tokens, for development and operation.")


def _hours(_context: click.Context, _parameter: click.Parameter, hours: float) -> timedelta:
    if math.isnan(hours):  # which is in no range, and out of none
        raise click.BadParameter("is not a number.")
    return timedelta(hours=hours)


_lifetime = click.option(
    "--hours",
    "lifetime",
    type=click.FloatRange(0.01, 24),
    default=1.0,
    show_default=True,
    callback=_hours,
    help="How long the token holds.",
)


@tokens.command()
@click.option("--email", required=True, help="Whom the token is for.")
@_lifetime
@click.option("--subject", default=None, help="The issuer's name for the user; pins the address.")
@click.option("--name", default=None, help="What the user is called.")
@click.option("--dept", default=None, help="The user's place in the organisation.")
def issue(
    email: str, lifetime: timedelta, subject: str | None, name: str | None, dept: str | None
) -> None:
    """Print a token that the API takes."""
    claims = {"sub": subject, "name": name, "dept": dept}
    said = {key: value for key, value in claims.items() if value is not None}
    try:
        _print(_services().tokens.issue(email, lifetime=lifetime, **said))
    except InvalidAddressError as error:
        raise click.BadParameter(str(error), param_hint="--email") from None
    except SetupError as error:
        raise click.ClickException(str(error)) from None


@tokens.command()
@_lifetime
def issue_visitor(lifetime: timedelta) -> None:
    """Print a token for a new visitor without an account. Needs ALLOW_ANONYMOUS."""
    try:
        _print(_services().tokens.issue_visitor(uuid4(), lifetime=lifetime))
    except SetupError as error:
        raise click.ClickException(str(error)) from None


def _services() -> Services:
    services: Services = current_app.extensions["parley"].services
    return services


def _print(token: str) -> None:
    """A token that the API would refuse is not printed."""
    try:
        _services().tokens.verify(token)
    except IdentityError:
        raise click.UsageError(
            "The API would not take a token like that (visitors: ALLOW_ANONYMOUS)."
        ) from None
    click.echo(token)
