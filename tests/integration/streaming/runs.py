"""Runs as the relay sees them, and what of them is in Redis."""

from types import SimpleNamespace

from app.ids import new_id
from app.streaming.events import Text
from app.streaming.wire import Wire
from tests.said import STARTED


class Writing:
    """A run that says what it is told to."""

    def __init__(self):
        self.ticket = SimpleNamespace(run_id=new_id())
        self.wire = Wire(STARTED)

    @property
    def run_id(self):
        return self.ticket.run_id

    @property
    def key(self):
        return f"w:1:{self.run_id}"

    @property
    def text(self):
        return text_of(self.wire.since(0))

    def say(self, *texts):
        for text in texts:
            self.wire.publish(Text(text))
        return self


def text_of(heard):
    """The text that events tell, silences left out."""
    return "".join(it.event.text for it in heard if it and isinstance(it.event, Text))


def numbers_of(heard):
    return [it.number for it in heard if it]
