"""What goes to the nodes of a Cluster at once: one lane, and one connection, for each of them."""

from collections.abc import Callable, Sequence
from typing import Any

from redis import Redis, exceptions
from redis.cluster import ClusterNode

from .breaker import Breaker

Command = tuple[bytes | str | int, ...]

AWAY = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ClusterDownError, OSError)
"""What says that a node, or the Cluster, is not well."""


class Sent:
    """A command on its way to a node; `reply` may be a redirection."""

    def __init__(self, command: Command, node: ClusterNode) -> None:
        self.command = command
        self.node = node
        self.is_asking = False
        self.reply: Any = None


class Lane:
    """What goes to one node, on one connection."""

    def __init__(self, redis: Redis, breaker: Breaker, sent: Sequence[Sent]) -> None:
        self._redis = redis
        self._breaker = breaker
        self._sent = sent
        self._connection: Any = None
        self._is_read = False

    def open(self) -> None:
        """Takes a connection; raises ConnectionError at once when the node is left alone."""
        if not self._breaker.allows():
            raise exceptions.ConnectionError("This node failed a moment ago.")
        try:
            self._connection = self._redis.connection_pool.get_connection()
        except exceptions.MaxConnectionsError:  # it says nothing about the node
            raise
        except AWAY:
            self._breaker.failed()
            raise

    def write(self) -> None:
        commands = [part for each in self._sent for part in _parts(each)]
        self._tried(self._connection.send_packed_command, self._connection.pack_commands(commands))

    def read(self) -> None:
        self._tried(self._read_all)
        self._is_read = True
        self._breaker.succeeded()

    def close(self) -> None:
        """Gives the connection back; closed, where replies are still to come."""
        if self._connection is not None:
            if not self._is_read:
                self._connection.disconnect()
            self._redis.connection_pool.release(self._connection)

    def _tried(self, step: Callable[..., None], *arguments: Any) -> None:
        try:
            step(*arguments)
        except AWAY:
            self._breaker.failed()
            raise

    def _read_all(self) -> None:
        for each in self._sent:
            if each.is_asking:
                self._redis.parse_response(self._connection, "ASKING")  # type: ignore[no-untyped-call]
            try:
                name = each.command[0]
                each.reply = self._redis.parse_response(self._connection, name)  # type: ignore[no-untyped-call]
            except exceptions.AskError as redirection:
                each.reply = redirection


def _parts(sent: Sent) -> list[Command]:
    return [("ASKING",), sent.command] if sent.is_asking else [sent.command]
