"""gunicorn with settings that can't be: a message from each worker, no traceback, and an end."""

import os
import subprocess
import sys

from tests.server import ROOT

CONFIGURED = ("-c", "gunicorn.conf.py")
UNSET = dict.fromkeys(("DATABASE_URL", "POSTGRES_HOST", "SERVICE_AUTH_SECRET"), "")


def serve(*options, **environ):
    """What gunicorn says, and its exit code."""
    command = [sys.executable, "-m", "gunicorn", "wsgi:app", *options]
    environ = os.environ | {"WEB_CONCURRENCY": "1", "HOST": "127.0.0.1", "PORT": "1"} | environ
    ended = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    return ended.stdout + ended.stderr, ended.returncode


def test_faults_in_the_settings_are_told_once():
    said, code = serve(*CONFIGURED, **UNSET)
    assert code == 3
    assert said.count("\n  DATABASE_URL: is missing") == 1
    assert said.count("\n  SERVICE_AUTH_SECRET: is missing") == 1
    assert said.count("Booting worker") == 1
    assert "Traceback" not in said


def test_a_role_that_could_walk_around_the_wall_is_told_once(settings, app):
    """Its password is not."""
    url = settings.database_owner_url
    environ = {
        "DATABASE_URL": url,
        "SERVICE_AUTH_SECRET": settings.auth.secrets[""],
        "SERVICE_AUTH_ISSUER": "tests",
        "SERVICE_AUTH_AUDIENCE": "parley",
    }
    said, code = serve(*CONFIGURED, **environ)
    assert code == 3
    assert said.count("database role parley_owner") == 1
    assert "Traceback" not in said
    assert url.split(":")[2].partition("@")[0] not in said


def test_gunicorns_own_settings_are_named_when_they_are_wrong():
    assert "parley: WORKER_CLASS must be" in serve(*CONFIGURED, WORKER_CLASS="sync")[0]
    for value in ("0", "-1", "many", "1.5"):
        said, code = serve(*CONFIGURED, PORT=value)
        assert (said, code) == ("parley: PORT must be a whole number from 1 on.\n", 1)
