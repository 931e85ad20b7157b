"""One generation: it is not the request. It goes on when the client leaves, and it ends once.

Holds no transaction and no pooled connection while the model speaks: each `Journal` call is one
short statement.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, cast
from uuid import UUID

import structlog

from ..errors import ModelError, RecordNotFoundError, UnavailableError, places
from ..responders.base import Event, Prompt, Responder
from ..transcript import Turn
from .answer import Answer
from .events import Done, Failed, Text, WireEvent
from .outcome import COMPLETE, CRASHED, FENCED, STOPPED, UNSTORED, Outcome
from .wire import Wire

log = structlog.get_logger(__name__)

FLUSH_BYTES = 8000
"""What comes sooner than the next second; smaller pieces cost PostgreSQL twice their size."""
_BROKEN = ModelError(error_class="responder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Who generates what: `attempt` is the fence."""

    run_id: UUID
    attempt: int
    owner: str
    conversation_id: UUID
    message_id: UUID
    mode: str | None = None
    sid: str | None = None


class Piece(NamedTuple):
    """What a run has to keep: chunk `n` of its text, which may be empty."""

    ticket: Ticket
    n: int
    text: str


class Lease(StrEnum):
    """How a run stands when its lease is renewed."""

    HELD = "held"
    STOPPED = "stopped"
    """Its user wants no more of it."""
    LOST = "lost"
    """It is not ours any more: taken back, or taken over."""
    BUSY = "busy"
    """Somebody else was at it: nothing was kept this time."""


class Journal(Protocol):
    """Where runs keep what they have. Raises UnavailableError while the store is away."""

    def keep(self, pieces: Sequence[Piece]) -> Mapping[UUID, Lease]:
        """Keeps each run's piece, once, and renews the leases that hold: by run_id."""
        ...

    def finish(
        self, ticket: Ticket, answer: Answer, prompt: Prompt | None, outcome: Outcome
    ) -> tuple[Turn, int] | None:
        """Stores the final answer: the turn and the revision, or None when it is not ours."""
        ...


