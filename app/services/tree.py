"""The messages of a conversation: a tree that only grows, of which one branch is shown."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from uuid import UUID

from ..database import Database
from ..errors import ConflictError, FieldFault, InvalidFieldsError, RecordNotFoundError
from ..ids import parse_id
from ..repositories.conversations import ConversationRepository
from ..repositories.messages import ACTIVE, ALL, Among, MessageRepository
from ..repositories.tree import TreeRepository
from ..revisions import ANY, Expected, Revision
from ..sessions import OwnedSession
from ..streaming.ui import UI_MESSAGE_ID
from ..transcript import Turn, Under
from .conversations import ConversationService
from .history import HistoryService, Reading
from .messages import Draft, Edit, MessageService, Stored
from .once import Effect, Once, OnceService, Reference
from .windows import NO_MESSAGE, TurnPage, Window, read_page
from .wording import PREVIEW_READ, preview_of, title_of

_AMONG = {"active": ACTIVE, "all": ALL}


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a deletion came to: how many messages went, and where the shown branch ends now."""

    conversation_id: UUID
    revision: Revision
    deleted: int
    active_leaf_id: UUID | None

    def reference(self) -> Reference:
        """All of it; see `recall`."""
        return asdict(self) | {"revision": self.revision._asdict()}

    @classmethod
    def recall(cls, session: OwnedSession, reference: Reference) -> "Pruned":
        """What a deletion came to. RecordNotFoundError: the conversation is gone since."""
        conversation_id, leaf_id = UUID(reference["conversation_id"]), reference["active_leaf_id"]
        _revision(session, conversation_id)
        revision = Revision.from_json(reference["revision"])
        return cls(conversation_id, revision, reference["deleted"], leaf_id and UUID(leaf_id))


class TreeService:
    """References are ids of ours, or the client's own for a conversation or a message.

    RecordNotFoundError: there is no such conversation or message, or it is not the owner's.
    Who writes upon an `Expected` state gets a StaleError when it is another one.
    """

    def __init__(
        self,
        database: Database,
        *,
        conversations: ConversationService,
        messages: MessageService,
        history: HistoryService,
        once: OnceService,
    ) -> None:
        self._database = database
        self._conversations = conversations
        self._messages = messages
        self._history = history
        self._once = once

    def page(self, owner: str, reference: str, window: Window, *, branch: str) -> TurnPage:
        """A page of the branch that is shown (`active`), or of the whole tree (`all`)."""
        conversation_id = self._conversations.find(owner, reference)
        with self._database.statement(owner) as session:
            return read_page(session, conversation_id, window, _AMONG[branch])

    def versions(self, owner: str, reference: str, message: str, window: Window) -> TurnPage:
        """A message and its siblings: what else was said in its place."""
        conversation_id = self._conversations.find(owner, reference)
        with self._database.statement(owner) as session:
            turn = _turn(session, conversation_id, message)
            return read_page(session, conversation_id, window, Among.children_of(turn.parent_id))

    def find(self, owner: str, reference: str, message: str) -> Stored:
        """A message, of whatever branch."""
        conversation_id = self._conversations.find(owner, reference)
        with self._database.statement(owner) as session:
            revision = _revision(session, conversation_id)
            return Stored(conversation_id, revision, [_turn(session, conversation_id, message)])

    def find_version(self, owner: str, reference: str, message: str) -> Stored:
        """A message, or the version of it that is shown, where its client calls both by one id."""
        conversation_id = self._conversations.find(owner, reference)
        with self._database.statement(owner) as session:
            revision = _revision(session, conversation_id)
            return Stored(conversation_id, revision, [_version(session, conversation_id, message)])

    def find_question(self, owner: str, reference: str, message: str) -> Stored:
        """The question that a message is, or answers. ConflictError: there is none."""
        found = self.find(owner, reference, message)
        (turn,) = found.turns
        if turn.role == "assistant" and turn.parent_id:
            found = self.find(owner, str(found.conversation_id), str(turn.parent_id))
        if found.turns[0].role != "user":
            raise ConflictError("This message is no question, and no answer to one.")
        return found

    def append(
        self,
        owner: str,
        reference: str,
        drafts: Sequence[Draft],
        *,
        under: Under | None = None,
        expected: Expected = ANY,
        once: Once | None = None,
    ) -> Stored:
        """Stores messages behind the active leaf, or under a message; see MessageService.append.

        InvalidFieldsError: the conversation has no such message.
        """
        conversation_id = self._conversations.find(owner, reference)

        def append(session: OwnedSession) -> Stored:
            state = self._conversations.lock(session, conversation_id)
            try:
                return self._messages.append_rest(
                    session,
                    conversation_id,
                    drafts,
                    under=under,
                    check=partial(expected.check, Revision.of(state)),
                )
            except RecordNotFoundError:  # the conversation is there
                raise no_such_parent() from None

        if once or expected != ANY:
            effect = Effect(append, Stored.reference, Stored.recall)
            return self._once.run(owner, once, effect)
        try:
            return self._messages.append(owner, conversation_id, drafts, under=under)
        except RecordNotFoundError:
            if under:  # is it the conversation that is not there, or the message?
                self._conversations.revision(owner, str(conversation_id))
                raise no_such_parent() from None
            raise

    def edit(
        self,
        owner: str,
        reference: str,
        message: str,
        edit: Edit,
        *,
        expected: Expected = ANY,
        once: Once | None = None,
    ) -> Stored:
        """Another version of a message is shown from now on; the old one stays, with what followed.

        The version has its role; runs that write below the old one are broken off.
        """
        (turn,) = self.find(owner, reference, message).turns
        version, under = Draft.of(edit, turn.role), Under(turn.parent_id)
        try:
            return self.append(
                owner, reference, [version], under=under, expected=expected, once=once
            )
        except InvalidFieldsError:  # what it follows has just been deleted, and so has it
            raise RecordNotFoundError from None

    def show(
        self,
        owner: str,
        reference: str,
        message_id: UUID,
        *,
        limit: int,
        expected: Expected = ANY,
        once: Once | None = None,
    ) -> Reading:
        """Shows the branch through a message, to its newest end; the last `limit` turns of it.

        InvalidFieldsError: the conversation has no such message.
        """
        conversation_id = self._conversations.find(owner, reference)

        def show(session: OwnedSession) -> None:
            state = self._conversations.lock(session, conversation_id, expected)
            leaf = TreeRepository(session).show(conversation_id, message_id, head=PREVIEW_READ)
            if leaf is None:
                raise InvalidFieldsError([FieldFault("/message_id", NO_MESSAGE)])
            if leaf.id != state.active_leaf_id:
                ConversationRepository(session).branch(
                    conversation_id, leaf_id=leaf.id, preview=preview_of(leaf.head)
                )

        self._once.run(owner, once, Effect(show, lambda _: {}, lambda *_: None))
        return self._history.read(owner, conversation_id, limit=limit)

    def cut(
        self,
        owner: str,
        reference: str,
        message: str,
        *,
        expected: Expected = ANY,
        once: Once | None = None,
    ) -> Pruned:
        """Deletes a message and all that follows from it; runs that write there are broken off.

        What is shown then ends with the newest other version of it, or with what it followed.
        """
        conversation_id = self._conversations.find(owner, reference)

        def cut(session: OwnedSession) -> Pruned:
            state = self._conversations.lock(session, conversation_id, expected)
            return _cut(session, conversation_id, message, state)

        return self._once.run(owner, once, Effect(cut, Pruned.reference, Pruned.recall))


