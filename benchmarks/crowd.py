"""Many HTTP clients in one process, as cheap as can be: raw sockets and one selector.

What they hear are the tokens of `spoken`: each tells when it was due.
"""

import math
import re
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import cycle

_TOKEN = re.compile(rb"(\d+\.\d{6}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.I)
_END = b"\r\n0\r\n\r\n"
_LOOK_SECONDS = 0.25
_PATIENCE_SECONDS = 10.0


@dataclass
class Caller:
    """Sends a short request again as soon as it is answered; `answered`: when each was."""

    request: bytes
    is_done: bool = False
    answered: list[float] = field(default_factory=list)
    _left: int = 0
    """Bytes of the answer that are to come; 0 before its head."""

    def hear(self, data: bytes, now: float) -> bytes | None:
        """Takes in what came; what to send now, if anything."""
        self._left = (self._left or _size(data)) - len(data)
        if self._left > 0:
            return None
        self.answered.append(now)
        return None if self.is_done else self.request


@dataclass
class Asker:
    """Sends one request after the other, over and over, `most` in all, each upon an answer.

    `seconds`: how long each answer took to come; `failed`: the status of each that was an error,
    or `gone`.
    """

    requests: Sequence[bytes]
    most: float = math.inf
    is_done: bool = False
    seconds: list[float] = field(default_factory=list)
    failed: list[bytes] = field(default_factory=list)
    _left: int = 0
    _sent: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._next = cycle(self.requests)
        self.request = next(self._next)

    def hear(self, data: bytes, now: float) -> bytes | None:
        """Takes in what came; what to send now, if anything."""
        if not self._left and not _is_well(data):
            self.failed.append(data[9:12])
        self._left = (self._left or _length(data)) - len(data)
        if self._left > 0:
            return None
        self.seconds.append(now - self._sent)
        self._sent = now
        self.is_done = self.is_done or len(self.seconds) >= self.most
        return None if self.is_done else next(self._next)


@dataclass
class Listener:
    """Asks once and hears the tokens; `delays`: seconds from when each was due to its arrival.

    `ended`: when the answer was over.
    """

    request: bytes
    expected: int
    ended: float = 0.0
    delays: list[float] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    _rest: bytes = b""
    _tail: bytes = b""

    @property
    def is_done(self) -> bool:
        return bool(self.ended)

    @property
    def is_whole(self) -> bool:
        """Whether every token came, in order, up to the end of the answer."""
        return (
            self.is_done and len(self.heard) == self.expected and self.heard == sorted(self.heard)
        )

    def hear(self, data: bytes, now: float) -> None:
        self._tail = (self._tail + data)[-len(_END) :]
        self.ended = now if self._tail == _END else 0.0
        data, end = self._rest + data, 0
        while len(self.heard) < self.expected and (token := _TOKEN.search(data, end)):
            self.heard.append(token[1])
            self.delays.append(now - float(token[1]))
            end = token.end()
        self._rest = data[end:]

    @property
    def ending(self) -> bytes:
        """What came after the last token."""
        return self._rest


def _size(start: bytes) -> int:
    """Bytes of a whole answer that begins so; nothing else than 200 is expected."""
    if b" 200 " not in start[:16]:
        raise ValueError(f"The benchmark was answered {start[:200]!r}.")
    return _length(start)


def _is_well(start: bytes) -> bool:
    status = start[9:12]
    return status.isdigit() and HTTPStatus.OK <= int(status) < HTTPStatus.BAD_REQUEST


def _length(start: bytes) -> int:
    """Bytes of a whole answer that begins so; its head comes in one piece."""
    head, _, _ = start.partition(b"\r\n\r\n")
    found = _LENGTH.search(head + b"\r\n")
    if found is None:
        raise ValueError("The benchmark expects answers with a Content-Length.")
    return len(head) + 4 + int(found[1])


@dataclass
class Crowd:
    """`look` is called four times a second meanwhile."""

    port: int
    look: Callable[[], object] = lambda: None
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _open: int = 0

    def listen(
        self, listeners: Sequence[Listener], callers: Sequence[Caller] = (), *, within: float
    ) -> None:
        """Until all listeners are done. They begin evenly `within` so many seconds."""
        began = looked = time.monotonic()
        waiting = list(reversed(listeners))
        for caller in callers:
            self._connect(caller)
        every = within / len(listeners)
        while waiting or self._open > len(callers):
            now = time.monotonic()
            while waiting and (len(listeners) - len(waiting)) * every <= now - began:
                self._connect(waiting.pop())
            if now - looked > _LOOK_SECONDS:
                looked = now
                self.look()
            self._serve(0.005 if waiting else 0.1)
        self._leave()

    def call(self, callers: Sequence[Caller | Asker], *, seconds: float) -> None:
        """For so long, and until what was asked by then is answered: none is left to be done."""
        until = time.monotonic() + seconds
        for caller in callers:
            self._connect(caller)
        while self._open and time.monotonic() < until:
            self._serve(0.1)
        for caller in callers:
            caller.is_done = True
        while self._open and time.monotonic() < until + _PATIENCE_SECONDS:
            self._serve(0.1)
        self._leave()

    def _connect(self, client: Caller | Asker | Listener) -> None:
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(client.request)
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, client)
        self._open += 1

    def _serve(self, patience: float) -> None:
        for key, _ in self._selector.select(patience):
            connection, client = key.fileobj, key.data
            data = connection.recv(1 << 18)
            again = client.hear(data, time.monotonic()) if data else None
            if again:
                connection.sendall(again)
            elif client.is_done or not data:
                self._close(connection)
            if not data and isinstance(client, Asker):
                client.failed.append(b"gone")

    def _close(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.close()
        self._open -= 1

    def _leave(self) -> None:
        for key in list(self._selector.get_map().values()):
            self._close(key.fileobj)
