from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple
from uuid import UUID

from ..models import Run
from ..sessions import OperationSession
from ..statements import Statement
from ..transcript import Turn
from .base import Repository
from .ending import FINISH, FINISHED, Ending, ended_turn, written

LEASE_SECONDS = 30

# A statement of its own: the one after it sees, and counts, what the others in the queue did.
IN_TURN = "SELECT FROM users WHERE email = %(owner)s FOR NO KEY UPDATE"

_TODAY = "date_trunc('day', now(), 'UTC')"
# Not those that were fenced: they end at their next word, and the reaper keeps what they have.
_RUNS = """(
    SELECT count(*) FROM runs
    WHERE user_email = %(owner)s AND status = 'running' AND lease_until > '-infinity')
"""
_MESSAGES_TODAY = f"""(
    SELECT count(*) FROM (
        SELECT FROM query_logs WHERE user_email = %(owner)s AND created_at >= {_TODAY}
        UNION ALL
        SELECT FROM runs
        WHERE user_email = %(owner)s AND status = 'running' AND created_at >= {_TODAY}) asked)
"""
_TOKENS_TODAY = f"""(
    SELECT coalesce(sum(tokens_used), 0) FROM query_logs
    WHERE user_email = %(owner)s AND created_at >= {_TODAY})
"""
_QUOTA = """
coalesce((SELECT daily_quota FROM users WHERE email = %(owner)s), %(daily_messages)s::bigint)
"""
_TOKENS = "%(daily_tokens)s::bigint"
# Nothing is counted where there is no quota.
_EXHAUSTED = {
    "runs": f"{_RUNS} >= %(runs_at_once)s",
    "messages": f"({_QUOTA} IS NOT NULL AND {_QUOTA} <= {_MESSAGES_TODAY})",
    "tokens": f"({_TOKENS} IS NOT NULL AND {_TOKENS} <= {_TOKENS_TODAY})",
}
IS_ALLOWED = f"NOT ({' OR '.join(_EXHAUSTED.values())})"
_USED_UP = f"SELECT {_EXHAUSTED['messages']} AS messages, {_EXHAUSTED['tokens']} AS tokens"

# Whoever writes for these runs has lost them: the reaper ends them with what was kept.
FENCED = "UPDATE runs r SET attempt = r.attempt + 1, lease_until = '-infinity'"

# The ledger's numbers stay when an answer or its conversation goes; what was said goes, too.
# A run that goes with it has its line in the ledger all the same: it counts as asked.
LEFT_IN_LEDGER = """
forgotten AS (
    UPDATE query_logs q SET query = NULL FROM gone
    WHERE q.conversation_id = gone.conversation_id AND q.{column} = gone.id
        AND q.user_email = %(owner)s),
logged AS (
    INSERT INTO query_logs (
        id, user_email, conversation_id, message_id, contexts_retrieved, tokens_used, status,
        created_at)
    SELECT gen_random_uuid(), r.user_email, r.conversation_id, r.message_id, 0,
        (SELECT (sum(char_length(k.text)) + 3) / 4 FROM run_chunks k
            WHERE k.run_id = r.id AND k.user_email = %(owner)s),
        'cancelled', r.created_at
    FROM runs r JOIN gone
        ON r.conversation_id = gone.conversation_id AND r.{column} = gone.id
    WHERE r.user_email = %(owner)s AND r.status = 'running')
"""

_KEEP = Statement(
    "keep",
    f"""
SELECT run_id, lease FROM parley_keep_runs(
    %(ids)s::uuid[], %(owners)s, %(attempts)s, %(numbers)s, %(texts)s, {LEASE_SECONDS})
""",
    settings={"plan_cache_mode": "auto"},
)

_CHUNKS = Statement(
    "chunks",
    """
SELECT text FROM run_chunks WHERE run_id = %(run_id)s AND user_email = %(owner)s ORDER BY n
""",
)
_CHUNKS_OF_MESSAGE = Statement(
    "text",
    """
SELECT k.text FROM runs r JOIN run_chunks k ON k.run_id = r.id AND k.user_email = %(owner)s
WHERE r.conversation_id = %(conversation_id)s AND r.message_id = %(message_id)s
    AND r.user_email = %(owner)s
ORDER BY r.created_at, k.n
""",
)
_CLAIM_EXPIRED = "SELECT run_id, owner, attempt, cause FROM parley_claim_expired_runs(%(max_runs)s)"

