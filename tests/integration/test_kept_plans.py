"""A plan that was made while the tables were empty is as good when they are full."""

import dataclasses
import re
from contextlib import closing, contextmanager

import pytest
from psycopg2.extensions import cursor

from app import lines
from app.database import Database
from app.ids import new_id
from app.repositories.appending import NewMessage, NewRun
from app.repositories.changes import ChangeRepository
from app.repositories.conversations import ConversationRepository
from app.repositories.ending import Ending
from app.repositories.lists import ListRepository
from app.repositories.messages import ALL, MessageRepository
from app.repositories.runs import Allowance, Chunk, RunRepository, keep
from app.repositories.tree import TreeRepository
from app.repositories.users import UserRepository
from app.transcript import Under
from tests.apart import apart, execute
from tests.driver import cursors

OWNER = "owner@example.com"
TABLES = ("users", "conversations", "messages", "runs", "run_chunks", "query_logs")
MOST_READ = 150
MOST_UNDER = (
    5_000  # where the path may change: a conversation's messages, by index and in the table
)
EXPLAIN = "EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF)"
FILL = """
INSERT INTO users (id, email) SELECT gen_random_uuid(), n || '@example.com'
FROM generate_series(1, 20) n;
INSERT INTO conversations (id, user_email, updated_at, message_count, next_seq)
SELECT gen_random_uuid(), email, now() - n * interval '1 minute', 0, 1
FROM users, generate_series(1, 300) n;
INSERT INTO messages (conversation_id, id, user_email, seq, parent_id, role, content, is_active,
    client_message_id)
SELECT c.id, md5(c.id || '-' || n)::uuid, c.user_email, 100 + n,
    CASE WHEN n > 1 THEN md5(c.id || '-' || n - 1)::uuid END, 'user', 'crowd', n % 50 > 0,
    'crowd ' || n
FROM (SELECT * FROM conversations ORDER BY id = '{0}' DESC, id LIMIT 20) c,
    generate_series(1, 2000) n;
UPDATE conversations SET next_seq = 3000 WHERE id = '{0}';
INSERT INTO runs (id, conversation_id, message_id, user_email, lease_until, status)
SELECT gen_random_uuid(), conversation_id, id, user_email, now(), 'complete' FROM messages;
INSERT INTO query_logs (id, user_email, conversation_id, message_id, status, contexts_retrieved,
    created_at)
SELECT gen_random_uuid(), user_email, conversation_id, id, 'complete', 0,
    now() - interval '1 year' FROM messages
"""
ALLOWANCE = Allowance(runs_at_once=100, daily_messages=100, daily_tokens=100)


@pytest.fixture
def bare(settings):
    """A database of its own without a row, which nobody looks at but who is told to."""
    with apart(dataclasses.replace(settings, db_pool_size=1, db_max_overflow=0), "kept") as bare:
        yield bare


@pytest.fixture
def as_owner(bare):
    url = bare.database_owner_url
    return lambda *statements: [execute(url, statement) for statement in statements]


