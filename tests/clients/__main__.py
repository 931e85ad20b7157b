"""Real clients against a real server: runs node's tests here on two workers of gunicorn.

python -m app.embedded -- python -m tests.clients [node's arguments]
"""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import flask_migrate

from app import Settings, create_app
from tests.client import bearer
from tests.server import Server

HERE = Path(__file__).parent


def main(arguments):
    """The exit code of node's tests."""
    names = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
    auth = {
        "SERVICE_AUTH_SECRET": secrets.token_hex(32),
        "SERVICE_AUTH_ISSUER": "clients",
        "SERVICE_AUTH_AUDIENCE": "parley",
        "RATE_LIMIT_DEFAULT": "none",
        "RATE_LIMIT_CHAT": "none",
        "RATE_LIMIT_CREATE": "none",
    }
    settings = Settings.from_environ({name: os.environ[name] for name in names} | auth)
    app = create_app(settings)
    with app.app_context():
        flask_migrate.upgrade()
    served = {
        "RESPONDER": "tests.clients.responders:answer",
        "AGENT_RESPONDER": "tests.clients.responders:agent",
        "MAX_RUNS_PER_USER": "32",
        "LOG_LEVEL": "ERROR",
        "LOG_FILE": "",
    }
    with Server(settings, **served) as server:
        token = bearer(app, "client@example.com")
        environ = os.environ | {"PARLEY_URL": server.url, "PARLEY_TOKEN": token}
        command = ["node", "--test", *arguments]
        return subprocess.run(command, cwd=HERE, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
