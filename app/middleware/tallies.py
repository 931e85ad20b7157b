"""What this process let through and has not told Redis yet, for each user and class of routes.

Far from a limit, most requests need not ask Redis. A process lets one through by itself where the
limit is a large one (`Slack.of`), Redis said within the last seconds that less than half of it is
used, and less than a fiftieth of it is untold. What is untold goes along with the next question.

So `n` processes let through at most `n` fiftieths of a limit beyond what Redis reckons; and nobody
is refused who has room there.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from limits import RateLimitItem

MOST_TALLIES = 10_000
_LEAST_LIMIT = 200
_SHARE = 50
_LONGEST_TRUST = 15.0

Bucket = tuple[str, str]
"""Which rate, and whose requests."""


@dataclass(frozen=True, slots=True)
class Slack:
    """How far a process may go by itself within a rate."""

    untold: int
    used: int
    trust: float
    """Seconds for which it believes what Redis said."""
    window: float
    """Seconds after which a request no longer counts."""

    @classmethod
    def of(cls, rate: RateLimitItem) -> "Slack | None":
        """None for a small limit: each of its requests counts in Redis before it comes through."""
        if rate.amount < _LEAST_LIMIT:
            return None
        window = float(rate.get_expiry())
        trust = min(window / 4, _LONGEST_TRUST)
        return cls(rate.amount // _SHARE, rate.amount // 2, trust, window)


class Tally:
    """What one bucket's requests were here, as far as Redis was not told. For many threads."""

    def __init__(self, slack: Slack, clock: Callable[[], float]) -> None:
        self._slack = slack
        self._clock = clock
        self._lock = Lock()
        self._untold = self._on_its_way = 0
        self._used = math.inf
        self._looked_at = self._asked_at = self._admitted_at = -math.inf

    def admit(self) -> bool:
        """Whether a request may come through without a question; it is then untold."""
        with self._lock:
            now, slack = self._clock(), self._slack
            is_far = self._used + self._untold < slack.used
            if not is_far or self._untold >= slack.untold or now - self._looked_at >= slack.trust:
                return False
            self._untold += 1
            self._admitted_at = now
            return True

    def wants_look(self) -> bool:
        """Whether it is worth asking how much is used: who came once comes again.

        True for one of several requests at once; the others go on asking for themselves.
        """
        with self._lock:
            now, trust = self._clock(), self._slack.trust
            if not now - self._asked_at < trust <= now - self._looked_at:
                return False
            self._used, self._looked_at = math.inf, now
            return True

    def looked(self, used: int) -> None:
        """Redis has said how much is used."""
        with self._lock:
            self._used = used

    def take(self) -> int:
        """How many untold requests go along with a question that is asked now; then `settle`."""
        with self._lock:
            if self._clock() - self._admitted_at >= self._slack.window:
                self._untold = self._on_its_way
            taken = self._untold - self._on_its_way
            self._on_its_way += taken
            return taken

    def settle(self, taken: int, counted: int) -> None:
        """Redis has counted so many requests: those that were taken, if it is more than these."""
        with self._lock:
            self._on_its_way -= taken
            if counted > taken:
                self._untold -= taken
            if counted:
                self._used += counted
                self._asked_at = self._clock()


class Tallies:
    """Tallies of at most `most` buckets: whose requests Redis counted longest ago goes first."""

    def __init__(
        self, most: int = MOST_TALLIES, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._clock = clock
        self._tallies: OrderedDict[Bucket, Tally] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._tallies)

    def find(self, bucket: Bucket) -> Tally | None:
        return self._tallies.get(bucket)

    def open(self, bucket: Bucket, slack: Slack) -> Tally:
        """The bucket's tally, a new one if there is none; it becomes the last to go."""
        with self._lock:
            tally = self._tallies.setdefault(bucket, Tally(slack, self._clock))
            self._tallies.move_to_end(bucket)
            return tally

    def surplus(self) -> tuple[Bucket, Tally] | None:
        """Forgets one where there are too many: its untold requests are the caller's to tell."""
        with self._lock:
            if len(self._tallies) <= self._most:
                return None
            return self._tallies.popitem(last=False)
