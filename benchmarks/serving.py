"""What is measured while it streams: Parley and a bare application, on gunicorn as it is served."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import httpx2
import psutil

from app import Parley
from app.processes import free_port

from .crowd import Caller
from .scratch import scratch

WORKERS, CALLERS = 2, 4
SAID = 20  # messages of the conversation that short requests read
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Served:
    """An application that is served: what is asked of it, and how a whole answer of it ends."""

    port: int
    process: psutil.Process
    question: Callable[[int, str], bytes]
    short: bytes
    ending: bytes

    def callers(self) -> list[Caller]:
        return [Caller(self.short) for _ in range(CALLERS)]

    def sample(self) -> "Sample":
        workers = self.process.children()
        spent = [worker.cpu_times() for worker in workers]
        return Sample(
            moment=time.monotonic(),
            memory=sum(worker.memory_info().rss for worker in workers),
            processor=sum(times.user + times.system for times in spent),
        )


class Sample(NamedTuple):
    """What the workers use: bytes of memory, resident; seconds of processor time so far."""

    moment: float
    memory: int
    processor: float


@contextmanager
def gunicorn(application: str, environ: dict[str, str]) -> Iterator[tuple[int, psutil.Process]]:
    """A port where an application is served, and gunicorn's process; it logs to a file."""
    port = free_port()
    environ |= {"HOST": "127.0.0.1", "PORT": str(port), "WEB_CONCURRENCY": str(WORKERS)}
    command = [sys.executable, "-m", "gunicorn", application, "-c", "gunicorn.conf.py"]
    command += ["--log-level", "warning"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environ, stdout=log)
        try:
            while not _is_alive(port):
                time.sleep(0.1)
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(40)


def _is_alive(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/livez").status_code == HTTPStatus.OK
    except httpx2.TransportError:
        return False


@contextmanager
def bare() -> Iterator[Served]:
    with gunicorn("benchmarks.spoken:bare()", {}) as (port, process):

        def question(_number: int, message: str) -> bytes:
            return _post("/chat", message)

        yield Served(port, process, question, http_request("GET", "/livez"), b"")


@contextmanager
def parley(made: Parley, environ: dict[str, str], *, users: int) -> Iterator[Served]:
    tokens = [_bearer(made, f"user{number}@example.com") for number in range(users)]
    with gunicorn("wsgi:app", environ) as (port, process):

        def question(number: int, message: str) -> bytes:
            return _post("/chat?wire=sse", message, tokens[number])

        short = http_request("GET", f"/conversations/{_conversation(port, tokens[0])}", tokens[0])
        yield Served(port, process, question, short, b"event: done\n")


def _bearer(made: Parley, email: str) -> str:
    return made.services.tokens.issue(email, lifetime=timedelta(hours=1))


def _conversation(port: int, token: str) -> str:
    said = [{"role": ("user", "assistant")[n % 2], "content": "word " * 40} for n in range(SAID)]
    answer = httpx2.post(
        f"http://127.0.0.1:{port}/conversations",
        json={"messages": said},
        headers={"Authorization": f"Bearer {token}"},
    )
    return str(answer.json()["id"])


def _post(path: str, message: str, token: str = "") -> bytes:
    return http_request("POST", path, token, f'{{"message": "{message}"}}')


def http_request(method: str, path: str, token: str = "", body: str = "") -> bytes:
    size = len(body.encode())
    lines = [f"{method} {path} HTTP/1.1", "Host: benchmark", f"Content-Length: {size}"]
    lines += ["Content-Type: application/json"] if body else []
    lines += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([*lines, "", body]).encode()


@contextmanager
def environments() -> Iterator[tuple[Parley, dict[str, str]]]:
    """A Parley on a database of its own, and the variables for others on it."""
    secret = secrets.token_urlsafe(40)
    with scratch("parley_streams") as there:
        auth = replace(there.settings.auth, secrets={"": secret})
        made = Parley("recall", settings=replace(there.settings, auth=auth))
        yield (
            made,
            {
                "DATABASE_URL": there.settings.database_url,
                "SERVICE_AUTH_SECRET": secret,
                "SERVICE_AUTH_ISSUER": auth.issuer,
                "SERVICE_AUTH_AUDIENCE": auth.audience,
                "RESPONDER": "benchmarks.spoken:tokens",
                "RATE_LIMIT_DEFAULT": "1000000/minute",
            },
        )
        made.close()
