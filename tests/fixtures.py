"""The application under test, on the servers of conftest.py: within the process, or served."""

import dataclasses
from contextlib import closing
from uuid import uuid4

import flask_migrate
import psycopg2
import pytest

from app import Parley, Settings, create_app

from .client import Client
from .evidence import Rows
from .measuring import uncounted
from .server import Server

SECRET = "tests only: 0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="session")
def settings(database_urls, tmp_path_factory):
    """Settings of this worker's own database and Redis; what is logged goes to `log_file`."""
    return Settings.from_environ(
        {
            "DATABASE_URL": database_urls.app,
            "DATABASE_OWNER_URL": database_urls.owner,
            "REDIS_URL": database_urls.redis,
            "SERVICE_AUTH_SECRET": SECRET,
            "SERVICE_AUTH_ISSUER": "tests",
            "SERVICE_AUTH_AUDIENCE": "parley",
            "RATE_LIMIT_DEFAULT": "none",
            "RATE_LIMIT_CHAT": "none",
            "RATE_LIMIT_CREATE": "none",
            "LOG_FILE": str(tmp_path_factory.mktemp("logs") / "parley.log"),
        }
    )


@pytest.fixture(scope="session")
def app(settings):
    """The complete application, migrated, answering with `recall`."""
    app = create_app(settings)
    with app.app_context():
        flask_migrate.upgrade()
    yield app
    app.extensions["parley"].close()


@pytest.fixture(scope="session")
def parley(app):
    return app.extensions["parley"]


@pytest.fixture(scope="session")
def database(parley):
    """The database as the application sees it: its own role, row-level security on."""
    return parley.database


@pytest.fixture(scope="session")
def rows(app, settings):
    return Rows(settings.database_owner_url)


@pytest.fixture(scope="module")
def unmeasured():
    """For modules that run at length what others run as well."""
    with uncounted():
        yield


@pytest.fixture
def connection(app, database_urls):
    """The application's role, as somebody would use it who got hold of its password."""
    with closing(psycopg2.connect(database_urls.app)) as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture
def make_app(app, settings):
    """A further application on the same database: `make_app(responder, **changed settings)`."""
    made = []

    def make(responder=None, **changes):
        parley = Parley(responder, settings=dataclasses.replace(settings, **changes))
        made.append(parley)
        return parley.application()

    yield make
    for parley in made:
        parley.close()


@pytest.fixture
def email():
    """Somebody who was never here before."""
    return f"{uuid4().hex}@example.com"


@pytest.fixture
def client(app, email):
    """The API as `email` calls it."""
    return Client(app, email)


@pytest.fixture
def stranger(app):
    """The API as somebody else calls it."""
    return Client(app, f"{uuid4().hex}@example.com")


@pytest.fixture(scope="session")
def server(app, settings):
    """gunicorn with two gevent workers on the same database."""
    with Server(settings, is_measured=True) as server:
        yield server
