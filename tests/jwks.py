"""An identity provider's keys, and a server that shows them, or does what servers do wrong."""

import gzip
import json
import select
import socket
import sys
from contextlib import contextmanager, suppress
from functools import cache
from threading import Event, Thread

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from .signing import claims, sealed

TICK = 0.02
PROVIDER = "https://provider.example.com/"
PROVIDER_AUDIENCE = "parley-at-the-provider"
_PRIMES = (
    "efd06de5c0fca47af6cb84eefccdd7b0835b1d7ed75d5077b56a5b89a5e14ab4e5dd86aabe3f085024496d"
    "87f10172c74f7fa541a3fa6805386fb3ff3d2c8e3ffc7f84416cc02d93f705f8e3f7df07bcfc90eecd87bc"
    "3a78a68f74317e677abe671ecb652c3e3db1489ddabced2215c9b1c9f1582e5519a3cf98659021b04a1b",
    "c5f04fe44ff060a53c5f2206b54a37337496bc5d0c454e521492da32131fe916910d8d5884da3b403024fb"
    "ee2b679ef71dd92c01a640afa842f422749c7fca9cc5d7cb507b909774039bde2712b737af85602b63abbf"
    "748d6cab9312163372f2313dc8920f756442e1bd406d0e4b8953bf103209bf5c1b5d32f61810777d4023",
)


@cache
def private_key(algorithm, name=""):
    """A key pair by its name, made once."""
    if algorithm == "RS256":
        return _rsa_key()
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def _rsa_key():
    """The same for all names, of two primes that were looked for beforehand."""
    p, q = (int(prime, 16) for prime in _PRIMES)
    d = pow(65537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def jwk(algorithm, name="", **members):
    """The public JWK of a key, whose id is `<algorithm> <name>` unless members say otherwise."""
    return jwk_of(private_key(algorithm, name).public_key(), algorithm) | {
        "kid": f"{algorithm} {name}",
        **members,
    }


def jwk_of(key, algorithm):
    shown = jwt.get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True)
    return {member: value for member, value in shown.items() if member != "key_ops"}


def key_set(*jwks):
    return json.dumps({"keys": jwks}).encode()


def provider_claims(**changes):
    """Claims that hold when the provider has signed them."""
    named = {
        "email": "somebody@provider.example.com",
        "email_verified": True,
        "iss": PROVIDER,
        "aud": PROVIDER_AUDIENCE,
        "sub": "auth0|42",
    }
    return claims(**named | changes)


def provided(algorithm="RS256", name="", *, payload=None, **header):
    """A token that the provider signed; a header of `...` is left out."""
    head = {"alg": algorithm, "typ": "JWT", "kid": f"{algorithm} {name}"} | header
    head = {member: value for member, value in head.items() if value is not ...}
    signer = jwt.get_algorithm_by_name(algorithm)
    return sealed(
        head,
        provider_claims() if payload is None else payload,
        lambda text: signer.sign(text, private_key(algorithm, name)),
    )


class KeyServer:
    """`with KeyServer(key_set(…)) as server: server.url`; `requests` counts connections.

    `answer` is called with each connection after its request, and may be changed at any time.
    """

    def __init__(self, document=b""):
        self.requests = 0
        self.answer = showing(document)
        self.port = 0
        self._threads = []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/keys"

    def start(self):
        """Listen, on the same port as before."""
        self.stopped = Event()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._run(self._accept)

    def stop(self):
        """Close all connections and refuse new ones until `start()`."""
        self.stopped.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._listener.close()

    def _run(self, target, *arguments):
        self._threads.append(Thread(target=target, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self):
        while not self.stopped.is_set():
            if select.select([self._listener], [], [], TICK)[0]:
                self.requests += 1
                self._run(self._serve, self._listener.accept()[0])

    def _serve(self, connection):
        with connection, suppress(OSError):
            connection.settimeout(5)
            connection.recv(65_536)
            self.answer(connection, self.stopped)


def showing(document, *, status="200 OK", headers="Content-Type: application/json"):
    """The whole document at once."""
    head = f"HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {len(document)}\r\n\r\n".encode()
    return saying(head + document)


def saying(data):
    return lambda connection, stopped: connection.sendall(data)


def hanging(connection, stopped):
    """Says nothing."""
    stopped.wait(30)


def hanging_after(data):
    def answer(connection, stopped):
        connection.sendall(data)
        stopped.wait(30)

    return answer


def trickling(data, *, at_once=b""):
    """One byte every now and then, so that no single wait is ever long."""

    def answer(connection, stopped):
        connection.sendall(at_once)
        for byte in data:
            connection.sendall(bytes([byte]))
            if stopped.wait(0.02):
                return

    return answer


def endless(connection, stopped):
    """1 GB, unless who reads has had enough."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b" " * 1_000_000)


def bomb():
    """100 MB in 100 kB."""
    packed = gzip.compress(b" " * 100_000_000, 1)
    return showing(packed, headers="Content-Encoding: gzip")


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time


@contextmanager
def connections():
    """Where this process connects to meanwhile, as Python sees it."""
    seen = _watch()
    seen.clear()
    yield seen
    seen.clear()


@cache
def _watch():
    seen = []

    def note(event, arguments):
        if event in {"socket.connect", "socket.getaddrinfo"}:
            seen.append(arguments[-1] if event == "socket.connect" else arguments[0])

    sys.addaudithook(note)
    return seen
