"""Where runs keep their text and end: the journal of `streaming.run`, and the reaper's work."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from .. import metrics
from ..database import Database
from ..errors import UnavailableError, places
from ..ids import new_id
from ..repositories.ending import Ending
from ..repositories.runs import Chunk, RunRepository, claim_expired, keep
from ..responders.base import Prompt
from ..search_words import search_words
from ..streaming.answer import Answer
from ..streaming.mirrors import Mirrors
from ..streaming.outcome import COMPLETE, REAPED, Outcome
from ..streaming.recovery import recovered
from ..streaming.run import Lease, Piece, Ticket
from ..transcript import Turn, estimate_tokens
from .turns import Turns
from .wording import preview_of

log = structlog.get_logger(__name__)

REAPED_AT_ONCE = 20
_ENDINGS_AT_ONCE = 2  # as soon over as with more: the processor is what they wait for
_COURTESY_SECONDS = 2.0
_PATIENCE = Retrying(
    retry=retry_if_exception_type(UnavailableError),
    stop=stop_after_delay(60),
    wait=wait_random_exponential(multiplier=0.2, max=3),
    reraise=True,
)


class RunService:
    def __init__(self, database: Database, mirrors: Mirrors, *, max_answer_bytes: int) -> None:
        self._database = database
        self._mirrors = mirrors
        self._max_answer_bytes = max_answer_bytes
        self._endings = Turns(_ENDINGS_AT_ONCE, patience=_COURTESY_SECONDS)

    def keep(self, pieces: Sequence[Piece]) -> dict[UUID, Lease]:
        """Keeps each run's piece, once, and renews the leases that hold: by run_id."""
        chunks = [Chunk(it.run_id, it.owner, it.attempt, n, text) for it, n, text in pieces]
        with self._database.operation() as session:
            leases = {run_id: Lease(lease) for run_id, lease in keep(session, chunks).items()}
        if Lease.LOST in leases.values():
            self._end_taken()
        return leases

    def finish(
        self, ticket: Ticket, answer: Answer, prompt: Prompt | None, outcome: Outcome
    ) -> tuple[Turn, int] | None:
        """Stores an answer for good: its turn and the new revision, None when fenced.

        Waits up to a minute for a store that is away, then raises UnavailableError.
        """
        stored = _PATIENCE(self._end, ticket, answer, prompt, outcome)
        if stored is None:
            self._end_taken()
        else:
            _count(stored[0])
        return stored

    def reap(self) -> int:
        """Ends runs whose process is gone, with all that is left of their answers; how many."""
        count = 0
        while expired := self._claim_expired():
            for run in expired:
                count += self._ended(run)
        return count

    def _end_taken(self) -> None:
        """Ends a run that was taken away: what was kept of it need not wait for the reaper."""
        with suppress(UnavailableError):
            self.reap()

    def _end(
        self, ticket: Ticket, answer: Answer, prompt: Prompt | None, outcome: Outcome
    ) -> tuple[Turn, int] | None:
        """Ends a run in turn: hundreds that end at once would hold up the words of the others."""
        with self._endings.take():
            ending = _ending(ticket, answer, prompt, outcome)
            place = ticket.conversation_id
            return self._store(ticket.owner, place, ticket.run_id, ticket.attempt, ending)

    def _text_so_far(self, owner: str, run_id: UUID) -> str:
        with self._database.statement(owner) as session:
            return RunRepository(session).text_so_far(run_id)

    def _claim_expired(self) -> Sequence[Any]:
        with self._database.operation() as session:
            return claim_expired(session, REAPED_AT_ONCE)

    def _ended(self, run: Any) -> bool:
        """Ends one run; one that can't be ended must not keep the others from their end."""
        try:
            if stored := self._store_remains(run):
                metrics.runs_reaped.inc()
                metrics.run_ended(stored[0].status, stored[0].error_class)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with this one
            log.error("reap_failed", error=type(error).__name__, where=places(error))
            return False
        return True

    def _remains(self, run: Any) -> Ending:
        """What there is of an answer: what was kept, and what was heard of it beyond that."""
        outcome = REAPED[run.cause]
        kept = self._text_so_far(run.owner, run.run_id)
        heard = self._mirrors.entries(run.run_id)
        answer = recovered(kept, heard, max_bytes=self._max_answer_bytes)
        tokens = estimate_tokens(answer.text)  # of it alone: the prompt died with the process
        return Ending(
            **_said(answer, outcome),
            completion_tokens=tokens,
            tokens_used=tokens,
            usage_is_estimated=True,
        )

    def _store_remains(self, run: Any) -> tuple[Turn, int] | None:
        with self._database.statement(run.owner) as session:
            place = RunRepository(session).place_of(run.run_id)
        if place is None:
            return None
        return self._store(run.owner, place, run.run_id, run.attempt, self._remains(run))

    def _store(
        self, owner: str, conversation_id: UUID, run_id: UUID, attempt: int, ending: Ending
    ) -> tuple[Turn, int] | None:
        with self._database.statement(owner) as session:
            return RunRepository(session).finish(
                conversation_id, run_id, attempt, log_id=new_id(), ending=ending
            )


def _ending(ticket: Ticket, answer: Answer, prompt: Prompt | None, outcome: Outcome) -> Ending:
    usage = answer.count(prompt) if prompt else None
    return Ending(
        **_said(answer, outcome),
        model=answer.model,
        mode=ticket.mode,
        sid=ticket.sid,
        finish_reason=_finish_reason(answer, outcome),
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        tokens_used=usage.prompt_tokens + usage.completion_tokens if usage else None,
        usage_is_estimated=answer.usage is None,
        first_token_ms=answer.first_token_ms,
    )


def _said(answer: Answer, outcome: Outcome) -> dict[str, Any]:
    """What is stored of an answer, whoever ends it."""
    text = answer.text
    return {
        "status": outcome.status,
        "content": text,
        "preview": preview_of(text),
        "search_words": search_words(text),
        "parts": answer.parts(),
        "contexts": answer.contexts,
        "error_class": outcome.error_class,
    }


def _finish_reason(answer: Answer, outcome: Outcome) -> str | None:
    """Why the model ended; it did not where somebody else ended the answer."""
    if outcome is COMPLETE:
        return answer.finish_reason or "stop"
    return "error" if outcome.status == "failed" else None


def _count(turn: Turn) -> None:
    metrics.run_ended(
        turn.status,
        turn.error_class,
        milliseconds=turn.latency_ms,
        first_token_ms=turn.first_token_ms,
        tokens=turn.completion_tokens,
    )
