"""What clients ask: a new question, or another answer to one that is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from ..ids import new_id
from ..json_text import dumps
from ..repositories.appending import NewMessage
from ..revisions import ANY, Expected
from ..transcript import Turn, Under
from .messages import Draft, new_message


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How an answer is wanted. `client_message_id`: the same again gives the same answer again.

    `is_for_agent`: by the responder that may call tools.
    """

    client_message_id: str | None = None
    mode: str | None = None
    model: str | None = None
    filters: Sequence[Mapping[str, Any]] = ()
    is_for_agent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Wishes):
    """A question to store. `conversation`: an id of ours, a client's own, or None for a new one.

    It follows the active leaf, or the message it is to go under; `parts`, where there is more than
    a text, and `metadata` are kept beside it.
    `is_retry`: if it was asked before and its answer did not come to its end, it is answered anew.
    """

    text: str
    is_retry: bool = False
    conversation: str | None = None
    under: Under | None = None
    parts: Sequence[Mapping[str, Any]] | None = None
    metadata: Mapping[str, Any] | None = None

    def draft(self) -> Draft:
        return Draft(
            role="user",
            content=self.text,
            client_message_id=self.client_message_id,
            parts=self.parts,
            metadata=self.metadata,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A turn to begin: the question, if it is new, and the empty answer that is to be filled."""

    wishes: Wishes
    text: str
    question_id: UUID
    messages: Sequence[NewMessage]
    under: Under | None
    expected: Expected = ANY
    """The state of the conversation that it begins upon."""

    @classmethod
    def of(cls, question: Question) -> "Asking":
        asked = new_message(question.draft())
        return cls(
            wishes=question,
            text=question.text,
            question_id=asked.id,
            messages=[asked, _empty_answer()],
            under=question.under,
        )

    @classmethod
    def again(cls, question: Turn, wishes: Wishes, expected: Expected) -> "Asking":
        """Another answer, beside those that a stored question has."""
        client_id = wishes.client_message_id
        answer = _empty_answer(client_message_id=client_id, payload_sha256=retry_sha256(question))
        return cls(
            wishes=wishes,
            text=question.content,
            question_id=question.id,
            messages=[answer],
            under=Under(question.id),
            expected=expected,
        )

    @property
    def answer_id(self) -> UUID:
        return self.messages[-1].id


def retry_sha256(question: Turn) -> str:
    """What makes a repeated client_message_id of another answer a repetition (hex)."""
    return sha256(dumps(["another answer", question.id])).hexdigest()


def _empty_answer(**fields: Any) -> NewMessage:
    return NewMessage(id=new_id(), role="assistant", content="", status="streaming", **fields)
