"""The embedded servers: real ones, started and stopped in every way that a program can end."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import redis

from app.embedded import main, servers
from app.errors import SettingsError, SetupError
from tests.streams import until

ROOT = Path(__file__).parents[2]
GIVEN = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "POSTGRES_HOST")
TELL = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True)"
WAIT = f"{TELL}; import time; time.sleep(600)"


@pytest.fixture(scope="module")
def data():
    """One data directory for all tests of this file: each leaves its servers stopped."""
    with tempfile.TemporaryDirectory(prefix="parley-embedded-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def running():
    """A data directory and the URLs of its servers, for tests that leave them alone."""
    with (
        tempfile.TemporaryDirectory(prefix="parley-embedded-") as folder,
        servers(Path(folder), {}) as urls,
    ):
        yield Path(folder), urls


@pytest.fixture
def bare_environ(monkeypatch, tmp_path):
    """An environment and a working directory that name no server."""
    for name in GIVEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def launch(data, bare_environ):
    """Starts `python -m app.embedded` with a program, as a group of its own."""
    launched = []

    def start(program, **options):
        command = [sys.executable, "-m", "app.embedded", "--data", data, "--"]
        process = subprocess.Popen(
            [*command, sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
        launched.append(process)
        return process

    yield start
    for process in launched:
        process.terminate()
        process.communicate(timeout=60)


def rows(url, statement, *values):
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def are_alive(urls):
    """(PostgreSQL, Redis): whether each answers."""
    try:
        database = rows(urls["DATABASE_URL"], "SELECT 1") == [(1,)]
    except psycopg2.OperationalError:
        database = False
    try:
        with redis.Redis.from_url(urls["REDIS_URL"], retry=None) as client:
            return database, client.ping()
    except redis.ConnectionError:
        return database, False


def test_both_roles_are_plain_and_the_application_does_not_own(running):
    urls = running[1]
    found = rows(
        urls["DATABASE_URL"],
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles"
        " WHERE rolname LIKE 'parley%%' ORDER BY rolname",
    )
    rights = rows(
        urls["DATABASE_URL"],
        "SELECT current_user, current_database(), pg_has_role('parley_owner', 'MEMBER'),"
        " has_schema_privilege('public', 'USAGE'), has_schema_privilege('public', 'CREATE')",
    )
    owner = rows(
        urls["DATABASE_OWNER_URL"],
        "SELECT current_user, pg_get_userbyid(datdba), has_schema_privilege('public', 'CREATE')"
        " FROM pg_database WHERE datname = current_database()",
    )
    assert found == [
        ("parley_app", False, False, False, False),
        ("parley_owner", False, False, False, True),
    ]
    assert rights == [("parley_app", "parley", False, True, False)]
    assert owner == [("parley_owner", "parley_owner", True)]


def test_postgresql_keeps_its_promises_and_redis_is_a_cache_only(running):
    urls = running[1]
    durable = [rows(urls["DATABASE_URL"], f"SHOW {name}") for name in ("fsync", "TimeZone")]
    with redis.Redis.from_url(urls["REDIS_URL"], decode_responses=True) as client:
        names = ("save", "appendonly", "maxmemory", "maxmemory-policy")
        settings = [client.config_get(name)[name] for name in names]
    assert durable == [[("on",)], [("UTC",)]]
    assert settings == ["", "no", str(256 * 2**20), "allkeys-lru"]


def test_a_wrong_password_opens_neither(running):
    data, urls = running
    _, _, place = urls["DATABASE_URL"].rpartition("@")
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(f"postgresql://parley_app:guess@{place}")
    _, _, place = urls["REDIS_URL"].rpartition("@")
    stranger = redis.Redis.from_url(f"redis://{place}")
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    assert (data / "passwords.json").stat().st_mode & 0o777 == 0o600


def test_what_was_written_is_there_after_a_restart(data):
    with servers(data, {}) as urls:
        rows(urls["DATABASE_OWNER_URL"], "DROP TABLE IF EXISTS kept")
        rows(urls["DATABASE_OWNER_URL"], "CREATE TABLE kept AS SELECT 'still here' AS word")
    with servers(data, {}) as urls:
        assert rows(urls["DATABASE_OWNER_URL"], "TABLE kept") == [("still here",)]


def test_urls_in_the_environment_start_nothing(tmp_path):
    given = {"DATABASE_URL": "postgresql://elsewhere/parley", "REDIS_URL": "redis://elsewhere"}
    with servers(tmp_path / "none", given) as urls:
        assert urls == {}
    assert not (tmp_path / "none").exists()


def test_a_database_in_the_environment_leaves_redis_to_be_started(data):
    with servers(data, {"DATABASE_URL": "postgresql://elsewhere/parley"}) as urls:
        assert list(urls) == ["REDIS_URL"]
        with redis.Redis.from_url(urls["REDIS_URL"]) as client:
            assert client.ping()


def test_an_exception_in_the_block_stops_both(data):
    with pytest.raises(ZeroDivisionError), servers(data, {}) as urls:
        1 / 0  # noqa: B018
    assert are_alive(urls) == (False, False)


def test_a_second_start_in_the_same_directory_is_refused(running):
    data, urls = running
    with pytest.raises(SetupError, match="Another program"), servers(data, {}):
        pass
    assert are_alive(urls) == (True, True)


def test_a_second_launcher_says_why_it_does_not_start(running, bare_environ, capfd):
    data, urls = running
    assert main(["--data", str(data), "true"]) == 1
    assert are_alive(urls) == (True, True)
    assert "Another program is running the embedded servers" in capfd.readouterr().err


def test_a_cluster_that_does_not_start_shows_its_last_words():
    with tempfile.TemporaryDirectory(prefix="parley-broken-") as folder:
        (Path(folder) / "postgresql").mkdir()
        with pytest.raises(SetupError) as raised, servers(Path(folder), {}):
            pass
        words = (Path(folder) / "postgresql.log").read_text().strip()
    assert words
    assert str(raised.value).endswith(words)


def test_a_server_that_is_not_installed_is_named(data, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(SettingsError, match="requirements-dev"), servers(data, {}):
        pass


def test_the_programs_exit_code_is_passed_on(data, bare_environ, capfd):
    program = f"{TELL}; sys.exit(7)"
    assert main(["--data", str(data), "--", sys.executable, "-c", program]) == 7
    environ = json.loads(capfd.readouterr().out)
    assert environ["PARLEY_DATA"] == str(data)
    assert are_alive(environ) == (False, False)


def test_a_program_killed_by_a_signal_gives_a_shells_code(data, bare_environ):
    program = "import os; os.kill(os.getpid(), 9)"
    assert main(["--data", str(data), sys.executable, "-c", program]) == 128 + 9


def test_a_program_that_does_not_exist_is_named(data, bare_environ, capfd):
    assert main(["--data", str(data), "no-such-program"]) == 1
    assert "no-such-program can't be run" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_launcher_ends_the_program_and_then_the_servers(launch, number):
    handle = f"import signal; signal.signal({int(number)}, lambda *_: os._exit(5))"
    launcher = launch(f"import os; {handle}; {WAIT}")
    environ = json.loads(launcher.stdout.readline())
    assert are_alive(environ) == (True, True)
    launcher.send_signal(number)
    assert launcher.wait(60) == 5
    assert are_alive(environ) == (False, False)


def test_ctrl_c_to_the_whole_group_leaves_the_servers_up_until_the_program_is_done(launch):
    program = f"""
