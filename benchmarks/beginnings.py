"""What stands before an answer: who asks, and that the question and its place are durable."""

import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count
from uuid import uuid4

import jwt

from app import Parley
from app.search_words import search_words
from app.services.identity import Identity
from app.services.questions import Question

from .figures import Figure, Work, alternating, by_turns, microseconds
from .ground import INSERT, OWNER, Ground

ROUNDS, CALLS, QUESTIONS = 5, 500, 60
ASKED = "What should I see in Huế when it rains for a week?"


def tokens(made: Ground) -> Iterator[Figure]:
    service, auth = made.parley.services.tokens, made.parley.settings.auth
    token = service.issue(OWNER, lifetime=timedelta(hours=1))
    (secret,) = auth.secrets.values()
    required = ["exp", "iat", "aud", "iss"]

    def decode() -> object:
        return jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            audience=auth.audience,
            issuer=auth.issuer,
            options={"require": required, "strict_aud": True},
        )

    works: dict[str, Work] = {"ours": lambda: service.verify(token), "theirs": decode}
    yield Figure(
        name="token.decode",
        what="a token that was verified before",
        against="the same token verified by PyJWT each time",
        unit="µs",
        **alternating(works, rounds=ROUNDS, calls=CALLS),
    )


def turns(made: Ground) -> Iterator[Figure]:
    with closing(Parley(lambda _prompt: iter(["Yes."]), settings=made.parley.settings)) as parley:
        works = {"ours": lambda: _asked(parley, next(made.empty)), "theirs": lambda: _stored(made)}
        yield Figure(
            name="turn.raw",
            what="the start of a turn: question, empty answer and run, durable",
            against="two raw INSERTs into messages, and COMMIT",
            unit="µs",
            **by_turns(works, rounds=ROUNDS),
        )


def _asked(parley: Parley, conversation_id: str) -> float:
    """The median start; each answer ends before the next question."""
    chat, identity, spent = parley.services.chat, Identity(user_email=OWNER, issuer="benchmark"), []
    for _ in range(QUESTIONS):
        began = time.perf_counter()
        watch = chat.ask(identity, Question(text=ASKED, conversation=conversation_id))
        spent.append((time.perf_counter() - began) * 1e6)
        list(watch.events)
    return statistics.median(spent)


def _stored(made: Ground) -> float:
    connection, conversation_id, places = made.connect(), next(made.empty), count(1)
    words = search_words(ASKED)

    def work() -> None:
        with connection.cursor() as cursor:
            for said, found in ((ASKED, words), ("", "")):
                values = [conversation_id, str(uuid4()), OWNER, next(places), said, found]
                cursor.execute(INSERT, values)
        connection.commit()

    with closing(connection):
        return statistics.median(microseconds(work) for _ in range(QUESTIONS))
