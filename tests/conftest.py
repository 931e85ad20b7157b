"""The servers that the tests share: one PostgreSQL and one Redis for all pytest-xdist workers.

Each worker has a database and a Redis number of its own. URLs in the environment are used instead
of embedded servers; the role of DATABASE_OWNER_URL then needs CREATEDB.
"""

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import hypothesis
import psycopg2
import pytest
import redis
from psycopg2 import sql

from app.embedded import create_database, servers

pytest_plugins = ["tests.fixtures"]

# No deadlines: a busy machine is no bug. HYPOTHESIS_PROFILE=thorough looks longer, campaign (for
# what has one quick property, like an address's spelling) longest.
hypothesis.settings.register_profile("quick", max_examples=10, deadline=None, print_blob=True)
hypothesis.settings.register_profile("thorough", max_examples=2000, deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "campaign", max_examples=100_000, deadline=None, print_blob=True
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

_UNIT = Path(__file__).parent / "unit"


def pytest_configure(config):
    """Start the servers, before any worker, unless only unit tests were asked for."""
    paths = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    is_worker = hasattr(config, "workerinput")
    if is_worker or all(path.is_relative_to(_UNIT) for path in paths):
        return
    stack = ExitStack()
    config.add_cleanup(stack.close)
    data = stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-tests-"))
    urls = stack.enter_context(servers(Path(data), os.environ, durable=False))
    os.environ.update(urls)


@dataclass(frozen=True)
class DatabaseUrls:
    """A worker's own: `app` and `owner` name one database by its two roles."""

    app: str
    owner: str
    redis: str


@pytest.fixture(scope="session")
def database_urls(worker_id):
    """An empty database, not migrated, and an empty Redis; left for a look at the end."""
    app, owner = os.environ["DATABASE_URL"], os.environ["DATABASE_OWNER_URL"]
    name = f"parley_test_{worker_id}"
    _drop_database(owner, name)
    create_database(owner, name=name, app=urlsplit(app).username)
    number = 0 if worker_id == "master" else 1 + int(worker_id.removeprefix("gw"))
    urls = DatabaseUrls(
        _with_path(app, name),
        _with_path(owner, name),
        _with_path(os.environ["REDIS_URL"], str(number)),
    )
    with redis.Redis.from_url(urls.redis) as client:
        client.flushdb()
    return urls


def _drop_database(owner, name):
    connection = psycopg2.connect(owner)
    connection.autocommit = True
    connection.cursor().execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
    connection.close()


def _with_path(url, path):
    return urlsplit(url)._replace(path=f"/{path}").geturl()
