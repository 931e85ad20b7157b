"""What filters cost in lists: in list order, and by an index of tags that row-level security bars.

    .venv/bin/python -m app.embedded --data DIR -- .venv/bin/python -m benchmarks.lists

Makes a database of its own, with an index of tags beside Parley's. One user has 20,000
conversations, a hundred others 2,000 each.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.database import Database
from app.repositories.lists import ListCursor, ListRepository, Order
from app.services.lists import ListFilter

from .scratch import Scratch, scratch

OWNER = "much@example.com"
FILLED = {"owner": OWNER, "much": 20_000, "users": 100, "others": 2_000}
CALLS = 41

_FILL = """
INSERT INTO users (id, email) VALUES (gen_random_uuid(), %(owner)s);
INSERT INTO users (id, email)
SELECT gen_random_uuid(), 'u' || n || '@example.com' FROM generate_series(1, %(users)s) n;
INSERT INTO conversations (id, user_email, title, title_words, preview, tags, mode, is_pinned,
    is_archived, updated_at)
SELECT gen_random_uuid(), email, title, to_tsvector('simple', title), repeat('word ', 30),
    array_remove(ARRAY[
        CASE WHEN n %% 2 = 0 THEN 'half' END, CASE WHEN n %% 100 = 0 THEN 'hundredth' END,
        CASE WHEN n %% 4000 = 0 THEN 'rare' END,
        CASE WHEN n %% 2 = 0 AND email = %(owner)s THEN 'own' END], NULL),
    (ARRAY['fast', 'balanced'])[n %% 2 + 1], n %% 200 = 0, n %% 5 = 0,
    now() - n * interval '1 minute'
FROM users, generate_series(1, CASE email WHEN %(owner)s THEN %(much)s ELSE %(others)s END) n,
    concat('About topic t', n %% 50, ' ', n) AS title;
CREATE INDEX ON conversations USING gin (tags)
"""
_BY_TAG = """
SELECT id, title, preview, tags, updated_at FROM conversations
WHERE user_email = %(owner)s AND deleted_at IS NULL AND is_published AND NOT is_archived
    AND tags @> ARRAY[%(tag)s]
ORDER BY updated_at DESC, id DESC LIMIT 21
"""
_MIDDLE = ListCursor("newest", datetime.now(UTC) - timedelta(minutes=10_000), UUID(int=0))
LISTS: dict[str, tuple[Order, ListCursor | None, ListFilter]] = {
    "the first page": ("newest", None, ListFilter()),
    "a page in the middle": ("newest", _MIDDLE, ListFilter()),
    "pinned first": ("pinned", None, ListFilter()),
    "the archive": ("newest", None, ListFilter(is_archived=True)),
    "tag of every 2nd": ("newest", None, ListFilter(tag="half")),
    "tag of every 2nd here alone": ("newest", None, ListFilter(tag="own")),
    "tag of every 100th": ("newest", None, ListFilter(tag="hundredth")),
    "tag of every 4000th": ("newest", None, ListFilter(tag="rare")),
    "tag of none": ("newest", None, ListFilter(tag="none")),
    "tag of none, pinned first": ("pinned", None, ListFilter(tag="none")),
    "mode of every 2nd": ("newest", None, ListFilter(mode="fast")),
    "title word of every 50th": ("newest", None, ListFilter(title="t7 abou")),
    "title word of one": ("newest", None, ListFilter(title="1234")),
    "title word of none": ("newest", None, ListFilter(title="nowhere")),
}


def median(work: Callable[[], object]) -> float:
    """Milliseconds a call, when it is warm."""
    spent = []
    for _ in range(CALLS):
        started = time.perf_counter()
        work()
        spent.append((time.perf_counter() - started) * 1000)
    return statistics.median(spent[1:])


def in_list_order(database: Database, order: Order, cursor: Any, wanted: ListFilter) -> float:
    with database.statement(OWNER) as session:
        lists, where = ListRepository(session), wanted.where()
        return median(lambda: lists.page(order, where, take=21, cursor=cursor))


def by_index(made: Scratch, tag: str | None) -> str:
    """The same by an index of tags, as somebody whom row-level security does not bind."""
    if tag is None:
        return "–"
    values = {"owner": OWNER, "tag": tag}
    return f"{median(lambda: made.run(_BY_TAG, values).fetchall()):.2f}"


def main() -> None:
    with scratch("parley_lists") as made:
        made.run(_FILL, FILLED)
        made.run("VACUUM ANALYZE")
        with closing(Database.from_settings(made.settings)) as database:
            print("One user has {much} conversations, {users} have {others}.".format(**FILLED))
            print(f"{os.cpu_count()} cores, Python {platform.python_version()}; ms, medians.\n")
            print("| list | in list order | by an index of tags |\n|---|---|---|")
            for name, (order, cursor, wanted) in LISTS.items():
                spent = in_list_order(database, order, cursor, wanted)
                barred = by_index(made, wanted.tag if order == "newest" else None)
                print(f"| {name} | {spent:.2f} | {barred} |")


if __name__ == "__main__":
    main()
