"""What stands before an answer: who asks, and that the question and its place are durable."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial

import jwt

from app import Parley
from app.services.identity import Identity
from app.services.questions import Question

from .figures import Figure, Work, alternating, by_turns, microseconds
from .ground import OWNER, Ground

ROUNDS, CALLS, QUESTIONS = 5, 500, 60
ASKED = "What should I see in Huế when it rains for a week?"


def tokens(made: Ground) -> Iterator[Figure]:
    """What is remembered of a token, beside the check that it takes the place of."""
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
    """Each answer ends before the next question."""
    with closing(Parley(lambda _prompt: iter(["Yes."]), settings=made.parley.settings)) as parley:
        works = {
            "ours": lambda: _asked(parley, next(made.empty)),
            "theirs": lambda: _median(partial(microseconds, made.inserts([ASKED, ""]))),
        }
        yield Figure(
            name="turn.raw",
            what="the start of a turn: question, empty answer and run, durable",
            against="two raw INSERTs into messages, and COMMIT",
            unit="µs",
            **by_turns(works, rounds=ROUNDS),
        )


def _asked(parley: Parley, conversation_id: str) -> float:
    identity = Identity(user_email=OWNER, issuer="benchmark")

    def ask() -> float:
        began = time.perf_counter()
        question = Question(text=ASKED, conversation=conversation_id)
        watch = parley.services.chat.ask(identity, question)
        spent = (time.perf_counter() - began) * 1e6
        list(watch.events)
        return spent

    return _median(ask)


def _median(call: Callable[[], float]) -> float:
    return statistics.median(call() for _ in range(QUESTIONS))
