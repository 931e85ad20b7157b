"""What row-level security costs: the application's own statements with and without it.

    .venv/bin/python -m app.embedded --data DIR -- .venv/bin/python -m benchmarks.row_level_security

Makes a database and a role with BYPASSRLS of its own beside what is there, and removes them. Each
statement runs by turns as either role, on the same rows, for the same owner; then both plans are
compared. Needs an embedded PostgreSQL, whose superuser makes that role.
"""

import os
import platform
import random
import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, NamedTuple
from uuid import UUID

from psycopg2 import extensions

from app.database import Database
from app.ids import new_id
from app.repositories.appending import NewMessage
from app.repositories.conversations import ConversationRepository
from app.repositories.lists import ListRepository
from app.repositories.messages import MessageRepository
from app.search_words import any_of
from app.sessions import OwnedSession

from .scratch import Scratch, scratch, url_with

NAME, UNBOUND = "parley_benchmark", "parley_unbound"
FILLED = {"users": 400, "conversations": 20, "messages": 15}  # a user's, a conversation's
ROUNDS, CALLS = 9, 60
_PREPARING = ("PREPARE ", "DEALLOCATE ")

_FILL = """
INSERT INTO users (id, email)
SELECT gen_random_uuid(), 'u' || n || '@example.com' FROM generate_series(1, %(users)s) n;
INSERT INTO conversations (id, user_email, title, message_count, next_seq, updated_at)
SELECT gen_random_uuid(), email, 'About topic ' || n, %(messages)s, %(messages)s + 1,
    now() - n * interval '1 hour'
FROM users, generate_series(1, %(conversations)s) n;
INSERT INTO messages (conversation_id, id, user_email, seq, role, content, search_words)
SELECT c.id, gen_random_uuid(), c.user_email, n, 'user', said, to_tsvector('simple', said)
FROM conversations c, generate_series(1, %(messages)s) n,
    concat('message ', n, ' of a topic', n * abs(hashtext(c.id::text) %% 97) %% 97, ' ',
        repeat('word ', 40)) AS said;
"""


class Place(NamedTuple):
    """Whose conversation a statement is about."""

    owner: str
    conversation_id: UUID


def append(session: OwnedSession, place: Place) -> object:
    message = NewMessage(id=new_id(), role="user", content="And one more thing.")
    messages = MessageRepository(session)
    return messages.append(place.conversation_id, [message], title=None, preview="And one")


def list_page(session: OwnedSession, _place: Place) -> object:
    return ListRepository(session).page("newest", {"is_archived": False}, take=20)


def record(session: OwnedSession, place: Place) -> object:
    return ConversationRepository(session).record(place.conversation_id)


def tail(session: OwnedSession, place: Place) -> object:
    return MessageRepository(session).tail(place.conversation_id, 50)


def search(session: OwnedSession, _place: Place) -> object:
    return MessageRepository(session).search(any_of("which topic7 or topic11"), asked="", take=5)


def find_many(session: OwnedSession, _place: Place) -> object:
    where = {"title": {"contains": "topic 1"}, "message_count": {"gt": 3}}
    conversations = ConversationRepository(session)
    return conversations.find_many(where=where, order_by={"updated_at": "desc"}, take=10)


STATEMENTS: tuple[Callable[[OwnedSession, Place], object], ...] = (
    append,
    list_page,
    record,
    tail,
    search,
    find_many,
)


@contextmanager
def databases() -> Iterator[tuple[Database, Database, list[Place]]]:
    """The filled database as the application's role, as one with BYPASSRLS, and its places."""
    password = secrets.token_urlsafe(24)
    with ExitStack() as stack:
        made = stack.enter_context(scratch(NAME))
        made.run(f"DROP ROLE IF EXISTS {UNBOUND}")
        made.run(
            f"CREATE ROLE {UNBOUND} LOGIN BYPASSRLS IN ROLE parley_app PASSWORD %s", [password]
        )
        stack.callback(made.run, f"DROP ROLE {UNBOUND}")
        url = url_with(made.settings.database_url, username=UNBOUND, password=password)
        made.run(f"GRANT CONNECT ON DATABASE {NAME} TO {UNBOUND}")
        stack.callback(made.run, f"REVOKE ALL ON DATABASE {NAME} FROM {UNBOUND}")
        bound = stack.enter_context(closing(Database.from_settings(made.settings)))
        unbound = stack.enter_context(closing(Database.of_owner(url, made.settings)))
        yield bound, unbound, _fill(made)


