"""TLS before servers that have none: a proxy that ends it, and who signs its certificate."""

import datetime
import ipaddress
import select
import socket
import ssl
import struct
from contextlib import suppress
from threading import Event, Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.proxy import CHUNK, TICK

HERE = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
ELSEWHERE = x509.DNSName("elsewhere.example")
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""What a PostgreSQL client asks before TLS: may we? (PostgreSQL, Message Formats)"""
_HANDSHAKE = 0x16  # how a TLS connection begins


class Authority:
    """Signs certificates; who trusts it names `path`."""

    def __init__(self, folder):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder.name)])
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        self.path = folder / "ca.pem"
        self.path.write_bytes(_pem(self._signed(self._name, self._key, constraint)))

    def server(self, name=HERE):
        """TLS for a server that goes by `name`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        certificate = self._signed(subject, key, x509.SubjectAlternativeName([name]))
        path = self._folder / f"{certificate.serial_number}.pem"
        plain = serialization.NoEncryption()
        path.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
            + _pem(certificate)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _signed(self, subject, key, extension):
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        return (
            x509.CertificateBuilder(self._name, subject, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )


class TLSProxy:
    """Ends TLS before the server on `port`; without a context, refuses it.

    `negotiates`: as PostgreSQL does, where the client asks first. `encrypted`: connections that
    got through. `plain`: what clients began with that was no TLS. `told`: bytes of what clients
    said, over TLS or in plain text.
    """

    def __init__(self, port, context, *, negotiates=False):
        self.encrypted = self.told = 0
        self.plain = []
        self._target, self._context, self._negotiates = port, context, negotiates
        self._stopped = Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = []

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, run, *arguments):
        self._threads.append(Thread(target=run, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self):
        while not self._stopped.is_set():
            if select.select([self._listener], [], [], TICK)[0]:
                self._start(self._serve, self._listener.accept()[0])

    def _serve(self, client):
        client.settimeout(10)
        with client, suppress(OSError):
            if self._is_tls(client):
                with self._context.wrap_socket(client, server_side=True) as inner:
                    self.encrypted += 1
                    self._pass_through(inner)

    def _is_tls(self, client):
        if self._negotiates and client.recv(8, socket.MSG_PEEK) == SSL_REQUEST:
            client.recv(8)
            client.sendall(b"S" if self._context else b"N")
        start = client.recv(100, socket.MSG_PEEK)
        if start and start[0] != _HANDSHAKE:
            self.plain.append(start)
            self.told += len(start)
        return bool(start) and start[0] == _HANDSHAKE and self._context is not None

    def _pass_through(self, client):
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            while not self._stopped.is_set():
                waiting = select.select([client, server], [], [], TICK)[0]
                for source in {*waiting, client} if client.pending() else waiting:
                    data = source.recv(CHUNK)
                    if not data:
                        return
                    self.told += len(data) if source is client else 0
                    (server if source is client else client).sendall(data)


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)
