"""What changes in a conversation while somebody has it open, told as it happens.

Each look compares what is stored with what was told: so it does not matter how many announcements
came, or whether one got lost.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from ..cache.changes import ChangeHub, Watcher
from ..clock import now
from ..database import Database
from ..errors import LimitError, RecordNotFoundError, UnavailableError
from ..repositories.changes import ChangeRepository, State
from ..transcript import Turn
from .conversations import ConversationService

HEARTBEAT_SECONDS = 5.0
DEAF_SECONDS = 2.0
"""How often to look while announcements of other processes may not come."""
DOUBT_SECONDS = 30.0
"""How often to look all the same: a process may die between a commit and its announcement."""
MOST_TOLD = 100
"""When more messages than that are new, the conversation had better be read again."""

_MARK = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Change:
    """Something to tell; by `mark`, who heard it can go on from there."""

    name: str
    mark: str
    data: Mapping[str, Any]


class ChangeService:
    def __init__(
        self, database: Database, *, conversations: ConversationService, hub: ChangeHub
    ) -> None:
        self._database = database
        self._conversations = conversations
        self._hub = hub

    def watch(
        self, owner: str, reference: str, *, seconds: float, since: str | None = None
    ) -> Iterator[Change | None]:
        """What changes within so many seconds, after the state; None is a sign of life.

        `since`: the last mark that was heard before. RecordNotFoundError; LimitError: the owner
        watches too many already.
        """
        conversation_id = self._conversations.find(owner, reference)
        watcher = self._hub.watch(owner, conversation_id)  # first, so that nothing is missed
        if watcher is None:
            again = now() + timedelta(seconds=HEARTBEAT_SECONDS)  # who has left is noticed by then
            raise LimitError("You watch too many conversations at once.", reset_at=again)
        heard = _MARK.fullmatch(since or "")
        found = self._look(owner, conversation_id, after_seq=int(heard[2]) if heard else None)
        if found is None:
            raise RecordNotFoundError
        missed = _missed(int(heard[1]), *found) if heard else ()
        first = iter([_whole(found[0]), *missed])  # which keeps nothing that was told
        return self._told(owner, watcher, first, found[0], end=time.monotonic() + seconds)

    def _told(
        self, owner: str, watcher: Watcher, first: Iterator[Change], state: State, *, end: float
    ) -> Iterator[Change | None]:
        yield from first
        for is_due in _moments(watcher, end):
            yield None  # before the look, so that nothing is read for somebody who has left
            if not is_due:
                continue
            try:
                found = self._look(owner, watcher.conversation_id, after_seq=state.settled_seq)
            except UnavailableError:
                watcher.wait(DEAF_SECONDS)
                watcher.wake()
                continue
            if found is None:
                yield Change("deleted", _mark(state), {})
                return
            yield from differences(state, *found)
            state = found[0]

    def _look(
        self, owner: str, conversation_id: UUID, *, after_seq: int | None
    ) -> tuple[State, list[Turn]] | None:
        """The state, with the turns after one; without a `seq`, with none."""
        take = 0 if after_seq is None else MOST_TOLD + 1
        with self._database.statement(owner) as session:
            changes = ChangeRepository(session)
            return changes.look(conversation_id, after_seq=after_seq or 0, take=take)


def _moments(watcher: Watcher, end: float) -> Iterator[bool]:
    """When to look (True), or only to give a sign of life, until the watching is over."""
    looked_at = time.monotonic()
    while (left := end - time.monotonic()) > 0:
        due_at = looked_at + (DOUBT_SECONDS if watcher.hears_all else DEAF_SECONDS)
        pause = min(due_at - time.monotonic(), left, HEARTBEAT_SECONDS)
        is_due = watcher.wait(max(0.0, pause)) or time.monotonic() >= due_at
        if watcher.is_over:
            return
        looked_at = time.monotonic() if is_due else looked_at
        yield is_due


def differences(before: State, after: State, turns: Sequence[Turn]) -> Iterator[Change]:
    """What to tell somebody who knows one state, of another and the turns that were not settled."""
    if after.revision == before.revision:
        return
    if after.revision.number <= before.revision.number or len(turns) > MOST_TOLD:
        yield _whole(after)
        return
    told = [turn for turn in turns if _is_news(turn, before)]
    added = sum(turn.seq > before.last_seq for turn in turns)
    removed = before.message_count + added - after.message_count
    changes = []
    if told or removed:
        changes.append(_messages(after, told, removed))
    if after.title != before.title:
        changes.append(_change("title", after, title=after.title))
    if not _goes_on(before, after, told):
        changes.append(_change("branch", after, active_leaf_id=after.active_leaf_id))
    yield from changes or [_change("changed", after)]


def _missed(revision: int, state: State, turns: Sequence[Turn]) -> Iterator[Change]:
    """The turns that somebody did not hear of who heard of a revision."""
    if turns and revision < state.revision.number and len(turns) <= MOST_TOLD:
        yield _messages(state, turns, None)


def _is_news(turn: Turn, before: State) -> bool:
    was_open = turn.seq in before.open_seqs
    return turn.seq > before.last_seq or (was_open and turn.status != "streaming")


def _goes_on(before: State, after: State, told: Sequence[Turn]) -> bool:
    """Whether what is shown has only grown, by turns that are told."""
    parents = {turn.id: turn.parent_id for turn in told}
    end = after.active_leaf_id
    while end in parents and end != before.active_leaf_id:
        end = parents[end]
    return end == before.active_leaf_id


def _whole(state: State) -> Change:
    return _change(
        "state",
        state,
        title=state.title,
        active_leaf_id=state.active_leaf_id,
        message_count=state.message_count,
    )


def _messages(state: State, turns: Sequence[Turn], removed: int | None) -> Change:
    count = state.message_count
    return _change("messages", state, messages=turns, removed=removed, message_count=count)


def _change(name: str, state: State, **data: Any) -> Change:
    return Change(name, _mark(state), {"revision": state.revision.number, **data})


def _mark(state: State) -> str:
    return f"{state.revision.number}-{state.settled_seq}"
