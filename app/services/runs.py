"""Where runs keep their text and end: the journal of `streaming.run`, and the reaper's work."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from ..database import Database
from ..errors import ModelError, UnavailableError, places
from ..ids import new_id
from ..repositories.runs import Ending, RunRepository, claim_expired
from ..responders.base import Prompt
from ..search_words import search_words
from ..streaming.answer import Answer
from ..streaming.run import Ticket
from ..transcript import Turn, estimate_tokens
from .wording import preview_of

log = structlog.get_logger(__name__)

REAPED_AT_ONCE = 20
_PATIENCE = Retrying(
    retry=retry_if_exception_type(UnavailableError),
    stop=stop_after_delay(60),
    wait=wait_random_exponential(multiplier=0.2, max=3),
    reraise=True,
)


class RunService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def renew(self, ticket: Ticket, *, n: int, text: str) -> bool:
        """Keeps a chunk and renews the lease; False when the run is not the ticket's any more."""
        with self._database.statement(ticket.owner) as session:
            is_ours = RunRepository(session).renew(ticket.run_id, ticket.attempt, n=n, text=text)
        if not is_ours:
            self._end_taken()
        return is_ours

    def finish(
        self, ticket: Ticket, answer: Answer, prompt: Prompt | None, error: ModelError | None
    ) -> tuple[Turn, int] | None:
        """Stores an answer for good: its turn and the new revision, None when fenced.

        Waits up to a minute for a store that is away, then raises UnavailableError.
        """
        ending = _ending(ticket, answer, prompt, error)
        stored = _PATIENCE(self._store, ticket.owner, ticket.run_id, ticket.attempt, ending)
        if stored is None:
            self._end_taken()
        return stored

    def reap(self) -> int:
        """Ends runs whose process is gone as `interrupted`, with the text kept; how many."""
        count = 0
        while expired := self._claim_expired():
            for run in expired:
                count += self._interrupted(run.owner, run.run_id, run.attempt)
        return count

    def _end_taken(self) -> None:
        """Ends a run that was taken away: what was kept of it need not wait for the reaper."""
        with suppress(UnavailableError):
            self.reap()

    def text_so_far(self, owner: str, run_id: UUID) -> str:
        """What is kept of an answer that is still being written."""
        with self._database.statement(owner) as session:
            return RunRepository(session).text_so_far(run_id)

    def _claim_expired(self) -> Sequence[Any]:
        with self._database.operation() as session:
            return claim_expired(session, REAPED_AT_ONCE)

    def _interrupted(self, owner: str, run_id: UUID, attempt: int) -> bool:
        """Ends one run; one that can't be ended must not keep the others from their end."""
        try:
            self._interrupt(owner, run_id, attempt)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with this one
            log.error("reap_failed", error=type(error).__name__, where=places(error))
            return False
        return True

    def _interrupt(self, owner: str, run_id: UUID, attempt: int) -> None:
        text = self.text_so_far(owner, run_id)
        tokens = estimate_tokens(text)  # of the answer alone: the prompt died with the process
        ending = Ending(
            status="interrupted",
            content=text,
            preview=preview_of(text),
            search_words=search_words(text),
            error_class="crashed",
            completion_tokens=tokens,
            tokens_used=tokens,
            usage_is_estimated=True,
        )
        self._store(owner, run_id, attempt, ending)

    def _store(
        self, owner: str, run_id: UUID, attempt: int, ending: Ending
    ) -> tuple[Turn, int] | None:
        with self._database.statement(owner) as session:
            row = RunRepository(session).finish(run_id, attempt, new_id(), ending)
        return None if row is None else (_turn(row, ending), row.revision)


def _ending(
    ticket: Ticket, answer: Answer, prompt: Prompt | None, error: ModelError | None
) -> Ending:
    text = answer.text
    usage = answer.count(prompt) if prompt else None
    return Ending(
        status="failed" if error else "complete",
        content=text,
        preview=preview_of(text),
        search_words=search_words(text),
        parts=answer.parts(),
        contexts=answer.contexts,
        model=answer.model,
        mode=ticket.mode,
        sid=ticket.sid,
        finish_reason="error" if error else answer.finish_reason or "stop",
        error_class=error.error_class if error else None,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        tokens_used=usage.prompt_tokens + usage.completion_tokens if usage else None,
        usage_is_estimated=answer.usage is None,
        first_token_ms=answer.first_token_ms,
    )


def _turn(row: object, ending: Ending) -> Turn:
    """The answer as it is stored."""
    places = (
        "id", "seq", "parent_id", "is_active", "client_message_id", "created_at", "latency_ms",
    )  # fmt: skip
    kept = (
        "content", "status", "parts", "contexts", "model", "finish_reason", "error_class",
        "prompt_tokens", "completion_tokens", "tokens_used", "usage_is_estimated",
        "first_token_ms",
    )  # fmt: skip
    fields = {name: getattr(row, name) for name in places}
    return Turn(role="assistant", **fields, **{name: getattr(ending, name) for name in kept})
