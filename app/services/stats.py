"""How much was asked, how it ended and how long it took: numbers of the usage ledger."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..clock import midnight, parse_edge
from ..database import Database
from ..errors import FieldFault, InvalidFieldsError
from ..repositories.stats import (
    Part,
    QueryLogRepository,
    Questions,
    Stored,
    all_questions,
)
from .privileges import insist_on_owner

__all__ = ["LedgerService", "OwnStats", "Part", "Period", "Stats", "StatsService"]

_DAY = timedelta(days=1)
_USUAL, _LONGEST = 30 * _DAY, 366 * _DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From `since` on, and before `until`."""

    since: datetime
    until: datetime

    @classmethod
    def between(cls, first: str | None = None, last: str | None = None) -> "Period":
        """From `first` to `last`: by default 30 days that end with `last`, or with today (UTC).

        Dates are whole days, the last one included; timestamps are moments. Raises
        InvalidFieldsError that names /from or /to: no such moments, or over 366 days.
        """
        until = midnight() + _DAY if last is None else _edge("/to", last, is_end=True)
        since = until - _USUAL if first is None else _edge("/from", first)
        if since > until:
            raise _fault("/from", "must not be after to.")
        if until - since > _LONGEST:
            raise _fault("/from", f"must be at most {_LONGEST.days} days before to.")
        return cls(since=since, until=until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    period: Period
    questions: Questions


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStats(Stats):
    stored: Stored


class StatsService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def report(self, owner: str, period: Period) -> OwnStats:
        """What the owner asked in a period, by day, mode and model, and what is stored now.

        A question counts where it began, once its answer has ended; also one whose conversation
        was deleted since.
        """
        with self._database.statement(owner) as session:
            ledger = QueryLogRepository(session)
            questions = ledger.questions(period.since, period.until)
            return OwnStats(period=period, questions=questions, stored=ledger.stored())


class LedgerService:
    """For operators."""

    def __init__(self, database: Database) -> None:
        """`database`: as the tables' owner, since the application sees no ledger of all users."""
        self._database = database

    def report(self, period: Period, *, by: Part) -> Stats:
        """As StatsService.report, of all users together; by user it names their addresses.

        Raises SetupError when this is not the tables' owner.
        """
        with self._database.operation() as session:
            insist_on_owner(session)
            questions = all_questions(session, period.since, period.until, by=by)
        return Stats(period=period, questions=questions)


def _edge(pointer: str, text: str, *, is_end: bool = False) -> datetime:
    try:
        return parse_edge(text, is_end=is_end)
    except ValueError as error:
        raise _fault(pointer, str(error)) from None


def _fault(pointer: str, detail: str) -> InvalidFieldsError:
    return InvalidFieldsError([FieldFault(pointer, detail)])
