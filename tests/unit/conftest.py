"""A limit on the unit suite's time: the session fails when it takes UNIT_SECONDS or longer.

What is measured is what pytest reports: collection and tests, not the start of the interpreter. It
applies to runs that name tests/unit; where more runs, this file is read too late to see the start.
"""

import os
import time

import pytest

_started = pytest.StashKey[float]()
_seconds = pytest.StashKey[float]()


def pytest_sessionstart(session):
    session.config.stash[_started] = time.perf_counter()


def pytest_sessionfinish(session):
    config = session.config
    if _started in config.stash:
        config.stash[_seconds] = time.perf_counter() - config.stash[_started]
    if _is_over(config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if _is_over(config):
        limit = os.environ["UNIT_SECONDS"]
        terminalreporter.write_line(
            f"The unit tests took {config.stash[_seconds]:.2f} s; the limit is {limit} s.", red=True
        )


def _is_over(config):
    return config.stash.get(_seconds, 0.0) >= float(os.environ.get("UNIT_SECONDS") or "inf")
