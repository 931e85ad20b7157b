"""Redis as something that may be away: every command is bounded in time and none raises."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from functools import cache
from hashlib import sha1
from threading import Lock
from typing import Any, TypeVar, cast

from redis import ConnectionPool, Redis, exceptions
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.retry import Retry

from .. import metrics
from ..errors import SettingsError
from .breaker import Breaker

T = TypeVar("T")
Command = tuple[bytes | str | int, ...]


class Failure(StrEnum):
    """Why a command has no usable reply."""

    BREAKER_OPEN = "breaker_open"
    POOL_EXHAUSTED = "pool_exhausted"
    TIMEOUT = "timeout"
    AUTHENTICATION = "authentication"
    LOADING = "loading"
    FULL = "full"
    READ_ONLY = "read_only"
    WRONG_TYPE = "wrong_type"
    NO_SCRIPT = "no_script"
    REFUSED = "refused"
    CONNECTION = "connection"
    PROTOCOL = "protocol"


# The parser lets int() and deep nesting speak for themselves when a reply is not RESP at all.
_FAULTS = (exceptions.RedisError, OSError, ValueError, RecursionError)

# The first that fits counts; what fits none is not RESP.
_REASONS: tuple[tuple[type[Exception], Failure], ...] = (
    (exceptions.MaxConnectionsError, Failure.POOL_EXHAUSTED),
    (exceptions.TimeoutError, Failure.TIMEOUT),
    (exceptions.AuthenticationError, Failure.AUTHENTICATION),
    (exceptions.BusyLoadingError, Failure.LOADING),
    (exceptions.OutOfMemoryError, Failure.FULL),
    (exceptions.ReadOnlyError, Failure.READ_ONLY),
    (exceptions.NoScriptError, Failure.NO_SCRIPT),
    (exceptions.ResponseError, Failure.REFUSED),
    (exceptions.ConnectionError, Failure.CONNECTION),
    (OSError, Failure.CONNECTION),
)

# Redis is well and answered at once; it was this key or this kind of command that it refused.
_ANSWERED = {Failure.WRONG_TYPE, Failure.FULL, Failure.READ_ONLY, Failure.NO_SCRIPT}


class Counts:
    """What happened how often, by event and reason, for the metrics."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counter: Counter[tuple[str, str]] = Counter()

    def add(self, event: str, reason: str) -> None:
        with self._lock:
            self._counter[event, str(reason)] += 1
        metrics.cache_events.labels(event, reason).inc()

    def snapshot(self) -> Counter[tuple[str, str]]:
        """A copy; what never happened counts 0."""
        with self._lock:
            return self._counter.copy()


