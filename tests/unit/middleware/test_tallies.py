"""How far a process goes by itself before it tells Redis what it let through."""

import pytest
from limits import parse

from app.middleware.tallies import Slack, Tallies, Tally
from tests.jwks import Clock
from tests.turns import many_turns

SLACK = Slack.of(parse("600/minute"))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tally(clock):
    return Tally(SLACK, clock)


def asked(tally, *, has_room=True):
    """A question to Redis; how many untold requests went along."""
    taken = tally.take()
    tally.settle(taken, taken + 1 if has_room else 0)
    return taken


def looked(tally, used):
    assert tally.wants_look()
    tally.looked(used)


def admitted(tally):
    """How many come through without a question before one must be asked."""
    return next(count for count in range(1000) if not tally.admit())


@pytest.mark.parametrize("rate", ["1/second", "30/minute", "60/minute", "199/hour"])
def test_a_small_limit_leaves_a_process_nothing_to_decide(rate):
    assert Slack.of(parse(rate)) is None


@pytest.mark.parametrize(
    ("rate", "slack"),
    [
        ("600/minute", Slack(untold=12, used=300, trust=15, window=60)),
        ("200/second", Slack(untold=4, used=100, trust=0.25, window=1)),
        ("5000/day", Slack(untold=100, used=2500, trust=15, window=86_400)),
    ],
)
def test_a_fiftieth_of_a_large_limit_may_be_untold_for_seconds(rate, slack):
    assert Slack.of(parse(rate)) == slack


def test_the_first_request_asks_and_the_second_looks(tally):
    assert not tally.wants_look()
    assert not tally.admit()
    assert asked(tally) == 0
    assert not tally.admit()
    looked(tally, used=1)
    assert admitted(tally) == 12
    assert not tally.wants_look()
    assert asked(tally) == 12
    assert admitted(tally) == 12


def test_half_of_the_limit_ends_it_whoever_used_it(tally, clock):
    asked(tally)
    looked(tally, used=295)
    assert admitted(tally) == 5
    assert asked(tally) == 5  # 301 with this one
    assert admitted(tally) == 0
    assert asked(tally) == 0
    clock.time += SLACK.trust
    asked(tally)
    looked(tally, used=20)
    assert admitted(tally) == 12


def test_what_redis_said_holds_for_seconds_only(tally, clock):
    asked(tally)
    looked(tally, used=1)
    assert tally.admit()
    clock.time += SLACK.trust
    assert not tally.admit()
    assert not tally.wants_look()  # who comes so rarely is counted one by one
    assert asked(tally) == 1
    looked(tally, used=3)
    assert tally.admit()


def test_what_redis_could_not_be_told_remains_untold(tally):
    asked(tally)
    looked(tally, used=1)
    assert admitted(tally) == 12
    assert asked(tally, has_room=False) == 12
    assert admitted(tally) == 0
    assert tally.take() == 12
    tally.settle(12, 1)  # there was room for the request alone
    assert admitted(tally) == 0
    assert asked(tally) == 12
    assert admitted(tally) == 12


def test_what_is_on_its_way_is_not_told_twice_and_still_counts(tally):
    asked(tally)
    looked(tally, used=1)
    assert admitted(tally) == 12
    first = tally.take()
    assert (first, tally.take(), admitted(tally)) == (12, 0, 0)
    tally.settle(0, 1)
    assert admitted(tally) == 0
    tally.settle(first, first + 1)
    assert admitted(tally) == 12


def test_what_left_the_window_is_told_nobody(tally, clock):
    asked(tally)
    looked(tally, used=1)
    assert tally.admit()
    clock.time += SLACK.window - 1
    assert tally.take() == 1
    tally.settle(1, 0)
    clock.time += 1
    assert tally.take() == 0


def test_one_of_many_looks(tally):
    asked(tally)
    assert [tally.wants_look() for _ in range(3)] == [True, False, False]
    assert not tally.admit()


def test_many_threads_never_leave_more_untold_than_one(tally):
    def ask(_):
        if tally.admit():
            return 1, 0
        taken = tally.take()
        tally.settle(taken, taken + 1)
        return 0, taken + 1

    asked(tally)
    looked(tally, used=-(10**6))
    with many_turns(8) as threads:
        outcomes = list(threads.map(ask, range(2000)))
    told = sum(counted for _, counted in outcomes)
    assert 0 <= 2000 - told <= SLACK.untold
    assert tally.take() == 2000 - told


def test_the_one_that_was_not_asked_about_longest_goes_first(clock):
    tallies = Tallies(2, clock=clock)
    first = tallies.open(("default", "first"), SLACK)
    tallies.open(("default", "second"), SLACK)
    assert tallies.open(("default", "first"), SLACK) is first
    assert tallies.surplus() is None
    tallies.open(("default", "third"), SLACK)
    assert tallies.surplus()[0] == ("default", "second")
    assert len(tallies) == 2
    assert tallies.find(("default", "second")) is None
    assert tallies.find(("default", "first")) is first
