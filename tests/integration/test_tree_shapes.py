"""Trees of 10,000 messages, of any shape: shown, read, cut and grown on PostgreSQL."""

import json
import os
import random
import time
from uuid import uuid4

import pytest

from app.services.messages import Draft
from app.services.windows import Window
from app.transcript import Under
from tests.plans import plans_of

SIZE, DEPTH = 10_000, 5_000
SLOW = 5.0
"""Seconds; the machine may be busy, and what is printed says how long it really took."""
FILL = """
INSERT INTO messages (conversation_id, id, user_email, seq, parent_id, is_active, role, content)
SELECT CAST(:conversation_id AS uuid), id, :owner, seq, parent_id, is_active, 'user', seq::text
FROM jsonb_to_recordset(CAST(:messages AS jsonb)) AS m
    (id uuid, seq bigint, parent_id uuid, is_active boolean)
"""
BEGIN = """
INSERT INTO conversations (id, user_email, message_count, next_seq, active_leaf_id, preview)
VALUES (:conversation_id, :owner, :count, :count + 1, :leaf_id, :count)
"""
CROWD = """
INSERT INTO users (id, email) VALUES (gen_random_uuid(), :owner);
INSERT INTO conversations (id, user_email) SELECT gen_random_uuid(), :owner
FROM generate_series(1, 600);
INSERT INTO messages (conversation_id, id, user_email, seq, parent_id, role, content)
SELECT c.id, CAST(md5(c.id || '-' || n) AS uuid), :owner, n,
    CASE WHEN n > 1 THEN CAST(md5(c.id || '-' || n - 1) AS uuid) END, 'user', 'crowd'
FROM conversations c, generate_series(1, 50) n WHERE c.user_email = :owner
"""


class Tree:
    """A filled conversation and what it is made of: `parents` by place, None for a root."""

    def __init__(self, rows, tree, owner, parents):
        self._rows, self._tree, self._owner = rows, tree, owner
        self.conversation_id, self.parents = str(uuid4()), dict(enumerate(parents))
        self.ids = [str(uuid4()) for _ in parents]
        self._fill()

    def _fill(self):
        last = len(self.ids) - 1
        shown = set(self.path(last))
        messages = [
            {"id": self.ids[n], "seq": n + 1, "is_active": n in shown}
            | {"parent_id": None if parent is None else self.ids[parent]}
            for n, parent in self.parents.items()
        ]
        values = {"conversation_id": self.conversation_id, "owner": self._owner}
        self._rows.run(BEGIN, **values, count=len(messages), leaf_id=self.ids[last])
        self._rows.run(FILL, **values, messages=json.dumps(messages))
        self._rows.run("ANALYZE messages")  # as autovacuum does

    def path(self, n):
        """The places from a root to a message."""
        found = []
        while n is not None:
            found.append(n)
            n = self.parents[n]
        return found[::-1]

    def leaves(self):
        return sorted(self.parents.keys() - set(self.parents.values()))

    def below(self, top):
        found = {top}
        for n, parent in self.parents.items():  # parents come before their children
            if parent in found:
                found.add(n)
        return found

    def shown(self):
        """The places on the path that is shown, as it is stored."""
        place = {message_id: n for n, message_id in enumerate(self.ids)}
        return [
            place[str(row.id)]
            for row in self._rows.run(
                "SELECT id FROM messages WHERE conversation_id = :c AND is_active ORDER BY seq",
                c=self.conversation_id,
            )
        ]

    def read(self):
        """The same through pages of the branch that is shown."""
        place = {message_id: n for n, message_id in enumerate(self.ids)}
        found, before, has_more = [], None, True
        while has_more:
            window = Window(limit=100, before=before)
            page = self._tree.page(self._owner, self.conversation_id, window, branch="active")
            found = [place[str(turn.id)] for turn in page.turns] + found
            before, has_more = page.turns[0].id, page.has_more
        return found

    def show(self, n):
        return self._tree.show(self._owner, self.conversation_id, self.ids[n], limit=1)

    def cut(self, n):
        return self._tree.cut(self._owner, self.conversation_id, self.ids[n])

    def append(self, under):
        """Appends a message under a place; its own place."""
        stored = self._tree.append(
            self._owner,
            self.conversation_id,
            [Draft(role="user", content="new")],
            under=Under(None if under is None else self.ids[under]),
        )
        self.ids.append(str(stored.turns[0].id))
        self.parents[len(self.ids) - 1] = under
        return len(self.ids) - 1


