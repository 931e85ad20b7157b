"""What it costs that Redis is away, beside a Parley that was told to use none.

    make bench NAMES=redis_away

Nothing listens where the one's Redis should be; the other has no Redis at all and its cache off.
Reads and appends through the services, one of one after one of the other, in the same database.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Any

from app import Parley
from app.processes import free_port
from app.services.messages import Draft

from .figures import Figure, alternating, record
from .scratch import scratch
from .seeding import Batch, conversations_of, fill

ROUNDS, CALLS = 7, 200
OWNER = "somebody@example.com"
OFF: dict[str, Any] = {"cache_mode": "off"}
WHAT = {
    "read": "a read of 20 messages while Redis is away",
    "append": "an append while Redis is away",
}


def read(parley: Parley, conversation_id: str) -> object:
    return parley.services.conversations.read(OWNER, conversation_id, limit=20)


def append(parley: Parley, conversation_id: str) -> object:
    said = [Draft(role="user", content="And one more thing.")]
    return parley.services.tree.append(OWNER, conversation_id, said)


OPERATIONS: dict[str, Callable[[Parley, str], object]] = {"read": read, "append": append}


def measure() -> Iterator[Figure]:
    with ExitStack() as stack:
        there = stack.enter_context(scratch("parley_redis_away"))
        fill(there, [Batch(OWNER, 2_000, 20)])
        ids = conversations_of(there, OWNER, 20)
        away = replace(there.settings, redis_url=f"redis://127.0.0.1:{free_port()}")
        sides = {"ours": away, "theirs": replace(there.settings, **OFF)}
        parleys = {
            side: stack.enter_context(closing(Parley("recall", settings=settings)))
            for side, settings in sides.items()
        }
        for name, operation in OPERATIONS.items():
            works = {
                side: partial(operation, parley, ids.pop()) for side, parley in parleys.items()
            }
            yield Figure(
                name=f"redis_away.{name}",
                what=WHAT[name],
                against="the same with the cache off and no Redis",
                unit="µs",
                **alternating(works, rounds=ROUNDS, calls=CALLS),
            )


if __name__ == "__main__":
    record("redis_away", measure)
