"""Questions as the AI SDK's clients put them: new, said differently, or to be answered anew.

Such a client goes on calling a message by its first id when it is said differently. Ids are
unique in a conversation here, so a version keeps that id beside it, see streaming.ui.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import FieldFault, InvalidFieldsError, RecordNotFoundError
from ..ids import is_foreign, parse_id
from ..streaming.events import Watch
from ..streaming.ui import UI_MESSAGE_ID
from ..transcript import Turn, Under
from .chat import ChatService
from .conversations import ConversationService, clients_own
from .identity import Identity
from .questions import Question, Wishes
from .tree import TreeService
from .windows import Window

_NOT_THE_USERS = "names no message of the user's."


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the user says, by the client's id for it; `parts` where they are more than a text."""

    text: str
    message_id: str | None = None
    parts: Sequence[Mapping[str, Any]] | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UiQuestion:
    """`conversation`: as in Question. `message`: what is said differently, or answered anew."""

    conversation: str | None
    said: Said | None
    message: str | None
    is_again: bool
    wishes: Wishes


class UiService:
    def __init__(
        self, *, chat: ChatService, conversations: ConversationService, tree: TreeService
    ) -> None:
        self._chat = chat
        self._conversations = conversations
        self._tree = tree

    def ask(self, identity: Identity, asked: UiQuestion) -> Watch:
        """The answer as it comes; see ChatService.ask and answer_again.

        What is to be said differently, or answered anew, but never arrived, is a new question.
        RecordNotFoundError: there is nothing to answer. InvalidFieldsError: only what the user
        said is said differently.
        """
        turn = self._meant(identity.user_email, asked)
        if turn and (asked.is_again or _is_unchanged(turn, asked)):
            reference = asked.conversation or ""
            return self._chat.answer_again(identity, reference, str(turn.id), asked.wishes)
        if asked.said is None:
            raise RecordNotFoundError
        place = self._place(identity.user_email, asked.conversation)
        question = _version(asked, asked.said, turn) if turn else _question(asked, asked.said)
        return self._chat.ask(identity, replace(question, conversation=place))

    def _meant(self, owner: str, asked: UiQuestion) -> Turn | None:
        """The stored message that is said differently or answered anew; None for a new question.

        What is answered anew is named, or said once more, or else the last one.
        """
        if asked.conversation is None:
            return None
        said = asked.said.message_id if asked.said and asked.is_again else None
        for name in filter(None, (asked.message, said)):
            with suppress(RecordNotFoundError):
                return self._tree.find_version(owner, asked.conversation, name).turns[0]
        if asked.is_again and asked.said is None:
            window = Window(limit=1)
            turns = self._tree.page(owner, asked.conversation, window, branch="active").turns
            return turns[-1] if turns else None
        return None

    def _place(self, owner: str, reference: str | None) -> str | None:
        """Many clients call their chats by UUIDs: one that is not ours is a name like any other."""
        own_id = parse_id(reference) if reference else None
        if reference is None or own_id is None or not is_foreign(own_id):
            return reference
        found = self._conversations.find_source(owner, clients_own(reference))
        if found is None:
            made = self._conversations.create(owner, {}, client_id=reference)
            found = made.reading.conversation_id
        return str(found)


def _question(asked: UiQuestion, said: Said) -> Question:
    wishes = asdict(asked.wishes)
    if said.message_id:
        wishes["client_message_id"] = said.message_id
    return Question(text=said.text, parts=said.parts, metadata=said.metadata, **wishes)


def _version(asked: UiQuestion, said: Said, turn: Turn) -> Question:
    if turn.role != "user":
        raise InvalidFieldsError([FieldFault("/messageId", _NOT_THE_USERS)])
    return Question(
        text=said.text,
        under=Under(turn.parent_id),
        parts=said.parts,
        metadata={**(said.metadata or {}), UI_MESSAGE_ID: asked.message},
        **asdict(asked.wishes),
    )


def _is_unchanged(turn: Turn, asked: UiQuestion) -> bool:
    """Whether it says what is stored, and is no repetition of that: another answer is wanted."""
    said, key = asked.said, asked.wishes.client_message_id
    is_said = said is not None and (turn.role, turn.content, turn.parts) == (
        "user", said.text, said.parts,
    )  # fmt: skip
    return is_said and (key is None or turn.client_message_id != key)