class RedisClient:
    """One Redis, `redis://` or `rediss://`, shared by all threads of a process.

    Timeouts are in seconds and bound each wait for the network: `socket_timeout` for the next
    piece of a reply, `connect_timeout` for one address of the host (its name is resolved without
    a bound). Nothing is tried twice: a command that timed out may still have been carried out.
    Raises SettingsError for a URL that can't be used; connects at the first command.
    """

    def __init__(
        self,
        url: str,
        *,
        breaker: Breaker | None = None,
        max_connections: int = 64,
        socket_timeout: float = 0.1,
        connect_timeout: float = 0.05,
    ) -> None:
        self.breaker = breaker or Breaker()
        self.counts = Counts()
        self._pool = bounded_pool(
            url,
            max_connections=max_connections,
            socket_timeout=socket_timeout,
            connect_timeout=connect_timeout,
        )
        self._redis = Redis(connection_pool=self._pool)
        self._execute: Callable[..., object] = self._redis.execute_command

    def get(self, key: str, *, max_bytes: int) -> bytes | Failure:
        """The string at `key`, b"" when there is none; at most `max_bytes` + 1 bytes of it."""
        return self._ask(bytes, "GETRANGE", key, 0, max_bytes)

    def set(self, key: str, value: bytes, *, ttl_ms: int) -> bool:
        """Whether Redis confirmed that it holds `value`, of any former type, for `ttl_ms`."""
        return self._ask(bool, "SET", key, value, "PX", ttl_ms) is True

    def unlink(self, *keys: str) -> bool:
        """Whether Redis confirmed that nothing is at any of these keys any more."""
        return not isinstance(self._ask(int, "UNLINK", *keys), Failure)

    def publish(self, channel: str, message: bytes) -> bool:
        """Whether Redis took a message for whoever listens to a channel at this moment."""
        return not isinstance(self._ask(int, "PUBLISH", channel, message), Failure)

    def ask_all(self, *commands: Command) -> list[Any] | Failure:
        """The replies to commands that are sent at once; a Failure if one of them was refused."""
        return cast(list[Any] | Failure, self._guarded(lambda: self._send_all(commands)))

    def run_script(self, script: str, keys: Mapping[str, Command]) -> list[bytes] | Failure:
        """A script's reply for each key, with that key's arguments; replies are strings."""
        sha = _sha1(script)
        replies = self._run("EVALSHA", sha, keys)
        if replies is Failure.NO_SCRIPT:  # Redis was restarted, or never heard of it
            replies = self._run("EVAL", script, keys)
        if isinstance(replies, Failure) or all(type(reply) is bytes for reply in replies):
            return replies
        self.distrust()
        return self._count(Failure.PROTOCOL)

    def scan(self, pattern: str, count: int) -> Iterator[list[bytes]]:
        """The keys that match, about `count` at a time; it ends early when Redis goes away."""
        keys: list[bytes] = []
        with suppress(*_FAULTS):
            for key in self._redis.scan_iter(match=pattern, count=count):
                keys.append(key)
                if len(keys) >= count:
                    yield keys
                    keys = []
        yield keys

    def ping(self) -> bool:
        """Whether Redis answers now. For readiness: asks even when the breaker is open."""
        try:
            return self._execute("PING") is True
        except _FAULTS as error:
            self._count(_reason(error))
            return False

    def distrust(self) -> None:
        """Close the idle connections: a reply came that can't be the one to its question."""
        self._pool.disconnect(inuse_connections=False)

    def close(self) -> None:
        """Close all connections. A later command opens new ones."""
        self._pool.disconnect()

    def _ask(self, kind: type[T], *command: bytes | str | int) -> T | Failure:
        reply = self._call(*command)
        if isinstance(reply, kind | Failure):
            return reply
        self.distrust()
        return self._count(Failure.PROTOCOL)

    def _run(self, verb: str, script: str, keys: Mapping[str, Command]) -> list[bytes] | Failure:
        commands = [(verb, script, 1, key, *arguments) for key, arguments in keys.items()]
        if len(commands) != 1:
            return self.ask_all(*commands)
        reply = self._call(*commands[0])
        return reply if isinstance(reply, Failure) else [cast(bytes, reply)]

    def _call(self, *command: bytes | str | int) -> object:
        return self._guarded(lambda: self._execute(*command))

    def _send_all(self, commands: Iterable[Command]) -> list[Any]:
        with self._redis.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            return pipeline.execute()

    def _guarded(self, ask: Callable[[], object]) -> object:
        if not self.breaker.allows():
            return self._count(Failure.BREAKER_OPEN)
        try:
            reply = ask()
        except _FAULTS as error:
            return self._failed(_reason(error))
        self.breaker.succeeded()
        return reply

    def _failed(self, failure: Failure) -> Failure:
        """A full pool says nothing about Redis, so it reports nothing to the breaker."""
        if failure in _ANSWERED:
            self.breaker.succeeded()
        elif failure is not Failure.POOL_EXHAUSTED:
            self.breaker.failed()
        return self._count(failure)

    def _count(self, failure: Failure) -> Failure:
        self.counts.add("error", failure)
        return failure


class _FragileConnection(AbstractConnection):
    """redis-py closes a connection after a timeout or a broken reply; this one after any error."""

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        if getattr(self, "_sock", None) is None:  # closed by an error before, in the same pipeline
            raise exceptions.ConnectionError("The replies before this one are not to be trusted.")
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[no-untyped-call]
        except exceptions.ResponseError:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise


class _PlainConnection(_FragileConnection, Connection):
    pass


class _TLSConnection(_FragileConnection, SSLConnection):
    pass


_CONNECTIONS = {None: _PlainConnection, SSLConnection: _TLSConnection}


def bounded_pool(
    url: str,
    *,
    max_connections: int = 64,
    socket_timeout: float = 0.1,
    connect_timeout: float = 0.05,
) -> ConnectionPool:
    """Connections that wait for the network no longer than that, and try nothing twice.

    RESP2 and no library name: otherwise redis-py talks to Redis before the first command.
    Raises SettingsError, which hides its cause: that may quote the password.
    """
    try:
        given = parse_url(url)  # type: ignore[no-untyped-call]
        connection_class = _CONNECTIONS[given.pop("connection_class", None)]
        given |= {
            "max_connections": max_connections,
            "socket_timeout": socket_timeout,
            "socket_connect_timeout": connect_timeout,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
            "decode_responses": False,
            "protocol": 2,
            "driver_info": None,
        }
        pool = ConnectionPool(connection_class=connection_class, **given)
        connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, KeyError, exceptions.RedisError):
        fault = "must be redis:// or rediss:// with options that redis-py knows."
        raise SettingsError({"REDIS_URL": [fault]}) from None
    return pool


@cache
def _sha1(script: str) -> str:
    """How Redis calls a script that it knows."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


def _reason(error: Exception) -> Failure:
    if isinstance(error, exceptions.ResponseError) and str(error).startswith("WRONGTYPE"):
        return Failure.WRONG_TYPE
    return next((why for kind, why in _REASONS if isinstance(error, kind)), Failure.PROTOCOL)
