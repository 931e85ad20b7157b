"""Which lines are counted: coverage more than doubles the time of what it counts."""

import os
import sys
import threading
from contextlib import contextmanager


def unmeasured(environ=os.environ):
    """That environment, for a process whose lines other tests run as well."""
    return {name: value for name, value in environ.items() if not name.startswith("COVERAGE_")}


@contextmanager
def uncounted():
    """Lines that this thread, and those that it begins, run within are not counted."""
    here, elsewhere = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        threading.settrace(elsewhere)
        sys.settrace(here)
