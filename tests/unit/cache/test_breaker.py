from threading import Barrier, Thread

import pytest

from app.cache.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(failures=5, probe_after=1.0, clock=clock)


def fail(breaker, times):
    for _ in range(times):
        breaker.failed()


def test_stays_closed_below_five_errors(breaker):
    fail(breaker, 4)
    assert breaker.state == "closed"
    assert breaker.allows()


def test_opens_at_the_fifth_error_in_a_row(breaker):
    fail(breaker, 5)
    assert breaker.state == "open"
    assert not breaker.allows()


def test_a_success_starts_the_count_again(breaker):
    fail(breaker, 4)
    breaker.succeeded()
    fail(breaker, 4)
    assert breaker.state == "closed"


def test_lets_one_probe_through_after_the_pause(breaker, clock):
    fail(breaker, 5)
    clock.now += 0.999
    assert not breaker.allows()
    clock.now += 0.001
    assert breaker.allows()
    assert breaker.state == "probing"
    assert not breaker.allows()


def test_a_probe_that_succeeds_closes_it(breaker, clock):
    fail(breaker, 5)
    clock.now += 1
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.state == "closed"
    fail(breaker, 4)
    assert breaker.allows()


def test_a_probe_that_fails_opens_it_for_another_pause(breaker, clock):
    fail(breaker, 5)
    clock.now += 1
    assert breaker.allows()
    clock.now += 0.1
    breaker.failed()
    assert breaker.state == "open"
    clock.now += 0.95
    assert not breaker.allows()
    clock.now += 0.05
    assert breaker.allows()


def test_a_probe_that_never_reports_is_given_up(breaker, clock):
    fail(breaker, 5)
    clock.now += 1
    assert breaker.allows()
    clock.now += 1
    assert breaker.allows()


def test_errors_of_calls_made_before_it_opened_do_not_prolong_the_pause(breaker, clock):
    fail(breaker, 5)
    clock.now += 0.9
    breaker.failed()
    clock.now += 0.1
    assert breaker.allows()


def test_a_late_success_closes_it(breaker):
    fail(breaker, 5)
    breaker.succeeded()
    assert breaker.allows()


def test_of_many_threads_one_gets_the_probe(breaker, clock):
    fail(breaker, 5)
    clock.now += 1
    barrier, allowed = Barrier(16), []

    def ask():
        barrier.wait()
        allowed.append(breaker.allows())

    threads = [Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert allowed.count(True) == 1
