from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import BYTEA, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..database import Model
from ..ids import new_id
from .types import CreatedAt, JsonList, JsonObject, Words, one_of

if TYPE_CHECKING:
    from .conversation import Conversation
    from .run import Run
    from .user import User

# Foreign keys without the owner in them: the joins have it, as every join must.
_PARENT = """and_(
    foreign(Message.conversation_id) == remote(Message.conversation_id),
    foreign(Message.parent_id) == remote(Message.id),
    foreign(Message.user_email) == remote(Message.user_email))"""
_CHILDREN = """and_(
    Message.conversation_id == remote(foreign(Message.conversation_id)),
    Message.id == remote(foreign(Message.parent_id)),
    Message.user_email == remote(foreign(Message.user_email)))"""
_RUNS = """and_(
    Message.conversation_id == foreign(Run.conversation_id),
    Message.id == foreign(Run.message_id),
    Message.user_email == foreign(Run.user_email))"""
_USER = "foreign(Message.user_email) == User.email"

MESSAGE_STATUSES = ("complete", "streaming", "interrupted", "failed", "cancelled")


class Message(Model):
    """One message of a conversation: written once, finished once, never overwritten."""

    __tablename__ = "messages"
    __table_args__ = (
        ForeignKeyConstraint(
            ["conversation_id", "user_email"],
            ["conversations.id", "conversations.user_email"],
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["conversation_id", "parent_id"],
            ["messages.conversation_id", "messages.id"],
            name="fk_messages_parent",
        ),
        UniqueConstraint("conversation_id", "seq"),
        Index(
            "uq_messages_client_message_id",
            "conversation_id",
            "client_message_id",
            unique=True,
            postgresql_where=text("client_message_id IS NOT NULL"),
        ),
        Index(
            "uq_messages_live_attempt",
            "conversation_id",
            "parent_id",
            unique=True,
            postgresql_where=text("status = 'streaming'"),
            postgresql_nulls_not_distinct=True,
        ),
        Index("ix_messages_parent", "conversation_id", "parent_id"),
        # The owner is a word of the index: a search never leaves the owner's rows.
        Index(
            "ix_messages_search",
            text("(search_words || array_to_tsvector(ARRAY['@'::text || user_email]))"),
            postgresql_using="gin",
        ),
        Index(
            "ix_messages_created_at",
            "created_at",
            postgresql_using="brin",
            postgresql_with={"autosummarize": "on"},
        ),
        CheckConstraint(one_of("role", "user", "assistant", "system", "tool"), name="role"),
        CheckConstraint(one_of("status", *MESSAGE_STATUSES), name="status"),
        CheckConstraint("rating BETWEEN -1 AND 5", name="rating"),
        CheckConstraint("char_length(client_message_id) <= 64", name="client_message_id"),
        CheckConstraint("parent_id <> id", name="parent_id"),
    )

    conversation_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_email: Mapped[Words]
    seq: Mapped[int] = mapped_column(BigInteger)
    parent_id: Mapped[UUID | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    role: Mapped[Words]
    content: Mapped[Words]
    parts: Mapped[JsonList | None]
    status: Mapped[Words] = mapped_column(server_default=text("'complete'"))
    client_message_id: Mapped[Words | None]
    payload_sha256: Mapped[bytes | None] = mapped_column(BYTEA)
    model: Mapped[Words | None]
    finish_reason: Mapped[Words | None]
    error_class: Mapped[Words | None]
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    tokens_used: Mapped[int | None]
    usage_is_estimated: Mapped[bool] = mapped_column(server_default=false())
    latency_ms: Mapped[int | None]
    first_token_ms: Mapped[int | None]
    retrieved_docs: Mapped[JsonList | None]
    reranker_used: Mapped[bool | None]
    rating: Mapped[int | None] = mapped_column(SmallInteger)
    rating_comment: Mapped[Words | None]
    details: Mapped[JsonObject] = mapped_column("metadata")
    source_id: Mapped[Words | None]
    search_words: Mapped[str] = mapped_column(
        TSVECTOR, server_default=text("''::tsvector"), deferred=True
    )
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]

    user: Mapped["User"] = relationship(primaryjoin=_USER, viewonly=True, lazy="raise")
    conversation: Mapped["Conversation"] = relationship(viewonly=True, lazy="raise")
    parent: Mapped["Message | None"] = relationship(
        primaryjoin=_PARENT, viewonly=True, lazy="raise"
    )
    children: Mapped[list["Message"]] = relationship(
        primaryjoin=_CHILDREN, order_by="Message.seq", viewonly=True, lazy="raise"
    )
    runs: Mapped[list["Run"]] = relationship(primaryjoin=_RUNS, viewonly=True, lazy="raise")
