"""Conversations by the thousand, made within PostgreSQL.

Without triggers, and without the search index until the end: it takes a tenth of the time so.
Texts are 30 words of a vocabulary of 20,000, the frequent ones far more often than the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .scratch import Scratch

_TEXTS = """
CREATE TEMP TABLE texts AS
SELECT n AS number, said AS text, to_tsvector('simple', said) AS words
FROM (
    SELECT n, string_agg('w' || floor(20000 * power(random(), 3))::int, ' ') AS said
    FROM generate_series(0, 4999) n, generate_series(1, 30) GROUP BY n) AS drawn;
CREATE UNIQUE INDEX ON texts (number);
ANALYZE texts
"""
_NEW_ID = """
CREATE FUNCTION pg_temp.new_id() RETURNS uuid LANGUAGE sql VOLATILE RETURN (
    lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
    || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid
"""  # as app.ids has it: an id of another kind is looked up as a client's own
_USERS = """
INSERT INTO users (id, email)
SELECT gen_random_uuid(), format(%(owner)s, n) FROM generate_series(1, %(users)s) n
ON CONFLICT (email) DO NOTHING
"""
_CONVERSATIONS = """
INSERT INTO conversations (
    id, user_email, title, preview, message_count, next_seq, updated_at)
SELECT pg_temp.new_id(), format(%(owner)s, u), 'About topic ' || n, 'message ' || n,
    %(messages)s, %(messages)s + 1, now() - n * interval '1 minute'
FROM generate_series(1, %(users)s) u, generate_series(1, %(conversations)s) n
"""
_MESSAGES = """
INSERT INTO messages (
    conversation_id, id, user_email, seq, parent_id, role, content, search_words)
SELECT c.id, md5(c.id::text || n)::uuid, c.user_email, n,
    CASE WHEN n > 1 THEN md5(c.id::text || n - 1)::uuid END,
    CASE n % 2 WHEN 1 THEN 'user' ELSE 'assistant' END, t.text, t.words
FROM conversations c, generate_series(1, c.message_count) n, texts t
WHERE t.number = (hashtext(c.id::text) % 5000 + 5000 + n * 7919) % 5000;
UPDATE conversations SET active_leaf_id = md5(id::text || message_count)::uuid
WHERE message_count > 0
"""
_SEARCH_INDEX = "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_messages_search'"
_OF_OWNER = """
SELECT id::text FROM conversations WHERE user_email = %s AND message_count = %s
ORDER BY updated_at DESC
"""


@dataclass(frozen=True)
class Batch:
    """So many conversations of so many messages, for each of `users`: `%s` in `owner` counts."""

    owner: str
    conversations: int
    messages: int
    users: int = 1


def fill(there: Scratch, batches: Sequence[Batch]) -> None:
    """Fills an empty database, and tells the planner what is in it."""
    (index,) = there.run(_SEARCH_INDEX).fetchone()
    there.run("SET session_replication_role = replica; SET maintenance_work_mem = '512MB'")
    there.run("SET synchronous_commit = off; SELECT setseed(0.5)")
    there.run(_NEW_ID)
    there.run(_TEXTS)
    there.run("DROP INDEX ix_messages_search")
    for batch in batches:
        there.run(_USERS, vars(batch))
        there.run(_CONVERSATIONS, vars(batch))
    there.run(_MESSAGES)
    there.run(index)
    there.run("VACUUM ANALYZE")
    there.run("RESET session_replication_role; RESET synchronous_commit")


def conversations_of(there: Scratch, owner: str, messages: int) -> list[str]:
    """The ids of an owner's conversations of that many messages, in the order of their list."""
    return [number for (number,) in there.run(_OF_OWNER, [owner, messages]).fetchall()]
