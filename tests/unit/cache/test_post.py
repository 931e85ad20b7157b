"""What a process tells the others is joined, and none of it is forgotten."""

from threading import Event
from threading import enumerate as threads
from uuid import UUID

import pytest

from app.cache import post
from app.cache.post import Post

from ...streams import until

ONE, OTHER = UUID(int=1), UUID(int=2)


class Redis:
    """Takes commands, and notes them."""

    def __init__(self):
        self.taken = []
        self.fails = False

    def ask_all(self, *commands):
        if self.fails:
            self.fails = False
            raise LookupError
        self.taken.append(sorted((channel, set(names.split())) for _, channel, names in commands))
        return [0 for _ in commands]


@pytest.fixture
def redis():
    return Redis()


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(post, "IDLE_SECONDS", 0.05)


def test_what_comes_close_together_goes_together(redis, monkeypatch):
    gate = Event()
    monkeypatch.setattr(post.time, "sleep", lambda _: gate.wait())
    sender = Post(redis)
    for channel, conversation_id in (("a", ONE), ("a", OTHER), ("b", ONE), ("a", ONE)):
        sender.send(channel, [conversation_id])
    gate.set()
    until(lambda: redis.taken)
    assert redis.taken == [[("a", {str(ONE), str(OTHER)}), ("b", {str(ONE)})]]


def test_the_thread_ends_when_there_is_nothing_to_carry_and_comes_again(redis):
    sender = Post(redis)
    for times in (1, 2):
        sender.send("a", [ONE])
        until(lambda times=times: len(redis.taken) == times)
        until(lambda: not any(thread.name == "parley-post" for thread in threads()))


def test_what_is_carried_at_once_is_not_carried_again(redis):
    sender = Post(redis)
    sender.send("a", [ONE])
    sender.carry()
    sender.carry()
    assert len(redis.taken) == 1


def test_after_something_unheard_of_it_goes_on(redis):
    redis.fails = True
    sender = Post(redis)
    sender.send("a", [ONE])
    until(lambda: not redis.fails)
    sender.send("a", [OTHER])
    until(lambda: redis.taken)
    assert redis.taken == [[("a", {str(OTHER)})]]


def test_without_another_thread_it_is_told_at_once(redis, monkeypatch):
    def start(_self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(post.threading.Thread, "start", start)
    Post(redis).send("a", [ONE])
    assert redis.taken == [[("a", {str(ONE)})]]
