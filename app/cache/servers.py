"""How commands get to Redis, whatever it consists of: one server, a master, or a Cluster."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from redis import ConnectionPool, Redis, exceptions
from redis.client import PubSub
from redis.commands import CoreCommands

from ..errors import SettingsError
from ..redis_url import RedisUrl, read_redis_url
from .cluster import Cluster
from .connections import MasterPool, bounds, node_class, single_pool
from .lanes import Command
from .shelf import Shelf


class Servers(Protocol):
    """Raises what redis-py raises, and what it stumbles over when a reply is no RESP.

    `commands`: redis-py's methods, for libraries that want them.
    """

    execute: Callable[..., Any]
    ask: Callable[..., Any]
    """The same for what is asked with each request: a reply as it is, by the shortest way."""
    commands: CoreCommands

    def execute_all(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands that are sent at once; raises if one of them was refused."""
        ...

    def together(self, keys: Iterable[str]) -> list[list[str]]:
        """Keys in groups of which each may stand in one command."""
        ...

    def pubsub(self) -> PubSub:
        """A connection to hear what is published to any of them."""
        ...

    def is_current(self, pubsub: PubSub) -> bool:
        """Whether what is published would still be heard there, for all that is known."""
        ...

    def disconnect(self, *, inuse_connections: bool = True) -> None:
        """Closes all connections, or those that are idle."""
        ...


class _Single:
    """One server; with Sentinels, whichever is the master."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._redis = Redis(connection_pool=pool)
        self._shelf = Shelf(pool)
        self.execute: Callable[..., Any] = self._redis.execute_command
        self.ask: Callable[..., Any] = self._asked
        self.commands: CoreCommands = self._redis

    def _asked(self, *command: bytes | str | int) -> Any:
        connection = self._shelf.take()
        try:
            packed = b"".join(connection.pack_command(*command))  # in one piece
            connection.send_packed_command([packed])
            reply = connection.read_response()
        except BaseException:
            self._shelf.give_up(connection)
            raise
        self._shelf.keep(connection)
        return reply

    def execute_all(self, commands: Sequence[Command]) -> list[Any]:
        with self._redis.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            return pipeline.execute()

    def together(self, keys: Iterable[str]) -> list[list[str]]:
        return [list(keys)]

    def pubsub(self) -> PubSub:
        return self._redis.pubsub()  # type: ignore[no-untyped-call,no-any-return]

    def is_current(self, pubsub: PubSub) -> bool:
        pool = self._pool
        if not isinstance(pool, MasterPool) or pubsub.connection is None:
            return True
        pool.look()
        return pool.leads_to_master(pubsub.connection)

    def disconnect(self, *, inuse_connections: bool = True) -> None:
        self._shelf.clear()
        self._pool.disconnect(inuse_connections=inuse_connections)


def connect(
    url: str,
    *,
    max_connections: int = 64,
    socket_timeout: float = 0.1,
    connect_timeout: float = 0.05,
) -> Servers:
    """What a URL names; connections are opened with the first command.

    `max_connections`: to each server. Raises SettingsError, which hides its cause: that may quote
    the password.
    """
    limits = bounds(
        max_connections=max_connections,
        socket_timeout=socket_timeout,
        connect_timeout=connect_timeout,
    )
    try:
        place = read_redis_url(url)
    except ValueError as error:
        raise SettingsError({"REDIS_URL": [str(error)]}) from None
    try:
        return _servers(place, {**place.options, **limits})
    except (ValueError, TypeError, KeyError, exceptions.RedisError):
        fault = "must have options that redis-py knows."
        raise SettingsError({"REDIS_URL": [fault]}) from None


def _servers(place: RedisUrl, options: dict[str, Any]) -> Servers:
    if place.is_cluster:
        kind = node_class(place)
        kind(**_of_a_connection(options))
        return Cluster(place.addresses, {**options, "connection_class": kind})
    pool = single_pool(place, options)
    pool.connection_class(**pool.connection_kwargs)
    return _Single(pool)


def _of_a_connection(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "max_connections"}
