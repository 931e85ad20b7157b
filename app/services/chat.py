"""A question and its answer: stored before the first byte, generated outside the request."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ..database import Database, OwnedSession
from ..errors import AlreadySentError, AnswerWaitsError, LimitError, StaleError
from ..ids import new_id, parse_id
from ..repositories.appending import NewRun
from ..repositories.messages import MessageRepository
from ..repositories.runs import LEASE_SECONDS, Allowance, RunRepository
from ..responders.base import Prompt, Responder, Titling
from ..revisions import ANY, Expected
from ..streaming.events import Started, WireEvent
from ..streaming.run import Run, Ticket
from ..streaming.runner import Runner
from ..streaming.wire import Wire
from ..transcript import Transcript, Turn
from .answers import AnswerService
from .conversations import ConversationService, Source, clients_own
from .history import HistoryService
from .identity import Identity
from .messages import Draft, MessageService
from .questions import Asking, Question, Wishes, retry_sha256
from .refusals import refusal, too_many_runs
from .runs import RunService
from .tree import TreeService
from .wording import preview_of, title_of

_SAID = frozenset({"complete", "interrupted", "cancelled"})


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
        tree: TreeService,
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
        self._tree = tree
        self._history = history
        self._answers = answers
        self._runs = runs
        self._runner = runner
        self._responder = responder
        self._limits = limits

    def ask(self, identity: Identity, question: Question) -> Iterator[WireEvent | None]:
        """The events of the answer; the first, `Started`, is durable when this returns.

        The same client_message_id again gives the same answer again. RecordNotFoundError,
        TooLargeError, PayloadMismatchError, LimitError (too many answers at once), QuotaError;
        InvalidFieldsError: there is no message to go under.
        """
        owner, draft = identity.user_email, question.draft()
        self._messages.check_sizes([draft])
        conversation_id, source = self._place(owner, question)
        try:
            self._check_runs(owner)
            begun = self._begin(identity, Asking.of(question), conversation_id, source)
        except (AlreadySentError, LimitError):
            if (again := self._watch_again(owner, conversation_id, source, draft)) is None:
                raise
            return again
        return self._launch(identity, begun)

    def answer_again(
        self,
        identity: Identity,
        reference: str,
        message: str,
        wishes: Wishes,
        *,
        expected: Expected = ANY,
    ) -> Iterator[WireEvent | None]:
        """The events of another answer to a question, which is shown from now on.

        `message`: the question or one of its answers. As `ask`; ConflictError: it is no question,
        AnswerWaitsError: an answer to it is being written; StaleError: it is not as expected.
        """
        owner = identity.user_email
        found = self._tree.find_question(owner, reference, message)
        (question,) = found.turns
        try:
            self._check_runs(owner)
            asking = Asking.again(question, wishes, expected)
            begun = self._begin(identity, asking, found.conversation_id, None)
        except (AlreadySentError, AnswerWaitsError, LimitError, StaleError):
            again = self._watch_retry(owner, found.conversation_id, question, wishes)
            if again is None:
                raise
            return again
        return self._launch(identity, begun)

    def _launch(self, identity: Identity, begun: "_Begun") -> Iterator[WireEvent | None]:
        run = Run(
            begun.ticket,
            wire=Wire([begun.started]),
            journal=self._runs,
            responder=self._responder,
            load_prompt=self._prompt_loader(identity, begun),
            max_bytes=self._limits.max_answer_bytes,
            when_complete=self._entitler(identity.user_email, begun.ticket.conversation_id),
        )
        self._runner.launch(run)
        return run.wire.watch()

    def _entitler(self, owner: str, conversation_id: UUID) -> Callable[[Prompt, str], None] | None:
        """What names a conversation after its first answer, if the responder names any."""
        if not isinstance(titling := self._responder, Titling):
            return None

        def entitle(prompt: Prompt, answer: str) -> None:
            if not prompt.history.turns:
                title = titling.title(prompt, answer) or ""
                self._conversations.entitle(owner, conversation_id, title)

        return entitle

    def _check_runs(self, owner: str) -> None:
        """An erased conversation's run is no row any more, but may still be asking its model."""
        if self._runner.asking(owner) >= self._limits.allowance.runs_at_once:
            raise too_many_runs()

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
        asking: Asking,
        conversation_id: UUID | None,
        source: Source | None,
    ) -> "_Begun":
        owner = identity.user_email
        if conversation_id is not None and asking.expected == ANY:
            with self._database.statement(owner) as session:
                return self._begin_in(session, conversation_id, identity, asking)
        with self._database.transaction(owner) as session:
            if conversation_id is not None:
                RunRepository(session).take_turn()
                self._conversations.lock(session, conversation_id, asking.expected)
                return self._begin_in(session, conversation_id, identity, asking)
            fields = {"mode": asking.wishes.mode, "model": asking.wishes.model}
            made = self._conversations.create_in(session, fields, source)
            return self._begin_in(session, made, identity, asking)

    def _begin_in(
        self, session: OwnedSession, conversation_id: UUID, identity: Identity, asking: Asking
    ) -> "_Begun":
        """Stores question, empty answer and run in one statement."""
        run = NewRun(
            run_id=new_id(),
            lease_seconds=LEASE_SECONDS,
            allowance=self._limits.allowance,
        )
        rows = MessageRepository(session).append(
            conversation_id,
            asking.messages,
            title=title_of(asking.text),
            preview=preview_of(asking.text),
            run=run,
            under=asking.under,
        )
        if not rows:
            raise refusal(session, conversation_id, asking, self._limits.allowance)
        ticket = Ticket(
            run_id=run.run_id,
            attempt=1,
            owner=identity.user_email,
            conversation_id=conversation_id,
            message_id=asking.answer_id,
            mode=asking.wishes.mode,
            sid=identity.sid,
        )
        return _Begun(asking, ticket, rows[-1])

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

    def _watch_retry(
        self, owner: str, conversation_id: UUID, question: Turn, wishes: Wishes
    ) -> Iterator[WireEvent | None] | None:
        """The events of another answer that was asked for before; None when it was not."""
        client_id = wishes.client_message_id
        if client_id is None:
            return None
        payload = {client_id: retry_sha256(question)}
        sent = self._messages.stored_as(owner, conversation_id, payload).get(client_id)
        return self._answers.watch_retry(owner, conversation_id, sent) if sent else None

    def _prompt_loader(self, identity: Identity, begun: "_Begun") -> Callable[[], Prompt]:
        owner, wishes, row = identity.user_email, begun.asking.wishes, begun.row

        def load() -> Prompt:
            return Prompt(
                question=begun.asking.text,
                user_email=owner,
                history=self._history_before(
                    owner, begun.ticket.conversation_id, begun.asking.question_id
                ),
                system_prompt=row.system_prompt,
                mode=wishes.mode or row.mode,
                model=wishes.model or row.model,
                dept=identity.dept,
                filters=wishes.filters,
            )

        return load

    def _history_before(self, owner: str, conversation_id: UUID, question_id: UUID) -> Transcript:
        """The turns that were said before the question, as many as the limits allow."""
        count = self._limits.max_history
        transcript = self._history.before(owner, conversation_id, question_id, count=count)
        turns = tuple(turn for turn in transcript.turns if _is_said(turn))
        return Transcript(turns).last(count, max_tokens=self._limits.max_history_tokens)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A turn that is stored: what was asked, the run's ticket, and the answer's row."""

    asking: Asking
    ticket: Ticket
    row: Any

    @property
    def started(self) -> Started:
        return Started(
            conversation_id=self.ticket.conversation_id,
            message_id=self.ticket.message_id,
            user_message_id=self.asking.question_id,
            revision=self.row.revision,
            title=self.row.title,
        )


def _is_said(turn: Turn) -> bool:
    return turn.status in _SAID and bool(turn.content)