def _fill(made: Scratch) -> list[Place]:
    made.run(_FILL, FILLED)
    made.run("VACUUM ANALYZE")
    rows = made.run("SELECT user_email, id::text FROM conversations ORDER BY user_email, id")
    return [Place(email, UUID(number)) for email, number in rows.fetchall()]


def measured(bound: Database, unbound: Database, places: list[Place]) -> dict[str, list[Any]]:
    """By statement the rounds: each a pair of medians in ms, with and without."""
    dice = random.Random(7)  # noqa: S311
    rounds: dict[str, list[Any]] = {statement.__name__: [] for statement in STATEMENTS}
    for number in range(-1, ROUNDS):
        for statement in STATEMENTS:
            spent: dict[Database, list[float]] = {bound: [], unbound: []}
            for call in range(CALLS):
                place = dice.choice(places)
                for database in (bound, unbound)[:: 1 if call % 2 else -1]:
                    spent[database].append(_milliseconds(database, statement, place))
            if number >= 0:  # the first round warms up
                pair = (statistics.median(spent[bound]), statistics.median(spent[unbound]))
                rounds[statement.__name__].append(pair)
    return rounds


def _milliseconds(database: Database, statement: Callable[..., object], place: Place) -> float:
    with database.statement(place.owner) as session:
        started = time.perf_counter()
        statement(session, place)
        return (time.perf_counter() - started) * 1000


def shape(database: Database, statement: Callable[..., object], place: Place) -> list[str]:
    """The nodes of a statement's plan, without what they filter by.

    Nor Result: there row-level security asks once whether the two names of the owner are one.
    """
    asked: list[tuple[str, Any]] = []

    class Noting(extensions.cursor):  # type: ignore[misc]
        def execute(self, text: str, values: Any = None) -> Any:
            asked.append((text, values))
            return super().execute(text, values)

    with database.statement(place.owner) as session:
        connection: Any = session.connection().connection.dbapi_connection
        connection.cursor_factory = Noting
        statement(session, place)
        connection.cursor_factory = None
        text, values = asked[-1]
        *before, last = [it for it in text.split("; ") if not it.startswith(_PREPARING)]
        cursor = connection.cursor()
        cursor.execute("; ".join([*before, f"EXPLAIN (FORMAT JSON, COSTS OFF) {last}"]), values)
        plan = cursor.fetchone()[0][0]["Plan"]
    return list(_nodes(plan))


def _nodes(plan: dict[str, Any]) -> Iterator[str]:
    names = ("Node Type", "Index Name", "Relation Name")
    if plan["Node Type"] != "Result":
        yield " ".join(plan[name] for name in names if name in plan)
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}…{max(values):.2f})"


def main() -> None:
    with databases() as (bound, unbound, places):
        rounds = measured(bound, unbound, places)
        plans = {
            statement.__name__: [
                shape(database, statement, places[0]) for database in (bound, unbound)
            ]
            for statement in STATEMENTS
        }
    print("Each of {users} users has {conversations} conversations".format(**FILLED), end=" ")
    print(f"of {FILLED['messages']} messages; {ROUNDS} rounds of {CALLS} calls;", end=" ")
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}.")
    print("Milliseconds a call: the median of the rounds' medians (least…greatest).\n")
    print("| statement | row-level security | BYPASSRLS | ratio | plan |\n|---|---|---|---|---|")
    for name, pairs in rounds.items():
        columns = [[with_it for with_it, _ in pairs], [without for _, without in pairs]]
        columns.append([with_it / without for with_it, without in pairs])
        same = "the same" if plans[name][0] == plans[name][1] else "differs"
        print(f"| {name} | {' | '.join(map(_spread, columns))} | {same} |")
    for name, (one, other) in plans.items():
        if one != other:
            print(f"\n{name}: {' > '.join(one)}\n  without: {' > '.join(other)}")


if __name__ == "__main__":
    main()
