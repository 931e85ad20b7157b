"""What the model of the cache consists of: who acts, what goes wrong, and how it all stands."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.cache_keys import ABSENT, Key, Value

UPKEEP = "upkeep"
OVER = "over"


@dataclass(frozen=True)
class Recipe:
    """What the code does; each change of it makes a wrong one."""

    begins: bool = True
    fills_with_lease: bool = True
    ends_into_holes: bool = False
    splices_from_any: bool = False
    notes_with_the_write: bool = True
    notes_when: str = "begin"  # is not answered; or "unlink", which follows, is not either
    waits: bool = True
    """Whether a writer whose END was not answered notes it and waits until all know the note."""
    drops_values_alone: bool = True


class Faults(NamedTuple):
    """How often each may come."""

    forgotten: int = 0
    """Redis loses the key: evicted, flushed, restarted."""
    died: int = 0
    """A writer is gone, before its commit or between it and END."""
    unanswered: int = 0
    """A command is not answered: carried out now, later or never."""
    unheard: int = 0
    """A writer's command is answered, and yet never carried out."""
    expired: int = 0
    """A mark runs out under its writer."""
    rolled_back: int = 0
    """Redis is again what it was at any time before: a failover to a replica that lagged."""


class Writer(NamedTuple):
    step: str = "begin"
    frame: Value | None = None
    is_doubtful: bool = False
    version: int = 0


class Reader(NamedTuple):
    step: str = "read"
    since: int = 0
    """What was acknowledged when it began."""
    seen: int = 0


class Upkeep(NamedTuple):
    step: str = "look"
    note: int = 0
    version: int = 0


class State(NamedTuple):
    actors: tuple[Writer | Reader | Upkeep, ...]
    left: Faults
    stored: int = 0
    key: Key = ABSENT
    past: Key = ABSENT
    acknowledged: int = 0
    note: int = 0
    """Which note stands; 0: none."""
    notes: int = 0
    trusting: tuple[bool, bool] = (True, True)
    late: frozenset[Any] = frozenset()
    """Commands that will be carried out when nobody waits for them any more."""


def having(state: State, place: int, actor: Writer | Reader | Upkeep) -> State:
    actors = (*state.actors[:place], actor, *state.actors[place + 1 :])
    return state._replace(actors=actors)


def acknowledged(state: State, writer: Writer) -> State:
    return state._replace(acknowledged=max(state.acknowledged, writer.version))


def noted(state: State) -> State:
    return state._replace(note=state.notes + 1, notes=state.notes + 1)


def trusting(state: State, place: int, *, is_trusting: bool) -> State:
    both = [*state.trusting]
    both[place % 2] = is_trusting
    return state._replace(trusting=(both[0], both[1]))


def doubted(state: State, place: int) -> State:
    return trusting(state, place, is_trusting=False)


def spend(state: State, fault: str) -> State:
    left = state.left._replace(**{fault: getattr(state.left, fault) - 1})
    return state._replace(left=left)