class Run:
    def __init__(
        self,
        ticket: Ticket,
        *,
        wire: Wire,
        journal: Journal,
        responder: Responder,
        load_prompt: Callable[[], Prompt],
        max_bytes: int,
        when_complete: Callable[[Prompt, str], None] | None = None,
    ) -> None:
        """`when_complete` hears the prompt and the answer when that is stored."""
        self.ticket = ticket
        self.wire = wire
        self._journal = journal
        self._responder = responder
        self._load_prompt = load_prompt
        self._when_complete = when_complete
        self._prompt: Prompt | None = None
        self._answer = Answer(max_bytes)
        self._pending: list[str] = []
        self._chunk = ""
        self._unkept = 0
        self._chunks = 0
        self._is_sealed = False
        self.is_asking = True
        """Whether the responder is still at it: also for an answer that is over already."""
        self._speaking = threading.Lock()
        self._storing = threading.Lock()

    def generate(self) -> None:
        """Runs the responder to its end and stores the answer. Raises nothing."""
        error = self._error_of_answering()
        self.is_asking = False
        self.end(Outcome.of(None if self._answer.is_full else error))

    def end(self, outcome: Outcome) -> None:
        """Stores the answer with what there is of it, whatever the responder does. Raises nothing.

        Whoever ends it first decides how; nothing is heard of the responder after that.
        """
        with self._storing:
            if self.wire.is_ended:
                return
            self._seal()
            try:
                stored = self._journal.finish(self.ticket, self._answer, self._prompt, outcome)
            except Exception as fault:  # noqa: BLE001 - whatever it is, watchers must hear an end
                log.error("answer_not_stored", error=type(fault).__name__, where=places(fault))
                self.wire.publish(UNSTORED.failed())
                return
            self.wire.publish(_ending(stored, outcome))
        if stored and outcome is COMPLETE and self._prompt and self._when_complete:
            self._tell(self._when_complete, self._prompt)

    @property
    def is_ending(self) -> bool:
        """Whether nothing more is heard of the responder: it is over, or about to be stored."""
        return self._is_sealed

    def offer(self) -> Piece | None:
        """What is to be kept, and the lease with it; None when it is over or somebody is at it.

        Who takes a piece must `settle` it. A piece stays the same until it is known to be kept:
        it may have been kept without our knowing.
        """
        if self._is_sealed or not self._storing.acquire(blocking=False):
            return None
        self._chunk = self._chunk or self._taken()
        return Piece(self.ticket, self._chunks, self._chunk)

    def settle(self, lease: Lease | None) -> None:
        """What became of the offered piece; None: nobody knows. Who is STOPPED is to be ended."""
        if lease in (Lease.HELD, Lease.STOPPED):
            self._chunks += bool(self._chunk)
            self._chunk = ""
        if lease is Lease.LOST:
            self._seal()
            self.wire.publish(FENCED.failed())
        self._storing.release()

    def abandon(self) -> None:
        """Tells the watchers that nobody writes any more, if they heard no ending."""
        self.wire.publish(CRASHED.failed())

    def _seal(self) -> None:
        """From now on nothing more is taken from the responder."""
        with self._speaking:
            self._is_sealed = True

    def _taken(self) -> str:
        """What waits to be kept, taken out."""
        size = len(self._pending)
        text = "".join(self._pending[:size])
        del self._pending[:size]
        return text

    def _error_of_answering(self) -> ModelError | None:
        try:
            self._prompt = self._load_prompt()
            self._listen(self._responder.stream(self._prompt))
        except ModelError as error:
            return error
        except UnavailableError:
            return ModelError(error_class="unavailable")
        except RecordNotFoundError:  # deleted before its history was read: fenced, too
            return ModelError(error_class="fenced")
        except BaseException as error:  # noqa: BLE001 - gevent's and asyncio's timeouts are no less
            log.error("responder_failed", error=type(error).__name__, where=places(error))
            return _BROKEN
        return None

    def _listen(self, events: Iterable[Event]) -> None:
        try:
            for event in events:
                with self._speaking:
                    if self._is_sealed:
                        return
                    if heard := self._answer.take(event):
                        self._pass_on(heard)
                if self._unkept >= FLUSH_BYTES:
                    self._unkept = 0
                    self._keep()
                if self._answer.is_full:
                    return
        finally:
            if hasattr(events, "close"):
                cast(Generator[Event, Any, Any], events).close()

    def _keep(self) -> None:
        for stopped in keep(self._journal, [self]):
            stopped.end(STOPPED)

    def _pass_on(self, event: WireEvent) -> None:
        self.wire.publish(event)
        if isinstance(event, Text):
            self._pending.append(event.text)
            self._unkept += len(event.text.encode())

    def _tell(self, when_complete: Callable[[Prompt, str], None], prompt: Prompt) -> None:
        try:
            when_complete(prompt, self._answer.text)
        except BaseException as fault:  # noqa: BLE001 - as with its answers
            log.error("title_failed", error=type(fault).__name__, where=places(fault))


def keep(journal: Journal, runs: Iterable[Run]) -> list[Run]:
    """Lets runs keep what they have, in one round trip; those that their users want to stop.

    A store that is away can wait: the lease outlasts it, or the reaper is right.
    """
    offered = [(run, piece) for run in runs if (piece := run.offer())]
    leases = _leases(journal, [piece for _, piece in offered])
    for run, _ in offered:
        run.settle(leases.get(run.ticket.run_id))
    return [run for run, _ in offered if leases.get(run.ticket.run_id) is Lease.STOPPED]


def _leases(journal: Journal, pieces: Sequence[Piece]) -> Mapping[UUID, Lease]:
    """How leases stand after the pieces are kept; one that can't be must not cost the others."""
    try:
        return journal.keep(pieces) if pieces else {}
    except UnavailableError:
        log.warning("chunks_wait", runs=len(pieces))
        return {}
    except Exception as fault:  # noqa: BLE001 - whatever is wrong with one of them
        if len(pieces) == 1:
            log.error("chunk_not_kept", error=type(fault).__name__, where=places(fault))
            return {}
    return {run_id: it for piece in pieces for run_id, it in _leases(journal, [piece]).items()}


def _ending(stored: tuple[Turn, int] | None, outcome: Outcome) -> Done | Failed:
    if stored is None:
        return FENCED.failed()
    return Done(*stored) if outcome is COMPLETE else outcome.failed(*stored)
