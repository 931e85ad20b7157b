"""What the FAST cache hands out, for who has it to bring it back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from .values import Frame


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to fill what was not there, if nobody writes meanwhile. Of which epoch it is."""

    epoch: str
    nonce: str


class Look(NamedTuple):
    """A look at the outbox: how many doubts there had been, and when it began."""

    doubts: int
    began_at: float


@dataclass(frozen=True, slots=True)
class Begun:
    """Writes that were begun: `frames` are the values that they take the place of."""

    epoch: str | None
    token: str
    owner: str
    frames: Mapping[UUID, Frame | None]
    is_doubtful: bool = False
