"""A question and its answer: stored before the first byte, generated outside the request."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

from ..database import Database
from ..errors import AlreadySentError, AnswerWaitsError, LimitError, StaleError
from ..ids import new_id, parse_id
from ..repositories.appending import NewRun
from ..repositories.messages import MessageRepository, SentMessage
from ..repositories.runs import LEASE_SECONDS, Allowance, RunRepository
from ..responders.base import Prompt, Responder, Titling
from ..revisions import ANY, Expected
from ..sessions import OwnedSession
from ..streaming.events import Started, Watch
from ..streaming.run import Run, Ticket
from ..streaming.runner import Runner
from ..streaming.wire import Wire
from ..transcript import Turn
from .answers import AnswerService
from .conversations import ConversationService, Source, clients_own
from .identity import Identity
from .messages import Draft, MessageService
from .prompts import Begun, PromptService
from .questions import Asking, Question, Wishes, retry_sha256
from .refusals import refusal, too_many_runs
from .runs import RunService
from .tree import TreeService
from .wording import preview_of, title_of

_MOST_RACES = 10
_BROKEN_OFF = frozenset({"interrupted", "failed", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLimits:
    """How long an answer may be, and what each user may use."""

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
        prompts: PromptService,
        answers: AnswerService,
        runs: RunService,
        runner: Runner,
        responder: Responder,
        agent: Responder,
        limits: ChatLimits,
    ) -> None:
        self._database = database
        self._conversations = conversations
        self._messages = messages
        self._tree = tree
        self._prompts = prompts
        self._answers = answers
        self._runs = runs
        self._runner = runner
        self._responder = responder
        self._agent = agent
        self._limits = limits

    def ask(self, identity: Identity, question: Question) -> Watch:
        """The answer as it is written; its beginning, `Started`, is durable when this returns.

        The same client_message_id again gives the same answer again, or to a retry another one
        if the last was broken off. RecordNotFoundError,
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
            sent = self._sent_before(owner, conversation_id, source, draft)
            if sent is None:
                raise
            return self._watch_again(identity, question, *sent)
        return self._launch(identity, begun)

    def answer_again(
        self,
        identity: Identity,
        reference: str,
        message: str,
        wishes: Wishes,
        *,
        expected: Expected = ANY,
    ) -> Watch:
        """Another answer to a question as it is written; it is shown from now on.

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

    def _launch(self, identity: Identity, begun: Begun) -> Watch:
        responder = self._agent if begun.asking.wishes.is_for_agent else self._responder
        run = Run(
            begun.ticket,
            wire=Wire(begun.started),
            journal=self._runs,
            responder=responder,
            load_prompt=self._prompts.loader(identity, begun),
            max_bytes=self._limits.max_answer_bytes,
            when_complete=self._entitler(
                identity.user_email, begun.ticket.conversation_id, responder
            ),
        )
        self._runner.launch(run)
        return Watch(begun.started, run.wire.watch())

    def _entitler(
        self, owner: str, conversation_id: UUID, titling: Responder
    ) -> Callable[[Prompt, str], None] | None:
        """What names a conversation after its first answer, if the responder names any."""
        if not isinstance(titling, Titling):
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
    ) -> Begun:
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
    ) -> Begun:
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
        return Begun(asking, ticket, rows)

    def _sent_before(
        self, owner: str, conversation_id: UUID | None, source: Source | None, draft: Draft
    ) -> tuple[UUID, SentMessage] | None:
        """The conversation and the question that a draft is a repetition of, if it is one."""
        place = conversation_id or (source and self._conversations.find_source(owner, source))
        if place is None or draft.client_message_id is None:
            return None
        sent = self._messages.sent_before(owner, place, [draft]).get(draft.client_message_id)
        return (place, sent) if sent else None

    def _watch_again(
        self,
        identity: Identity,
        question: Question,
        conversation_id: UUID,
        sent: SentMessage,
        *,
        races: int = _MOST_RACES,
    ) -> Watch:
        """The answer that a question has already, or another one in place of a broken one.

        Who retries writes upon what they have seen: of many at once, one begins another answer.
        StaleError: others wrote each time.
        """
        owner = identity.user_email
        answer = self._answers.newest(owner, conversation_id, sent.turn.id)
        if question.is_retry and (answer is None or answer.status in _BROKEN_OFF):
            seen = Expected(sent.revision.number)
            asking = Asking.again(sent.turn, replace(question, client_message_id=None), seen)
            try:
                return self._launch(identity, self._begin(identity, asking, conversation_id, None))
            except (AnswerWaitsError, StaleError):
                again = self._sent_before(owner, conversation_id, None, question.draft())
                if again is None or not races:
                    raise
                return self._watch_again(identity, question, *again, races=races - 1)
        if answer is None:
            raise AlreadySentError
        return self._answers.watch(owner, _started_before(conversation_id, answer, sent))

    def _watch_retry(
        self, owner: str, conversation_id: UUID, question: Turn, wishes: Wishes
    ) -> Watch | None:
        """Another answer that was asked for before; None when it was not."""
        client_id = wishes.client_message_id
        if client_id is None:
            return None
        payload = {client_id: retry_sha256(question)}
        sent = self._messages.stored_as(owner, conversation_id, payload).get(client_id)
        if sent is None:
            return None
        return self._answers.watch(owner, _started_before(conversation_id, sent.turn, sent))


def _started_before(conversation_id: UUID, answer: Turn, sent: SentMessage) -> Started:
    return Started(
        conversation_id=conversation_id,
        message_id=answer.id,
        user_message_id=answer.parent_id or answer.id,
        revision=sent.revision.number,
        title=sent.title,
    )
