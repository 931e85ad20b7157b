"""The package as a host installs it: under the name `parley`, beside an `app` of the host's own."""

import re
import subprocess
import sys
import zipfile
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg2
import pytest
from psycopg2 import sql

from app.composition import newest_migration
from app.embedded import create_database
from tests.measuring import unmeasured
from tests.readme import ROOT, example

FOREIGN = "raise AssertionError('The host has an app and a config of its own.')\n"
ASK = """
from datetime import timedelta

import parley
from host import app

tokens = app.extensions["parley"].services.tokens
token = tokens.issue("somebody@example.com", lifetime=timedelta(minutes=1))
http = app.test_client()
ready = http.get("/api/readyz")
answer = http.post(
    "/api/chat", json={"message": "Who?"}, headers={"Authorization": f"Bearer {token}"}
)
print(parley.__file__, ready.json["status"], http.get("/api/version").json["version"])
print(answer.text)
app.extensions["parley"].close()
"""

SERVING_OR_BROUGHT_ALONG = {"gunicorn", "psycogreen", "alembic"}


def pip(*arguments):
    """pip without a network."""
    options = ["--no-deps", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", *arguments, *options]
    place = {"cwd": ROOT, "env": unmeasured()}
    done = subprocess.run(command, **place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", ".", "--no-build-isolation", "--wheel-dir", folder)
    (built,) = folder.glob("parley-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the package in it, as site-packages would have it."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", wheel, "--no-index", "--target", folder)
    return folder


@pytest.fixture
def empty_database(database_urls):
    """The URLs, by role, of a database that no migration has seen."""
    name = f"parley_package_{uuid4().hex}"
    create_database(database_urls.owner, name=name, app=urlsplit(database_urls.app).username)
    yield {
        "DATABASE_URL": urlsplit(database_urls.app)._replace(path=f"/{name}").geturl(),
        "DATABASE_OWNER_URL": urlsplit(database_urls.owner)._replace(path=f"/{name}").geturl(),
    }
    connection = psycopg2.connect(database_urls.owner)
    connection.autocommit = True
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    connection.cursor().execute(drop)
    connection.close()


@pytest.fixture
def run(installed, empty_database, tmp_path):
    """Runs Python in the host's folder, where `app` and `config` are the host's."""
    for name in ("app.py", "config.py"):
        (tmp_path / name).write_text(FOREIGN)
    (tmp_path / "host.py").write_text(example())
    environ = {name: value for name, value in unmeasured().items() if name != "REDIS_URL"}
    environ |= empty_database | {
        "PYTHONPATH": str(installed),
        "SERVICE_AUTH_SECRET": "tests only: 0123456789abcdef0123456789abcdef",
        "SERVICE_AUTH_ISSUER": "host",
        "SERVICE_AUTH_AUDIENCE": "parley",
    }

    def run(*arguments):
        command = [sys.executable, *arguments]
        place = {"cwd": tmp_path, "env": environ}
        done = subprocess.run(command, **place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    return run


def test_the_wheel_holds_the_package_with_its_migrations_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    folders = {name.split("/")[0] for name in names}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"parley"}
    held = {name for name in names if name.startswith("parley/")}
    expected = {
        f"parley/{path.relative_to(ROOT / 'app').as_posix()}"
        for path in (ROOT / "app").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    } | {
        f"parley/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "migrations").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == expected
    assert "parley/migrations/versions/0001_tables.py" in held


def test_what_the_package_needs_is_what_it_was_tested_with(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = archive.read(name).decode()
    assert "Requires-Dist: redis<8,>=7" in metadata
    assert "Requires-Python: >=3.11" in metadata
    needed = set(re.findall(r"^requires-dist: ([\w-]+)", metadata.lower(), re.MULTILINE))
    tested = re.findall(r"^[\w-]+", (ROOT / "requirements.txt").read_text().lower(), re.MULTILINE)
    assert needed == set(tested) - SERVING_OR_BROUGHT_ALONG


def test_a_host_migrates_mounts_and_asks_though_it_has_an_app_of_its_own(run, installed):
    run("-m", "flask", "--app", "parley", "db", "upgrade")
    assert newest_migration() in run("-m", "flask", "--app", "parley", "db", "current")
    place = installed / "parley" / "__init__.py"
    # Nothing else is printed: a host's standard output is its own.
    assert run("-c", ASK).splitlines() == [
        f"{place} ok 0.1.0",
        "You asked: Who? ",
        '__CONTEXT__:[{"source":"handbook.pdf","page":3}]',
    ]
