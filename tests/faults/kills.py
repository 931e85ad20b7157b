"""kill -9 of workers under streaming clients: KILLS times (300), in an order that SEED repeats."""

import os
import random

from tests.faults.killing import account, campaign, settle
from tests.server import Server

KILLS = int(os.environ.get("KILLS", "300"))
SEED = os.environ.get("SEED") or str(random.randrange(10**9))


def test_workers_may_be_killed_at_any_moment(app, settings, rows):
    environ = {"RESPONDER": "tests.responders:reciting", "MAX_RUNS_PER_USER": "1000"}
    with Server(settings, WEB_CONCURRENCY="3", **environ) as server:
        heard = campaign(app, server, kills=KILLS, clients=16, seed=SEED)
        seconds = settle(rows, heard)
    print(f"SEED={SEED}: {KILLS} kills; {account(rows, heard)}; settled in {seconds:.0f} s.")
