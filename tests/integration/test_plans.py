"""What is asked most stays cheap in a long conversation: by index, and without sorting it."""

import re
from uuid import UUID, uuid4

import pytest

from app.services.messages import Draft
from app.services.windows import Window
from app.transcript import Under
from tests.client import Client
from tests.plans import plans_of

MESSAGES = 5_000
_FILL = """
INSERT INTO messages (conversation_id, id, user_email, seq, parent_id, role, content)
SELECT id, md5(id::text || n)::uuid, user_email, n,
    CASE WHEN n > 1 THEN md5(id::text || n - 1)::uuid END, 'user', 'message ' || n
FROM conversations, generate_series(1, :count) n WHERE title = 'Long' OR id = :conversation_id
"""
_COUNT = """
UPDATE conversations SET message_count = :count, next_seq = :count + 1,
    active_leaf_id = md5(id::text || :count)::uuid
WHERE id = :conversation_id
"""
_OTHERS = """
INSERT INTO conversations (id, user_email, title)
SELECT gen_random_uuid(), user_email, 'About ' || n
FROM conversations, generate_series(1, :count / 2) n WHERE id = :conversation_id
"""
_NTH = "SELECT md5(CAST(:conversation_id AS text) || CAST(:n AS text))::uuid AS id"


@pytest.fixture(scope="module")
def long(app, rows):
    """A conversation of 5,000 messages, one of six like it.

    Whose it is, its id, and what says the id of its n-th message.
    """
    client = Client(app, f"{uuid4().hex}@example.com")
    conversation_id, *_ = (client.create(title="Long")["id"] for _ in range(6))
    for statement in (_FILL, _COUNT, _OTHERS):
        rows.run(statement, conversation_id=conversation_id, count=MESSAGES)
    rows.run("ANALYZE messages")
    rows.run("ANALYZE conversations")

    def nth(n):
        return rows.run(_NTH, conversation_id=conversation_id, n=n)[0].id

    return client.email, conversation_id, nth


def said(text="And one more."):
    return [Draft(role="user", content=text)]


READS = {
    "the last ones": lambda tree, own, at: tree.page(*own, Window(limit=50), branch="active"),
    "those before": lambda tree, own, at: tree.page(
        *own, Window(limit=50, before=at(2_500)), branch="active"
    ),
    "those after": lambda tree, own, at: tree.page(
        *own, Window(limit=50, after=at(2_500)), branch="all"
    ),
    "one": lambda tree, own, at: tree.find(*own, str(at(2_500))),
    "versions": lambda tree, own, at: tree.versions(*own, str(at(2_500)), Window(limit=50)),
}
WRITES = {
    "an append": lambda tree, own, at: tree.append(*own, said()),
    "an append elsewhere": lambda tree, own, at: tree.append(*own, said(), under=Under(at(4_990))),
    "another branch": lambda tree, own, at: tree.show(*own, at(4_995), limit=1),
    "a cut": lambda tree, own, at: tree.cut(*own, str(at(4_998))),
}


@pytest.mark.parametrize("work", [*READS, *WRITES])
def test_a_long_conversation_is_worked_with_by_index(parley, database, long, work):
    owner, conversation_id, nth = long
    tree, do = parley.services.tree, (READS | WRITES)[work]
    plans = plans_of(database, lambda: do(tree, (owner, conversation_id), nth))
    assert plans
    for plan in plans:
        assert "Seq Scan on messages" not in plan, plan
        assert "Seq Scan on conversations" not in plan, plan
        if work in READS and work != "versions":
            assert "Sort" not in plan, plan


def test_a_tab_that_looks_for_changes_reads_no_more_than_those(parley, database, long):
    owner, conversation_id, _ = long
    watch = parley.services.changes.watch
    for since in (None, "1-0", "1-4990"):
        plans = plans_of(
            database,
            lambda since=since: watch(owner, conversation_id, seconds=0, since=since),
            is_run=True,
        )
        for plan in plans:
            assert not re.search("Seq Scan on (messages|conversations)", plan), plan
            counts = [int(count) for count in re.findall(r"\(actual rows=(\d+)", plan)]
            assert counts, plan
            assert max(counts) <= 101, plan


def test_what_led_to_a_message_is_found_from_it(parley, database, long):
    owner, conversation_id, nth = long
    history = parley.services.chat._prompts._history
    before = nth(2_500)
    plans = plans_of(
        database, lambda: history.before(owner, UUID(conversation_id), before, count=20)
    )
    assert not any("Seq Scan on messages" in plan for plan in plans), plans
