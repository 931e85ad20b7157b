"""Answers that are there already or on their way: watched again, never generated again."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from .. import metrics
from ..database import Database
from ..errors import UnavailableError
from ..repositories.conversations import ConversationRepository
from ..repositories.messages import MessageRepository
from ..repositories.runs import RunRepository
from ..streaming.encoders import place_of
from ..streaming.events import Done, Failed, Heard, Started, Text, Watch
from ..streaming.mirrors import Mirrors
from ..streaming.outcome import CRASHED, FENCED, SHUT_DOWN, STOPPED, Outcome
from ..streaming.parts import events_of
from ..streaming.runner import Runner
from ..streaming.tally import Tally
from ..transcript import Turn
from .conversations import ConversationService
from .tree import TreeService

POLL_SECONDS = 0.5
_FAILED = Outcome("failed", None, "The answer failed. Your message is saved.")
_SENTENCES = {it.status: it.message for it in (_FAILED, STOPPED, CRASHED)}
_SENTENCES_BY_CLASS = {it.error_class: it.message for it in (FENCED, SHUT_DOWN)}
_TAKEN_BACK = FENCED.failed()


@dataclass(frozen=True, slots=True)
class Stopped:
    """How many answers of a conversation were still being written, and are not any more."""

    conversation_id: UUID
    count: int


class AnswerService:
    """RecordNotFoundError: there is no such conversation or message, or it is not the owner's."""

    def __init__(
        self,
        database: Database,
        *,
        conversations: ConversationService,
        tree: TreeService,
        runner: Runner,
        mirrors: Mirrors,
    ) -> None:
        self._database = database
        self._conversations = conversations
        self._tree = tree
        self._runner = runner
        self._mirrors = mirrors

    def resume(self, owner: str, reference: str, last_event_id: str | None = None) -> Watch | None:
        """The answer that is being written in a conversation; None when there is none.

        `last_event_id` (the sse wire's) says what was heard of which answer: it goes on from
        there, and to its end even if it is over by now.
        """
        place = place_of(last_event_id)
        conversation_id = self._conversations.find(owner, reference)
        with self._database.statement(owner) as session:
            record = ConversationRepository(session).record_or_raise(conversation_id)
            if live := RunRepository(session).live(conversation_id):
                started = _started(record, live[0].message_id, live[0].parent_id)
            else:
                messages = MessageRepository(session)
                known = place and messages.find(conversation_id, place.message_id)
                if known is None or known.role != "assistant":
                    return None
                started = _started(record, known.id, known.parent_id)
        is_same = place is not None and place.message_id == started.message_id
        return self.watch(owner, started, after=place.number if place and is_same else None)

    def stop(self, owner: str, reference: str, message: str | None = None) -> Stopped:
        """Ends what is being written in a conversation, or one message of it, as `cancelled`.

        What was written of it is kept. For what is over already it changes nothing.
        """
        conversation_id = self._conversations.find(owner, reference)
        message_id = self._tree.find(owner, reference, message).turns[0].id if message else None
        with self._database.statement(owner) as session:
            ConversationRepository(session).record_or_raise(conversation_id)
            rows = RunRepository(session).stop(conversation_id, message_id)
        self._runner.stop(owner, {row.id: row.message_id for row in rows})
        return Stopped(conversation_id, len(rows))

    def newest(self, owner: str, conversation_id: UUID, question_id: UUID) -> Turn | None:
        """The newest answer to a question."""
        with self._database.statement(owner) as session:
            return MessageRepository(session).answer_to(conversation_id, question_id)

    def watch(self, owner: str, started: Started, *, after: int | None = None) -> Watch:
        """An answer to its end, wherever it is written, or from the store when it is not any more.

        From its first event, or from the one after number `after` where that is known.
        """
        metrics.answers_resumed.inc()
        if (run := self._runner.find(owner, started.message_id)) is not None:
            return Watch(started, run.wire.watch(after))
        return Watch(started, self._from_afar(owner, started, after))

    def _from_afar(self, owner: str, started: Started, after: int | None) -> Iterator[Heard | None]:
        """What another process writes, on its wire or as it is kept; then what is stored."""
        tally = Tally()
        yield from self._mirrored(owner, started, after, tally)
        yield from tally.rest([Heard(started)])
        while (standing := self._look(owner, started)) is None or standing.is_streaming:
            yield from tally.rest([Heard(Text(standing.text))] if standing else [])
            yield None
            time.sleep(POLL_SECONDS)
            yield from self._mirrored(owner, started, None, tally)
        if standing.answer is None:
            yield Heard(_TAKEN_BACK)
            return
        yield from tally.rest(map(Heard, events_of(standing.answer)))
        yield Heard(_ending_of(standing.answer, standing.revision))

    def _mirrored(
        self, owner: str, started: Started, after: int | None, tally: Tally
    ) -> Iterator[Heard | None]:
        """What is heard of another process, until its run is over or its wire is lost."""
        if not self._mirrors.is_possible:
            return
        run_id = self._run_id(owner, started)
        self._runner.start()  # where no run was launched yet, nobody follows mirrors
        mirror = self._mirrors.find(run_id) if run_id else None
        if mirror is None:
            return
        for heard in mirror.since(0)[: mirror.place_after(after)]:
            tally.note(heard.event)
        for news in tally.rest(mirror.watch()):
            if news is None and not self._is_streaming(owner, started):
                return
            yield news

    def _is_streaming(self, owner: str, started: Started) -> bool:
        standing = self._look(owner, started)
        return standing is None or standing.is_streaming

    def _look(self, owner: str, started: Started) -> "_Standing | None":
        """How an answer stands now; None while the store is away."""
        with suppress(UnavailableError), self._database.statement(owner) as session:
            answer = MessageRepository(session).find(started.conversation_id, started.message_id)
            if answer is None:
                return _Standing(None, "", started.revision)
            if answer.status == "streaming":
                text = RunRepository(session).text_of(started.conversation_id, answer.id)
                return _Standing(answer, text, started.revision)
            record = ConversationRepository(session).record(started.conversation_id)
            return _Standing(answer, "", record.revision if record else started.revision)
        return None

    def _run_id(self, owner: str, started: Started) -> UUID | None:
        """The run that writes an answer, if one does."""
        with suppress(UnavailableError), self._database.statement(owner) as session:
            runs = RunRepository(session).live(started.conversation_id)
            return next((run.id for run in runs if run.message_id == started.message_id), None)
        return None


def _started(record: Any, message_id: UUID, parent_id: UUID | None) -> Started:
    return Started(
        conversation_id=record.id,
        message_id=message_id,
        user_message_id=parent_id or message_id,
        revision=record.revision,
        title=record.title,
    )


@dataclass(frozen=True, slots=True)
class _Standing:
    """An answer, None if it is deleted; its text while it is written; the revision."""

    answer: Turn | None
    text: str
    revision: int

    @property
    def is_streaming(self) -> bool:
        return self.answer is not None and self.answer.status == "streaming"


def _ending_of(answer: Turn, revision: int) -> Done | Failed:
    if answer.status == "complete":
        return Done(answer, revision)
    error_class = answer.error_class or answer.status
    sentence = _SENTENCES_BY_CLASS.get(error_class) or _SENTENCES[answer.status]
    return Failed(answer.status, error_class, sentence, answer, revision)
