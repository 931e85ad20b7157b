"""One generation: it is not the request. It goes on when the client leaves, and it ends once.

Holds no transaction and no pooled connection while the model speaks: each `Journal` call is one
short statement.
"""

import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, cast
from uuid import UUID

import structlog

from ..errors import ModelError, RecordNotFoundError, UnavailableError, places
from ..responders.base import Event, Prompt, Responder
from ..transcript import Turn
from .answer import Answer
from .events import Done, Failed, Text, WireEvent
from .wire import Wire

log = structlog.get_logger(__name__)

FLUSH_BYTES = 2000
TAKEN_BACK = "This answer was taken back before it was finished."
_UNSTORED = "The answer could not be stored in time. What was kept of it until then is not lost."
_ABANDONED = "The answer was broken off. What was kept of it until then is not lost."
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


class Journal(Protocol):
    """Where a run keeps what it has. Raises UnavailableError while the store is away."""

    def renew(self, ticket: Ticket, *, n: int, text: str) -> bool:
        """Keeps chunk `n` and renews the lease; False when the run is not ours any more."""
        ...

    def finish(
        self, ticket: Ticket, answer: Answer, prompt: Prompt | None, error: ModelError | None
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
        self._is_fenced = False
        self.is_asking = True
        """Whether the responder is still at it: also for an answer that was taken back."""
        self._storing = threading.Lock()

    def generate(self) -> None:
        """Runs the responder to its end and stores the answer. Raises nothing."""
        error = self._error_of_answering()
        self.is_asking = False
        try:
            self._end(None if self._answer.is_full else error)
        except Exception as fault:  # noqa: BLE001 - whatever it is, watchers must hear an end
            log.error("answer_not_stored", error=type(fault).__name__, where=places(fault))
            self.wire.publish(Failed("interrupted", "unavailable", _UNSTORED))

    def flush(self) -> None:
        """Keeps the text that is not kept yet and renews the lease. Raises UnavailableError.

        A chunk stays the same until it is confirmed: it may have been kept without our knowing.
        """
        if self._is_fenced or not self._storing.acquire(blocking=False):
            return  # it is not ours any more, or the keeper, this run or its end is at it
        try:
            self._chunk = self._chunk or self._taken()
            if self._journal.renew(self.ticket, n=self._chunks, text=self._chunk):
                self._chunks += bool(self._chunk)
                self._chunk = ""
            else:
                self._is_fenced = True
                self.wire.publish(Failed("interrupted", "fenced", TAKEN_BACK))
        finally:
            self._storing.release()

    def abandon(self) -> None:
        """Tells the watchers that nobody writes any more, if they heard no ending."""
        self.wire.publish(Failed("interrupted", "crashed", _ABANDONED))

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
        except Exception as error:  # noqa: BLE001 - a host's responder may raise anything
            log.error("responder_failed", error=type(error).__name__, where=places(error))
            return _BROKEN
        return None

    def _listen(self, events: Iterable[Event]) -> None:
        try:
            for event in events:
                if heard := self._answer.take(event):
                    self._pass_on(heard)
                if self._is_fenced or self._answer.is_full:
                    return
        finally:
            if hasattr(events, "close"):
                cast(Generator[Event, Any, Any], events).close()

    def _pass_on(self, event: WireEvent) -> None:
        self.wire.publish(event)
        if isinstance(event, Text):
            self._pending.append(event.text)
            self._unkept += len(event.text.encode())
            if self._unkept >= FLUSH_BYTES:
                self._unkept = 0
                self._try_to_flush()

    def _try_to_flush(self) -> None:
        try:
            self.flush()
        except UnavailableError:
            log.warning("chunk_waits", run_id=str(self.ticket.run_id))

    def _end(self, error: ModelError | None) -> None:
        with self._storing:
            stored = self._journal.finish(self.ticket, self._answer, self._prompt, error)
            self.wire.publish(_ending(stored, error))
        if stored and error is None and self._prompt and self._when_complete:
            self._tell(self._when_complete, self._prompt)

    def _tell(self, when_complete: Callable[[Prompt, str], None], prompt: Prompt) -> None:
        try:
            when_complete(prompt, self._answer.text)
        except Exception as fault:  # noqa: BLE001 - a host's responder may raise anything
            log.error("title_failed", error=type(fault).__name__, where=places(fault))


def _ending(stored: tuple[Turn, int] | None, error: ModelError | None) -> Done | Failed:
    if stored is None:
        return Failed("interrupted", "fenced", TAKEN_BACK)
    turn, revision = stored
    if error is None:
        return Done(turn, revision)
    return Failed("failed", error.error_class, str(error), turn, revision)
