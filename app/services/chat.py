"""A question and its answer: stored before the first byte, generated outside the request."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from ..clock import midnight, now
from ..database import Database, OwnedSession
from ..errors import AlreadySentError, LimitError, QuotaError, RecordNotFoundError
from ..ids import new_id, parse_id
from ..repositories.conversations import ConversationRepository
from ..repositories.messages import MessageRepository, NewMessage, NewRun
from ..repositories.runs import LEASE_SECONDS, Allowance, RunRepository
from ..responders.base import Prompt, Responder
from ..streaming.events import Started, WireEvent
from ..streaming.run import Run, Ticket
from ..streaming.runner import Runner
from ..streaming.wire import Wire
from ..transcript import Transcript, Turn
from .answers import AnswerService
from .conversations import ConversationService, Source, clients_own
from .history import HistoryService
from .identity import Identity
from .messages import Draft, MessageService, first_title, new_message
from .runs import RunService
from .wording import preview_of

_SAID = frozenset({"complete", "interrupted", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a client asks. `conversation`: an id of ours, a client's own, or None for a new one."""

    text: str
    conversation: str | None = None
    client_message_id: str | None = None
    mode: str | None = None
    model: str | None = None
    filters: Sequence[Mapping[str, Any]] = ()

    def draft(self) -> Draft:
        return Draft(
            role="user",
            content=self.text,
            client_message_id=self.client_message_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLimits:
    """`max_history` in turns, `max_history_tokens` in (estimated) tokens."""

    max_history: int
    max_history_tokens: int
    max_answer_bytes: int
    allowance: Allowance


class ChatService:
    def __init__(
        self,
        database: Database,
        *,
        conversations: ConversationService,
        messages: MessageService,
        history: HistoryService,
        answers: AnswerService,
        runs: RunService,
        runner: Runner,
        responder: Responder,
        limits: ChatLimits,
    ) -> None:
        self._database = database
        self._conversations = conversations
        self._messages = messages
        self._history = history
        self._answers = answers
        self._runs = runs
        self._runner = runner
        self._responder = responder
        self._limits = limits

    def ask(self, identity: Identity, question: Question) -> Iterator[WireEvent | None]:
        """The events of the answer; the first, `Started`, is durable when this returns.

        The same client_message_id again gives the same answer again. RecordNotFoundError,
        TooLargeError, PayloadMismatchError, LimitError (too many answers at once), QuotaError.
        """
        owner, draft = identity.user_email, question.draft()
        self._messages.check_sizes([draft])
        conversation_id, source = self._place(owner, question)
        try:
            self._check_runs(owner)
            started, ticket, row = self._begin(identity, question, conversation_id, source)
        except (AlreadySentError, LimitError):
            if (again := self._watch_again(owner, conversation_id, source, draft)) is None:
                raise
            return again
        run = Run(
            ticket,
            wire=Wire([started]),
            journal=self._runs,
            responder=self._responder,
            load_prompt=self._prompt_loader(identity, question, ticket.conversation_id, row),
            max_bytes=self._limits.max_answer_bytes,
        )
        self._runner.launch(run)
        return run.wire.watch()

    def _check_runs(self, owner: str) -> None:
        """An erased conversation's run is no row any more, but may still be asking its model."""
        if self._runner.asking(owner) >= self._limits.allowance.runs_at_once:
            raise _too_many_runs()

    def _place(self, owner: str, question: Question) -> tuple[UUID | None, Source | None]:
        """Where the question belongs: a conversation, or the source of one to be made.

        A first message that is sent again, because its answer got lost, makes no second
        conversation: its client_message_id is the conversation's source then.
        """
        if question.conversation is None:
            first = question.client_message_id
            source = Source("first_message", first) if first else None
        elif (conversation_id := parse_id(question.conversation)) is not None:
            return conversation_id, None
        else:
            source = clients_own(question.conversation)
        found = self._conversations.find_source(owner, source) if source else None
        return found, source

    def _begin(
        self,
        identity: Identity,
        question: Question,
        conversation_id: UUID | None,
        source: Source | None,
    ) -> tuple[Started, Ticket, Any]:
        owner = identity.user_email
        if conversation_id is not None:
            with self._database.statement(owner) as session:
                return self._start_in(session, conversation_id, identity, question)
        with self._database.transaction(owner) as session:
            fields = {"mode": question.mode, "model": question.model}
            made = self._conversations.create_in(session, fields, source)
            return self._start_in(session, made, identity, question)

    def _start_in(
        self, session: OwnedSession, conversation_id: UUID, identity: Identity, question: Question
    ) -> tuple[Started, Ticket, Any]:
        """Stores question, empty answer and run in one statement."""
        asked = new_message(question.draft())
        answer = NewMessage(id=new_id(), role="assistant", content="", status="streaming")
        run = NewRun(
            run_id=new_id(),
            lease_seconds=LEASE_SECONDS,
            allowance=self._limits.allowance,
        )
        rows = MessageRepository(session).append(
            conversation_id,
            [asked, answer],
            title=first_title([question.draft()]),
            preview=preview_of(question.text),
            run=run,
        )
        if not rows:
            raise _refusal(session, conversation_id, self._limits.allowance)
        ticket = Ticket(
            run_id=run.run_id,
            attempt=1,
            owner=identity.user_email,
            conversation_id=conversation_id,
            message_id=answer.id,
            mode=question.mode,
            sid=identity.sid,
        )
        return _started(ticket, asked.id, rows[0]), ticket, rows[0]

    def _watch_again(
        self, owner: str, conversation_id: UUID | None, source: Source | None, draft: Draft
    ) -> Iterator[WireEvent | None] | None:
        """The events of the answer that a question has already; None when it was not asked."""
        place = conversation_id or (source and self._conversations.find_source(owner, source))
        if place is None or draft.client_message_id is None:
            return None
        sent = self._messages.sent_before(owner, place, [draft])
        question = sent.get(draft.client_message_id)
        return self._answers.watch_again(owner, place, question) if question else None

    def _prompt_loader(
        self, identity: Identity, question: Question, conversation_id: UUID, row: Any
    ) -> Callable[[], Prompt]:
        def load() -> Prompt:
            return Prompt(
                question=question.text,
                user_email=identity.user_email,
                history=self._history_before(identity.user_email, conversation_id, row.seq),
                system_prompt=row.system_prompt,
                mode=question.mode or row.mode,
                model=question.model or row.model,
                dept=identity.dept,
                filters=question.filters,
            )

        return load

    def _history_before(self, owner: str, conversation_id: UUID, seq: int) -> Transcript:
        """The turns that were said before the question, as many as the limits allow."""
        count = self._limits.max_history
        transcript = self._history.transcript(owner, conversation_id, count=count + 2)
        turns = (turn for turn in transcript.turns if turn.seq < seq and _is_said(turn))
        return Transcript(tuple(turns)).last(count, max_tokens=self._limits.max_history_tokens)


def _is_said(turn: Turn) -> bool:
    return turn.status in _SAID and bool(turn.content)


def _refusal(
    session: OwnedSession, conversation_id: UUID, allowance: Allowance
) -> RecordNotFoundError | LimitError:
    """Why a start changed nothing."""
    if ConversationRepository(session).record(conversation_id) is None:
        return RecordNotFoundError()
    exhausted = RunRepository(session).exhausted(allowance)
    tomorrow = midnight() + timedelta(days=1)
    if exhausted.messages:
        return QuotaError("You have asked all of today's questions.", reset_at=tomorrow)
    if exhausted.tokens:
        return QuotaError("Today's answers have taken all of their tokens.", reset_at=tomorrow)
    return _too_many_runs()


def _too_many_runs() -> LimitError:
    soon = now() + timedelta(seconds=5)
    return LimitError("Too many answers are being written for you at once.", reset_at=soon)


def _started(ticket: Ticket, user_message_id: UUID, row: Any) -> Started:
    return Started(
        conversation_id=ticket.conversation_id,
        message_id=ticket.message_id,
        user_message_id=user_message_id,
        revision=row.revision,
        title=row.title,
    )
