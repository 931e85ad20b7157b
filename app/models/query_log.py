from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..database import Model
from ..ids import new_id
from .types import CreatedAt, Words

if TYPE_CHECKING:
    from .user import User


class QueryLog(Model):
    """The usage ledger: a row for each generation, kept when its conversation is deleted.

    Then `query` is emptied, and `user_email` too when the user goes: numbers without a person.
    """

    __tablename__ = "query_logs"
    __table_args__ = (
        Index("ix_query_logs_day", "user_email", "created_at"),
        Index("ix_query_logs_conversation", "conversation_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_email: Mapped[Words | None] = mapped_column(
        ForeignKey("users.email", onupdate="CASCADE", ondelete="SET NULL")
    )
    sid: Mapped[Words | None]
    conversation_id: Mapped[UUID]
    message_id: Mapped[UUID]
    query: Mapped[Words | None]
    mode: Mapped[Words | None]
    model: Mapped[Words | None]
    contexts_retrieved: Mapped[int]
    tokens_used: Mapped[int | None]
    response_time_ms: Mapped[int | None]
    first_token_ms: Mapped[int | None]
    status: Mapped[Words]
    error_class: Mapped[Words | None]
    created_at: Mapped[CreatedAt]

    user: Mapped["User | None"] = relationship(viewonly=True, lazy="raise")
