"""PgBouncer in front of the tests' PostgreSQL: transactions over a few shared connections."""

import os
import shutil
import subprocess
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from app.processes import free_port, unprivileged

BINARY = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
CONNECTIONS = 2

needs_pgbouncer = pytest.mark.skipif(BINARY is None, reason="PgBouncer is not installed")

# As docs/operations.md says: our time limits can't travel in the first packet.
_CONFIGURATION = """
[databases]
{database} = host={host} port={target}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {connections}
ignore_startup_parameters = options,extra_float_digits
logfile = {log}
"""


@contextmanager
def pgbouncer(database_url):
    """Runs a PgBouncer of CONNECTIONS connections; yields its URL for the same role."""
    target = make_url(database_url)
    with TemporaryDirectory(prefix="parley-pgbouncer-") as folder:
        home, port = Path(folder), free_port()
        _configure(home, target, port)
        url = target.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        with _running(home):
            _wait_for(url, log=home / "log")
            yield url


def left_behind(url):
    """What the next client finds in each of PgBouncer's connections: owner, number of rows."""
    with ExitStack() as stack:
        found = [_found(stack.enter_context(closing(_connect(url)))) for _ in range(CONNECTIONS)]
    assert len({backend for backend, *_ in found}) == CONNECTIONS
    return {(owner or None, rows) for _, owner, rows in found}


def _found(connection):
    """The connection stays in its transaction, so that the next one gets another."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT pg_backend_pid(), current_setting('app.user_email', true), "
        "(SELECT count(*) FROM users)"
    )
    return cursor.fetchone()


def _connect(url):
    return psycopg2.connect(url.replace("+psycopg2", ""))


def _configure(home, target, port):
    users = home / "users"
    users.write_text(f'"{target.username}" "{target.password}"\n')
    (home / "configuration").write_text(
        _CONFIGURATION.format(
            database=target.database,
            host=target.host,
            target=target.port,
            port=port,
            users=users,
            connections=CONNECTIONS,
            log=home / "log",
        )
    )


@contextmanager
def _running(home):
    """PgBouncer refuses root: the folder and the process are then nobody's."""
    account = unprivileged(home / "none")
    who = {}
    if account:
        for path in (home, *home.iterdir()):
            os.chown(path, *account)
        who = {"user": account[0], "group": account[1], "extra_groups": []}
    process = subprocess.Popen([BINARY, "-q", home / "configuration"], cwd="/", **who)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _wait_for(url, *, log, seconds=20):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return _connect(url).close()
        except psycopg2.OperationalError:
            if time.monotonic() > deadline:
                pytest.fail(f"PgBouncer does not answer: {log.read_text()}")
        time.sleep(0.05)