# The shown answer first; another is left from a branch that was shown before.
_LIVE = Statement(
    "live",
    """
SELECT r.id, r.message_id, m.parent_id FROM runs r JOIN messages m
    ON m.conversation_id = r.conversation_id AND m.id = r.message_id
    AND m.user_email = %(owner)s
WHERE r.conversation_id = %(conversation_id)s AND r.user_email = %(owner)s
    AND r.status = 'running' AND r.lease_until > '-infinity'
ORDER BY m.is_active DESC, r.created_at DESC
""",
)
_PLACE = "SELECT conversation_id FROM runs WHERE id = %(run_id)s AND user_email = %(owner)s"
_STOP = Statement(
    "stop",
    """
UPDATE runs SET stop_requested = true
WHERE conversation_id = %(conversation_id)s AND user_email = %(owner)s AND status = 'running'
    AND (%(message_id)s::uuid IS NULL OR message_id = %(message_id)s::uuid)
RETURNING id, message_id
""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What each user may use: runs at a time; questions and tokens a day (UTC), None for any.

    A user's own `daily_quota` goes before `daily_messages`.
    """

    runs_at_once: int
    daily_messages: int | None
    daily_tokens: int | None


class Chunk(NamedTuple):
    """Piece `n` of what a run says, which may be empty."""

    run_id: UUID
    owner: str
    attempt: int
    n: int
    text: str


class RunRepository(Repository[Run]):
    model = Run

    def live(self, conversation_id: UUID) -> list[Any]:
        """Runs that are being written, the shown one first: rows of id, message_id, parent_id."""
        return self._run(_LIVE, conversation_id)

    def stop(self, conversation_id: UUID, message_id: UUID | None) -> list[Any]:
        """Asks the runs of a conversation, or of one message, to stop: rows of id, message_id."""
        return self._run(_STOP, conversation_id, message_id=message_id)

    def place_of(self, run_id: UUID) -> UUID | None:
        """The conversation that a run writes in; None: it is gone."""
        rows = self.session.run(_PLACE, {"run_id": run_id, "owner": self.session.owner})
        return rows[0].conversation_id if rows else None

    def finish(
        self, conversation_id: UUID, run_id: UUID, attempt: int, *, log_id: UUID, ending: Ending
    ) -> tuple[Turn, int] | None:
        """Ends a conversation's run with its answer, once: the answer and the revision.

        None when it is not ours.
        """
        self.session.changing(conversation_id)
        values = ending.values() | {
            "owner": self.session.owner,
            "run_id": run_id,
            "attempt": attempt,
            "log_id": log_id,
            "is_told": self.session.most_told > 0,
        }
        rows = self.session.run(FINISH, values) or self.session.run(FINISHED, values)
        if not rows:
            return None
        turn = ended_turn(rows[0], ending)
        self.session.told(conversation_id, written(rows[0], turn))
        return turn, rows[0].revision

    def take_turn(self) -> None:
        """Waits until no other run of the owner begins, for the rest of a transaction.

        First of all: whoever begins a run locks the user, then the conversation.
        """
        self.session.run(IN_TURN, {"owner": self.session.owner})

    def exhausted(self, allowance: Allowance) -> Any:
        """Which part of an allowance is used up: a row of messages and tokens."""
        values = asdict(allowance) | {"owner": self.session.owner}
        return self.session.run(_USED_UP, values)[0]

    def text_so_far(self, run_id: UUID) -> str:
        """The text that was kept of an answer not finished yet."""
        values = {"run_id": run_id, "owner": self.session.owner}
        return "".join(row.text for row in self.session.run(_CHUNKS, values))

    def text_of(self, conversation_id: UUID, message_id: UUID) -> str:
        """The same by the message that is being written."""
        rows = self._run(_CHUNKS_OF_MESSAGE, conversation_id, message_id=message_id)
        return "".join(row.text for row in rows)

    def _run(self, sql: str | Statement, conversation_id: UUID, **values: Any) -> list[Any]:
        named = {"owner": self.session.owner, "conversation_id": conversation_id}
        return self.session.run(sql, named | values)


def keep(session: OperationSession, chunks: Sequence[Chunk]) -> dict[UUID, str]:
    """Keeps runs' chunks, each once, and renews their leases: `held`, `stopped`, `lost` or `busy`.

    Only whose owner and attempt are the row's are kept, and what nobody else has locked.
    """
    columns = zip(*chunks, strict=True)
    names = ("ids", "owners", "attempts", "numbers", "texts")
    values = {name: list(column) for name, column in zip(names, columns, strict=True)}
    return {row.run_id: row.lease for row in session.run(_KEEP, values)}


def claim_expired(session: OperationSession, max_runs: int) -> list[Any]:
    """Takes over runs whose lease is over, of any owner: rows of run_id, owner, attempt, cause.

    The cause is `stopped`, `fenced` or `crashed`.
    """
    return session.run(_CLAIM_EXPIRED, {"max_runs": max_runs})
