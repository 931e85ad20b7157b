"""Replies of Redis that come to somebody else: through HTTP, nobody notices."""

from contextlib import closing
from uuid import uuid4

from tests.client import Client, at_once
from tests.proxy import Proxy

READERS = 6
ROUNDS = 25


def test_swapped_replies_are_no_error_and_show_nobody_elses_words(server, make_app):
    with closing(server.raw()) as raw, Proxy(server.port) as proxy:
        app = make_app(redis_url=f"redis://127.0.0.1:{proxy.port}/0")
        app.extensions["parley"].start()
        people = [Client(app, f"{uuid4().hex}@example.com") for _ in range(READERS)]
        places = {it: it.create(f"by {it.email}", f"to {it.email}")["id"] for it in people}
        proxy.swaps = True

        def talk(person):
            place = places[person]
            for number in range(ROUNDS):
                if number % 5 == 4:
                    assert person.say(place, f"again by {person.email}").status_code == 201
                said = [message["content"] for message in person.messages(place)]
                assert all(person.email in text for text in said)
                assert len(said) >= 2

        at_once(talk, people)
        assert proxy.swapped > 0
        print(f"{proxy.swapped} replies swapped")
        for key in raw.keys("h:*"):
            owners = [it.email for it in people if it.email.encode() in raw.get(key)]
            assert len(owners) <= 1, "a value holds what two people said"
