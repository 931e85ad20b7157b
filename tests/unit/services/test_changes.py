"""What is told of two states of a conversation, however many changes there were between them."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from app.clock import now
from app.repositories.changes import State
from app.revisions import Revision
from app.services.changes import MOST_TOLD, differences
from app.transcript import Turn


def turn(seq, parent=None, status="complete"):
    return Turn(
        id=UUID(int=seq),
        seq=seq,
        parent_id=UUID(int=parent) if parent else None,
        role="assistant",
        content=f"{seq}",
        status=status,
        created_at=now(),
    )


def state(revision, *, leaf, count=None, last=None, title="Huế", opened=()):
    return State(
        revision=Revision(revision, uuid4()),
        title=title,
        active_leaf_id=UUID(int=leaf),
        message_count=count or leaf,
        last_seq=last or leaf,
        open_seqs=opened,
    )


BEFORE = state(5, leaf=3, opened=(2,))


def told(after, *turns):
    return [(change.name, change.data) for change in differences(BEFORE, after, turns)]


def names(after, *turns):
    return [name for name, _ in told(after, *turns)]


def test_nothing_is_told_of_the_same_state():
    assert told(BEFORE, turn(2, 1, "streaming"), turn(3, 2)) == []


def test_turns_are_told_that_are_new_or_have_ended_and_no_others():
    after = state(9, leaf=5)
    ((name, data),) = told(after, turn(2, 1), turn(3, 2), turn(4, 3), turn(5, 4, "streaming"))
    assert (name, [each.seq for each in data["messages"]]) == ("messages", [2, 4, 5])
    assert (data["removed"], data["message_count"], data["revision"]) == (0, 5, 9)


@pytest.mark.parametrize(
    ("after", "turns", "removed"),
    [
        (state(6, leaf=3, count=2), [turn(3, 2)], 1),
        (state(7, leaf=4, count=3), [turn(3, 2), turn(4, 3)], 1),
        (state(7, leaf=3, count=3, last=5), [turn(2, 1, "streaming"), turn(3, 2)], 0),
    ],
    ids=["one", "one while one came", "one that nobody was told of"],
)
def test_it_is_told_how_many_known_turns_are_gone(after, turns, removed):
    messages = [data for name, data in told(after, *turns) if name == "messages"]
    assert sum(data["removed"] for data in messages) == removed


def test_a_branch_is_told_only_where_what_is_shown_has_not_just_grown():
    assert names(state(6, leaf=4), turn(4, 3)) == ["messages"]
    assert names(state(7, leaf=5), turn(4, 3), turn(5, 4)) == ["messages"]
    assert names(state(6, leaf=4), turn(4, 1)) == ["messages", "branch"]
    assert names(state(6, leaf=4), turn(4)) == ["messages", "branch"]
    assert names(state(6, leaf=1, count=3, last=3)) == ["branch"]


def test_many_changes_at_once_are_each_told_once():
    after = state(12, leaf=4, title="Hội An")
    assert names(after, turn(2, 1), turn(4, 1)) == ["messages", "title", "branch"]
    assert names(replace(BEFORE, revision=Revision(6, uuid4())), turn(2, 1, "streaming")) == [
        "changed"
    ]


def test_where_too_much_is_new_or_the_past_is_another_all_is_to_be_read_again():
    many = [turn(seq, seq - 1) for seq in range(4, 5 + MOST_TOLD)]
    assert names(state(200, leaf=4 + MOST_TOLD), *many) == ["state"]
    for number in (4, 5):  # after a failover of the database
        assert names(state(number, leaf=2)) == ["state"]
