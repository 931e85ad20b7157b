from datetime import timedelta

import click
from flask import current_app
from flask.cli import AppGroup

from ..errors import InvalidAddressError

tokens = AppGroup("tokens", help="Bearer tokens, for development and operation.")


@tokens.command()
@click.option("--email", required=True, help="Whom the token is for.")
@click.option("--hours", type=click.FloatRange(0.01, 24), default=1.0, show_default=True)
@click.option("--name", default=None, help="What the user is called.")
@click.option("--dept", default=None, help="The user's place in the organisation.")
def issue(email: str, hours: float, name: str | None, dept: str | None) -> None:
    """Print a token that the API takes."""
    service = current_app.extensions["parley"].services.tokens
    claims = {key: value for key, value in {"name": name, "dept": dept}.items() if value}
    try:
        click.echo(service.issue(email, lifetime=timedelta(hours=hours), **claims))
    except InvalidAddressError as error:
        raise click.BadParameter(str(error), param_hint="--email") from None
