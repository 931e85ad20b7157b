"""What size costs: the same operations on much, and on a hundredth of it.

    .venv/bin/python -m app.embedded --data DIR -- .venv/bin/python -m benchmarks.scale

Three databases of its own, called by turns through the services, as a request would: `full`,
`hundredth` and `alone`, which holds of all that `full` has only the one whose messages are
searched. Takes some five minutes, most of it to fill them.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from app import Parley
from app.services.lists import ListFilter
from app.services.messages import Draft
from app.services.search import Search
from app.services.windows import TurnPage, Window

from .scratch import Scratch, scratch

ROUNDS, CALLS = 7, 40
OWNER, SEARCHER = "much@example.com", "searcher@example.com"
SEARCHED = 1_000  # messages of the one who searches
WORDS = ("w3", "w250", "w4000", "w17 w90", '"w1 w2" OR w900', "w12*")

_TEXTS = """
CREATE TEMP TABLE texts AS
SELECT n AS number, string_agg('w' || floor(20000 * power(random(), 3))::int, ' ') AS text
FROM generate_series(0, 4999) n, generate_series(1, 30) GROUP BY n;
CREATE UNIQUE INDEX ON texts (number);
"""
_USERS = """
INSERT INTO users (id, email) VALUES
    (gen_random_uuid(), %(owner)s), (gen_random_uuid(), %(searcher)s);
INSERT INTO users (id, email)
SELECT gen_random_uuid(), 'u' || n || '@example.com' FROM generate_series(1, %(others)s) n
"""
_CONVERSATIONS = """
INSERT INTO conversations (
    id, user_email, title, preview, message_count, next_seq, updated_at)
SELECT gen_random_uuid(), %(email)s, 'About topic ' || n, 'message ' || n, %(messages)s,
    %(messages)s + 1, now() - n * interval '1 minute'
FROM generate_series(1, %(count)s) n
"""
_OF_OTHERS = """
INSERT INTO conversations (id, user_email, title, message_count, next_seq, updated_at)
SELECT gen_random_uuid(), email, 'About topic ' || n, %(messages)s, %(messages)s + 1,
    now() - n * interval '1 hour'
FROM users, generate_series(1, %(count)s) n WHERE email LIKE 'u%%'
"""
_MESSAGES = """
INSERT INTO messages (
    conversation_id, id, user_email, seq, parent_id, role, content, search_words)
SELECT c.id, md5(c.id::text || n)::uuid, c.user_email, n,
    CASE WHEN n > 1 THEN md5(c.id::text || n - 1)::uuid END,
    CASE n % 2 WHEN 1 THEN 'user' ELSE 'assistant' END, t.text, to_tsvector('simple', t.text)
