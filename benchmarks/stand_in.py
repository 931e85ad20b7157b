"""What gunicorn.conf.py asks of an application that it serves, for those that are no Parley."""

from types import SimpleNamespace

from flask import Flask


def stand_in(app: Flask) -> None:
    """There is nothing to start, and nothing to end."""
    app.extensions["parley"] = SimpleNamespace(start=_nothing, end_soon=_nothing, drain=_nothing)


def _nothing() -> None:
    pass
