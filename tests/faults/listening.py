"""Clients that listen to recitals over HTTP, and what each of them heard until it broke off."""

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2

from tests.client import bearer
from tests.responders import recital
from tests.streams import Frame, frames

PATIENCE = 60


@dataclass
class Heard:
    """One question and what came back. `pieces`: of the answer's text, each with its time."""

    email: str
    question: str
    client_message_id: str = field(default_factory=lambda: uuid4().hex)
    status: int | None = None
    started: dict[str, Any] | None = None
    pieces: list[tuple[float, str]] = field(default_factory=list)
    last_event_id: str = ""
    ending: Frame | None = None

    @property
    def text(self):
        return "".join(piece for _, piece in self.pieces)

    @property
    def expected(self):
        """The whole text of the answer."""
        return "".join(recital(self.question)[0])

    @property
    def is_done(self):
        return self.ending is not None and self.ending.event == "done"

    def take(self, frame):
        """As a browser's EventSource: `message` begins the answer anew."""
        self.last_event_id = frame.event_id or self.last_event_id
        match frame.event:
            case "message":
                self.started = frame.data
                self.pieces.clear()
            case "delta":
                self.pieces.append((time.monotonic(), frame.data["text"]))
            case "done" | "error":
                self.ending = frame


class Listener:
    """Somebody who asks a server that may die under them."""

    def __init__(self, app, email):
        self.email = email
        self.headers = {"Authorization": f"Bearer {bearer(app, email)}"}

    def ask(self, server, question, **fields):
        """What was heard of a new question's answer, up to its end or the connection's."""
        return self.listen(server, Heard(self.email, question), **fields)

    def repeat(self, server, heard, **fields):
        """What is heard when a question is sent again, as by who does not know of an answer."""
        again = Heard(self.email, heard.question, heard.client_message_id)
        return self.listen(server, again, **fields)

    def listen(self, server, heard, *, until=None, **fields):
        body = {"message": heard.question, "client_message_id": heard.client_message_id} | fields
        return self.hear(server, "POST", "/chat?wire=sse", heard, until=until, json=body)

    def resume(self, server, started, heard, *, remembering=False):
        """Adds to `heard` the rest of an answer, or all of it for who remembers nothing."""
        path = f"/chat/{started.started['conversation_id']}/stream?wire=sse"
        memory = {"Last-Event-ID": heard.last_event_id} if remembering else {}
        return self.hear(server, "GET", path, heard, headers=memory)

    def stop(self, server, heard):
        """The answer to a wish to hear no more; None if the worker died of it."""
        url = f"{server.url}/chat/{heard.started['conversation_id']}/stop"
        try:
            return httpx2.post(url, json={}, headers=self.headers, timeout=PATIENCE)
        except httpx2.TransportError:
            return None

    def hear(self, server, method, path, heard, *, until=None, headers=(), **options):
        """Listens to a stream, adding to `heard`; leaves where `until(heard)` says so."""
        options |= {"headers": self.headers | dict(headers), "timeout": PATIENCE}
        try:
            with httpx2.stream(method, f"{server.url}{path}", **options) as response:
                heard.status = response.status_code
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    for frame in frames(response.iter_raw()):
                        heard.take(frame)
                        if until and until(heard):
                            break
        except httpx2.TransportError:
            pass  # the worker is gone: what it said until then is there
        return heard
