"""What requests cost over HTTP, beside endpoints written by hand for the same.

    make bench NAMES=endpoints

Parley and `handwritten` are served with the same gunicorn settings (gevent, two workers), on the
same PostgreSQL and Redis, and asked by turns at 1, 16 and 64 clients. Parley counts, logs and tells
other workers as it does by default; only its rate limits are off, as the others have none.
"""

import statistics
from collections.abc import Iterator, Sequence
from functools import partial

import orjson

from .crowd import Asker, Crowd
from .figures import PROCESSOR, Figure, by_turns, record
from .operations import SAID, Operation, get, operations, post
from .scrapes import cache_reads, statements
from .sides import USERS, Ground, Requests, Side, Taken, ground

ROUNDS = 5
COUNTED = 50  # requests, when their statements are counted
CROWD_SECONDS = 6.0


def compared(made: Ground, operation: Operation) -> Iterator[Figure]:
    operation.prepare()
    for clients in operation.clients:
        works = {
            "ours": partial(_turn, made.parley, operation, operation.ours, clients),
            "theirs": partial(_turn, made.other, operation, operation.theirs, clients),
        }
        found = by_turns(works, rounds=ROUNDS)
        yield from _figures(operation, clients, found["ours"], found["theirs"])
    yield from _counted(made, operation)


def _turn(side: Side, operation: Operation, requests: Requests, clients: int) -> Taken:
    operation.before()
    taken = side.asked(requests, clients)
    if taken.failed:
        raise SystemExit(f"{operation.name}: {len(taken.failed)} errors, as {taken.failed[0]!r}.")
    return taken


def _figures(
    operation: Operation, clients: int, ours: Sequence[Taken], theirs: Sequence[Taken]
) -> Iterator[Figure]:
    busy = statistics.median(taken.generator for taken in (*ours, *theirs))
    at = f"@{clients}"
    for name, unit, value in (
        ("rate", "1/s", lambda taken: taken.rate),
        ("processor", PROCESSOR, lambda taken: taken.processor),
    ):
        yield Figure(
            name=f"{operation.name}.{name}{at}",
            what=f"{operation.what}, {clients} {'clients' if clients > 1 else 'client'}",
            against=operation.against,
            unit=unit,
            ours=[value(taken) for taken in ours],
            theirs=[value(taken) for taken in theirs],
            note=f"the clients were busy {busy:.0%} of the time",
        )
    if clients == 16:
        yield Figure(
            name=f"{operation.name}.p99",
            what=f"{operation.what}, 99 of 100 answers within",
            against="of each round at 16 clients",
            unit="ms",
            ours=[_p99(taken.seconds) for taken in ours],
            theirs=[_p99(taken.seconds) for taken in theirs],
        )


def _p99(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=100)[-1] * 1000


def _counted(made: Ground, operation: Operation) -> Iterator[Figure]:
    """How many statements a request takes, as Parley itself counts them over its workers.

    The least: a worker's first connection asks PostgreSQL for its version, too.
    """
    yield Figure(
        name=f"{operation.name}.statements",
        what=f"SQL statements of {operation.what}",
        against=f"/metrics, over {COUNTED} requests, the least of three times",
        unit="a request",
        ours=[min(_statements(made, operation) for _ in range(3))],
    )


def _statements(made: Ground, operation: Operation) -> float:
    operation.before()
    asker = Asker(operation.ours(0, 1), most=COUNTED)
    before = statements(made.parley.get("/metrics").text)
    Crowd(made.parley.port).call([asker], seconds=30)
    after = statements(made.parley.get("/metrics").text)
    return (after - before) / len(asker.seconds)


def pages(made: Ground, every: dict[str, Operation]) -> Iterator[Figure]:
    """A list beside a list: what more conversations cost, and going down among them."""
    for one, other, name in (
        ("list_20000", "list_200", "list_20000.beside_200"),
        ("list_deep", "list_20000", "list_deep.beside_first"),
    ):
        works = {
            side: partial(_turn, made.parley, every[which], every[which].ours, 1)
            for side, which in (("ours", one), ("theirs", other))
        }
        found = by_turns(works, rounds=ROUNDS)
        spent = {side: [1000 / taken.rate for taken in each] for side, each in found.items()}
        yield Figure(
            name=name,
            what=f"{every[one].what}, one client",
            against=f"Parley's own answer to {every[other].what}",
            unit="ms",
            **spent,
        )


def crowd(made: Ground) -> Iterator[Figure]:
    """A hundred users at once: each lists, reads nine times and appends, over and over."""
    asked = [_visit(made, f"crowd{number + 1}@example.com") for number in range(USERS)]

    def visits(number: int, _: int) -> Sequence[bytes]:
        return asked[number]

    made.parley.asked(visits, USERS, seconds=CROWD_SECONDS / 3)  # they come first
    before = cache_reads(made.parley.get("/metrics").text)
    taken = made.parley.asked(visits, USERS, seconds=CROWD_SECONDS)
    reads = cache_reads(made.parley.get("/metrics").text) - before
    against = (
        f"{len(taken.seconds):,} requests in {CROWD_SECONDS:.0f} s, {taken.rate:,.0f} a second"
    )
    for name, what, unit, value in (
        ("hits", "reads that the cache served", "%", reads["hit"] / max(1, reads.total()) * 100),
        ("errors", "errors", "%", len(taken.failed) / len(taken.seconds) * 100),
        ("p99", "99 of 100 answers within", "ms", _p99(taken.seconds)),
    ):
        yield Figure(
            name=f"crowd.{name}",
            what=f"{USERS} users at once: {what}",
            against=against,
            unit=unit,
            ours=[value],
        )


def _visit(made: Ground, user: str) -> list[bytes]:
    token, (number,) = made.token(user), made.ids(20, user)
    read = get(f"/conversations/{number}?limit=20", token)
    body = orjson.dumps({"messages": [SAID]}).decode()
    said = post(f"/conversations/{number}/messages", token, body)
    return [get("/conversations?limit=20", token), *[read] * 5, said, *[read] * 4]


def measure() -> Iterator[Figure]:
    with ground() as made:
        every = {operation.name: operation for operation in operations(made)}
        for operation in every.values():
            yield from compared(made, operation)
        yield from pages(made, every)
        yield from crowd(made)


if __name__ == "__main__":
    record("endpoints", measure)
