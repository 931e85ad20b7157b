"""Answers that are there already or on their way: watched again, never generated again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from ..database import Database
from ..errors import AlreadySentError, UnavailableError
from ..repositories.conversations import ConversationRepository
from ..repositories.messages import MessageRepository, SentMessage
from ..repositories.runs import RunRepository
from ..streaming.events import Done, Failed, Passages, Started, Text, WireEvent
from ..streaming.run import TAKEN_BACK
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
        with self._database.statement(owner) as session:
            answer = MessageRepository(session).answer_to(conversation_id, question.turn.id)
        if answer is None:
            raise AlreadySentError
        return self._watch(owner, conversation_id, answer, question)

    def watch_retry(
        self, owner: str, conversation_id: UUID, retry: SentMessage
    ) -> Iterator[WireEvent | None]:
        """The same of another answer, which was asked for by an id of its own."""
        answer = self._answer(owner, conversation_id, retry.turn.id)
        if answer is None:
            raise AlreadySentError
        return self._watch(owner, conversation_id, answer, retry)

    def _watch(
        self, owner: str, conversation_id: UUID, answer: Turn, sent: SentMessage
    ) -> Iterator[WireEvent | None]:
        if (run := self._runner.find(answer.id)) is not None:
            return run.wire.watch()
        started = Started(
            conversation_id=conversation_id,
            message_id=answer.id,
            user_message_id=answer.parent_id or answer.id,
            revision=sent.revision.number,
            title=sent.title,
        )
        number = sent.revision.number
        if answer.status != "streaming":  # which it may have been when `sent` was read
            number = self._revision(owner, conversation_id) or number
        return self._follow(owner, started, _News(answer, "", number))

    def _follow(
        self, owner: str, started: Started, news: "_News | None"
    ) -> Iterator[WireEvent | None]:
        """What is stored of an answer, and what a run elsewhere adds to it."""
        yield started
        shown = 0
        while news and news.answer.status == "streaming":
            yield Text(news.text[shown:]) if news.text[shown:] else None
            shown = max(shown, len(news.text))
            time.sleep(POLL_SECONDS)
            news = self._news(owner, started, news)
        if news is None:
            yield Failed("interrupted", "fenced", TAKEN_BACK)
            return
        if news.answer.content[shown:]:
            yield Text(news.answer.content[shown:])
        if news.answer.contexts:
            yield Passages(news.answer.contexts)
        yield _ending(news.answer, news.revision)

    def _news(self, owner: str, started: Started, last: "_News") -> "_News | None":
        """How the answer stands now, or stood at last while the store is away; None: deleted."""
        conversation_id = started.conversation_id
        try:
            answer = self._answer(owner, conversation_id, started.message_id)
            if answer is None:
                return None
            if answer.status == "streaming":
                text = self._text_so_far(owner, conversation_id, answer.id)
                return _News(answer, text, last.revision)
            return _News(answer, "", self._revision(owner, conversation_id) or last.revision)
        except UnavailableError:
            return last

    def _answer(self, owner: str, conversation_id: UUID, message_id: UUID) -> Turn | None:
        with self._database.statement(owner) as session:
            return MessageRepository(session).find(conversation_id, message_id)

    def _text_so_far(self, owner: str, conversation_id: UUID, message_id: UUID) -> str:
        with self._database.statement(owner) as session:
            runs = RunRepository(session)
            where = {"conversation_id": conversation_id, "message_id": message_id}
            run = runs.find_first(where=where, order_by={"created_at": "desc"})
            return runs.text_so_far(run.id) if run else ""

    def _revision(self, owner: str, conversation_id: UUID) -> int | None:
        with self._database.statement(owner) as session:
            record = ConversationRepository(session).record(conversation_id)
            return record and record.revision


@dataclass(frozen=True, slots=True)
class _News:
    """An answer, its text so far while it is being written, and its conversation's revision."""

    answer: Turn
    text: str
    revision: int


def _ending(answer: Turn, revision: int) -> Done | Failed:
    if answer.status == "complete":
        return Done(answer, revision)
    sentence = _SENTENCES[answer.status]
    return Failed(answer.status, answer.error_class or answer.status, sentence, answer, revision)
