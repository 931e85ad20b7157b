"""A limit on the unit suite's time: the session fails when it takes UNIT_SECONDS or longer.

What is measured is this process's time on a processor from the first test to the end of the last:
neither what other programs do on the machine counts, nor the import of the code under test, nor
the tables of Unicode that hypothesis makes once on a new machine.
"""

import gc
import os
import time

import pytest
from hypothesis import strategies

_started = pytest.StashKey[float]()
_seconds = pytest.StashKey[float]()


def pytest_collection_finish(session):
    strategies.text().validate()
    strategies.characters(categories=("L",)).validate()
    gc.freeze()
    session.config.stash[_started] = time.process_time()


def pytest_sessionfinish(session):
    config = session.config
    if _started in config.stash:
        config.stash[_seconds] = time.process_time() - config.stash[_started]
    if _is_over(config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if _is_over(config):
        took = f"{config.stash[_seconds]:.2f} s of processor time"
        limit = os.environ["UNIT_SECONDS"]
        terminalreporter.write_line(
            f"The unit tests took {took}; the limit is {limit} s.", red=True
        )


def _is_over(config):
    return config.stash.get(_seconds, 0.0) >= float(os.environ.get("UNIT_SECONDS") or "inf")
