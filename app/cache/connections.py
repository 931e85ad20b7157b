"""Connections that wait for the network no longer than they may, and try nothing twice."""

import time
from collections.abc import Mapping
from copy import copy
from threading import Lock
from typing import Any

import structlog
from redis import ConnectionPool, exceptions
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, SSLConnection
from redis.retry import Retry
from redis.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from ..redis_url import RedisUrl

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""How often the Sentinels are asked for the master while nothing seems wrong."""
REST_SECONDS = 5.0
"""The same when none of them answers: who asks has to wait for each."""

# What comes may be no RESP at all, and no answer to a Sentinel's or a Cluster's question.
FAULTS = (
    exceptions.RedisError, exceptions.RedisClusterException, OSError, ValueError, TypeError,
    LookupError, AttributeError, RecursionError,
)  # fmt: skip


class _FragileConnection(AbstractConnection):
    """redis-py closes a connection after a timeout or a broken reply; this one after any error."""

    harmless: tuple[type[Exception], ...] = (exceptions.NoScriptError,)
    """What a server says that is well: the replies behind it are to be read."""

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        if getattr(self, "_sock", None) is None:  # closed by an error before, in the same pipeline
            raise exceptions.ConnectionError("The replies before this one are not to be trusted.")
        kwargs.setdefault("disconnect_on_error", True)  # Sentinel's have another default
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[no-untyped-call]
        except self.harmless:
            raise
        except exceptions.ResponseError:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise


class _PlainConnection(_FragileConnection, Connection):
    pass


class _TLSConnection(_FragileConnection, SSLConnection):
    pass


class _MasterConnection(_FragileConnection, SentinelManagedConnection):
    pass


class _MasterTLSConnection(_FragileConnection, SentinelManagedSSLConnection):
    pass


class _NodeConnection(_PlainConnection):
    """A Cluster's node that sends elsewhere is well, and what else it says is to be trusted."""

    harmless = (exceptions.AskError, exceptions.NoScriptError)


class _NodeTLSConnection(_TLSConnection):
    harmless = (exceptions.AskError, exceptions.NoScriptError)


class _Sentinels(Sentinel):
    """Asked by several threads at once, which redis-py's are not made for."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        asked = copy(self)
        asked.sentinels = [*self.sentinels]
        try:
            found: tuple[str, int] = Sentinel.discover_master(asked, service_name)  # type: ignore[no-untyped-call]
        except exceptions.RedisError:
            raise
        except FAULTS:
            raise MasterNotFoundError("A Sentinel's answer makes no sense.") from None
        self.sentinels = asked.sentinels
        return found


class MasterPool(SentinelConnectionPool):
    """Connections to whom the Sentinels call the master, each second anew.

    A former master that can still be reached would go on answering.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._looking = Lock()
        self._looks_at = 0.0

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        self.look()
        return super().get_connection(*args, **kwargs)

    def owns_connection(self, connection: Any) -> bool:
        """redis-py's would lose a place for each connection to a former master, or to nobody."""
        if not self.leads_to_master(connection):
            connection.disconnect()
        return bool(ConnectionPool.owns_connection(self, connection))

    def leads_to_master(self, connection: Any) -> bool:
        """Whether it goes to whom the Sentinels called the master when they were last asked."""
        return bool((connection.host, connection.port) == self.master_address)

    def look(self) -> None:
        """Asks when it is time to, in one thread; closes idle connections to a former master."""
        if time.monotonic() < self._looks_at or not self._looking.acquire(blocking=False):
            return
        rest = LOOK_SECONDS
        try:
            self.get_master_address()  # type: ignore[no-untyped-call]
        except exceptions.RedisError:
            rest = REST_SECONDS
            log.info("sentinels_away")
        finally:
            self._looks_at = time.monotonic() + rest
            self._looking.release()


def bounds(
    *, max_connections: int, socket_timeout: float, connect_timeout: float
) -> dict[str, Any]:
    """redis-py's options for a pool, its timeouts in seconds.

    RESP2 and no library name: otherwise redis-py talks to Redis before the first command.
    """
    return {
        "max_connections": max_connections,
        "socket_timeout": socket_timeout,
        "socket_connect_timeout": connect_timeout,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "decode_responses": False,
        "protocol": 2,
        "driver_info": None,
    }


def single_pool(url: RedisUrl, options: Mapping[str, Any]) -> ConnectionPool:
    """Connections to one server, or to the master that Sentinels name."""
    if url.service:
        return _master_pool(url, options)
    kind = _TLSConnection if url.is_encrypted else _PlainConnection
    (host, port), *_ = url.addresses
    return ConnectionPool(connection_class=kind, host=host, port=port, **options)


def node_class(url: RedisUrl) -> type[AbstractConnection]:
    """What connections to a Cluster's nodes are."""
    return _NodeTLSConnection if url.is_encrypted else _NodeConnection


def _master_pool(url: RedisUrl, options: Mapping[str, Any]) -> ConnectionPool:
    own = {name: it for name, it in options.items() if name not in {"db", "username", "password"}}
    sentinels = _Sentinels(  # type: ignore[no-untyped-call]
        url.addresses, sentinel_kwargs={**own, **url.sentinel_options, "ssl": url.is_encrypted}
    )
    kind = _MasterTLSConnection if url.is_encrypted else _MasterConnection
    return MasterPool(url.service, sentinels, connection_class=kind, **options)
