"""How often a request speaks to PostgreSQL: as the engine counts it, and on the wire itself."""

import select
import socket
import struct
from contextlib import suppress
from threading import Event, Thread
from uuid import UUID, uuid4

import pytest
from sqlalchemy.engine import make_url

from app.ids import new_id
from tests.client import Client
from tests.driver import statements_of

_SPOKEN = b"QPBEFCDHS"  # all that a client can say but its password and its farewell
_BEFORE_START = {80877103, 80877104}  # requests for TLS and for GSSAPI, refused by one byte
TICK = 0.05


class Wiretap:
    """A TCP proxy in front of PostgreSQL that notes what clients say (protocol 3, section 54.7).

    `said`: message types and texts, in order. After `let(n)` it keeps back all but n messages,
    until `let(None)`.
    """

    def __init__(self, host, port):
        self.said = []
        self._target = (host, port)
        self._room = None
        self._changed = Event()
        self._is_over = Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = []
        self._connections = []
        self._start(self._accept)

    def let(self, count):
        self.said.clear()
        self._room = count
        self._changed.set()

    def close(self):
        self._is_over.set()
        self.let(None)
        for connection in self._connections:
            self._end(connection)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, work, *arguments):
        self._threads.append(Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self):
        while not self._is_over.is_set():
            if select.select([self._listener], [], [], TICK)[0]:
                client = self._listener.accept()[0]
                server = socket.create_connection(self._target)
                self._connections += [client, server]
                self._start(self._carry, client, server)
                self._start(self._carry_back, server, client)

    def _carry(self, client, server):
        with suppress(OSError), client, client.makefile("rb") as stream:
            while head := stream.read(8):
                size, code = struct.unpack("!ii", head)
                server.sendall(head + stream.read(size - 8))
                if code not in _BEFORE_START:
                    break
            while kind := stream.read(1):
                head = stream.read(4)
                body = stream.read(struct.unpack("!i", head)[0] - 4)
                self._note(kind, body)
                server.sendall(kind + head + body)
        self._end(server)

    def _note(self, kind, body):
        if kind in _SPOKEN:
            while self._room == 0 and not self._is_over.is_set():
                self._changed.wait(TICK)
                self._changed.clear()
            self._room = None if self._room is None else self._room - 1
            self.said.append((kind, body))

    def _carry_back(self, server, client):
        with suppress(OSError), server:
            while data := server.recv(1 << 16):
                client.sendall(data)
        self._end(client)

    def _end(self, other):
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def tap(settings):
    url = make_url(settings.database_url)
    tap = Wiretap(url.host, url.port or 5432)
    yield tap
    tap.close()


def look_once(app):
    """The cache may be read, and no later look of its upkeep is counted with what requests say."""
    upkeep = app.extensions["parley"].copies.upkeep
    upkeep.start()
    upkeep.close()


@pytest.fixture
def tapped(tap, settings, make_app):
    """An application that reaches PostgreSQL through the tap."""
    url = make_url(settings.database_url).set(host="127.0.0.1", port=tap.port)
    app = make_app(database_url=url.render_as_string(hide_password=False))
    look_once(app)
    yield app
    tap.let(None)
    app.extensions["parley"].close()


@pytest.fixture
def statements(tapped):
    with statements_of(tapped.extensions["parley"].database) as seen:
        yield seen


@pytest.fixture
def known(tapped):
    """A user who was seen a moment ago, over a connection that stands."""
    client = Client(tapped, f"{uuid4().hex}@example.com")
    assert client.get("/conversations").status_code == 200
    return client


@pytest.fixture
def spent(tap, statements):
    """Sends a request: how many statements it took, which the tap must have seen as well."""

    def count(send, status):
        tap.said.clear()
        statements.clear()
        answer = send()
        assert answer.status_code == status, answer.text
        assert [kind for kind, _ in tap.said] == [b"Q"] * len(statements), tap.said
        return len(statements)

    return count


def said(count):
    return {"messages": [{"role": "user", "content": f"Number {n}"} for n in range(count)]}


