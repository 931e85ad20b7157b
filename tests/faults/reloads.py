"""Clients that leave in the middle of an answer and come back, at RELOADS places (50)."""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from tests.faults.accounting import check
from tests.faults.listening import Heard, Listener
from tests.server import Server

RELOADS = int(os.environ.get("RELOADS", "50"))
SEED = os.environ.get("SEED") or str(random.randrange(10**9))


def reload(app, server, chance):
    """What somebody heard who left after some pieces and came back, a while later, until the end.

    Both ways: as one who remembers what was heard last, and as one who knows nothing any more.
    """
    listener = Listener(app, f"{uuid4().hex}@example.com")
    count, first = chance.randint(60, 100), chance.randint(0, 9999)
    place = chance.randrange(count)
    heard = Heard(listener.email, f"Recite {count} from {first}, one each 20 ms.")
    listener.listen(server, heard, until=lambda it: it.started and len(it.pieces) >= place)
    anew = Heard(heard.email, heard.question, heard.client_message_id)
    time.sleep(chance.uniform(0, 0.3))
    elsewhere = threading.Thread(target=listener.resume, args=(server, heard, anew))
    elsewhere.start()
    listener.resume(server, heard, heard, remembering=True)
    elsewhere.join()
    return heard, anew


def test_a_reload_at_any_moment_on_any_worker_gives_the_same_text(app, settings, rows):
    environ = {"RESPONDER": "tests.responders:reciting"}
    with (
        Server(settings, **environ) as server,
        ThreadPoolExecutor(4) as threads,
    ):
        chances = [random.Random(f"{SEED} {number}") for number in range(RELOADS)]
        found = list(threads.map(lambda chance: reload(app, server, chance), chances))
    joined = 0
    for heard, anew in found:
        check(rows, heard)
        assert heard.is_done
        if anew.status == 200:  # else the answer was over by then, and there is nothing to hear
            joined += 1
            check(rows, anew)
            assert anew.is_done
    print(f"SEED={SEED}: {len(found)} reloads; {joined} came, too, who remembered nothing")
