"""What a responder is told: a question, and what was said before it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..responders.base import Prompt, Results
from ..streaming.events import Started
from ..streaming.run import Ticket
from ..transcript import Transcript, Turn
from .history import HistoryService
from .identity import Identity
from .questions import Asking

_SAID = frozenset({"complete", "interrupted", "cancelled"})


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn that is stored: what was asked, the run's ticket, and the rows of its messages."""

    asking: Asking
    ticket: Ticket
    rows: Sequence[Any]

    @property
    def row(self) -> Any:
        """The answer's row, with the conversation's state."""
        return self.rows[-1]

    @property
    def is_first(self) -> bool:
        """Whether nothing was said before the question, as far as its own row tells."""
        question = self.rows[0]
        return question.id == self.asking.question_id and question.parent_id is None

    @property
    def started(self) -> Started:
        return Started(
            conversation_id=self.ticket.conversation_id,
            message_id=self.ticket.message_id,
            user_message_id=self.asking.question_id,
            revision=self.row.revision,
            title=self.row.title,
        )


class PromptService:
    """`max_history` in turns, `max_history_tokens` in (estimated) tokens."""

    def __init__(
        self,
        history: HistoryService,
        *,
        max_history: int,
        max_history_tokens: int,
        results: Results | None = None,
    ) -> None:
        """`results`: where responders keep what they retrieved."""
        self._history = history
        self._results = results
        self._max_history = max_history
        self._max_history_tokens = max_history_tokens

    def loader(self, identity: Identity, begun: Begun) -> Callable[[], Prompt]:
        """What makes the prompt of a turn, when its responder is to be asked."""
        owner, wishes, row = identity.user_email, begun.asking.wishes, begun.row

        def load() -> Prompt:
            return Prompt(
                question=begun.asking.text,
                user_email=owner,
                history=self._history_before(owner, begun),
                system_prompt=row.system_prompt,
                mode=wishes.mode or row.mode,
                model=wishes.model or row.model,
                dept=identity.dept,
                filters=wishes.filters,
                results=self._results,
            )

        return load

    def _history_before(self, owner: str, begun: Begun) -> Transcript:
        """The turns that were said before the question, as many as the limits allow."""
        if begun.is_first:
            return Transcript()
        count, question_id = self._max_history, begun.asking.question_id
        conversation_id = begun.ticket.conversation_id
        before = self._history.before(owner, conversation_id, question_id, count=count)
        turns = tuple(turn for turn in before.turns if _is_said(turn))
        return Transcript(turns).last(count, max_tokens=self._max_history_tokens)


def _is_said(turn: Turn) -> bool:
    return turn.status in _SAID and bool(turn.content)
