"""What a responder looks up while it answers, kept for the next answer."""

from uuid import uuid4

import redis

from app import Prompt, cached
from tests.client import Client

OWNER = "ann@example.com"
LOOKED_UP = []


@cached(ttl=60, tags=["atlas"])
def pages(prompt, words):
    LOOKED_UP.append(prompt.user_email)
    return [f"{words} for {prompt.user_email}"]


def answer(prompt):
    yield pages(prompt, prompt.question)[0]


def test_a_responder_looks_up_once_for_each_user_until_its_source_changes(
    make_app, email, settings
):
    app, stranger = make_app(answer), f"{uuid4().hex}@example.com"
    parley = app.extensions["parley"]
    LOOKED_UP.clear()
    for person in (email, email, stranger):
        said = Client(app, person).ask("Huế?", wire="text").text
        assert said == f"Huế? for {person}"
    assert [email, stranger] == LOOKED_UP
    assert parley.invalidate("atlas")
    Client(app, email).ask("Huế?")
    assert [email, stranger, email] == LOOKED_UP
    with redis.Redis.from_url(settings.redis_url) as raw:
        assert not any(email.encode() in key for key in raw.keys("r:*"))
    off = make_app(answer, enable_redis_cache=False)
    for _ in range(2):
        Client(off, email).ask("Huế?")
    assert LOOKED_UP[3:] == [email, email]
    assert not off.extensions["parley"].invalidate("atlas")


def test_a_prompt_made_by_hand_keeps_nothing():
    LOOKED_UP.clear()
    by_hand = Prompt(question="?", user_email=OWNER)
    assert pages(by_hand, "x") == pages(by_hand, "x") == [f"x for {OWNER}"]
    assert len(LOOKED_UP) == 2
