"""One change to many conversations of one owner: all in one transaction, or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
from uuid import UUID

from ..ids import is_foreign, parse_id
from ..repositories.bulk import MOST_TAGS, Action, BulkRepository, Change
from ..sessions import OwnedSession
from .lists import ListFilter
from .once import Effect, Once, OnceService, Reference

__all__ = ["Action", "Bulk", "BulkService", "Change", "Outcome"]

Status = Literal["done", "unchanged", "not_found", "refused"]

MOST_AT_ONCE = 1000
# What a deletion takes on ends well within a statement's time.
_MOST_MESSAGES_AT_ONCE = 50_000
_WHY = {"refused": f"It would have more than {MOST_TAGS} tags."}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a conversation, by the id that was asked for, and its revision now."""

    id: str
    status: Status
    revision: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Bulk:
    """`has_more`: the same again would change more."""

    results: Sequence[Outcome]
    has_more: bool = False


class BulkService:
    def __init__(self, once: OnceService) -> None:
        self._once = once

    def change(
        self, owner: str, change: Change, references: Sequence[str], *, once: Once | None = None
    ) -> Bulk:
        """Changes those with these ids, ours or the client's own; an outcome for each, in order.

        An id that comes twice has the same outcome twice.
        """
        ids = [parse_id(reference) for reference in references]
        known = [each for each in ids if each]
        own = [
            name
            for name, known_id in zip(references, ids, strict=True)
            if known_id is None or is_foreign(known_id)
        ]

        def work(session: OwnedSession) -> _Changed:
            rows = BulkRepository(session).lock(change, known, own)
            revisions = _applied(session, change, rows)
            found = {row.id: row for row in rows} | {row.client_id: row for row in rows}
            named = zip(references, ids, strict=True)
            results = [
                _outcome(name, found.get(key or name) or found.get(name), revisions)
                for name, key in named
            ]
            return _Changed(Bulk(results), revisions)

        def recall(_: OwnedSession, reference: Reference) -> _Changed:
            return _Changed(_recalled(references, reference))

        return self._run(owner, once, Effect(work, _reference_to, recall))

    def change_where(
        self, owner: str, change: Change, wanted: ListFilter, *, once: Once | None = None
    ) -> Bulk:
        """Changes those that a filter matches, newest activity first, as far as something changes.

        At most 1,000 in a call; of what is deleted, fewer when they are long. What is to come out
        of the archive is looked for there.
        """
        if change.action == "unarchive" and wanted.is_archived is None:
            wanted = replace(wanted, is_archived=True)

        def work(session: OwnedSession) -> _Changed:
            rows = BulkRepository(session).lock_where(
                change, wanted.where(), is_trashed=wanted.is_trashed, take=MOST_AT_ONCE + 1
            )
            taken, left = _divided(rows, change)
            revisions = _applied(session, change, taken)
            results = [_outcome(str(row.id), row, revisions) for row in taken]
            has_more = any(not row.is_refused for row in left)
            return _Changed(Bulk(results, has_more), revisions)

        def keep(changed: _Changed) -> Reference:
            names = [outcome.id for outcome in changed.bulk.results]
            return {**_reference_to(changed), "ids": names}

        def recall(_: OwnedSession, reference: Reference) -> _Changed:
            return _Changed(_recalled(reference["ids"], reference))

        return self._run(owner, once, Effect(work, keep, recall))

    def _run(self, owner: str, once: Once | None, effect: "Effect[_Changed]") -> Bulk:
        return self._once.run(owner, once, effect).bulk


class _Changed(NamedTuple):
    """The outcomes, and the revisions of what has changed just now."""

    bulk: Bulk
    revisions: Mapping[UUID, int | None] = MappingProxyType({})


def _reference_to(changed: _Changed) -> Reference:
    """The outcomes without the ids that were asked for, which may be words of a client's own."""
    outcomes = [(outcome.status, outcome.revision) for outcome in changed.bulk.results]
    return {"outcomes": outcomes, "has_more": changed.bulk.has_more}


def _recalled(names: Sequence[str], reference: Reference) -> Bulk:
    outcomes = zip(names, reference["outcomes"], strict=True)
    results = [
        Outcome(name, status, revision, _WHY.get(status)) for name, (status, revision) in outcomes
    ]
    return Bulk(results, reference["has_more"])


def _applied(session: OwnedSession, change: Change, rows: Sequence[Any]) -> dict[UUID, int | None]:
    """The revisions of those that have changed."""
    due = [row.id for row in rows if row.is_due and not row.is_refused]
    return BulkRepository(session).apply(change, due) if due else {}


def _divided(rows: Sequence[Any], change: Change) -> tuple[Sequence[Any], Sequence[Any]]:
    """What one call takes on, and what it leaves; what is refused stands behind."""
    ordered = sorted(rows, key=lambda row: bool(row.is_refused))
    count = min(len(ordered), MOST_AT_ONCE)
    if change.action == "delete":
        totals = accumulate(row.message_count for row in ordered[:count])
        count = max(1, sum(total <= _MOST_MESSAGES_AT_ONCE for total in totals))
    return ordered[:count], ordered[count:]


def _outcome(name: str, row: Any | None, revisions: dict[UUID, int | None]) -> Outcome:
    if row is None:
        return Outcome(name, "not_found")
    if row.id in revisions:
        return Outcome(name, "done", revisions[row.id])
    if row.is_due:
        return Outcome(name, "refused", row.revision, _WHY["refused"])
    return Outcome(name, "unchanged", row.revision)
