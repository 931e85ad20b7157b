"""A database of one's own, for what others on the same one would disturb."""

import dataclasses
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import flask_migrate
import psycopg2

from app import Settings, create_app
from app.embedded import create_database


@contextmanager
def apart(settings: Settings, purpose: str) -> Iterator[Settings]:
    """The same settings, of an empty database that is migrated, and gone afterwards."""
    owner = settings.database_owner_url.replace("+psycopg2", "")
    name = f"{urlsplit(owner).path.strip('/')}_{purpose}"
    execute(owner, f"DROP DATABASE IF EXISTS {name}")
    create_database(owner, name=name, app=urlsplit(settings.database_url).username)
    made = dataclasses.replace(
        settings,
        database_url=urlsplit(settings.database_url)._replace(path=f"/{name}").geturl(),
        database_owner_url=urlsplit(settings.database_owner_url)._replace(path=f"/{name}").geturl(),
    )
    app = create_app(made)
    with app.app_context():
        flask_migrate.upgrade()
    app.extensions["parley"].close()
    yield made
    execute(owner, f"DROP DATABASE {name} WITH (FORCE)")


def execute(url: str, statement: str) -> None:
    """By itself, as whoever the URL names."""
    with closing(psycopg2.connect(url.replace("+psycopg2", ""))) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)
