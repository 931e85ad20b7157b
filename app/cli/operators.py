from collections.abc import Iterator
from contextlib import contextmanager

import click

from ..errors import SettingsError, SetupError, UnavailableError


@contextmanager
def plainly() -> Iterator[None]:
    """What keeps a command from the database becomes a line on stderr."""
    try:
        yield
    except SettingsError as error:
        lines = [f"{name} {' '.join(faults)}" for name, faults in error.faults.items()]
        raise click.ClickException(" ".join(lines)) from None
    except (SetupError, UnavailableError) as error:
        raise click.ClickException(str(error)) from None
