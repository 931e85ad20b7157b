"""Lists are read off their indexes, by the application's own role under row-level security."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.repositories.bulk import BulkRepository, Change
from app.repositories.lists import ListCursor, ListRepository
from app.services.lists import ListFilter, ListService
from tests.driver import statements_of
from tests.plans import plans_of

FILL = """
INSERT INTO users (id, email)
SELECT gen_random_uuid(), n || :domain FROM generate_series(1, 5) n;
INSERT INTO conversations (id, user_email, title_words, tags, mode, is_pinned, is_archived,
    deleted_at, updated_at)
SELECT gen_random_uuid(), email, '''talk''', ARRAY['common'], 'fast', n % 50 = 0, n % 7 = 0,
    CASE WHEN n % 11 = 0 THEN now() - n * interval '1 minute' END, now() - n * interval '1 minute'
FROM users, generate_series(1, 2000) n WHERE email LIKE '%' || :domain;
ANALYZE conversations
"""
EMPTY = "DELETE FROM users WHERE email LIKE '%' || :domain"
NO_ID = UUID("00000000-0000-7000-8000-000000000000")
MOST_READ = 150  # rows for a page of 20: those looked at, and a few that don't match


@pytest.fixture(scope="module")
def owner(rows):
    """One of five who have 2,000 conversations each, in all states."""
    domain = "@lists.example.com"
    for statement in FILL.split(";"):
        rows.run(statement, **({"domain": domain} if ":domain" in statement else {}))
    yield f"3{domain}"
    rows.run(EMPTY, domain=domain)


@pytest.fixture
def plan_of(database, owner):
    """How PostgreSQL went about the one statement of some work with a session."""

    def explain(work):
        with database.statement(owner) as session:
            *_, plan = plans_of(database, lambda: work(session), is_run=True)
        return plan

    return explain


def read(plan):
    """How many rows all scans of a plan came upon."""
    found = re.findall(r"Scan.*actual rows=([\d.]+) loops=(\d+)", plan)
    removed = re.findall(r"Removed by Filter: (\d+)", plan)
    return sum(float(rows) * int(loops) for rows, loops in found) + sum(map(int, removed))


def list_of(order="newest", *, cursor=None, **wanted):
    where = ListFilter(**wanted).where()
    return lambda session: ListRepository(session).page(order, where, take=21, cursor=cursor)


def middle(order):
    return ListCursor(order, datetime.now(UTC) - timedelta(minutes=1000), NO_ID)


LISTS = {
    "the first page": (list_of(), {"list"}),
    "a middle page": (list_of(cursor=middle("newest")), {"list"}),
    "the archive": (list_of(is_archived=True), {"list"}),
    "a middle page of the archive": (
        list_of(is_archived=True, cursor=middle("newest")),
        {"list"},
    ),
    "what is pinned": (list_of(is_pinned=True), {"pinned"}),
    "pinned first": (list_of("pinned"), {"pinned", "list"}),
    "pinned first, in the middle of the pinned": (
        list_of("pinned", cursor=middle("pinned")),
        {"pinned", "list"},
    ),
    "pinned first, in the middle of the rest": (
        list_of("rest", cursor=middle("rest")),
        {"list"},
    ),
    "the trash": (list_of("trash", is_trashed=True), {"trash"}),
    "a middle page of the trash": (
        list_of("trash", is_trashed=True, cursor=middle("trash")),
        {"trash"},
    ),
    "a common tag": (list_of(tag="common"), {"list"}),
    "a mode": (list_of(mode="fast"), {"list"}),
    "since then": (list_of(since=datetime.now(UTC) - timedelta(hours=1)), {"list"}),
}


def test_each_list_is_read_off_its_index_and_nothing_is_sorted(plan_of):
    for name, (work, indexes) in LISTS.items():
        plan = plan_of(work)
        used = set(re.findall(r"Index Scan using ix_conversations_(\w+)", plan))
        assert used == indexes, f"{name}\n{plan}"
        assert "Seq Scan" not in plan, f"{name}\n{plan}"
        assert "Sort" not in plan, f"{name}\n{plan}"
        assert 20 <= read(plan) <= MOST_READ, f"{name}\n{plan}"


def test_a_filter_that_seems_rare_reads_the_owners_rows_alone(plan_of):
    for wanted in ({"tag": "none"}, {"title": "nowhere"}, {"title": "tal"}, {"mode": "quality"}):
        plan = plan_of(list_of(**wanted))
        assert re.findall(r"Index Cond: \(+(\w+) = '3@", plan) == ["user_email"], plan
        assert "Seq Scan" not in plan, plan


def test_a_list_of_nothing_reads_nothing(plan_of):
    assert read(plan_of(list_of(title="!!!"))) == 0


def test_many_are_changed_in_the_order_of_their_ids(plan_of):
    """Or two that change the same ones could wait for each other for ever."""
    change, where = Change("pin"), ListFilter(tag="common").where()
    plan = plan_of(
        lambda session: BulkRepository(session).lock_where(
            change, where, is_trashed=False, take=1001
        )
    )
    top, sort, key = plan.splitlines()[:3]
    assert (top.split()[0], sort.split()[1]) == ("LockRows", "Sort"), plan
    assert key.strip().startswith("Sort Key: conversations.id"), plan
    assert "Seq Scan" not in plan, plan


def test_one_page_is_one_statement(database, owner):
    lists = ListService(database)
    with statements_of(database) as seen:
        page = lists.page(owner, ListFilter(), limit=20, is_pinned_first=True)
        lists.page(owner, ListFilter(), limit=20, is_pinned_first=True, cursor=page.next_cursor)
    assert len(seen) == 2
