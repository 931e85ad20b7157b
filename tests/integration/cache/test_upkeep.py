"""The thread that keeps copies true, when it is told to end."""

import gc
import time
from threading import Event

import pytest

from app.cache.fast import FastCache
from app.database import Database
from app.services.upkeep import UpkeepService

from ...streams import until


@pytest.fixture
def uncollected():
    """What is forgotten is not tidied up by chance."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("patience", [5.0, 0.01], ids=["waited for", "given up"])
def test_a_look_under_way_when_it_is_closed_leaves_no_connection(
    app, settings, monkeypatch, patience
):
    looking, pids = Event(), set()
    database, parley = Database.from_settings(settings), app.extensions["parley"]
    cache = FastCache(parley.redis, ttl=60, limit=50)
    upkeep = UpkeepService(database, cache, every_seconds=0.01)

    def look_slowly():
        with database.operation() as session:
            (row,) = session.run("SELECT pg_backend_pid() AS pid", {})
            pids.add(row.pid)
            looking.set()
            time.sleep(0.2)
        return False

    monkeypatch.setattr("app.services.upkeep.CLOSING_SECONDS", patience)
    monkeypatch.setattr(upkeep, "_has_delivered", look_slowly)
    upkeep.start()
    looking.clear()
    assert looking.wait(10)
    upkeep.close()
    until(lambda: not _living(parley.database, pids))


def _living(database, pids):
    with database.operation() as session:
        return session.run(
            "SELECT pid FROM pg_stat_activity WHERE pid = ANY (%(pids)s)", {"pids": list(pids)}
        )
