"""What a newcomer does: `make run`, paste the curl line, Ctrl-C, and `make run` again."""

import os
import shlex
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest

from app.processes import free_port
from tests.measuring import unmeasured

ROOT = Path(__file__).parents[2]
CHOSEN = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")


@pytest.fixture
def newcomer():
    """An environment in which nothing is chosen but a port and a folder for the data.

    Not under pytest's own folder: PostgreSQL, which never runs as root, must get through to it,
    and each start of pytest closes that folder to others.
    """
    bare = {name: value for name, value in unmeasured().items() if name not in CHOSEN}
    with tempfile.TemporaryDirectory(prefix="parley-newcomer-") as data:
        yield bare | {"PARLEY_DATA": data, "PORT": str(free_port())}


def test_the_printed_line_streams_an_answer_and_the_conversation_outlives_the_server(newcomer):
    with make_run(newcomer) as greeting:
        answer = paste(greeting)
        assert "No language model is set up here" in answer
        said = conversations(greeting)
        assert [conversation["message_count"] for conversation in said] == [2]
        assert httpx2.get(f"{address(greeting)}/docs").status_code == 200
    assert left_behind(newcomer) == []
    with make_run(newcomer) as greeting:
        assert conversations(greeting) == said
    assert left_behind(newcomer) == []


def test_a_port_that_is_taken_is_named(newcomer):
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", int(newcomer["PORT"])))
        squatter.listen()
        place = {"cwd": ROOT, "env": newcomer}
        ended = subprocess.run(
            ["make", "run"], **place, capture_output=True, text=True, timeout=120, check=False
        )
    assert ended.returncode
    assert f"PORT: {newcomer['PORT']} can't be used" in ended.stderr
    assert left_behind(newcomer) == []


@contextmanager
def make_run(environ):
    """The greeting of a server that runs, and ends by Ctrl-C."""
    process = subprocess.Popen(
        ["make", "run"],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        greeting = []
        for line in process.stdout:
            greeting.append(line.strip())
            if line.startswith("curl "):
                break
        assert "".join(greeting[-1:]).startswith("curl "), greeting
        yield greeting
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)


def paste(greeting):
    """What the printed line prints; its curl is given a limit of time."""
    command = [*shlex.split(greeting[-1]), "--silent", "--max-time", "20"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def conversations(greeting):
    bearer = shlex.split(greeting[-1])[4]
    name, _, value = bearer.partition(": ")
    answer = httpx2.get(f"{address(greeting)}/conversations", headers={name: value})
    return answer.json()["conversations"]


def address(greeting):
    return shlex.split(greeting[-1])[2].removesuffix("/chat")


def left_behind(environ):
    """Processes of this data folder or this port."""
    folder = environ["PARLEY_DATA"]
    return [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline", "environ"])
        if folder in " ".join(process.info["cmdline"] or ())
        or (process.info["environ"] or {}).get("PARLEY_DATA") == folder
    ]
