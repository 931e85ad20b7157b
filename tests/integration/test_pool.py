"""Connections are waited for before more of them are opened."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import event

from app.database import Database
from app.engine import PatientPool
from app.errors import UnavailableError


@pytest.fixture
def database(settings):
    limits = {"db_pool_size": 1, "db_max_overflow": 1, "db_pool_timeout": 60}
    database = Database.from_settings(replace(settings, **limits))
    yield database
    database.close()


@pytest.fixture
def opened(database):
    """The connections that were opened."""
    opened = []
    event.listen(database.engine, "connect", lambda connection, _: opened.append(connection))
    return opened


@pytest.fixture
def patience(monkeypatch):
    return lambda seconds: monkeypatch.setattr(PatientPool, "PATIENCE", seconds)


def ask(database, sql="SELECT 1"):
    with database.operation() as session:
        return session.run(sql, {})


def test_a_burst_is_served_by_the_connections_that_are_kept(database, opened, patience):
    patience(30)
    ask(database)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: ask(database, "SELECT pg_sleep(0.002)"), range(40)))
    assert len(opened) == 1


def test_who_has_waited_a_while_gets_one_more_and_nobody_more_than_are_allowed(
    database, opened, patience, monkeypatch
):
    patience(0.01)
    monkeypatch.setattr(database.engine.pool, "_timeout", 0.01)
    with database.operation() as slow, database.operation() as other:
        slow.run("SELECT 1", {})
        other.run("SELECT 1", {})
        with pytest.raises(UnavailableError):
            ask(database)
    assert len(opened) == 2
    ask(database)
    assert len(opened) == 2


@pytest.mark.parametrize(("timeout", "rest"), [(10, 9.5), (0.6, 0.3)])
def test_the_patience_is_part_of_how_long_a_request_waits(timeout, rest, settings):
    database = Database.from_settings(replace(settings, db_pool_timeout=timeout))
    pool = database.engine.pool
    assert (pool.timeout(), min(pool.PATIENCE, pool.timeout()) + rest) == (rest, timeout)
