"""Workers that die, at any moment and at chosen steps: a short form of tests/faults."""

import random

import pytest

from tests.faults.dying import mortuary
from tests.faults.killing import account, campaign, expire, settle

STEPS = (
    "before the question is committed",
    "after the question is committed",
    "after a chunk is kept",
    "after the answer is stored",
    "after the stop is noted",
    "after a claim of the reaper",
)


@pytest.fixture(scope="module")
def there(app, settings, rows, tmp_path_factory):
    with mortuary(app, settings, rows, tmp_path_factory.mktemp("failpoints")) as there:
        yield there


def test_killed_workers_lose_no_question_and_change_no_answer(app, rows, there):
    seed = str(random.randrange(10**9))
    heard = campaign(app, there.server, kills=2, clients=6, seed=seed)
    assert any(not one.is_done for one in heard)
    expire(rows, heard)
    settle(rows, heard)
    print(f"seed {seed}: {account(rows, heard)}")


def test_each_step_may_be_a_workers_last(rows, there):
    died = [(name, there.die_at(name)) for name in STEPS]
    heard = [one for _, one in died]
    expire(rows, heard)
    settle(rows, heard)
    for name, one in died:
        there.check(name, one)
        there.check_repeated(name, one)