def _cut(session: OwnedSession, conversation_id: UUID, message: str, state: Any) -> Pruned:
    tree, turn = TreeRepository(session), _turn(session, conversation_id, message)
    questions = tree.first_questions(conversation_id)
    cut = tree.cut(conversation_id, turn.id)
    leaf_id, preview = state.active_leaf_id, state.preview
    if cut.was_shown:
        leaf_id, preview = _end_without(session, conversation_id, turn)
    revision = ConversationRepository(session).branch(
        conversation_id,
        leaf_id=leaf_id,
        preview=preview,
        messages=cut.messages,
        tokens=cut.tokens,
    )
    left = tree.first_questions(conversation_id)
    if _named_by(state.title, questions) not in left:
        title = next(filter(None, map(title_of, left.values())), None)
        ConversationRepository(session).retitle(conversation_id, title)
    return Pruned(conversation_id, revision, cut.messages, leaf_id)


def _named_by(title: str | None, questions: Mapping[UUID, str]) -> UUID | None:
    """The question that gave a title, which must not go on saying what was deleted.

    A title that none of them gave may say something of the first.
    """
    gave = (message_id for message_id, text in questions.items() if title_of(text) == title)
    return next(gave, next(iter(questions), None))


def _end_without(
    session: OwnedSession, conversation_id: UUID, gone: Turn
) -> tuple[UUID | None, str | None]:
    """Where the shown branch ends when a message of it is gone, and what it says there."""
    tree = TreeRepository(session)
    end = tree.newest_child(conversation_id, gone.parent_id) or gone.parent_id
    leaf = tree.show(conversation_id, end, head=PREVIEW_READ) if end else None
    return (leaf.id, preview_of(leaf.head)) if leaf else (None, None)


def _revision(session: OwnedSession, conversation_id: UUID) -> Revision:
    return Revision.of(ConversationRepository(session).record_or_raise(conversation_id))


def _turn(session: OwnedSession, conversation_id: UUID, reference: str) -> Turn:
    """The message behind a reference: an id of ours, or its client's own, often a UUID as well."""
    messages, message_id = MessageRepository(session), parse_id(reference)
    turn = messages.find(conversation_id, message_id) if message_id else None
    if turn is None and "\0" not in reference:
        message_id = messages.find_client_id(conversation_id, reference)
        turn = messages.find(conversation_id, message_id) if message_id else None
    if turn is None:
        raise RecordNotFoundError
    return turn


def _version(session: OwnedSession, conversation_id: UUID, reference: str) -> Turn:
    with suppress(RecordNotFoundError):
        if (turn := _turn(session, conversation_id, reference)).is_active:
            return turn
    messages = MessageRepository(session)
    version = messages.find_noted(conversation_id, UI_MESSAGE_ID, reference)
    return version or _turn(session, conversation_id, reference)


def no_such_parent() -> InvalidFieldsError:
    """What goes under a message needs that message."""
    return InvalidFieldsError([FieldFault("/parent_id", NO_MESSAGE)])
