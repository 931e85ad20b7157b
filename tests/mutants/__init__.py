"""Wrong builds of Parley as patches, and the copy of the checkout that they are applied to."""

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TESTS = re.compile(r"^Tests: (.+)$", re.MULTILINE)


def patches() -> list[Path]:
    return sorted(Path(__file__).parent.glob("*.patch"))


def witnesses(patch: Path) -> list[str]:
    """The tests that must fail under a patch, as its header names them, one a line."""
    return _TESTS.findall(patch.read_text())


def copy_checkout(target: Path) -> Path:
    """Copies what git tracks or would track, as it stands in the working tree; gives `target`."""
    listed = _git(ROOT, "ls-files", "-co", "--exclude-standard", "-z")
    listed.check_returncode()
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def apply(patch: Path, copy: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What `git apply` says; the copy is no repository, and must not be taken for part of one."""
    return _git(copy, "apply", *options, str(patch))


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    command = ["git", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
