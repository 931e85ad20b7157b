"""Numbers of the usage ledger and of what is stored; never a word of what was said."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ..models import QueryLog
from ..sessions import OperationSession
from .base import Repository

Part = Literal["day", "mode", "model", "user"]

_PARTS: Mapping[Part, str] = {
    "day": "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "mode": "mode",
    "model": "model",
    "user": "user_email",
}
OWN_PARTS: Sequence[Part] = ("day", "mode", "model")
_PERCENTILES = "percentile_disc(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP"


def _summary(parts: Sequence[Part], whose: str = "true") -> str:
    """A row for the whole period, and one for each group of each part, in the order they go out.

    Days come in their order, other groups with the most questions first.
    """
    columns = ", ".join(f'{_PARTS[part]} AS "{part}"' for part in parts)
    which = " ".join(f"WHEN grouping(\"{part}\") THEN '{part}'" for part in parts)
    names = ", ".join(f'"{part}"' for part in parts)
    sets = ", ".join(f'("{part}")' for part in parts)
    return f"""
WITH asked AS (
    SELECT {columns}, status, tokens_used, first_token_ms, response_time_ms FROM query_logs
    WHERE {whose} AND created_at >= %(since)s AND created_at < %(until)s),
counted AS (
    SELECT CASE 0 {which} END AS part, coalesce({names}) AS name,
        count(*) AS questions,
        count(*) FILTER (WHERE status = 'complete') AS complete,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        count(*) FILTER (WHERE status = 'interrupted') AS interrupted,
        count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
        coalesce(sum(tokens_used), 0) AS tokens,
        {_PERCENTILES} (ORDER BY first_token_ms) AS first_token_ms,
        {_PERCENTILES} (ORDER BY response_time_ms) AS response_time_ms
    FROM asked GROUP BY GROUPING SETS ((), {sets}))
SELECT * FROM counted
ORDER BY CASE part WHEN 'day' THEN name END, questions DESC, name
"""


_OWN = _summary(OWN_PARTS, "user_email = %(owner)s")
_ALL = {part: _summary((part,)) for part in _PARTS}

_STORED = """
SELECT count(*) AS conversations,
    count(*) FILTER (WHERE is_archived AND deleted_at IS NULL) AS archived,
    count(*) FILTER (WHERE deleted_at IS NOT NULL) AS trashed,
    coalesce(sum(message_count), 0)::bigint AS messages
FROM conversations WHERE user_email = %(owner)s AND is_published
"""

_ACTIVITY = "SELECT active_conversations FROM parley_activity()"

# Where the tables are somebody else's, row-level security would show an empty ledger.
_IS_OWNER = """
SELECT pg_has_role(relowner, 'USAGE') AS is_owner FROM pg_class
WHERE oid = to_regclass('query_logs')
"""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Each a value that was measured: the least that so many percent of all don't exceed."""

    p50: int
    p90: int
    p95: int
    p99: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionGroup:
    """What questions came to that have `name` in common: a day, a mode, a model or a user.

    Times are None where nothing was measured.
    """

    name: str | None
    questions: int
    complete: int
    failed: int
    interrupted: int
    cancelled: int
    tokens: int
    first_token_ms: Percentiles | None
    response_time_ms: Percentiles | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """All of a period's, and the same by one or several parts."""

    total: QuestionGroup
    by: Mapping[Part, Sequence[QuestionGroup]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Conversations and messages, those in the trash included; `archived` are outside of it."""

    conversations: int
    archived: int
    trashed: int
    messages: int


class QueryLogRepository(Repository[QueryLog]):
    model = QueryLog

    def questions(self, since: datetime, until: datetime) -> Questions:
        """Those that the owner began to ask from `since` on and before `until`."""
        values = {"owner": self.session.owner, "since": since, "until": until}
        return _questions(OWN_PARTS, self.session.run(_OWN, values))

    def stored(self) -> Stored:
        row = self.session.run(_STORED, {"owner": self.session.owner})[0]
        return Stored(**row._asdict())


def all_questions(
    session: OperationSession, since: datetime, until: datetime, *, by: Part
) -> Questions:
    """Those of all users, for the tables' owner."""
    return _questions((by,), session.run(_ALL[by], {"since": since, "until": until}))


def active_conversations(session: OperationSession) -> int:
    """How many conversations, of all users, got a message within the last 15 minutes."""
    count: int = session.run(_ACTIVITY, {})[0].active_conversations
    return count


def sees_all_users(session: OperationSession) -> bool:
    """Whether this is the tables' owner, which row-level security lets pass."""
    return any(row.is_owner for row in session.run(_IS_OWNER, {}))


def _questions(parts: Iterable[Part], rows: Sequence[Any]) -> Questions:
    groups = {part: [_group(row) for row in rows if row.part == part] for part in parts}
    return Questions(total=next(_group(row) for row in rows if row.part is None), by=groups)


def _group(row: Any) -> QuestionGroup:
    values = {name: value for name, value in row._asdict().items() if name != "part"}
    for name in ("first_token_ms", "response_time_ms"):
        values[name] = Percentiles(*values[name]) if values[name] else None
    return QuestionGroup(**values)
