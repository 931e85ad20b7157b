"""Runs what others keep conversations with, in their own environment, and tells how long it took.

    .venv-peers/bin/python -m benchmarks.peers.serve

Reads one JSON object a line and answers each with one: first where the servers are, then
`{"peer": name, "operation": "append" | "read" | "bulk", "times": n}`. It is answered with the
seconds and the seconds of processor time of all n together, without what led up to them.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from . import of_agno, of_langchain, of_openai

PEERS = {**of_langchain.PEERS, **of_openai.PEERS, **of_agno.PEERS}


def main() -> None:
    urls, answers = json.loads(sys.stdin.readline()), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    with asyncio.Runner() as runner:
        peers = {name: runner.run(_opened(make, urls)) for name, make in PEERS.items()}
        print(json.dumps({name: peer.OPERATIONS for name, peer in peers.items()}), file=answers)
        answers.flush()
        for line in sys.stdin:
            asked = json.loads(line)
            operation = getattr(peers[asked["peer"]], asked["operation"])
            print(json.dumps(runner.run(_timed(operation, asked["times"]))), file=answers)
            answers.flush()


async def _opened(make: Callable[..., Any], urls: dict[str, str]) -> Any:
    peer = make(**urls)
    await _done(peer.prepare())
    return peer


async def _timed(operation: Callable[[], Any], times: int) -> dict[str, float]:
    processor, started = time.process_time(), time.perf_counter()
    for _ in range(times):
        await _done(operation())
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "processor": time.process_time() - processor}


async def _done(given: Awaitable[Any] | Any) -> Any:
    return await given if isawaitable(given) else given


if __name__ == "__main__":
    main()
