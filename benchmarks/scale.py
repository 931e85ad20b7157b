"""What size costs: the same operations on a million messages, on a tenth, and on 10,000.

    make bench NAMES=scale        make bench-scale (BENCH_MESSAGES=10000000)

A database of its own for each size, called by turns through the services, as a request would.
All grow alike: one owner has a fiftieth as many conversations as there are messages, and one
conversation with a tenth of them. Only the one who searches has as many everywhere.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from app import Parley
from app.services.lists import ListFilter
from app.services.messages import Draft
from app.services.search import Search
from app.services.windows import TurnPage, Window

from .figures import Figure, alternating, record
from .scratch import Scratch, scratch
from .seeding import Batch, conversations_of, fill

ROUNDS, CALLS = 5, 20
SMALL, LARGE = 10_000, int(os.environ.get("BENCH_MESSAGES") or 1_000_000)
PART, NAMES = ("scale", "growth") if LARGE == 1_000_000 else ("bench_scale", f"growth_{LARGE}")
SIZES = tuple(sorted({SMALL, LARGE // 10, LARGE}))
OWNER, SEARCHER = "much@example.com", "searcher@example.com"
SEARCHED = 1_000  # messages of the one who searches
WORDS = ("w3", "w250", "w4000", "w17 w90", '"w1 w2" OR w900', "w12*")
LIKE = "w250"

_ILIKE = """
SELECT conversation_id, id, role, content, created_at FROM messages
WHERE user_email = %(owner)s AND content ILIKE '%%' || %(word)s || '%%'
ORDER BY created_at DESC LIMIT 20
"""
_ILIKE_OF_CONVERSATIONS = """
SELECT m.conversation_id, m.id, m.role, m.content, m.created_at
FROM conversations c JOIN messages m ON m.conversation_id = c.id
WHERE c.user_email = %(owner)s AND m.content ILIKE '%%' || %(word)s || '%%'
ORDER BY m.created_at DESC LIMIT 20
"""


@dataclass(frozen=True)
class Place:
    """A database with Parley on it, its longest conversation, and where pages begin.

    `middle`: the cursor half way down the list; `oldest_shown`: of the last 50 messages.
    """

    parley: Parley
    there: Scratch
    longest: str
    middle: str | None
    oldest_shown: UUID | None = None


Operation = Callable[[Place], object]


@contextmanager
def places() -> Iterator[dict[int, Place]]:
    with ExitStack() as stack:
        found = {}
        for size in SIZES:
            there = stack.enter_context(scratch(f"parley_scale_{size}"))
            started = time.perf_counter()
            fill(there, batches(size))
            print(f"Made {size:,} messages in {time.perf_counter() - started:.0f} s.", flush=True)
            found[size] = _place(there, size)
            stack.callback(found[size].parley.close)
        yield found


def batches(size: int) -> list[Batch]:
    """So many messages in all; those of others make up what the two have not."""
    own = [Batch(OWNER, size // 50, 2), Batch(OWNER, 1, size // 10), Batch(SEARCHER, 50, 20)]
    left = size - sum(batch.conversations * batch.messages for batch in own)
    return [*own, Batch("u%s@example.com", 10, 85, users=left // 850)]


def _place(there: Scratch, size: int) -> Place:
    parley = Parley("recall", settings=there.settings)
    (longest,) = conversations_of(there, OWNER, size // 10)
    place = Place(parley, there, longest, middle_of(parley, OWNER, size // 50))
    return replace(place, oldest_shown=tail(place).turns[0].id)


def middle_of(parley: Parley, owner: str, count: int) -> str | None:
    """The cursor half way down an owner's list."""
    cursor = None
    for _ in range(count // 200):
        page = parley.services.lists.page(owner, ListFilter(), limit=100, cursor=cursor)
        cursor = page.next_cursor
    return cursor


def first_page(place: Place) -> object:
    return place.parley.services.lists.page(OWNER, ListFilter(), limit=20)


def middle_page(place: Place) -> object:
    return place.parley.services.lists.page(OWNER, ListFilter(), limit=20, cursor=place.middle)


def tail(place: Place) -> TurnPage:
    window = Window(limit=50)
    return place.parley.services.tree.page(OWNER, place.longest, window, branch="active")


def before(place: Place) -> object:
    window = Window(limit=50, before=place.oldest_shown)
    return place.parley.services.tree.page(OWNER, place.longest, window, branch="active")


def append(place: Place) -> object:
    said = [Draft(role="user", content="And one more thing.")]
    return place.parley.services.tree.append(OWNER, place.longest, said)


def search(*texts: str) -> Operation:
    def search_each(place: Place) -> object:
        service = place.parley.services.search
        return [service.search(SEARCHER, Search(text=text), limit=20) for text in texts]

    return search_each


OPERATIONS: Mapping[str, tuple[str, Operation]] = {
    "append": ("an append to the longest conversation", append),
    "tail": ("the last 50 messages of the longest conversation", tail),
    "before": ("the 50 before them", before),
    "list": ("the first page of the list", first_page),
    "middle": ("a page in the middle of the list", middle_page),
    "search": (f"{len(WORDS)} searches of one's own messages", search(*WORDS)),
    **{f"search {words}": (f"a search for {words}", search(words)) for words in WORDS},
}


def measure() -> Iterator[Figure]:
    with places() as found:
        for name, (what, operation) in OPERATIONS.items():
            works = {str(size): partial(operation, found[size]) for size in SIZES}
            spent = alternating(works, rounds=ROUNDS, calls=CALLS)
            for size in SIZES[1:]:
                yield Figure(
                    name=f"{NAMES}.{name}" + ("" if size == LARGE else f"@{size}"),
                    what=f"{what}, with {size:,} messages",
                    against=f"the same with {SMALL:,} messages",
                    unit="µs",
                    ours=spent[str(size)],
                    theirs=spent[str(SMALL)],
                )
        yield from _beside_ilike(found[LARGE])


def _beside_ilike(place: Place) -> Iterator[Figure]:
    for name, statement, which in (
        ("ilike", _ILIKE, "among the messages of the owner"),
        ("ilike_joined", _ILIKE_OF_CONVERSATIONS, "in the messages of the owner's conversations"),
    ):
        works = {
            "ours": partial(search(LIKE), place),
            "theirs": partial(_like, place.there, statement),
        }
        spent = alternating(works, rounds=ROUNDS, calls=1 if name == "ilike" else CALLS)
        rates = {side: [1e6 / each for each in values] for side, values in spent.items()}
        yield Figure(
            name=f"{NAMES}.{name}",
            what=f"a search for {LIKE} in {SEARCHED:,} of {LARGE:,} messages",
            against=f"ILIKE '%{LIKE}%' {which}, newest 20: unranked, no snippet, no "
            "row-level security",
            unit="1/s",
            **rates,
        )


def _like(there: Scratch, statement: str) -> Any:
    return there.run(statement, {"owner": SEARCHER, "word": LIKE}).fetchall()


if __name__ == "__main__":
    command = "make bench-scale" if PART == "bench_scale" else ""
    record(PART, measure, command=command)
