"""Parley as it is served: gunicorn with its own configuration, on loopback."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import psutil

from app.processes import free_port

from .measuring import unmeasured
from .streams import until

ROOT = Path(__file__).parents[1]


class Server:
    """`with Server(settings, WEB_CONCURRENCY="2") as server: server.url`; all names are strings.

    `application`: what gunicorn serves. `is_measured`: whether coverage counts its lines.
    """

    def __init__(self, settings, *, application="wsgi:app", is_measured=False, **environ):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        around = os.environ if is_measured else unmeasured()
        self._environ = around | _environ(settings) | {"HOST": "127.0.0.1"} | environ
        self._environ["PORT"] = str(self.port)
        self._application = application
        self._process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        command = [sys.executable, "-m", "gunicorn", self._application, "-c", "gunicorn.conf.py"]
        self._process = subprocess.Popen(command, cwd=ROOT, env=self._environ)
        try:
            until(self.is_alive, seconds=60)
        except AssertionError:
            self.stop()  # nobody else will
            raise

    def stop(self):
        """Asks it to end; its exit code."""
        self._process.terminate()
        return self._process.wait(40)

    def is_alive(self):
        try:
            return httpx2.get(f"{self.url}/livez", timeout=5).status_code == 200
        except httpx2.TransportError:
            return False

    def workers(self):
        """The process ids of the workers."""
        return [child.pid for child in psutil.Process(self._process.pid).children()]


def _environ(settings):
    return {
        "DATABASE_URL": settings.database_url,
        "DATABASE_OWNER_URL": settings.database_owner_url,
        "REDIS_URL": settings.redis_url,
        "SERVICE_AUTH_SECRET": settings.auth.secrets[""],
        "SERVICE_AUTH_ISSUER": settings.auth.issuer,
        "SERVICE_AUTH_AUDIENCE": settings.auth.audience,
        "RATE_LIMIT_DEFAULT": settings.rate_limit_default or "none",
        "RATE_LIMIT_CHAT": settings.rate_limit_chat or "none",
        "RATE_LIMIT_CREATE": settings.rate_limit_create or "none",
        "LOG_FILE": settings.log_file,
        "WEB_CONCURRENCY": "2",
    }
