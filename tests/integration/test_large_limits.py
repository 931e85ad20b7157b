"""Large limits, of which processes count some requests at a time: what comes through in all."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import cycle
from urllib.parse import urlsplit

import pytest
import redis
from structlog.testing import capture_logs

from app.errors import LimitError
from app.middleware.limits import RateLimits
from app.middleware.tallies import Tallies
from tests.proxy import Proxy


@pytest.fixture
def processes(settings):
    """As many as are asked for, with one rate: `processes(3, "600/hour")`."""
    made = []

    def start(count, rate, url=settings.redis_url):
        made.extend(RateLimits({"default": rate}, url) for _ in range(count))
        return made[-count:]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def commands(monkeypatch):
    """What Redis is asked, by name."""
    sent = []
    execute = redis.Redis.execute_command

    def counted(client, *command, **options):
        sent.append(command[0])
        return execute(client, *command, **options)

    monkeypatch.setattr(redis.Redis, "execute_command", counted)
    return sent


def comes_through(process, owner):
    try:
        process.check(owner, "default")
    except LimitError:
        return False
    return True


def come_through(process, owner, count):
    return sum(comes_through(process, owner) for _ in range(count))


def test_one_process_lets_through_what_the_limit_says_and_asks_rarely(processes, commands, email):
    (process,) = processes(1, "600/hour")
    assert come_through(process, email, 250) == 250
    assert len(commands) < 40
    assert come_through(process, email, 400) == 350


def test_who_comes_rarely_costs_one_question_each_time(processes, commands, email):
    (process,) = processes(1, "600/hour")
    assert comes_through(process, email)
    assert comes_through(process, f"neighbour.{email}")
    assert commands.count("EVALSHA") == 2


def test_a_small_limit_is_exact_over_all_processes(processes, email):
    several = processes(3, "199/hour")
    with ThreadPoolExecutor(12) as threads:
        came = threads.map(comes_through, several * 100, cycle([email]))
        assert sum(came) == 199


@pytest.mark.parametrize("at_once", [1, 12])
def test_processes_let_through_a_fiftieth_each_beyond_a_limit_at_most(processes, email, at_once):
    several = processes(3, "600/hour")
    with ThreadPoolExecutor(at_once) as threads:
        came = sum(threads.map(comes_through, several * 300, cycle([email])))
    assert 600 <= came <= 600 + 3 * 12


def test_what_one_process_did_not_tell_is_all_that_the_others_do_not_know(processes, email):
    quiet, busy = processes(2, "600/hour")
    assert come_through(quiet, email, 13) == 13  # the first one asks, the other twelve are untold
    assert come_through(busy, email, 700) == 599
    assert come_through(quiet, email, 20) == 0


def test_there_is_room_for_one_though_there_is_none_for_all_that_are_untold(processes, email):
    quiet, busy = processes(2, "600/hour")
    come_through(quiet, email, 13)
    assert come_through(busy, email, 598) == 598
    assert [comes_through(quiet, email) for _ in range(3)] == [True, False, False]


def test_what_a_process_forgets_it_tells_redis_before(processes, email):
    process, another = processes(2, "200/hour")
    process._tallies = Tallies(5)
    owners = [f"{number}.{email}" for number in range(20)]
    for _ in range(4):
        assert all(comes_through(process, owner) for owner in owners[:5])
    assert all(comes_through(process, owner) for owner in owners[5:])
    assert len(process._tallies) == 5
    assert [come_through(another, owner, 200) for owner in owners[:5]] == [196] * 5


def test_an_outage_is_no_error_and_lets_through_no_more_than_two_limits(
    processes, settings, email, monkeypatch
):
    with Proxy(urlsplit(settings.redis_url).port) as cable:
        port = urlsplit(settings.redis_url).port
        url = settings.redis_url.replace(f":{port}", f":{cable.port}")
        (process,) = processes(1, "200/hour", url)
        assert come_through(process, email, 50) == 50
        cable.stop()
        with capture_logs() as logged:
            assert 200 <= come_through(process, email, 400) <= 200 + 4
        assert {entry["event"] for entry in logged} == {"rate_limits_in_memory"}
        cable.resume()
        monkeypatch.setattr(process._breaker, "_probe_after", 0.0)
        assert 150 - 4 <= come_through(process, email, 400) <= 150


def test_no_rate_asks_nobody(commands, settings, email):
    with closing(RateLimits({"default": None}, settings.redis_url)) as process:
        assert come_through(process, email, 5) == 5
    assert commands == []
