"""Threads that take turns often: a hundred times as many chances to go wrong."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier


@contextmanager
def many_turns(threads: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose ``threads`` all run, and from then on take turns every 10 microseconds.

    All run before that, as a thread that starts is given its tracing, and two that are given it
    at the same moment fail with a RuntimeError.
    """
    usual = sys.getswitchinterval()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(Barrier(threads).wait, [10] * threads))
        sys.setswitchinterval(1e-5)
        try:
            yield pool
        finally:
            sys.setswitchinterval(usual)
