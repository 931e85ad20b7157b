"""Notes of what Redis may have missed: who has seen them, and when they are swept away."""

from contextlib import closing

import psycopg2
import pytest

from app.ids import new_id
from tests.streams import until

OLD = "INSERT INTO cache_outbox (conversation_id, created_at, seen_at) VALUES (%s, %s, %s)"


@pytest.fixture
def outbox(app, database_urls):
    """A cursor of the tables' owner in a transaction that comes to nothing, without a note yet."""
    with closing(psycopg2.connect(database_urls.owner)) as connection:
        cursor = connection.cursor()
        cursor.execute("DELETE FROM cache_outbox")
        yield cursor


def ask(cursor, sql, *values):
    cursor.execute(sql, values)
    return cursor.fetchone()[0]


def note(cursor):
    cursor.execute("SELECT parley_note_changes(ARRAY[%s::uuid])", [str(new_id())])


def test_a_note_that_nobody_has_seen_for_long_is_not_known_and_is_seen_now(outbox):
    note(outbox)
    assert ask(outbox, "SELECT parley_changes_are_known(1.6)") is False
    assert ask(outbox, "SELECT count(*) FROM cache_outbox WHERE seen_at IS NULL") == 0


def test_where_an_older_note_is_known_nothing_is_written_for_another(outbox):
    outbox.execute(OLD, [str(new_id()), "now", "2026-01-01"])
    note(outbox)
    assert ask(outbox, "SELECT parley_changes_are_known(1.6)") is True
    assert ask(outbox, "SELECT count(*) FROM cache_outbox WHERE seen_at IS NULL") == 1


@pytest.mark.parametrize(
    ("seen_at", "is_known"), [("2026-01-01", True), ("now", False), (None, False)]
)
def test_a_write_in_doubt_hears_of_an_older_note_that_everybody_knows(seen_at, is_known, outbox):
    outbox.execute(OLD, [str(new_id()), "now", seen_at])
    outbox.execute("SELECT parley_note_in_doubt(ARRAY[%s::uuid], 1.6)", [str(new_id())])
    assert any("known" in remark for remark in outbox.connection.notices) is is_known
    assert ask(outbox, "SELECT count(*) FROM cache_outbox") == 2


def test_a_note_that_a_write_counts_on_stays_until_the_write_has_ended(app, database_urls):
    """Else others could find the outbox empty in between, and show what is old by then."""
    with (
        closing(psycopg2.connect(database_urls.owner)) as writer,
        closing(psycopg2.connect(database_urls.owner)) as relay,
        writer.cursor() as writing,
        relay.cursor() as delivering,
    ):
        relay.autocommit = True
        old = until(lambda: counted_on(writing, delivering))
        assert ask(delivering, "SELECT parley_forget_changes(ARRAY[%s])", old) == 0
        assert ask(delivering, "SELECT count(*) FROM cache_outbox WHERE note = %s", old) == 1
        writer.rollback()
        delivering.execute("SELECT parley_forget_changes(ARRAY[%s])", [old])
        assert ask(delivering, "SELECT count(*) FROM cache_outbox WHERE note = %s", old) == 0


def counted_on(writing, delivering):
    """A known note on which a write counts. Somebody's upkeep may be faster: then None."""
    old = ask(delivering, f"{OLD} RETURNING note", str(new_id()), "now", "2026-01-01")
    writing.connection.rollback()
    writing.connection.notices.clear()
    writing.execute("SELECT parley_note_in_doubt(ARRAY[%s::uuid], 1.6)", [str(new_id())])
    is_known = any("known" in remark for remark in writing.connection.notices)
    is_first = ask(delivering, "SELECT min(note) = %s FROM cache_outbox", old)
    return old if is_known and is_first else None


def test_notes_of_ten_days_ago_go_with_one_new_note_of_a_hundred(outbox):
    for created_at in ("2026-01-01", "2026-01-01", "now"):
        outbox.execute(OLD, [str(new_id()), created_at, None])
    old, left = "SELECT count(*) FROM cache_outbox WHERE created_at < '2026-02-01'", []
    for _ in range(200):
        note(outbox)
        left.append(ask(outbox, old))
    swept = left.index(0)
    assert swept < 100
    assert set(left[:swept]) <= {2}