class Life:
    """All that is asked often, of one conversation."""

    def __init__(self, database):
        self._database = database
        with database.statement(OWNER) as session:
            assert UserRepository(session).see(
                is_anonymous=False, issuer="i", subject="s", name=None, dept=None
            )
            fields = dict.fromkeys(("title", "mode", "model", "system_prompt"))
            fields |= {"title_source": "auto", "title_words": "", "tags": [], "metadata": "{}"}
            self.id = ConversationRepository(session).create_once(
                fields | {"id": new_id(), "source": "client", "source_id": "own"}
            )

    def live(self):
        """Lives through it once, in an order in which each finds something."""
        with self._database.statement(OWNER) as session:
            messages, runs = MessageRepository(session), RunRepository(session)
            first = messages.append(self.id, [said()], title="a", preview="a")[0]
            under = Under(first.id)
            messages.append(self.id, [said()], title="a", preview="a", under=under)
            self._ask(messages, None)
            chunk = self._ask(messages, under)
            messages.tail(self.id, 20)
            messages.tail(self.id, 20, ALL)
            messages.before(self.id, first.id, 20)
            messages.after(self.id, first.id, 20, ALL)
            messages.find(self.id, first.id)
            messages.sent_before(self.id, ["crowd 7"])
            ConversationRepository(session).record(self.id)
            ConversationRepository(session).lock(self.id)
            ConversationRepository(session).find_source("client", "own")
            ListRepository(session).page("newest", {"is_archived": False}, take=21)
            ListRepository(session).page("pinned", {"is_archived": False}, take=21)
            ChangeRepository(session).look(self.id, after_seq=first.seq, take=20)
            TreeRepository(session).path(self.id, first.id, 20)
            runs.live(self.id)
            runs.text_so_far(chunk.run_id)
            runs.text_of(self.id, first.id)
        with self._database.operation() as session:
            keep(session, [chunk])
        with self._database.statement(OWNER) as session:
            runs = RunRepository(session)
            ending = Ending(status="complete", content="a", preview="a", search_words="")
            assert runs.finish(self.id, chunk.run_id, 1, log_id=new_id(), ending=ending)
            assert runs.finish(self.id, chunk.run_id, 1, log_id=new_id(), ending=ending)
            runs.stop(self.id, first.id)

    def _ask(self, messages, under):
        run = NewRun(run_id=new_id(), lease_seconds=30, allowance=ALLOWANCE)
        asked = [said(), dataclasses.replace(said(), role="assistant", status="streaming")]
        assert messages.append(self.id, asked, title="a", preview="a", run=run, under=under)
        return Chunk(run.run_id, OWNER, 1, 0, "a")


def said():
    return NewMessage(id=new_id(), role="user", content="a")


def read(plan):
    """How many rows all scans of a plan came upon."""
    found = re.findall(r"(?:Index|Heap).* Scan .*actual rows=([\d.]+) loops=(\d+)", plan)
    removed = re.findall(r"Removed by (?:Filter|Index Recheck): (\d+)", plan)
    return sum(float(rows) * int(loops) for rows, loops in found) + sum(map(int, removed))


@contextmanager
def plans(database, *, without):
    """How each statement within goes about it, on its own connection, before it really does.

    None may be sent with the setting `without` but that which knows no table with two indexes.
    """
    told = {}

    class Explaining(cursor):
        def execute(self, text, values=None):
            if "EXECUTE" not in text:
                return super().execute(text, values)
            *before, last = text.split("; ")
            assert without not in text or "parley_chunks_" in last, text
            explained = "; ".join(["BEGIN", *before, f"{EXPLAIN} {last}"])
            super().execute(explained, values)
            told[last] = "\n".join(line for (line,) in self.fetchall())
            super().execute("ROLLBACK")
            return super().execute(text, values)

    with cursors(database.engine, Explaining):
        yield told


@pytest.fixture
def grown(bare, as_owner):
    """A database over one connection that knew it empty, and a life in it; it has rows now."""
    as_owner(
        *(f"ALTER TABLE {table} SET (autovacuum_enabled = off)" for table in TABLES),
        *(f"VACUUM ANALYZE {table}" for table in TABLES),
    )
    with closing(Database.from_settings(bare)) as database:
        life = Life(database)
        life.live()
        as_owner(*FILL.format(life.id).split(";\n"))
        yield database, life


def test_nothing_that_was_planned_for_empty_tables_is_kept(grown, as_owner, monkeypatch):
    """Before anybody has analysed them, and after."""
    database, life = grown
    monkeypatch.setattr(lines, "_LOOK_SECONDS", 0.0)
    with plans(database, without="force_generic_plan") as told:
        life.live()
    assert len(told) >= 23
    assert costly(told) == []

    as_owner(*(f"ANALYZE {table}" for table in TABLES))
    life.live()
    monkeypatch.undo()
    with plans(database, without="force_custom_plan") as told:
        life.live()
    assert len(told) >= 23
    assert costly(told) == []


def costly(told):
    """The plans that look through a table, or at more than they must."""
    return [
        f"{what}\n{plan}"
        for what, plan in told.items()
        if "Seq Scan" in plan or read(plan) > (MOST_UNDER if "parent_id" in what else MOST_READ)
    ]
