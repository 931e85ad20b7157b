"""Connections that are kept at hand between two questions."""

from contextlib import closing

import pytest
from redis import exceptions

from app.cache.servers import connect
from app.cache.shelf import IDLE_SECONDS, MOST, Shelf


@pytest.fixture
def servers(own_server):
    servers = connect(own_server.url)
    yield servers
    servers.disconnect()


@pytest.fixture
def pool(servers):
    return servers.commands.connection_pool


def test_who_comes_next_gets_the_same_connection(pool):
    shelf = Shelf(pool)
    first = shelf.take()
    shelf.keep(first)
    assert shelf.take() is first


def test_one_that_was_idle_goes_back_to_the_pool_which_looks_at_it(pool, monkeypatch):
    now = [0.0]
    shelf = Shelf(pool, clock=lambda: now[0])
    taken = [shelf.take() for _ in range(3)]
    for connection in taken:
        shelf.keep(connection)
    now[0] = IDLE_SECONDS
    looks = []
    monkeypatch.setattr(type(taken[0]), "can_read", lambda self, _=0: looks.append(self))
    assert shelf.take() in taken
    assert len(looks) == 1
    assert len(pool._available_connections) == 2


def test_no_more_than_a_few_are_kept_from_the_pool(pool):
    shelf = Shelf(pool)
    for connection in [shelf.take() for _ in range(MOST + 5)]:
        shelf.keep(connection)
    assert len(pool._available_connections) == 5


def test_a_connection_with_a_broken_answer_is_used_by_nobody(servers, own_server):
    assert servers.ask("GETRANGE", "none", 0, 9) == b""
    with closing(own_server.raw()) as raw:
        raw.rpush("list", 1)
    with pytest.raises(exceptions.ResponseError):
        servers.ask("GETRANGE", "list", 0, 9)
    assert servers.ask("GETRANGE", "none", 0, 9) == b""


def test_whoever_was_closed_meanwhile_is_replaced_after_one_fault(servers, own_server):
    servers.ask("GETRANGE", "none", 0, 9)
    own_server.stop()
    own_server.start()
    with pytest.raises(exceptions.ConnectionError):
        servers.ask("GETRANGE", "none", 0, 9)
    assert servers.ask("GETRANGE", "none", 0, 9) == b""


def test_a_child_uses_no_connection_of_its_parent(pool):
    names = iter([1, 1, 2, 2])
    shelf = Shelf(pool, name_process=lambda: next(names))
    kept = shelf.take()
    shelf.keep(kept)
    assert shelf.take() is not kept


@pytest.mark.parametrize("places", [1, 3])
def test_of_few_connections_none_is_kept(own_server, places):
    servers = connect(own_server.url, max_connections=places)
    for _ in range(5):
        assert servers.ask("GETRANGE", "none", 0, 9) == b""
        assert servers.execute("PING") is True
    servers.disconnect()


def test_what_is_kept_is_closed_with_the_rest(servers, own_server):
    servers.ask("GETRANGE", "none", 0, 9)
    servers.disconnect(inuse_connections=False)
    with closing(own_server.raw()) as raw:
        assert len(raw.client_list()) == 1
