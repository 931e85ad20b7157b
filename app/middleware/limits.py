"""How often each user may ask: a rate for each class of routes, counted in Redis.

Requests far from a large limit are counted there some at a time (`tallies`). While Redis is away
each process counts for itself. A host's Flask-Limiter and its settings are neither read nor
changed.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from threading import Lock
from typing import Literal, cast

import structlog
from flask import current_app, g, request
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter
from redis import RedisError
from redis.commands import CoreCommands
from redis.exceptions import MaxConnectionsError, ResponseError

from ..cache.breaker import Breaker
from ..cache.connections import FAULTS
from ..cache.servers import connect
from ..errors import LimitError
from .tallies import Bucket, Slack, Tallies, Tally

log = structlog.get_logger(__name__)

RateClass = Literal["default", "chat", "create"]

_KEY_PREFIX = "parley:limits"
_ERRORS_IN_A_ROW = 2


def limit_rate() -> None:
    """Counts the request against its user and the class of its view. Raises LimitError.

    After require_identity, so that nobody is charged for what a stranger sends.
    """
    view = current_app.view_functions[cast(str, request.endpoint)]
    rates: RateLimits = current_app.extensions["parley"].rate_limits
    rates.check(g.parley_identity.user_email, getattr(view, "rate_class", "default"))


class RateLimits:
    """`rates` are like `30/minute`, by class; None: as often as anybody likes.

    Of a limit of 200 or more, each process may let through a fiftieth beyond it; see `tallies`.
    """

    def __init__(self, rates: Mapping[RateClass, str | None], redis_url: str | None) -> None:
        self._rates = {str(name): parse(rate) for name, rate in rates.items() if rate}
        self._slacks = {name: Slack.of(rate) for name, rate in self._rates.items()}
        self._tallies = Tallies()
        # Two counters a user, where a moving window keeps a list as long as the limit; and no
        # double burst around the end of a window, as with a fixed one.
        self._in_memory = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._servers = connect(redis_url) if redis_url else None
        self._in_redis = _redis_limiter(self._servers.commands) if self._servers else None
        self._breaker = Breaker(_ERRORS_IN_A_ROW, name="limits")
        self._lock = Lock()

    def check(self, owner: str, rate_class: RateClass) -> None:
        """Counts one request. Raises LimitError, and counts nothing, when it is one too many."""
        rate = self._rates.get(rate_class)
        if rate is None:
            return
        bucket = (rate_class, owner)
        tally = self._tallies.find(bucket)
        if tally and tally.admit():
            return
        reset_at = self._room_at(rate, bucket)
        if reset_at is not None:
            raise LimitError(reset_at=reset_at)

    def close(self) -> None:
        """Gives the connections back. A later check opens new ones."""
        if self._servers:
            self._servers.disconnect()

    def _room_at(self, rate: RateLimitItem, bucket: Bucket) -> datetime | None:
        """Counts one request: None, or when there is room again."""
        if self._in_redis is None or not self._breaker.allows():
            return self._room_in_memory_at(rate, bucket)
        try:
            reset_at = self._room_in_redis_at(self._in_redis, rate, bucket)
        except MaxConnectionsError:  # it says nothing about Redis
            return self._room_in_memory_at(rate, bucket)
        except FAULTS as error:
            if not isinstance(error, ResponseError):  # Redis is well: it refused this key
                self._breaker.failed()
            log.warning("rate_limits_in_memory", error=type(error).__name__)
            return self._room_in_memory_at(rate, bucket)
        self._breaker.succeeded()
        return reset_at

    def _room_in_redis_at(
        self, limiter: RateLimiter, rate: RateLimitItem, bucket: Bucket
    ) -> datetime | None:
        slack = self._slacks[bucket[0]]
        if slack is None:
            return _room_at(limiter, rate, bucket)
        tally = self._tallies.open(bucket, slack)
        self._tell_surplus(limiter)
        if tally.wants_look():
            tally.looked(rate.amount - limiter.get_window_stats(rate, *_key(bucket)).remaining)
            if tally.admit():
                return None
        return None if _hit(limiter, rate, bucket, tally) else _reset_at(limiter, rate, bucket)

    def _tell_surplus(self, limiter: RateLimiter) -> None:
        if surplus := self._tallies.surplus():
            bucket, tally = surplus
            if untold := tally.take():
                limiter.hit(self._rates[bucket[0]], *_key(bucket), cost=untold)

    def _room_in_memory_at(self, rate: RateLimitItem, bucket: Bucket) -> datetime | None:
        # By themselves, hits at the same instant may all be taken back.
        with self._lock:
            return _room_at(self._in_memory, rate, bucket)


def _key(bucket: Bucket) -> tuple[str, str]:
    """An address may hold the separators of a key, a digest holds none."""
    rate_class, owner = bucket
    return rate_class, sha256(owner.encode()).hexdigest()


def _room_at(limiter: RateLimiter, rate: RateLimitItem, bucket: Bucket) -> datetime | None:
    return None if limiter.hit(rate, *_key(bucket)) else _reset_at(limiter, rate, bucket)


def _reset_at(limiter: RateLimiter, rate: RateLimitItem, bucket: Bucket) -> datetime:
    return datetime.fromtimestamp(limiter.get_window_stats(rate, *_key(bucket)).reset_time, UTC)


def _hit(limiter: RateLimiter, rate: RateLimitItem, bucket: Bucket, tally: Tally) -> bool:
    """Whether Redis has room for a request: with all that it was not told of, or for it alone."""
    taken, counted = tally.take(), 0
    costs = [taken + 1, 1] if taken else [1]
    try:
        counted = next((cost for cost in costs if limiter.hit(rate, *_key(bucket), cost=cost)), 0)
    finally:
        tally.settle(taken, counted)
    return counted > 0


class _Storage(RedisStorage):
    """Counters in whatever Redis there is: both of a user's are in one slot of a Cluster."""

    def __init__(self, commands: CoreCommands) -> None:
        super(RedisStorage, self).__init__()
        self.key_prefix = _KEY_PREFIX
        self.storage = commands
        self.initialize_storage("")

    @property
    def base_exceptions(self) -> type[Exception]:
        return RedisError


def _redis_limiter(commands: CoreCommands) -> RateLimiter:
    return SlidingWindowCounterRateLimiter(_Storage(commands))
