"""Tabs that have a conversation open, and write down what they are told."""

import json
from functools import partial
from threading import Thread
from typing import NamedTuple

from app.cache.changes import channel_of

from .streams import until

PATIENCE = 20.0
"""Seconds; less than it takes until a tab is told without any announcement."""


class Told(NamedTuple):
    """A server-sent event."""

    event: str
    mark: str
    data: dict


class Tab:
    """Reads `pieces` of a stream of events, in a thread, as long as it lasts.

    `hear(*names)`: the data of the next events, which must have these names.
    """

    def __init__(self, pieces):
        self.told = []
        self.signs_of_life = 0
        self._heard = 0
        self._thread = Thread(target=self._read, args=(pieces,), daemon=True)
        self._thread.start()

    @property
    def is_over(self):
        return not self._thread.is_alive()

    def hear(self, *names):
        upto = self._heard + len(names)
        until(lambda: len(self.told) >= upto or self.is_over, seconds=PATIENCE)
        fresh = self.told[self._heard : upto]
        assert [event for event, *_ in fresh] == list(names)
        self._heard = upto
        return [told.data for told in fresh]

    def ends(self):
        """It ends, and has told no more than what was heard."""
        until(lambda: self.is_over, seconds=PATIENCE)
        assert self.told[self._heard :] == []
        return True

    def _read(self, pieces):
        rest = b""
        for piece in pieces:
            *whole, rest = (rest + piece).split(b"\n\n")
            for frame in whole:
                self._take(frame)

    def _take(self, frame):
        if frame.startswith(b":"):
            self.signs_of_life += 1
            return
        event, mark, data = frame.decode().split("\n")
        fields = event.removeprefix("event: "), mark.removeprefix("id: ")
        self.told.append(Told(*fields, json.loads(data.removeprefix("data: "))))


def tab_of(client, conversation_id, *, seconds=60, **headers):
    """A tab on an application within this process."""
    path = f"/conversations/{conversation_id}/events?seconds={seconds}"
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "text/event-stream"
    return Tab(answer.response)


def hub_of(client):
    return client.app.extensions["parley"].changes


def open_tabs(conversation_id, *clients):
    """A tab on each worker, when both hear what the other announces; and both know the state."""
    tabs = [tab_of(client, conversation_id) for client in clients]
    for client, tab in zip(clients, tabs, strict=True):
        until(partial(hub_of(client).hears, channel_of(client.email)), seconds=PATIENCE)
        tab.hear("state")
    return tabs


def heard(tabs, *names):
    """What all tabs hear, which is the same for all."""
    first, *others = [tab.hear(*names) for tab in tabs]
    assert all(other == first for other in others)
    return first
