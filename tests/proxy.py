"""A TCP proxy on loopback that spoils what the server behind it answers."""

import select
import socket
import struct
import time
from contextlib import suppress
from threading import Event, Lock, Thread

CHUNK = 1 << 20
TICK = 0.02


class Proxy:
    """Set its attributes at any time; they hold from the next piece of data on.

    `delay`: seconds before each piece of a reply. `cut_after`: bytes of replies that one
    connection lets through before it is closed. `resets`: such a closing is a RST. `swallows`:
    half-open; connections stand, but nothing gets through either way. `swaps`: two replies that
    come within `patience` seconds on two connections each go to the other one. `forged`: what
    the client gets in place of each piece of a reply.
    """

    def __init__(self, port: int, *, patience: float = 0.05) -> None:
        self.delay = 0.0
        self.cut_after: int | None = None
        self.resets = self.swallows = self.swaps = False
        self.forged: bytes | None = None
        self.swapped = 0
        self._target = ("127.0.0.1", port)
        self._patience = patience
        self._lock = Lock()
        self._waiting: _Held | None = None
        self._threads: list[Thread] = []
        self.port = 0
        self.resume()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close all connections and refuse new ones until `resume()`."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._listener.close()

    def resume(self) -> None:
        """Listen, on the same port as before."""
        self._stopped = Event()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept, self._listener)

    def _start(self, run, sock) -> None:
        self._threads.append(Thread(target=run, args=(sock,), daemon=True))
        self._threads[-1].start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopped.is_set():
            if select.select([listener], [], [], TICK)[0]:
                self._start(self._serve, listener.accept()[0])

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(self._target) as server:
            left = [float("inf") if self.cut_after is None else self.cut_after]
            while not self._stopped.is_set():
                for source in select.select([client, server], [], [], TICK)[0]:
                    data = source.recv(CHUNK)
                    if not data:
                        return
                    if source is client and not self.swallows:
                        server.sendall(data)
                    elif (
                        source is server
                        and not self.swallows
                        and not self._answer(client, data, left)
                    ):
                        return

    def _answer(self, client: socket.socket, data: bytes, left: list[float]) -> bool:
        """Pass a piece of a reply on; False when the connection must end."""
        time.sleep(self.delay)
        data = data if self.forged is None else self.forged
        data = self._swap(data) if self.swaps else data
        if self.cut_after is None or len(data) <= left[0]:
            left[0] -= len(data)
            client.sendall(data)
            return True
        client.sendall(data[: int(left[0])])
        if self.resets:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def _swap(self, data: bytes) -> bytes:
        with self._lock:
            partner, self._waiting = self._waiting, None
            if partner is None:
                mine = self._waiting = _Held(data)
            else:
                self.swapped += 1
                partner.data, data = data, partner.data
                partner.is_swapped.set()
        if partner is None:
            mine.is_swapped.wait(self._patience)
            with self._lock:
                self._waiting = None if self._waiting is mine else self._waiting
            return mine.data
        return data


class _Held:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.is_swapped = Event()
