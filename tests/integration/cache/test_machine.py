"""A state machine on the real thing; CACHE_STEPS says how many steps it takes in all."""

import os
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, seed, settings, stateful

from app.cache.breaker import Breaker
from app.services.windows import Window
from tests.apart import apart
from tests.evidence import Rows

from .machine import Workers
from .spoiled import SpoiledFence

STEPS = int(os.environ.get("CACHE_STEPS", "10000"))
_AT_ONCE = 50
SEED = int(os.environ.get("CACHE_SEED", random.randrange(2**32)))

pytestmark = pytest.mark.usefixtures("unmeasured")


class Clock:
    """Time passes for who waits, and otherwise when the machine says so."""

    now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    """Whoever has to wait until all know of a note waits for hours, in no time."""
    clock = Clock()
    monkeypatch.setattr("app.database.time", clock)
    for module in ("app.database", "app.sessions"):
        monkeypatch.setattr(f"{module}.KNOWN_SECONDS", 10_000.0)
    return clock


@pytest.fixture
def own_settings(settings):
    """Of a database where nobody else works: others tell another Redis of what they do there."""
    with apart(settings, "machine") as own_settings:
        yield own_settings


@pytest.fixture
def machine(own_settings, make_app, own_server, clock):
    urls = {name: getattr(own_settings, name) for name in ("database_url", "database_owner_url")}

    def made(**changes):
        parley = make_app(**urls, redis_url=own_server.url, **changes).extensions["parley"]
        parley.redis.breaker = Breaker(probe_after=0.01)
        parley.history = parley.services.tree._history
        parley.runner._reap_seconds = 3600.0  # it would take the faults that are planned for others
        return parley

    workers = [made() for _ in range(2)]
    for worker in workers:
        worker.copies.upkeep._is_started = True  # it looks when the machine says so
        worker.copies.cache._clock = clock
        worker.copies.cache._fence = SpoiledFence(worker.copies.cache._fence)
    parts = {
        "workers": workers,
        "plain": made(cache_mode="off"),
        "server": own_server,
        "clock": clock,
        "window": Window(limit=1000),
        "rows": Rows(own_settings.database_owner_url),
        "tally": Counter(),
    }
    return type("OnRedis", (Workers,), parts)


def test_two_workers_show_what_is_stored_whatever_goes_wrong(machine):
    print("CACHE_SEED", SEED)
    how = settings(
        max_examples=max(STEPS // _AT_ONCE, 1),
        stateful_step_count=_AT_ONCE,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    seed(SEED)(machine)
    stateful.run_state_machine_as_test(machine, settings=how)
    events = sum((worker.redis.counts.snapshot() for worker in machine.workers), Counter())
    print(dict(machine.tally), {" ".join(event): number for event, number in events.items()})
    assert machine.tally["steps"] >= STEPS * 0.5
    assert machine.tally["known notes"] > STEPS / 1000
    assert events["read", "hit"] > machine.tally["reads"] / 10
