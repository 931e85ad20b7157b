"""Who is woken by an announcement, in one process."""

from uuid import uuid4

import pytest

from app.cache.changes import MOST_OF_AN_OWNER, ChangeHub

ADA, BOB = "ada@example.com", "bob@example.com"


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr("app.cache.changes.JOIN_SECONDS", 0.001)
    return ChangeHub()


def test_who_watches_the_conversation_is_woken_and_nobody_else(hub):
    here, there = uuid4(), uuid4()
    watchers = [hub.watch(*it) for it in ((ADA, here), (ADA, here), (ADA, there), (BOB, here))]
    hub.announce(ADA, {here, uuid4()})
    assert [watcher.wait(0) for watcher in watchers] == [True, True, False, False]
    assert [watcher.wait(0) for watcher in watchers] == [False] * 4
    hub.announce(BOB, {here, there})
    assert [watcher.wait(0) for watcher in watchers] == [False, False, False, True]


def test_announcements_that_come_close_upon_another_wake_once(hub):
    conversation_id = uuid4()
    watcher = hub.watch(ADA, conversation_id)
    for _ in range(100):
        hub.announce(ADA, {conversation_id})
    assert watcher.wait(0)
    assert not watcher.wait(0)


def test_an_owner_has_only_so_many_watchers_and_those_who_are_gone_do_not_count(hub):
    watchers = [hub.watch(ADA, uuid4()) for _ in range(MOST_OF_AN_OWNER)]
    assert hub.watch(ADA, uuid4()) is None
    assert hub.watch(BOB, uuid4())
    watchers.pop()
    assert hub.watch(ADA, uuid4())


def test_all_watchers_end_with_the_hub_and_so_do_those_who_come_later(hub):
    watchers = [hub.watch(owner, uuid4()) for owner in (ADA, BOB)]
    assert not any(watcher.is_over for watcher in watchers)
    hub.close()
    watchers.append(hub.watch(ADA, uuid4()))
    assert all(watcher.is_over and watcher.wait(0) for watcher in watchers)


def test_nobody_is_said_to_hear_other_processes_who_does_not(hub):
    assert not hub.watch(ADA, uuid4()).hears_all