import os, psycopg2, signal, time
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
{TELL}
while not heard:
    time.sleep(0.01)
time.sleep(0.5)
psycopg2.connect(os.environ["DATABASE_URL"]).close()
sys.exit(3)
"""
    launcher = launch(program)
    environ = json.loads(launcher.stdout.readline())
    os.killpg(launcher.pid, signal.SIGINT)
    assert launcher.wait(60) == 3
    assert are_alive(environ) == (False, False)


def test_a_start_after_the_launcher_was_killed_leaves_one_pair(launch, data):
    launcher = launch(WAIT)
    first = json.loads(launcher.stdout.readline())
    launcher.kill()
    launcher.wait()
    assert are_alive(first) == (True, True)
    with servers(data, {}) as urls:
        assert are_alive(first) == (False, False)
        assert are_alive(urls) == (True, True)
    assert are_alive(urls) == (False, False)


def test_a_start_after_everything_was_killed_recovers(launch, data):
    launcher = launch(WAIT)
    first = json.loads(launcher.stdout.readline())
    launcher.kill()
    launcher.wait()
    for name in ("postgresql", "redis"):
        os.kill(int((data / f"{name}.pid").read_text()), signal.SIGKILL)
    until(lambda: are_alive(first) == (False, False), seconds=30)
    with servers(data, {}) as urls:
        assert are_alive(urls) == (True, True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_the_program_does_not_outlive_a_killed_launcher(launch, data):
    launcher = launch(f"import os; print(os.getpid(), flush=True); {WAIT}")
    program = int(launcher.stdout.readline())
    launcher.kill()
    launcher.wait()
    until(lambda: not Path(f"/proc/{program}").exists(), seconds=30)
    with servers(data, {}):
        pass
