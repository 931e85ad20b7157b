"""A worker dies at each failpoint, ROUNDS times (20), in an order that SEED repeats."""

import os
import random

from tests.failpoints import FAILPOINTS
from tests.faults.dying import AFTER, mortuary
from tests.faults.killing import settle

ROUNDS = int(os.environ.get("ROUNDS", "20"))
SEED = os.environ.get("SEED") or str(random.randrange(10**9))


def test_each_place_to_die_has_its_consequences_written_down():
    assert AFTER.keys() == FAILPOINTS.keys()


def test_a_worker_may_die_at_every_step(app, settings, rows, tmp_path):
    order = list(FAILPOINTS) * ROUNDS
    random.Random(SEED).shuffle(order)
    with mortuary(app, settings, rows, tmp_path) as there:
        died = [(name, there.die_at(name)) for name in order]
        seconds = settle(rows, [heard for _, heard in died])
        for name, heard in died:
            there.check(name, heard)
            there.check_repeated(name, heard)
    print(
        f"SEED={SEED}: {len(died)} deaths at {len(FAILPOINTS)} places, settled in {seconds:.0f} s"
    )
