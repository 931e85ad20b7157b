"""Deliberately wrong builds: each patch here must turn the tests that it names red.

    python -m tests.mutants [NAME…]

In a copy of the checkout, the tests are run as they are, then once for each patch. An error, or a
patch that does not apply, proves nothing and counts as a failure.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.embedded import servers

from . import apply, copy_checkout, patches, witnesses

# A program that refuses to start is found out too.
_FAILED = re.compile(r"^(?:FAILED|ERROR(?=.*UnsafeRoleError)) (.+?)(?: - .*)?$", re.MULTILINE)
_TESTS_FAILED = 1  # pytest's exit code; others are errors
# No bytecode: it could outlive its source. Wide lines: they name the tests that failed.
_QUIET = {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "500"}


@dataclass(frozen=True)
class Mutant:
    """A wrong build: its patch, and the tests that must see what is wrong."""

    name: str
    patch: Path
    tests: Sequence[str]


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: `verdict` is `red` if tests failed, and loud if not."""

    verdict: str
    detail: str


def main(names: Sequence[str]) -> int:
    """The exit code: 0 when every mutant was found out."""
    mutants = list(_mutants(names))
    with (
        tempfile.TemporaryDirectory(prefix="parley-mutants-") as folder,
        servers(Path(folder) / "data", os.environ, durable=False) as urls,
    ):
        copy = copy_checkout(Path(folder) / "copy")
        environ = {**os.environ, **urls, **_QUIET}
        tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        sound = _pytest(copy, tests, environ)
        if sound.returncode:
            print(sound.stdout, "Without any patch these tests must be green.", sep="\n")
            return 1
        verdicts = [_report(mutant, copy, environ) for mutant in mutants]
        return int(set(verdicts) != {"red"})


def _mutants(names: Sequence[str]) -> Iterator[Mutant]:
    known = {patch.stem: patch for patch in patches()}
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"No such patch: {', '.join(unknown)}. There are: {', '.join(known)}.")
    for name in names or known:
        yield Mutant(name, known[name], witnesses(known[name]))


def _report(mutant: Mutant, copy: Path, environ: dict[str, str]) -> str:
    """Prints a line about a mutant and gives its verdict."""
    started = time.monotonic()
    outcome = _tried(mutant, copy, environ)
    spent = time.monotonic() - started
    print(f"{mutant.name:40} {outcome.verdict:7} {spent:5.1f} s  {outcome.detail}", flush=True)
    return outcome.verdict


def _tried(mutant: Mutant, copy: Path, environ: dict[str, str]) -> Outcome:
    applied = apply(mutant.patch, copy)
    if applied.returncode:
        return Outcome("UNFIT", applied.stderr.strip())
    try:
        return _judged(_pytest(copy, ["-x", *mutant.tests], environ))
    finally:
        apply(mutant.patch, copy, "--reverse").check_returncode()


def _judged(run: subprocess.CompletedProcess[str]) -> Outcome:
    if run.returncode == 0:
        return Outcome("GREEN", "no test saw it")
    failed = _FAILED.search(run.stdout)
    if run.returncode != _TESTS_FAILED or failed is None:
        return Outcome("ERROR", "\n" + run.stdout[-2000:] + run.stderr[-2000:])
    return Outcome("red", failed[1])


def _pytest(
    copy: Path, arguments: Sequence[str], environ: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=copy, env=environ, capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
