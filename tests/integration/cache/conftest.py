"""Two workers on whatever Redis a test brings."""

import pytest

from tests.client import Client


@pytest.fixture
def workers(make_app, email):
    """Two workers of one service, as one person calls them: `workers(redis_url, responder)`."""

    def start(redis_url, responder=None, **changes):
        apps = [make_app(responder, redis_url=redis_url, **changes) for _ in range(2)]
        for app in apps:
            app.extensions["parley"].start()
        return [Client(app, email) for app in apps]

    return start
