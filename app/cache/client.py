"""Redis as something that may be away: every command is bounded in time and none raises."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from hashlib import sha1
from threading import Lock
from typing import Any, TypeVar, cast

from redis import exceptions

from .. import metrics
from ..errors import UnavailableError
from .breaker import Breaker
from .connections import FAULTS
from .lanes import Command
from .servers import connect

T = TypeVar("T")


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

_IN_A_PIPELINE = "caused error: "
"""After which redis-py says what Redis said."""
# Also within what a script says of a command of its own.
_SAID = {"OOM command not allowed": Failure.FULL, "WRONGTYPE": Failure.WRONG_TYPE}
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
        _counter(event, reason).inc()

    def snapshot(self) -> Counter[tuple[str, str]]:
        """A copy; what never happened counts 0."""
        with self._lock:
            return self._counter.copy()


class RedisClient:
    """One Redis, its Sentinels' master or a Cluster, shared by all threads of a process.

    Timeouts are in seconds and bound each wait for the network: `socket_timeout` for the next
    piece of a reply, `connect_timeout` for one address of the host (its name is resolved without
    a bound). Who is asked for the master or the slots is one wait more each. Nothing is tried
    twice, but for what a Cluster's node sends elsewhere: a command that timed out may still have
    been carried out. A command may name several keys of one group (see `together`).
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
        self._servers = connect(
            url,
            max_connections=max_connections,
            socket_timeout=socket_timeout,
            connect_timeout=connect_timeout,
        )
        self._execute: Callable[..., object] = self._servers.execute
        self._send_all: Callable[..., list[Any]] = self._servers.execute_all

    def get(self, key: str, *, max_bytes: int) -> bytes | Failure:
        """The string at `key`, b"" when there is none; at most `max_bytes` + 1 bytes of it."""
        reply = self._guarded(lambda: self._servers.ask("GETRANGE", key, 0, max_bytes))
        return self._checked(bytes, reply)

    def set(self, key: str, value: bytes, *, ttl_ms: int) -> bool:
        """Whether Redis confirmed that it holds `value`, of any former type, for `ttl_ms`."""
        return self._ask(bool, "SET", key, value, "PX", ttl_ms) is True

    def unlink(self, *keys: str) -> bool:
        """Whether Redis confirmed that nothing is at any of these keys any more."""
        groups = self.together(keys)
        if len(groups) == 1:
            return not isinstance(self._ask(int, "UNLINK", *groups[0]), Failure)
        return not isinstance(self.ask_all(*(("UNLINK", *group) for group in groups)), Failure)

    def ask_all(self, *commands: Command) -> list[Any] | Failure:
        """The replies to commands that are sent at once; a Failure if one of them was refused."""
        return cast(list[Any] | Failure, self._guarded(lambda: self._send_all(commands)))

    def together(self, keys: Iterable[str]) -> list[list[str]]:
        """Keys in groups of which each may stand in one command: all of them, but on a Cluster."""
        return self._servers.together(keys)

    def run_script(self, script: str, keys: Mapping[str, Command]) -> list[bytes] | Failure:
        """A script's reply for each key, with that key's arguments; replies are strings."""
        sha = _sha1(script)
        replies = self._run("EVALSHA", sha, keys)
        if replies is Failure.NO_SCRIPT:  # Redis was restarted, or never heard of it
            replies = self._run("EVAL", script, keys)
        if isinstance(replies, Failure) or all(type(reply) is bytes for reply in replies):
            return replies
        return self.disbelieve()

    def scan(self, pattern: str, count: int) -> Iterator[list[bytes]]:
        """The keys that match, about `count` at a time. UnavailableError: Redis went away."""
        keys: list[bytes] = []
        try:
            for key in self._servers.commands.scan_iter(match=pattern, count=count):
                keys.append(key)
                if len(keys) >= count:
                    yield keys
                    keys = []
        except FAULTS:
            raise UnavailableError("Redis does not answer.") from None
        if keys:
            yield keys

    def ping(self) -> bool:
        """Whether Redis answers now. For readiness: asks even when the breaker is open."""
        try:
            return self._execute("PING") is True
        except FAULTS as error:
            self._count(_reason(error))
            return False

    def disbelieve(self) -> Failure:
        """What a reply comes to that can't be one to its question."""
        self.distrust()
        return self._count(Failure.PROTOCOL)

    def distrust(self) -> None:
        """Close the idle connections: a reply came that can't be the one to its question."""
        self._servers.disconnect(inuse_connections=False)

    def close(self) -> None:
        """Close all connections. A later command opens new ones."""
        self._servers.disconnect()

    def _ask(self, kind: type[T], *command: bytes | str | int) -> T | Failure:
        return self._checked(kind, self._call(*command))

    def _checked(self, kind: type[T], reply: object) -> T | Failure:
        """A reply of the kind that belongs to its question; any other is not to be trusted."""
        if isinstance(reply, (kind, Failure)):
            return reply
        return self.disbelieve()

    def _run(self, verb: str, script: str, keys: Mapping[str, Command]) -> list[bytes] | Failure:
        commands = [(verb, script, 1, key, *arguments) for key, arguments in keys.items()]
        if len(commands) != 1:
            return self.ask_all(*commands)
        reply = self._guarded(lambda: self._servers.ask(*commands[0]))
        return reply if isinstance(reply, Failure) else [cast(bytes, reply)]

    def _call(self, *command: bytes | str | int) -> object:
        return self._guarded(lambda: self._execute(*command))

    def _guarded(self, ask: Callable[[], object]) -> object:
        if not self.breaker.allows():
            return self._count(Failure.BREAKER_OPEN)
        try:
            reply = ask()
        except FAULTS as error:
            return self._failed(_reason(error))
        self.breaker.succeeded()
        return reply

    def _failed(self, failure: Failure) -> Failure:
        """A full pool says nothing about Redis, so it reports nothing to the breaker."""
        if failure in _ANSWERED:
            self.breaker.succeeded()
            if failure is Failure.NO_SCRIPT:  # no fault: it is sent along now
                return failure
        elif failure is not Failure.POOL_EXHAUSTED:
            self.breaker.failed()
        return self._count(failure)

    def _count(self, failure: Failure) -> Failure:
        self.counts.add("error", failure)
        return failure


@cache
def _counter(event: str, reason: str) -> Any:
    """The metric of what happened; reasons are words of ours."""
    return metrics.cache_events.labels(event, reason)


@cache
def _sha1(script: str) -> str:
    """How Redis calls a script that it knows."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


def _reason(error: Exception) -> Failure:
    said = str(error).rpartition(_IN_A_PIPELINE)[2]
    if isinstance(error, exceptions.ResponseError):
        for word, failure in _SAID.items():
            if word in said:
                return failure
    return next((why for kind, why in _REASONS if isinstance(error, kind)), Failure.PROTOCOL)
