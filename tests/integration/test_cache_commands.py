"""`flask cache` and CACHE_WARM_LISTED, over copies of a database's conversations in Redis."""

import json
import time
from uuid import UUID

import pytest
import redis

from app.cli.cache import cache
from app.processes import free_port
from tests.client import Client


@pytest.fixture
def copied(make_app, app):
    """An application whose copies the commands look at, with its cache and its Redis."""
    return make_app(cache_mode="fast")


@pytest.fixture
def run(app):
    def run(*arguments):
        return app.test_cli_runner().invoke(args=["cache", *arguments])

    return run


def cache_of(app):
    return app.extensions["parley"].copies.cache


def read(client, conversation_id):
    """A conversation, read until there is a copy of it."""
    for _ in range(2):
        found = client.get(f"/conversations/{conversation_id}")
    return found


def drift_of(printed, conversation_id):
    drifts = json.loads(printed.output)["drifts"]
    return next((it for it in drifts if it["conversation_id"] == conversation_id), None)


def outdate(rows, conversation_id):
    """Changes a row behind everybody's back, as nothing of ours does."""
    sql = "UPDATE conversations SET revision = revision + 1 WHERE id = :conversation_id"
    rows.run(sql, conversation_id=conversation_id)


def test_copies_that_are_true_are_told_to_be(copied, run, email):
    client = Client(copied, email)
    made = client.create("A pelican", "nests here")
    read(client, made["id"])
    printed = run("verify", "--json")
    assert drift_of(printed, made["id"]) is None
    assert json.loads(printed.output)["copies"] >= 1


def test_a_copy_that_is_not_true_is_found_and_removed(copied, run, email, rows):
    client = Client(copied, email)
    made = client.create("A pelican", "nests here")
    read(client, made["id"])
    outdate(rows, made["id"])
    printed = run("verify", "--json", "--remove")
    assert printed.exit_code == 1
    drift = drift_of(printed, made["id"])
    assert drift["stored"] == drift["copied"] + 1
    assert "pelican" not in printed.output
    assert drift_of(run("verify", "--json"), made["id"]) is None
    assert read(client, made["id"]).json["revision"] == drift["stored"]


def test_a_damaged_copy_is_found_and_removed(copied, run, email, settings):
    client = Client(copied, email)
    made = client.create("A pelican", "nests here")
    read(client, made["id"])
    with redis.Redis.from_url(settings.redis_url) as raw:
        (key,) = raw.keys(f"h:*{made['id']}*")
        raw.setrange(key, raw.get(key).index(b"pelican"), b"penguin")
    printed = run("verify", "--json", "--remove")
    assert printed.exit_code == 1
    assert drift_of(printed, made["id"])["copied"] is None
    assert not cache_of(copied).peek([UUID(made["id"])])


def test_recent_conversations_are_copied_before_anybody_asks(copied, run, email):
    client = Client(copied, email)
    made = client.create("A pelican", "nests here")
    read(client, made["id"])
    cache_of(copied).forget([UUID(made["id"])])
    printed = run("warm", "--hours", "1")
    assert printed.exit_code == 0, printed.output
    assert cache_of(copied).peek([UUID(made["id"])])
    assert "conversations: " in printed.output


@pytest.mark.parametrize("mode", ["strict", "off"])
def test_without_the_fast_mode_there_is_nothing_to_compare(make_app, mode):
    printed = make_app(cache_mode=mode).test_cli_runner().invoke(cache, ["verify"])
    assert printed.exit_code == 2
    assert "CACHE_MODE" in printed.output


def test_without_redis_nothing_is_told_to_be_true(make_app):
    made = make_app(cache_mode="fast", redis_url=f"redis://127.0.0.1:{free_port()}")
    printed = made.test_cli_runner().invoke(cache, ["verify"])
    assert printed.exit_code == 2
    assert "Redis" in printed.output


def test_the_newest_that_a_user_lists_are_copied(make_app, email):
    app = make_app(cache_mode="fast", cache_warm_listed=2)
    client = Client(app, email)
    ids = [UUID(client.create(f"Hello {n}")["id"]) for n in range(3)]
    client.get(f"/conversations/{ids[0]}")  # the cache looks about itself at the first read
    cache_of(app).forget(ids)
    assert client.get("/conversations").status_code == 200
    until = time.monotonic() + 5
    while len(cache_of(app).peek(ids)) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    assert set(cache_of(app).peek(ids)) == set(ids[1:])
