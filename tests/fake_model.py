"""A model on loopback that speaks Chat Completions over real HTTP, well or badly, as it is told.

    with FakeModel() as model:
        model.will(refuse(503), text("hello world", delay=0.01))
        ... RESPONDER=openai, OPENAI_BASE_URL=model.url

Each request takes the next behaviour; when none is left, `otherwise` (the question as the answer).
"""

import json
import select
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Exchange"], None]
Frame = Mapping[str, Any] | str
DONE = "[DONE]"
MODEL = "fake-1"
SECRET = "provider-internals-sk-9f3a"  # stands in whatever the fake says about its faults
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def question(self):
        return self.body["messages"][-1]["content"]


class Exchange:
    """One request and the means to answer it. OSError: the client has left."""

    def __init__(self, handler, model, request):
        self._handler, self._model, self.request = handler, model, request

    def start(self, status=200, *, kind="text/event-stream", **headers):
        self._handler.send_response(status, SECRET if status >= 400 else None)
        self._handler.send_header("Content-Type", kind)
        self._handler.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()

    def write(self, data):
        """One HTTP chunk; an empty one is the end of the body."""
        self._handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self):
        self.write(b"")

    def pause(self, seconds):
        """Waits, unless the client leaves or the test releases what hangs."""
        until, connection = time.monotonic() + seconds, self._handler.connection
        while time.monotonic() < until and not self._model.is_released:
            readable, _, _ = select.select([connection], [], [], 0.005)
            if readable and not readable[0].recv(1, socket.MSG_PEEK):
                raise ConnectionAbortedError

    def cut(self, last=b"", *, reset=False):
        """Ends the connection with FIN or with RST, after bytes that may break HTTP's rules."""
        self._handler.wfile.write(last)
        self._handler.close_connection = True
        if reset:
            connection = self._handler.connection
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(connection.detach())


