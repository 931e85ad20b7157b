"""Revisions: which state of a conversation somebody saw, and wants to write upon."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from .errors import PreconditionError, StaleError


class Revision(NamedTuple):
    """A conversation's state: its number rises by one with every visible change.

    `rev` is random: after a failover of the database, a number may come back with other content.
    """

    number: int
    rev: UUID

    @property
    def tag(self) -> str:
        """The entity tag (RFC 9110, 8.8.3), without its quotes."""
        return f"{self.number}-{self.rev}"

    @classmethod
    def of(cls, row: Any) -> "Revision":
        """The state that a conversation's row shows."""
        return cls(row.revision, row.rev)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Revision":
        """The state whose fields, by name, `fields` are."""
        return cls(fields["number"], UUID(fields["rev"]))


@dataclass(frozen=True, slots=True)
class Expected:
    """What a writer believes to write upon: a revision's number, or one of several tags.

    None: whatever is there.
    """

    number: int | None = None
    tags: frozenset[str] | None = None

    def check(self, current: Revision) -> None:
        """Raises PreconditionError (the tags) or StaleError (the number) when it is not that."""
        if self.tags is not None and current.tag not in self.tags:
            raise PreconditionError(number=current.number, tag=current.tag)
        if self.number is not None and self.number != current.number:
            raise StaleError(number=current.number, tag=current.tag)


ANY = Expected()
