"""`flask conversations purge-trash`: what lay in the trash for long is gone, and nothing else."""

import re

import pytest
from redis import Redis

from app.cli.conversations import conversations
from app.services import trash as service
from tests.client import Client, at_once

AGE = """UPDATE conversations SET deleted_at = now() - :days * interval '1 day'
    WHERE id = ANY (CAST(:ids AS uuid[]))"""
LEFT = "SELECT id FROM conversations WHERE id = ANY (CAST(:ids AS uuid[]))"


@pytest.fixture
def purge(app):
    """What the command prints: a number."""

    def run(*arguments):
        ended = app.test_cli_runner().invoke(conversations, ["purge-trash", *arguments])
        assert ended.exit_code == 0, ended.output
        return int(re.fullmatch(r"(?:Removed|To be removed): (\d+)\.\n", ended.output)[1])

    run("--days", "0")  # what other tests have left
    return run


@pytest.fixture
def purge_here(parley):
    """The same without its command: the runner of commands is for one thread at a time."""

    def run(*_):
        with parley.operations.purge() as trash:
            return trash.purge()

    return run


@pytest.fixture
def trashed(rows):
    """Puts new conversations into the trash, `days` ago: their ids."""

    def make(client, count=1, *, days, said=("Hello", "Good morning")):
        ids = [client.create(*said)["id"] for _ in range(count)]
        for each in ids:
            client.delete(f"/conversations/{each}")
        rows.run(AGE, days=days, ids=ids)
        return ids

    return make


def left(rows, ids):
    return {str(row.id) for row in rows.run(LEFT, ids=ids)}


def test_what_is_older_goes_and_the_rest_stays(client, stranger, trashed, purge, rows):
    old = trashed(client, 2, days=30.01) + trashed(stranger, 1, days=400)
    young = trashed(client, 2, days=29.9) + trashed(stranger, days=0)
    live = [client.create("Hello")["id"], stranger.create("Hello")["id"]]
    assert purge("--dry-run") == 3
    assert left(rows, old) == set(old)
    assert purge() == 3
    assert purge() == 0
    assert left(rows, old + young + live) == {*young, *live}
    assert purge("--days", "20", "--dry-run") == 2
    assert purge("--days", "20") == 2
    assert purge("--days", "0") == 1
    assert left(rows, young + live) == set(live)
    assert len(rows.of(client.email)["messages"]) == 1


def test_the_setting_says_for_how_long_the_trash_keeps(client, trashed, make_app):
    trashed(client, 1, days=8)
    for days, count in ((9, 0), (7, 1)):
        app = make_app(trash_days=days)
        ended = app.test_cli_runner().invoke(conversations, ["purge-trash", "--dry-run"])
        assert ended.output == f"To be removed: {count}.\n"


def test_of_what_was_asked_numbers_are_left_and_of_the_cache_nothing(client, purge, rows, settings):
    asked = client.ask("Where is Huế?").json["conversation_id"]
    client.get(f"/conversations/{asked}")
    with Redis.from_url(settings.redis_url) as redis:
        redis.copy(*redis.keys(f"*{asked}*"), "kept")
        key = redis.keys(f"*{asked}*")[0]
        client.delete(f"/conversations/{asked}")
        redis.copy("kept", key)  # as if Redis had been away when it went into the trash
        rows.run(AGE, days=31, ids=[asked])
        assert purge() == 1
        left = [redis.get(name) for name in redis.keys(f"*{asked}*")]
        assert not [value for value in left if not value.startswith(b"S ")]  # that it is gone
    (line,) = rows.run("SELECT * FROM query_logs WHERE user_email = :email", email=client.email)
    assert (line.query, line.status) == (None, "complete")
    assert line.tokens_used


def test_many_go_in_batches_of_a_bounded_size(client, trashed, purge, rows, monkeypatch):
    monkeypatch.setattr(service, "_CONVERSATIONS_AT_ONCE", 4)
    monkeypatch.setattr(service, "_MESSAGES_AT_ONCE", 3)
    ids = trashed(client, 11, days=31) + trashed(client, 2, days=31, said="abcdefgh")
    assert purge() == 13
    assert left(rows, ids) == set()


@pytest.mark.usefixtures("purge")
def test_several_at_once_share_the_work(client, trashed, purge_here, rows, monkeypatch):
    monkeypatch.setattr(service, "_CONVERSATIONS_AT_ONCE", 3)
    ids = trashed(client, 20, days=31)
    assert sum(at_once(purge_here, range(3))) == 20
    assert left(rows, ids) == set()


def test_what_is_being_restored_is_left_alone(client, trashed, purge, rows, database):
    busy, idle = trashed(client, 2, days=31)
    with database.transaction(client.email) as session:
        session.run("SELECT FROM conversations WHERE id = %(id)s FOR UPDATE", {"id": busy})
        assert purge() == 1
        session.run("UPDATE conversations SET deleted_at = NULL WHERE id = %(id)s", {"id": busy})
    assert purge() == 0
    assert left(rows, [busy, idle]) == {busy}
    assert client.get(f"/conversations/{busy}").status_code == 200


@pytest.mark.usefixtures("purge")
def test_whoever_restores_while_the_trash_is_purged_has_it_whole_or_not_at_all(
    app, client, trashed, purge_here, rows, monkeypatch
):
    monkeypatch.setattr(service, "_CONVERSATIONS_AT_ONCE", 2)
    ids = trashed(client, 30, days=31)

    def work(n):
        if not n:
            return purge_here()
        caller = Client(app, client.email)
        return [caller.post(f"/conversations/{each}/restore").status_code for each in ids[::-1]]

    purged, statuses = at_once(work, range(2))
    restored = {each for each, status in zip(ids[::-1], statuses, strict=True) if status == 200}
    assert set(statuses) <= {200, 404}
    assert left(rows, ids) == restored
    assert purged == len(ids) - len(restored)
    for each in restored:
        assert len(client.messages(each)) == 2


def test_it_works_as_the_tables_owner_only(make_app, settings):
    for url, told in ((settings.database_url, "tables' owner"), (None, "DATABASE_OWNER_URL")):
        for arguments in ([], ["--dry-run"]):
            app = make_app(database_owner_url=url)
            ended = app.test_cli_runner().invoke(conversations, ["purge-trash", *arguments])
            assert ended.exit_code == 1
            assert told in ended.output
