"""Somebody to whom nothing may happen."""

from uuid import uuid4

import pytest

from tests.client import Client


@pytest.fixture(scope="module")
def person(app):
    """Somebody with a conversation."""
    client = Client(app, f"{uuid4().hex}@example.com")
    made = client.create("Hello", "Good morning")
    client.home, client.message_id = made["id"], made["messages"][0]["id"]
    return client


@pytest.fixture
def nothing_is_stored(rows, person):
    """Holds for every test that uses it."""
    before = rows.of(person.email)
    yield
    assert rows.of(person.email) == before


@pytest.fixture
def workers(make_app, email):
    """Two workers of one service, as one person calls them: `workers(responder, **settings)`."""

    def start(responder, **changes):
        apps = [make_app(responder, **changes) for _ in range(2)]
        for app in apps:
            app.extensions["parley"].start()
        return [Client(app, email) for app in apps]

    return start
