"""`python -m app.development`: migrate, serve on loopback, and say how to talk to it.

`make run` runs it under `python -m app.embedded`. It chooses what is not set and prints its choice:
the port, a secret for the day, a token to try things with. Ctrl-C stops it, with exit code 0.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from types import FrameType
from urllib.parse import urlsplit

import httpx2
from dotenv import load_dotenv

from . import clock
from .errors import SettingsError, SetupError
from .processes import ENDINGS, follow_parent, stop, write_private

_PATIENCE = 60.0  # seconds for the server to answer /readyz
_EMAIL = "you@example.com"
_COMMANDS_NEED = ("DATABASE_", "POSTGRES_", "REDIS_URL", "SERVICE_AUTH_", "ALLOW_", "FLASK_APP")
_KEYS = ("SERVICE_AUTH_SECRET", "SERVICE_AUTH_SECRETS")


def complete(environ: MutableMapping[str, str], data: Path) -> None:
    """Choose what `environ` leaves open. `data` keeps the day's secret."""
    defaults = {
        "FLASK_APP": "wsgi",
        "HOST": "127.0.0.1",
        "PORT": "8000",
        "SERVICE_AUTH_ISSUER": "parley-development",
        "SERVICE_AUTH_AUDIENCE": "parley",
    }
    for name, value in defaults.items():
        if not _is_set(environ, name):
            environ[name] = value
    if not any(_is_set(environ, name) for name in _KEYS):
        day = clock.now().date().isoformat()
        environ["SERVICE_AUTH_SECRET"] = secret_of(day, data / "development-secret.json")


def keep_environ(environ: Mapping[str, str], path: Path) -> None:
    """Writes what commands beside the server need, for a shell to read; ours alone to see."""
    path.parent.mkdir(parents=True, exist_ok=True)
    needed = {name: value for name, value in environ.items() if name.startswith(_COMMANDS_NEED)}
    write_private(path, "".join(f"export {n}={quote(v)}\n" for n, v in sorted(needed.items())))


def secret_of(day: str, path: Path) -> str:
    """The random secret of that day (YYYY-MM-DD), made at its first use and kept in `path`."""
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    if day not in kept:
        kept = {day: secrets.token_urlsafe(48)}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, json.dumps(kept))
    return kept[day]


def check_port(host: str, port: str) -> None:
    """SettingsError when nothing can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except (ValueError, OverflowError):
            raise SettingsError({"PORT": [f"{port} is not a port number."]}) from None
        except OSError as error:
            reason = f"{port} can't be used ({error.strerror}); try another: PORT=8001 make run"
            raise SettingsError({"PORT": [reason]}) from None


def main() -> int:
    """Serve until a signal; 0 after Ctrl-C or SIGTERM, 1 with a message when it can't."""
    for number in ENDINGS:
        signal.signal(number, _interrupt)
    load_dotenv(Path(".env"))
    data = Path(os.environ.get("PARLEY_DATA") or ".data")
    try:
        complete(os.environ, data)
        keep_environ(os.environ, data / "environ")
        check_port(os.environ["HOST"], os.environ["PORT"])
        return _serve(data)
    except KeyboardInterrupt:
        return 0
    except SetupError as error:
        print(f"parley: {error}", file=sys.stderr)
        return 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """The first signal ends the program, in order; more of them change nothing."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _serve(data: Path) -> int:
    _flask("db", "upgrade")
    address = f"http://{os.environ['HOST']}:{os.environ['PORT']}"
    with _gunicorn() as server:
        _await(f"{address}/readyz", server)
        token = _flask("tokens", "issue", "--email", _EMAIL, "--hours", "12")
        print(_welcome(address, token, data), flush=True)
        return server.wait()


def _flask(*arguments: str) -> str:
    """What a flask command prints. Away from the terminal, so that Ctrl-C is ours alone."""
    command = [sys.executable, "-m", "flask", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, start_new_session=True, check=False
    )
    if done.returncode:
        words = " ".join(arguments[:2])
        raise SetupError(f"`flask {words}` failed:\n{done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def _gunicorn() -> Iterator["subprocess.Popen[bytes]"]:
    """gunicorn while the block runs; at the end, answers under way get GRACE_SECONDS, or three."""
    command = [sys.executable, "-m", "gunicorn", "wsgi:app", "-c", "gunicorn.conf.py"]
    server = subprocess.Popen(
        [*command, "--log-level", "warning"],
        env={"GRACE_SECONDS": "3"} | os.environ,
        start_new_session=True,
        preexec_fn=follow_parent,  # noqa: PLW1509 -- there is no other thread
    )
    try:
        yield server
    finally:
        stop(server, signal.SIGTERM)


def _await(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _is_ready(url):
        if server.poll() is not None:
            raise SetupError("The server ended before it was ready; see above.")
        if time.monotonic() > deadline:
            raise SetupError(f"{url} was not ready after {_PATIENCE:.0f} seconds.")
        time.sleep(0.1)


def _is_ready(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def _welcome(address: str, token: str, data: Path) -> str:
    headers = f"-H 'Authorization: Bearer {token}' -H 'Content-Type: application/json'"
    body = """-d '{"message": "Hello, who are you?"}'"""
    return f"""
Parley is ready at {address} (Ctrl-C stops it).

  documentation  {address}/docs
  PostgreSQL     {_place("DATABASE_URL")}
  Redis          {_place("REDIS_URL")}
  data           {data}
  commands       (. {data / "environ"} && {sys.executable} -m flask users --help)
  token          for {_EMAIL}, 12 hours:

{token}

Try it:

curl -N {address}/chat {headers} {body}
"""


def _place(name: str) -> str:
    """Host, port and database of a URL, without user and password."""
    url = urlsplit(os.environ.get(name, ""))
    host = url.netloc.rpartition("@")[2]
    return f"{host}{url.path}" if host else "as set"


def _is_set(environ: MutableMapping[str, str], name: str) -> bool:
    return bool(environ.get(name) or environ.get(f"{name}_FILE"))


if __name__ == "__main__":
    sys.exit(main())
