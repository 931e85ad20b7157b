"""What statements cost beside the least that PostgreSQL can be asked for the same.

    make bench NAMES=statements

Everything in one database, on connections of the application's own role, by turns: the statement
of an append, a raw INSERT with its COMMIT, and the five statements in a transaction that a
hand-written append takes; the whole append with its cache steps; bulk beside COPY; a token that
comes again; the start of a turn; a cold read.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from uuid import UUID, uuid4

from app.search_words import search_words
from app.services.messages import Draft

from . import beginnings, bulk, reads
from .figures import Figure, Work, alternating, by_turns, record
from .ground import INSERT, OWNER, Ground, ground
from .recorded import again, statements_of

ROUNDS, CONNECTIONS = 5, 8
SECONDS = 0.5  # of appends on a number of connections, a round
SAID = "What should I see in Huế when it rains for a week, and what should I eat there? " * 3
RAW = "a raw INSERT of the same row, and COMMIT"
FIVE = "five statements in a transaction: lock, last seq, INSERT, counters, read back"

_LOCK = "SELECT id, title FROM conversations WHERE id = %s AND user_email = %s FOR UPDATE"
_LAST = """
SELECT seq, id FROM messages WHERE conversation_id = %s AND user_email = %s
ORDER BY seq DESC LIMIT 1
"""
_COUNTERS = """
UPDATE conversations SET next_seq = next_seq + 1, message_count = message_count + 1,
    revision = revision + 1, active_leaf_id = %s, preview = %s, updated_at = clock_timestamp()
WHERE id = %s AND user_email = %s
"""
_BACK = "SELECT * FROM messages WHERE conversation_id = %s AND id = %s AND user_email = %s"


def raw(made: Ground) -> Work:
    """INSERT and COMMIT of one message."""
    return made.inserts([SAID])


def five(made: Ground) -> Work:
    """What a careful hand writes: locked, in order, counted, and read back."""
    connection, conversation_id = made.connect(), next(made.empty)
    words, whose = search_words(SAID), [conversation_id, OWNER]

    def work() -> None:
        message_id = str(uuid4())
        with connection.cursor() as cursor:
            cursor.execute(_LOCK, whose)
            cursor.execute(_LAST, whose)
            place = (cursor.fetchone() or (0,))[0] + 1
            cursor.execute(INSERT, [conversation_id, message_id, OWNER, place, SAID, words])
            cursor.execute(_COUNTERS, [message_id, SAID[:100], *whose])
            cursor.execute(_BACK, [conversation_id, message_id, OWNER])
            cursor.fetchone()
        connection.commit()

    return work


def statement(made: Ground) -> Work:
    """The append's own statement, as the application sends it, on one of its own connections."""
    database, conversation_id = made.parley.database, next(made.empty)
    append(made, conversation_id)  # what is prepared is sent along the first time
    with statements_of(database) as sent:
        stored = append(made, conversation_id)
    renewed = again(next(text for text in sent if SAID[:20].encode() in text), stored)
    connection = database.engine.raw_connection()
    connection.detach()
    connection.dbapi_connection.autocommit = True

    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute(renewed())
            cursor.fetchall()

    return work


def append(made: Ground, conversation_id: str) -> UUID:
    """All that a request has done: the statement, the cache steps, and what announces it."""
    drafts = [Draft(role="user", content=SAID)]
    return made.parley.services.tree.append(OWNER, conversation_id, drafts).turns[0].id


def rate(works: Sequence[Work]) -> float:
    """Calls a second, of all works at once: one a thread and connection."""
    with ThreadPoolExecutor(len(works)) as pool:
        until = perf_counter() + SECONDS
        return sum(pool.map(lambda work: _calls(work, until), works)) / SECONDS


def _calls(work: Work, until: float) -> int:
    calls = 0
    while perf_counter() < until:
        work()
        calls += 1
    return calls


def appends(made: Ground) -> Iterator[Figure]:
    for connections, plural in ((1, "connection"), (CONNECTIONS, "connections")):
        kinds = {"ours": statement, "raw": raw, "five": five}
        works = {
            name: partial(rate, [make(made) for _ in range(connections)])
            for name, make in kinds.items()
        }
        found = by_turns(works, rounds=ROUNDS)
        for name, against in (("raw", RAW), ("five", FIVE)):
            yield Figure(
                name=f"append_statement.{name}@{connections}",
                what=f"the statement of an append, on {connections} {plural}",
                against=against,
                unit="1/s",
                ours=found["ours"],
                theirs=found[name],
            )


def whole_appends(made: Ground) -> Iterator[Figure]:
    conversation_id = next(made.empty)
    made.parley.services.conversations.read(OWNER, conversation_id, limit=20)  # it is active
    works = {"ours": partial(append, made, conversation_id), "theirs": raw(made)}
    spent = alternating(works, rounds=ROUNDS, calls=150)
    yield Figure(
        name="append_cached.raw",
        what="an append through the services, with its cache steps",
        against=RAW,
        unit="µs",
        **spent,
    )
    yield Figure(
        name="inserts.seconds",
        what="1,000 appends through the services, one after the other",
        against="the median append of each round, a thousand times",
        unit="s",
        ours=[each / 1000 for each in spent["ours"]],
    )


def measure() -> Iterator[Figure]:
    before_answers = (beginnings.tokens, beginnings.turns)
    within = (reads.cold, reads.cached, reads.redis_commands)
    with ground() as made:
        for part in (appends, whole_appends, bulk.at_once, *before_answers, *within):
            yield from part(made)


if __name__ == "__main__":
    record("statements", measure)
