"""Processes that one program starts, watches and stops: signals, locks, private files.

A server that outlives its starter is known by a lock (flock(2)) on its `.pid` file: it inherits the
locked descriptor, so that the lock is free exactly when the server and all its children are gone,
and the process number in the file is believed only while the lock is held.
"""

import ctypes
import fcntl
import os
import pwd
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

from .errors import SetupError

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 60.0  # seconds for a server to start, or to stop once it was asked to
_MOMENT = 1.0  # seconds for a program that was just killed to be gone


@contextmanager
def orderly_end() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit where they would have ended the process at once."""
    plain = [number for number in ENDINGS if signal.getsignal(number) is signal.SIG_DFL]
    with _handling(plain, lambda number, _: sys.exit(128 + number)):
        yield


@contextmanager
def held_back() -> Iterator[None]:
    """Signals that end the process wait for the block: starting and stopping are never halved."""
    noted: list[int] = []
    with _handling(ENDINGS, lambda number, _: noted.append(number)):
        yield
    for number in noted[:1]:
        signal.raise_signal(number)


@contextmanager
def _handling(
    numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], object]
) -> Iterator[None]:
    """Handle signals in the block; those that are ignored stay ignored."""
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def supervise(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the program and give its exit code (128 + n when signal n ended it).

    Signals for this process are passed on to it, and it keeps the terminal: Ctrl-C there reaches
    it from both, as two SIGINT.
    """
    program: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if program is None:
            early.append(number)
        else:
            program.send_signal(number)

    with _handling(ENDINGS, pass_on):
        program = _launch(command, environ)
        for number in early:
            program.send_signal(number)
        code = program.wait()
    return code if code >= 0 else 128 - code


def _launch(command: Sequence[str], environ: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            command,
            env=environ,
            preexec_fn=follow_parent,  # noqa: PLW1509 -- there is no other thread
        )
    except OSError as error:
        raise SetupError(f"{command[0]} can't be run: {error.strerror}.") from error


def follow_parent() -> None:
    """On Linux, this process gets SIGTERM when its parent dies (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Only one program at a time is in this block for `data`; SetupError for a second one."""
    with (data / "launcher.lock").open("w") as lock:
        if not _locks(lock, within=_MOMENT):
            raise SetupError(f"Another program is running the embedded servers in {data}.")
        yield


def claim(path: Path, ending: signal.Signals) -> tuple[IO[str], str]:
    """The locked file for a new server's number, and the number of the one before it.

    If that one is alive, a killed launcher left it behind: it is stopped first.
    """
    path.touch(mode=0o600)
    lock = path.open("r+")
    former = lock.read()
    if not _locks(lock):
        with suppress(ProcessLookupError, ValueError):
            os.kill(int(former), ending)
        if not _locks(lock, within=_PATIENCE):
            lock.close()
            raise SetupError(f"A server from an earlier run does not stop; see {path}: {former}.")
    lock.seek(0)
    lock.truncate()
    return lock, former


def _locks(file: IO[str], *, within: float = 0.0) -> bool:
    return _comes_true(lambda: _lock(file), within=within)


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def answers(server: "subprocess.Popen[bytes]", ready: Callable[[], bool]) -> bool:
    """Whether a server gets ready; False as soon as it has ended instead."""
    return _comes_true(lambda: server.poll() is not None or ready(), within=_PATIENCE) and (
        server.poll() is None
    )


def _comes_true(condition: Callable[[], bool], *, within: float) -> bool:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def stop(server: "subprocess.Popen[bytes]", *endings: signal.Signals) -> None:
    """Ask in each way in turn, until the server is gone."""
    for ending in (*endings, signal.SIGKILL):
        server.send_signal(ending)
        with suppress(subprocess.TimeoutExpired):
            server.wait(_PATIENCE)
            return


def write_private(path: Path, text: str) -> None:
    """Replace `path` by a file that only its owner can read, whole or not at all."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)


def spawn(
    command: Sequence[str | Path],
    *,
    lock: IO[str],
    log: IO[bytes],
    account: tuple[int, int] | None,
    given: str,
) -> "subprocess.Popen[bytes]":
    """A process out of the terminal's reach, which holds `lock` as long as it lives.

    `given` is its standard input, `account` the uid and gid to run as (None: ours).
    """
    uid, gid = account or (None, None)
    with tempfile.TemporaryFile("w+") as stdin:
        if account:
            os.fchown(stdin.fileno(), *account)
        stdin.write(given)
        stdin.seek(0)
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            pass_fds=[lock.fileno()],
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
        )


def unprivileged(home: Path) -> tuple[int, int] | None:
    """The uid and gid that root hands a server over to: who owns `home`, or nobody.

    PostgreSQL refuses root. Every system has the account `nobody`, so that none is created. None
    when this process is not root's.
    """
    if os.geteuid() != 0:
        return None
    if home.exists():
        return home.stat().st_uid, home.stat().st_gid
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def let_through(folder: Path) -> None:
    """Let others pass through (not list) a folder and those above it; says what it changes."""
    for passage in (folder, *folder.parents):
        mode = passage.stat().st_mode
        if not mode & 0o001:
            print(
                f"parley: let others through {passage} (o+x): PostgreSQL can't run as root",
                file=sys.stderr,
            )
            passage.chmod(mode | 0o001)


def admit(program: Path) -> None:
    """Let others run what stands in a folder, where root installed it for itself alone."""
    let_through(program.parent)
    if program.stat().st_mode & 0o005 != 0o005:
        for path in (program, *program.rglob("*")):
            path.chmod(path.stat().st_mode | (path.stat().st_mode & 0o500) >> 6)


def free_port() -> int:
    """A port of 127.0.0.1 below those that Linux gives to outgoing connections."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
