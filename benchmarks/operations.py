"""The requests that are measured, to either side."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

import orjson

from . import handwritten
from .scale import middle_of
from .serving import http_request
from .sides import FEW, MANY, OWNER, Ground, Requests

CLIENTS = (1, 16, 64)
SAID = {"role": "user", "content": "What should I see in Huế when it rains for a week? " * 4}


@dataclass(frozen=True)
class Operation:
    """The same request to either side. `prepare` is called once, `before` ahead of each turn."""

    name: str
    what: str
    against: str
    ours: Requests
    theirs: Requests
    prepare: Callable[[], object] = lambda: None
    before: Callable[[], object] = lambda: None
    clients: Sequence[int] = CLIENTS


def operations(made: Ground) -> Iterator[Operation]:
    yield from _cached_reads(made)
    yield from _cold_reads(made)
    yield from _writes(made)
    yield from _lists(made)


def _cached_reads(made: Ground) -> Iterator[Operation]:
    token = made.token()
    for name, said, size, clients in (
        ("cached_read", 20, 20, CLIENTS),
        ("cached_100", 100, 101, (16,)),
    ):
        ids = made.ids(size)

        def ours(number: int, _: int, ids: list[str] = ids, said: int = said) -> list[bytes]:
            return [get(f"/conversations/{ids[number % len(ids)]}?limit={said}", token)]

        def theirs(number: int, _: int, ids: list[str] = ids) -> list[bytes]:
            return [get(f"/cached/{ids[number % len(ids)]}", token)]

        yield Operation(
            name,
            f"a read of {said} messages, cached",
            "one LRANGE of the same JSON, joined",
            ours,
            theirs,
            prepare=partial(_warm, made, ids, said),
            clients=clients,
        )


def _warm(made: Ground, ids: Sequence[str], said: int) -> None:
    """Both caches hold the conversations: the same record, the same messages."""
    token = made.token()
    for number in ids:
        answer = orjson.loads(made.parley.get(f"/conversations/{number}?limit={said}", token).text)
        items = [orjson.dumps(message) for message in answer.pop("messages")]
        key = handwritten.key(OWNER, number)
        made.cache.delete(key)
        made.cache.rpush(key, orjson.dumps(answer), *items)


def _cold_reads(made: Ground) -> Iterator[Operation]:
    token = made.token()
    for said in (15, 100):
        ids = made.ids(said)

        def asked(number: int, clients: int, ids: list[str] = ids, said: int = said) -> list[bytes]:
            own = ids[number::clients]
            return [get(f"/conversations/{each}?limit={said}", token) for each in own]

        yield Operation(
            f"cold_{said}",
            f"a read of {said} messages, each of a conversation that is not cached",
            "one SELECT of the messages, and orjson: no record, no cache to fill",
            asked,
            asked,
            before=made.cache.flushdb,
        )


def _writes(made: Ground) -> Iterator[Operation]:
    token, ids = made.token(), made.ids(1)
    body = orjson.dumps({"messages": [SAID]}).decode()

    def append(half: int, number: int, _: int) -> list[bytes]:
        return [post(f"/conversations/{ids[half * 64 + number]}/messages", token, body)]

    yield Operation(
        "append",
        "an append of a message",
        "the same statement, without row-level security",
        partial(append, 0),
        partial(append, 1),
    )

    def create(_number: int, _clients: int) -> list[bytes]:
        return [post("/conversations", token, '{"title": "A week in Hue"}')]

    yield Operation(
        "create", "the creation of a conversation", "one INSERT … RETURNING", create, create
    )


def _lists(made: Ground) -> Iterator[Operation]:
    few, many = made.token(FEW), made.token(MANY)
    against = "one SELECT of 21 rows, and orjson"
    cursor = middle_of(made.made, MANY, 20_000)
    half = made.ids(2, MANY)[10_000]
    moment = made.there.run("SELECT updated_at FROM conversations WHERE id = %s", [half])
    after = quote(f"{moment.fetchone()[0].isoformat()},{half}")
    for name, what, token, query, other in (
        ("list_200", "the first page of 20 of 200", few, "", ""),
        ("list_20000", "the first page of 20 of 20,000", many, "", ""),
        ("list_deep", "a page in the middle of 20,000", many, f"&cursor={cursor}", after),
    ):
        path = f"/conversations?limit=20{query}"
        theirs = "/conversations" + (f"?after={other}" if other else "")
        yield Operation(name, what, against, _always(path, token), _always(theirs, token))


def _always(path: str, token: str) -> Requests:
    return lambda _number, _clients: [get(path, token)]


def get(path: str, token: str) -> bytes:
    """A request as it is sent."""
    return http_request("GET", path, token)


def post(path: str, token: str, body: str) -> bytes:
    """A request as it is sent."""
    return http_request("POST", path, token, body)