FROM conversations c, generate_series(1, c.message_count) n, texts t (number, text)
WHERE t.number = (hashtext(c.id::text) % 5000 + 5000 + n * 7919) % 5000;
UPDATE conversations c SET active_leaf_id = md5(c.id::text || c.message_count)::uuid
WHERE message_count > 0
"""
_SEARCH_INDEX = "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_messages_search'"
_LONGEST = """
SELECT id::text FROM conversations WHERE user_email = %s ORDER BY message_count DESC LIMIT 1
"""


@dataclass(frozen=True)
class Size:
    """How much a database holds: of one owner, and of others."""

    conversations: int
    longest: int
    messages: int


SIZES = {
    "full": Size(20_000, 100_000, 1_000_000),
    "hundredth": Size(200, 1_000, 10_000),
    "alone": Size(0, 0, 0),
}


@dataclass(frozen=True)
class Place:
    """A database with Parley on it, its longest conversation, and where pages begin.

    `middle`: the cursor half way down the list; `oldest_shown`: of the last 50 messages.
    """

    parley: Parley
    longest: str
    middle: str | None
    oldest_shown: UUID | None = None


Operation = Callable[[Place], object]


@contextmanager
def places() -> Iterator[dict[str, Place]]:
    with ExitStack() as stack:
        made = {name: stack.enter_context(scratch(f"parley_{name}")) for name in SIZES}
        for name, there in made.items():
            started = time.perf_counter()
            _fill(there, SIZES[name])
            print(f"Filled {name} in {time.perf_counter() - started:.0f} s.", flush=True)
        found = {name: _place(there) for name, there in made.items()}
        for place in found.values():
            stack.callback(place.parley.close)
        yield found


def _fill(there: Scratch, size: Size) -> None:
    """Without triggers and the search index, which is made at the end: it takes a tenth so."""
    own = size.conversations * 2 + size.longest + SEARCHED
    others = max(0, size.messages - own) // 850
    (index,) = there.run(_SEARCH_INDEX).fetchone()
    there.run("SET session_replication_role = replica; SET maintenance_work_mem = '512MB'")
    there.run("SELECT setseed(0.5)")
    there.run(_TEXTS)
    there.run("DROP INDEX ix_messages_search")
    there.run(_USERS, {"owner": OWNER, "searcher": SEARCHER, "others": others})
    for email, count, messages in (
        (OWNER, size.conversations, 2),
        (OWNER, min(1, size.longest), size.longest),
        (SEARCHER, SEARCHED // 20, 20),
    ):
        there.run(_CONVERSATIONS, {"email": email, "count": count, "messages": messages})
    there.run(_OF_OTHERS, {"count": 10, "messages": 85})
    there.run(_MESSAGES)
    there.run(index)
    there.run("VACUUM ANALYZE")


def _place(there: Scratch) -> Place:
    parley = Parley("recall", settings=there.settings)
    longest = there.run(_LONGEST, [OWNER]).fetchone()
    cursors = list(_cursors(parley))
    place = Place(parley, longest[0] if longest else "", cursors[len(cursors) // 2])
    return replace(place, oldest_shown=last_messages(place).turns[0].id) if longest else place


def _cursors(parley: Parley) -> Iterator[str | None]:
    """Where each page of a hundred begins."""
    cursor = None
    while True:
        yield cursor
        cursor = parley.services.lists.page(
            OWNER, ListFilter(), limit=100, cursor=cursor
        ).next_cursor
        if cursor is None:
            return


def first_page(place: Place) -> object:
    return place.parley.services.lists.page(OWNER, ListFilter(), limit=20)


def middle_page(place: Place) -> object:
    return place.parley.services.lists.page(OWNER, ListFilter(), limit=20, cursor=place.middle)


def last_messages(place: Place) -> TurnPage:
    window = Window(limit=50)
    return place.parley.services.tree.page(OWNER, place.longest, window, branch="active")


def messages_before(place: Place) -> object:
    window = Window(limit=50, before=place.oldest_shown)
    return place.parley.services.tree.page(OWNER, place.longest, window, branch="active")


def append(place: Place) -> object:
    said = [Draft(role="user", content="And one more thing.")]
    return place.parley.services.tree.append(OWNER, place.longest, said)


def search(words: str) -> Operation:
    def search_words(place: Place) -> object:
        return place.parley.services.search.search(SEARCHER, Search(text=words), limit=20)

    return search_words


def ratios(small: Place, large: Place, operation: Operation) -> list[tuple[float, float]]:
    """By round the medians of a call, in milliseconds: on the small one, on the large one."""
    rounds = []
    for number in range(-1, ROUNDS):
        spent: dict[bool, list[float]] = {False: [], True: []}
        for call in range(CALLS):
            for is_large in (False, True) if call % 2 else (True, False):
                spent[is_large].append(_milliseconds(operation, large if is_large else small))
        if number >= 0:  # the first round warms up
            rounds.append((statistics.median(spent[False]), statistics.median(spent[True])))
    return rounds


def _milliseconds(operation: Operation, place: Place) -> float:
    started = time.perf_counter()
    operation(place)
    return (time.perf_counter() - started) * 1000


def _row(name: str, rounds: list[tuple[float, float]], limit: float) -> str:
    columns = [[small for small, _ in rounds], [large for _, large in rounds]]
    columns.append([large / small for small, large in rounds])
    verdict = "holds" if statistics.median(columns[2]) <= limit else "does not hold"
    return f"| {name} | {' | '.join(map(_spread, columns))} | {limit:.0f} | {verdict} |"


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}…{max(values):.2f})"


def main() -> None:
    with places() as found:
        full, hundredth, alone = (found[name] for name in ("full", "hundredth", "alone"))
        rows = [
            _row(operation.__name__, ratios(hundredth, full, operation), 2)
            for operation in (first_page, middle_page, last_messages, messages_before, append)
        ]
        rows += [
            _row(f"search `{words}`", ratios(alone, full, search(words)), 3) for words in WORDS
        ]
    print(f"\n{ROUNDS} rounds of {CALLS} calls; {os.cpu_count()} cores,", end=" ")
    print(f"Python {platform.python_version()}. {SIZES['full']} beside a hundredth of it;")
    print(f"searches: {SEARCHED} messages of one user among all those, beside nobody else's.")
    print("Milliseconds a call: the median of the rounds' medians (least…greatest).\n")
    print("| operation | small | large | ratio | limit | |\n|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
