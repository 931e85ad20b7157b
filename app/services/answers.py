"""Answers that are there already or on their way: watched again, never generated again."""

import time
from collections.abc import Iterator
from uuid import UUID

from ..database import Database
from ..errors import AlreadySentError
from ..repositories.messages import MessageRepository, SentMessage
from ..repositories.runs import RunRepository
from ..streaming.events import Done, Failed, Passages, Started, Text, WireEvent
from ..streaming.runner import Runner
from ..transcript import Turn

POLL_SECONDS = 0.5
_SENTENCES = {
    "interrupted": "The answer was interrupted. What was written of it is kept.",
    "cancelled": "The answer was stopped. What was written of it is kept.",
    "failed": "The answer failed. Your message is saved.",
}


class AnswerService:
    def __init__(self, database: Database, runner: Runner) -> None:
        self._database = database
        self._runner = runner

    def watch_again(
        self, owner: str, conversation_id: UUID, question: SentMessage
    ) -> Iterator[WireEvent | None]:
        """The events of a question that was asked before. AlreadySentError: nobody answers it."""
        answer = self._answer_to(owner, conversation_id, question.turn.id)
        if answer is None:
            raise AlreadySentError
        run = self._runner.find(answer.id)
        if run is not None:
            return run.wire.watch()
        started = Started(
            conversation_id=conversation_id,
            message_id=answer.id,
            user_message_id=question.turn.id,
            revision=question.revision,
            title=None,
        )
        return self._follow(owner, started, answer, question.revision)

    def _follow(
        self, owner: str, started: Started, answer: Turn, revision: int
    ) -> Iterator[WireEvent | None]:
        """What is stored of an answer, and what a run elsewhere adds to it."""
        yield started
        shown = 0
        while answer.status == "streaming":
            text = self._text_so_far(owner, started.conversation_id, answer.id)
            yield Text(text[shown:]) if text[shown:] else None
            shown = max(shown, len(text))
            time.sleep(POLL_SECONDS)
            conversation_id, question_id = started.conversation_id, started.user_message_id
            answer = self._answer_to(owner, conversation_id, question_id) or answer
        if answer.content[shown:]:
            yield Text(answer.content[shown:])
        if answer.contexts:
            yield Passages(answer.contexts)
        yield _ending(answer, revision)

    def _answer_to(self, owner: str, conversation_id: UUID, question_id: UUID) -> Turn | None:
        with self._database.statement(owner) as session:
            return MessageRepository(session).answer_to(conversation_id, question_id)

    def _text_so_far(self, owner: str, conversation_id: UUID, message_id: UUID) -> str:
        with self._database.statement(owner) as session:
            runs = RunRepository(session)
            where = {"conversation_id": conversation_id, "message_id": message_id}
            run = runs.find_first(where=where, order_by={"created_at": "desc"})
            return runs.text_so_far(run.id) if run else ""


def _ending(answer: Turn, revision: int) -> Done | Failed:
    if answer.status == "complete":
        return Done(answer, revision)
    sentence = _SENTENCES[answer.status]
    return Failed(answer.status, answer.error_class or answer.status, sentence, answer, revision)