def wide(_dice):
    """A hundred roots; all that follows follows the first."""
    return [None] * 100 + [0] * (SIZE - 100)


def deep(_dice):
    """Two lines of 5,000 from one root, and roots that nothing follows."""
    first = [None, *range(DEPTH - 1)]
    return [*first, 0, *range(DEPTH, SIZE - 101), *[None] * 100]


def grown(dice):
    """Each follows any before it; one of a hundred follows none."""
    return [dice.choice([None, *[dice.randrange(n)] * 99]) if n else None for n in range(SIZE)]


@pytest.fixture
def dice():
    """Replays with TREE_SEED."""
    seed = int(os.environ.get("TREE_SEED", random.randrange(2**32)))
    print("seed", seed)
    return random.Random(seed)


@pytest.fixture(scope="module")
def crowd(rows):
    """Somebody with 600 conversations, so that a plan is made for a table that is in use."""
    owner = f"{uuid4().hex}@example.com"
    for statement in CROWD.split(";"):
        rows.run(statement, owner=owner)
    yield
    rows.run("DELETE FROM users WHERE email = :owner", owner=owner)


@pytest.fixture
def planted(rows, parley, email, dice, crowd):
    """Makes a tree of a shape."""
    rows.run("INSERT INTO users (id, email) VALUES (gen_random_uuid(), :email)", email=email)

    def make(shape):
        return Tree(rows, parley.services.tree, email, shape(dice))

    return make


def timed(what, work, *arguments):
    began = time.perf_counter()
    found = work(*arguments)
    spent = time.perf_counter() - began
    print(f"{what}: {spent:.3f} s")
    assert spent < SLOW, what
    return found


def assert_whole(parley, email):
    with parley.operations.verification() as verification:
        assert [it for part in verification.verify(address=email) for it in part.findings] == []


@pytest.mark.parametrize("shape", [wide, deep, grown])
def test_ten_thousand_messages_of_any_shape_are_shown_read_cut_and_grown(
    planted, parley, email, dice, shape
):
    tree = planted(shape)
    leaves = tree.leaves()
    assert tree.shown() == tree.read() == tree.path(SIZE - 1)
    for leaf in [leaves[0], leaves[-1], *dice.sample(leaves, 5), leaves[len(leaves) // 2]]:
        timed("show", tree.show, leaf)
        assert tree.shown() == tree.path(leaf)
    assert tree.read() == tree.path(leaf)

    for parent in (None, 0, SIZE // 2, leaves[0]):
        new = timed("append", tree.append, parent)
        assert tree.shown() == tree.path(new)
    siblings = [n for n, parent in tree.parents.items() if parent == tree.parents[new]]
    window = Window(limit=100)
    versions = parley.services.tree.versions(email, tree.conversation_id, tree.ids[new], window)
    assert [str(turn.id) for turn in versions.turns] == [tree.ids[n] for n in siblings[-100:]]
    assert_whole(parley, email)

    top = DEPTH if shape is deep else 0
    gone = tree.below(top)
    tree.show(max(gone))
    pruned = timed(f"cut {len(gone)}", tree.cut, top)
    assert pruned.deleted == len(gone)
    for n in gone:
        del tree.parents[n]
    assert tree.shown() == tree.path(tree.ids.index(str(pruned.active_leaf_id)))
    assert_whole(parley, email)


def test_no_statement_about_a_tree_looks_through_all_messages(planted, database, dice):
    tree = planted(lambda dice: [None, *(dice.randrange(n) for n in range(1, 300))])

    def work():
        tree.show(dice.choice(tree.leaves()))
        tree.append(100)
        tree.append(None)
        tree.read()
        tree.cut(150)

    told = plans_of(database, work)
    assert len([plan for plan in told if "messages" in plan]) >= 5
    assert [plan for plan in told if "Seq Scan on messages" in plan] == []
