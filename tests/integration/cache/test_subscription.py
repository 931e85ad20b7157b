"""One connection for all channels that somebody in a process wants to hear."""

from uuid import uuid4

import pytest
import redis

from app.cache import subscription
from app.cache.subscription import Subscription
from tests.streams import until


@pytest.fixture
def publisher(database_urls):
    with redis.Redis.from_url(database_urls.redis) as client:
        yield client


def test_channels_come_and_go_and_with_the_last_one_goes_the_connection(
    database_urls, publisher, monkeypatch
):
    monkeypatch.setattr(subscription, "SWEEP_SECONDS", 0.05)
    one, other, third = (f"tests:{uuid4().hex}" for _ in range(3))
    wanted, heard = {one, other}, []
    listening = Subscription(database_urls.redis, lambda: set(wanted), lambda *it: heard.append(it))

    def listeners(channel):
        return dict(publisher.pubsub_numsub(channel))[channel.encode()]

    assert listeners(one) == 0
    listening.start()
    until(lambda: listening.hears(one) and listening.hears(other))
    assert set(heard) == {(one, None), (other, None)}
    publisher.publish(one, b"news")
    until(lambda: (one, b"news") in heard)

    wanted.discard(other)
    until(lambda: not listening.hears(other))
    assert (listeners(one), listeners(other)) == (1, 0)

    wanted.clear()
    until(lambda: not listening.hears(one) and not listeners(one))
    wanted.add(third)
    listening.start()
    until(lambda: listening.hears(third))

    listening.close()
    until(lambda: not listeners(third))
    assert (None, None) not in heard


def test_a_message_that_is_none_of_ours_ends_nothing(database_urls, publisher):
    """Whoever shares the Redis may publish anything."""
    channel, heard = f"tests:{uuid4().hex}", []

    def hear(name, message):
        heard.append(message)
        if message == b"nonsense":
            raise ValueError(message)

    listening = Subscription(database_urls.redis, lambda: {channel}, hear)
    listening.start()
    until(lambda: listening.hears(channel))
    publisher.publish(channel, b"nonsense")
    until(lambda: publisher.publish(channel, b"sense") and b"sense" in heard)
    listening.close()
