"""The API against its own description: whatever is sent, the answer is one that is described.

All of schemathesis' checks and phases, over HTTP, from a fixed seed: a failure comes back.
"""

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from ..client import bearer
from ..measuring import unmeasured
from ..server import Server

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture
def server(app, settings):
    """One of its own."""
    with Server(settings) as server:
        yield server


def test_every_answer_is_one_that_is_described_and_no_worker_dies(app, server, tmp_path):
    workers = server.workers()
    token = bearer(app, f"{uuid4().hex}@example.com")
    examples = os.environ.get("SCHEMATHESIS_EXAMPLES", "15")  # of each operation and phase
    options = ["--no-color", "--checks=all", f"--max-examples={examples}"]
    # `bulk` may be a client's own id, too: so much more than POST is allowed there.
    options.append("--exclude-checks=allow_header_conformance")
    options.append(f"--header=Authorization: Bearer {token}")
    run = subprocess.run(
        [SCHEMATHESIS, f"--config-file={CONFIG}", "run", f"{server.url}/openapi.json", *options],
        cwd=tmp_path,
        env=unmeasured(),
        capture_output=True,
        text=True,
        check=False,
    )
    print(run.stdout[-2000:])
    assert run.returncode == 0, run.stdout + run.stderr
    assert server.workers() == workers