def test_first_sight_of_a_user_costs_one_statement(tapped, known, spent):
    newcomer = Client(tapped, f"{uuid4().hex}@example.com")
    assert spent(lambda: newcomer.get("/conversations"), 200) == 2
    assert spent(lambda: newcomer.get("/conversations"), 200) == 1


def test_a_list_is_one_statement_however_long(known, spent):
    assert spent(lambda: known.get("/conversations"), 200) == 1
    for n in range(5):
        known.create(f"Conversation {n}")
    assert spent(lambda: known.get("/conversations?limit=2"), 200) == 1
    cursor = known.get("/conversations?limit=2").json["next_cursor"]
    assert spent(lambda: known.get(f"/conversations?limit=2&cursor={cursor}"), 200) == 1


@pytest.mark.parametrize("count", [1, 2, 100])
def test_an_append_is_one_statement_however_many_messages(known, spent, count):
    address = f"/conversations/{known.create('Hello')['id']}/messages"
    assert spent(lambda: known.post(address, json=said(count)), 201) == 1


def test_a_read_is_one_statement_cold_and_none_from_the_cache(tapped, known, spent):
    made = known.create("Hello", "Good morning")
    address = f"/conversations/{made['id']}"
    tapped.extensions["parley"].copies.forget(UUID(made["id"]))
    assert spent(lambda: known.get(address), 200) == 1
    assert spent(lambda: known.get(address), 200) == 0
    assert spent(lambda: known.get(address), 200) == 0


def test_what_is_written_is_read_without_a_statement(known, spent):
    """What a write says takes the place of what the cache had."""
    made = known.create("Hello", "Good morning")
    address = f"/conversations/{made['id']}"
    assert spent(lambda: known.get(address), 200) == 0
    assert spent(lambda: known.post(f"{address}/messages", json=said(2)), 201) == 1
    assert spent(lambda: known.get(address), 200) == 0


def test_a_read_that_compares_revisions_is_one_statement(settings, tap, make_app):
    """CACHE_MODE=strict."""
    url = make_url(settings.database_url).set(host="127.0.0.1", port=tap.port)
    name = url.render_as_string(hide_password=False)
    app = make_app(database_url=name, cache_mode="strict")
    known = Client(app, f"{uuid4().hex}@example.com")
    address = f"/conversations/{known.create('Hello')['id']}"
    with statements_of(app.extensions["parley"].database) as seen:
        for _ in range(2):
            seen.clear()
            assert known.get(address).status_code == 200
            assert len(seen) == 1


def test_what_is_not_there_costs_one_statement(known, spent):
    missing = f"/conversations/{new_id()}"
    assert spent(lambda: known.get(missing), 404) == 1
    assert spent(lambda: known.post(f"{missing}/messages", json=said(1)), 404) == 1


def test_a_refused_request_costs_none(known, spent):
    made = known.create("Hello")["id"]
    assert spent(lambda: known.post(f"/conversations/{made}/messages", json={}), 422) == 0
    assert spent(lambda: known.get("/conversations?cursor=foul"), 422) == 0
    no_token = {"Authorization": "Bearer foul"}
    assert spent(lambda: known.get("/conversations", headers=no_token), 401) == 0


def test_the_first_byte_of_an_answer_waits_for_one_statement(known, tap, statements):
    """All but one message to PostgreSQL is kept back, and the answer begins all the same."""
    made = known.create("Hello")["id"]
    body = {"message": "And now?", "conversation_id": made}
    statements.clear()
    tap.let(1)
    answer = known.post("/chat?wire=sse", json=body)
    first = next(filter(None, answer.response))
    assert first.startswith(b"event: message\n")
    assert len(statements) == 1
    assert [kind for kind, _ in tap.said] == [b"Q"]
    assert b"EXECUTE parley_ask" in tap.said[0][1]
    tap.let(None)
    assert answer.data.rstrip().rpartition(b"\n\n")[2].startswith(b"event: done\n")