class FakeModel:
    """The server. `requests` holds what came in, `departures` counts clients that left early."""

    def __init__(self, *, otherwise: Behaviour | None = None):
        self.requests: list[Request] = []
        self.departures = threading.Semaphore(0)
        self.is_released = False
        self._otherwise = otherwise or echo()
        self._behaviours: deque[Behaviour] = deque()
        self._server = _Server(("127.0.0.1", 0), _handler_for(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.release()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()
        assert not self._server.failures

    @property
    def connections(self) -> int:
        """How many there have been."""
        return self._server.connections

    def will(self, *behaviours: Behaviour):
        """Behave like this, one after the other, for the next requests."""
        self._behaviours.extend(behaviours)

    def release(self):
        """Whatever hangs goes on at once, now and later."""
        self.is_released = True

    def saw_client_leave(self, *, within: float) -> bool:
        return self.departures.acquire(timeout=within)

    def answer(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        request = Request(handler.path, dict(handler.headers), body)
        self.requests.append(request)
        behaviour = self._behaviours.popleft() if self._behaviours else self._otherwise
        try:
            behaviour(Exchange(handler, self, request))
        except OSError:
            handler.close_connection = True
            self.departures.release()


def frame(content=None, *, finish=None, model=MODEL, **delta) -> Frame:
    """One `chat.completion.chunk`."""
    choice = {"index": 0, "delta": {"content": content, **delta}, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "model": model, "choices": [choice], "usage": None}


def frames(answer, *, size=4, finish="stop", usage=USAGE, done=True, model=MODEL) -> list[Frame]:
    """A whole answer in pieces of `size` characters, as OpenAI sends it."""
    pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
    said = [frame("", role="assistant", model=model), *(frame(p, model=model) for p in pieces)]
    ended = [frame(finish=finish, model=model)] if finish else []
    counted = [{"object": "chat.completion.chunk", "choices": [], "usage": usage}] if usage else []
    return [*said, *ended, *counted, *([DONE] if done else [])]


def begun(half, *, finish=None) -> list[Frame]:
    """Frames of an answer that isn't over."""
    return frames(half, finish=finish, usage=None, done=False)


def encoded(*frames: Frame, newline="\n") -> bytes:
    """Frames as they go over the wire; strings are sent as they are."""
    texts = [f if isinstance(f, str) else json.dumps(f, ensure_ascii=False) for f in frames]
    lines = [text if text.startswith(":") else f"data: {text}" for text in texts]
    return "".join(line + newline * 2 for line in lines).encode("utf-8", "surrogatepass")


def says(*said: Frame, newline="\n", every=None, **how) -> Behaviour:
    """Sends these frames, each in one write, or in writes of `every` bytes."""
    pieces = []
    for data in (encoded(one, newline=newline) for one in said):
        size = every or len(data)
        pieces += [data[at : at + size] for at in range(0, len(data), size)]
    return raw(*pieces, **how)


def text(answer, *, delay=0.0, before=0.0, every=None, newline="\n", **how) -> Behaviour:
    """A good answer: `before` seconds until the headers, `delay` before each write."""
    said = frames(answer, **how)
    return says(*said, newline=newline, every=every, delay=delay, before=before)


def echo(**how) -> Behaviour:
    """The question as the answer."""
    return lambda exchange: text(exchange.request.question, **how)(exchange)


def whole(answer, **message) -> Behaviour:
    """One JSON object, as from a proxy that ignores `stream`."""
    said = {"role": "assistant", "content": answer, **message}
    completion = {"object": "chat.completion", "model": MODEL, "usage": USAGE}
    completion["choices"] = [{"message": said, "finish_reason": "stop"}]
    return raw(json.dumps(completion, indent=1).encode(), kind="application/json")


def calls(*asked, size=9, index=True, said="", usage=USAGE, finish="tool_calls") -> Behaviour:
    """Asks for tools, each a name and arguments (text, or else made JSON), in pieces."""
    deltas = []
    for n, (name, arguments) in enumerate(asked):
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        named = {"id": f"call_{n}", "type": "function"}
        named["function"] = {"name": name, "arguments": ""}
        each = [named, *({"function": {"arguments": piece}} for piece in pieces)]
        deltas += [{"index": n} | delta if index else delta for delta in each]
    pieces = [frame(tool_calls=[delta]) for delta in deltas]
    end = frames("", finish=finish, usage=usage)[1:]
    return says(*begun(said), *pieces, *end)


def refuse(status, *, retry_after=None, **headers) -> Behaviour:
    """An error answer, with the provider's secrets in its body and its headers."""

    def behave(exchange):
        asked = {} if retry_after is None else {"Retry_After": str(retry_after)}
        exchange.start(status, kind="application/json", X_Internals=SECRET, **asked, **headers)
        exchange.write(json.dumps({"error": {"message": SECRET, "code": status}}).encode())
        exchange.end()

    return behave


def refuse_stream_options(then: Behaviour, *, status=400) -> Behaviour:
    """Like an old server that knows no `stream_options`."""
    refusal = refuse(status)
    return lambda it: (refusal if "stream_options" in it.request.body else then)(it)


def hang(seconds=30.0) -> Behaviour:
    """Takes the request and says nothing, not even headers."""
    return text("late", before=seconds)


def hang_after(half="", *, seconds=30.0, comments=None, finish=None) -> Behaviour:
    """Falls silent after some text; or sends comments only, so many seconds apart."""

    def behave(exchange):
        exchange.start()
        exchange.write(encoded(*begun(half, finish=finish)))
        for _ in range(int(seconds / comments) if comments else 1):
            exchange.pause(comments or seconds)
            exchange.write(b": still here\n\n")
        exchange.end()

    return behave


def broken_off(half="", *, reset=False) -> Behaviour:
    """Closes the connection in the middle of an answer."""
    return raw(encoded(*begun(half)), cut=True, reset=reset)


def stream_error(half="") -> Behaviour:
    """An error object in the middle of an answer."""
    return says(*begun(half), {"error": {"message": SECRET, "code": 502}})


def garbage(half="") -> Behaviour:
    """A payload that isn't JSON in the middle of an answer."""
    return says(*begun(half), "{" + SECRET)


def huge_line(half="", *, size=5_000_000) -> Behaviour:
    """A line without an end in the middle of an answer."""
    return raw(encoded(*begun(half)), b"data: " + b"x" * size)


def raw(*pieces: bytes, before=0.0, delay=0.0, cut=False, kind="text/event-stream", **how):
    """These bytes, each in a write of its own; then a clean end, or a `cut`."""

    def behave(exchange):
        exchange.pause(before)
        exchange.start(kind=kind)
        for piece in pieces:
            exchange.pause(delay)
            exchange.write(piece)
        exchange.cut(**how) if cut else exchange.end()

    return behave


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False

    def __init__(self, address, handler):
        self._live: set[socket.socket] = set()
        self.failures: list[BaseException | None] = []
        self.connections = 0
        super().__init__(address, handler)

    def process_request(self, request, client_address):
        self._live.add(request)
        self.connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._live.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        """A client that leaves between requests is nothing to report; what else fails is."""
        if not isinstance(sys.exception(), OSError):
            self.failures.append(sys.exception())

    def hang_up(self):
        """Ends connections that clients keep for later, so that their threads end."""
        for connection in list(self._live):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _handler_for(model):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self):
            model.answer(self)

        def log_message(self, *_):
            """Nothing: tests look at `requests`."""

    return Handler
