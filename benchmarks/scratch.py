"""Databases for a benchmark alone, beside what is there, and gone when it ends.

A superuser makes and fills them: that of an embedded PostgreSQL (`python -m app.embedded`), or the
one whose URL SUPERUSER_URL is.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import flask_migrate
import psycopg2
import redis
from sqlalchemy.engine import make_url

from app import Settings, create_app
from app.embedded import create_database

REDIS_DATABASE = "9"


@dataclass(frozen=True)
class Scratch:
    """A migrated, empty database: settings that lead there, and a superuser's connection."""

    settings: Settings
    admin: Any

    def run(self, statement: str, values: Any = None) -> Any:
        """The superuser's cursor after a statement."""
        cursor = self.admin.cursor()
        cursor.execute(statement, values)
        return cursor


@contextmanager
def scratch(name: str) -> Iterator[Scratch]:
    given = _given()
    with closing(_connect(superuser_url(given))) as server:
        _drop(server, name)
        create_database(plain(given.database_owner_url), name=name, app="parley_app")
        try:
            urls = {
                "database_url": given.database_url,
                "database_owner_url": given.database_owner_url,
            }
            there = {each: url_with(url, database=name) for each, url in urls.items()}
            settings = replace(given, db_slow_query_ms=60_000, **there)
            _migrate(settings)
            with closing(_connect(superuser_url(settings))) as admin:
                yield Scratch(settings, admin)
        finally:
            _drop(server, name)


@contextmanager
def redis_database() -> Iterator[str]:
    """The URL of a database in Redis that is empty, and empty again afterwards."""
    url = url_with(os.environ["REDIS_URL"], database=REDIS_DATABASE)
    with closing(redis.Redis.from_url(url)) as client:
        if client.dbsize():
            raise SystemExit(f"Redis database {REDIS_DATABASE} is not empty; it would be emptied.")
        try:
            yield url
        finally:
            client.flushdb()


def url_with(url: str | None, **parts: str) -> str:
    """A database's URL with other parts."""
    return make_url(url or "").set(**parts).render_as_string(hide_password=False)  # type: ignore[arg-type]


def plain(url: str | None) -> str:
    """A URL as libpq takes it."""
    return (url or "").replace("+psycopg2", "")


def superuser_url(settings: Settings) -> str:
    """To the database of these settings, as somebody whom row-level security does not bind."""
    if given := os.environ.get("SUPERUSER_URL"):
        name = make_url(settings.database_url).database or ""
        return plain(url_with(given, database=name))
    passwords = json.loads(Path(os.environ["PARLEY_DATA"], "passwords.json").read_text())
    url = url_with(settings.database_owner_url, username="postgres", password=passwords["postgres"])
    return plain(url)


def _given() -> Settings:
    environ = os.environ | {"SERVICE_AUTH_SECRET": secrets.token_urlsafe(40)}
    environ |= {"SERVICE_AUTH_ISSUER": "benchmark", "SERVICE_AUTH_AUDIENCE": "benchmark"}
    return Settings.from_environ(environ | {"LOG_LEVEL": "ERROR", "REDIS_URL": ""})


def _migrate(settings: Settings) -> None:
    app = create_app(settings)
    with app.app_context():
        flask_migrate.upgrade()
    app.extensions["parley"].close()


def _drop(server: Any, name: str) -> None:
    server.cursor().execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _connect(url: str) -> Any:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection
