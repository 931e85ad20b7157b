from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..database import Model
from ..ids import new_id
from .types import At, CreatedAt, Words, one_of

if TYPE_CHECKING:
    from .conversation import Conversation
    from .message import Message

# The foreign key is without the owner; the join has it, as every join must.
_MESSAGE = """and_(
    foreign(Run.conversation_id) == Message.conversation_id,
    foreign(Run.message_id) == Message.id,
    foreign(Run.user_email) == Message.user_email)"""


class Run(Model):
    """One generation. Narrow, so that renewing its lease is cheap.

    `attempt` fences: who holds another number than the row's has lost the run.
    """

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("id", "user_email"),
        ForeignKeyConstraint(
            ["conversation_id", "user_email"],
            ["conversations.id", "conversations.user_email"],
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["conversation_id", "message_id"],
            ["messages.conversation_id", "messages.id"],
            ondelete="CASCADE",
        ),
        Index(
            "ix_runs_lease",
            "lease_until",
            postgresql_where=text("status = 'running'"),
        ),
        Index(
            "ix_runs_live",
            "user_email",
            postgresql_where=text("status = 'running'"),
        ),
        Index("ix_runs_message", "conversation_id", "message_id"),
        CheckConstraint(
            one_of("status", "running", "complete", "interrupted", "failed", "cancelled"),
            name="status",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    conversation_id: Mapped[UUID]
    message_id: Mapped[UUID]
    user_email: Mapped[Words]
    attempt: Mapped[int] = mapped_column(server_default=text("1"))
    status: Mapped[Words] = mapped_column(server_default=text("'running'"))
    lease_until: Mapped[At]
    stop_requested: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[At | None]

    conversation: Mapped["Conversation"] = relationship(viewonly=True, lazy="raise")
    message: Mapped["Message"] = relationship(primaryjoin=_MESSAGE, viewonly=True, lazy="raise")
    chunks: Mapped[list["RunChunk"]] = relationship(
        order_by="RunChunk.n", viewonly=True, lazy="raise"
    )


class RunChunk(Model):
    """A piece of an answer that is still being written; gone when the answer is final."""

    __tablename__ = "run_chunks"
    __table_args__ = (
        ForeignKeyConstraint(
            ["run_id", "user_email"],
            ["runs.id", "runs.user_email"],
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_email: Mapped[Words]
    text: Mapped[Words]

    run: Mapped["Run"] = relationship(viewonly=True, lazy="raise")
