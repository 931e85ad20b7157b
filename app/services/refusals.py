"""Why a turn could not begin."""

from datetime import timedelta
from uuid import UUID

from ..clock import midnight, now
from ..errors import LimitError, ParleyError, QuotaError, RecordNotFoundError
from ..repositories.conversations import ConversationRepository
from ..repositories.messages import MessageRepository
from ..repositories.runs import Allowance, RunRepository
from ..sessions import OwnedSession
from .questions import Asking
from .tree import no_such_parent


def refusal(
    session: OwnedSession, conversation_id: UUID, asking: Asking, allowance: Allowance
) -> ParleyError:
    """The error for a beginning that changed nothing."""
    if ConversationRepository(session).record(conversation_id) is None:
        return RecordNotFoundError()
    exhausted = RunRepository(session).exhausted(allowance)
    tomorrow = midnight() + timedelta(days=1)
    if exhausted.messages:
        return QuotaError("You have asked all of today's questions.", reset_at=tomorrow)
    if exhausted.tokens:
        return QuotaError("Today's answers have taken all of their tokens.", reset_at=tomorrow)
    parent_id = asking.under.parent_id if asking.under else None
    if parent_id and MessageRepository(session).find(conversation_id, parent_id) is None:
        return no_such_parent()
    return too_many_runs()


def too_many_runs() -> LimitError:
    soon = now() + timedelta(seconds=5)
    return LimitError("Too many answers are being written for you at once.", reset_at=soon)
