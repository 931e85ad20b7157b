"""Replies that belong to somebody else are no wire."""

from uuid import uuid4

from app.streaming.mirrors import Mirrors


class Odd:
    def __init__(self, reply):
        self._reply = reply

    def together(self, keys):
        return [list(keys)]

    def ask_all(self, *_commands):
        return [self._reply]


def test_a_reply_to_something_else_is_no_wire():
    for reply in (5, None, [], [[b"other", []]], [[b"w", 5]], b"text", [1]):
        mirrors = Mirrors(Odd(reply))
        assert mirrors.find(uuid4()) is None, reply
        assert mirrors.entries(uuid4()) == [], reply
