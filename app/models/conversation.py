from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    desc,
    false,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..database import Model
from ..ids import new_id
from .types import At, CreatedAt, JsonObject, Words, one_of

if TYPE_CHECKING:
    from .message import Message
    from .run import Run
    from .user import User


SHOWN = "deleted_at IS NULL AND is_published"


class Conversation(Model):
    """A tree of messages with one active path. `metadata` is reserved, hence `details`."""

    __tablename__ = "conversations"
    __table_args__ = (
        UniqueConstraint("id", "user_email"),
        UniqueConstraint("user_email", "source", "source_id"),
        Index(
            "ix_conversations_list",
            "user_email",
            "is_archived",
            desc("updated_at"),
            desc("id"),
            postgresql_where=text(SHOWN),
        ),
        Index(
            "ix_conversations_pinned",
            "user_email",
            desc("updated_at"),
            desc("id"),
            postgresql_where=text(f"is_pinned AND {SHOWN}"),
        ),
        Index(
            "ix_conversations_trash",
            "user_email",
            desc("deleted_at"),
            desc("id"),
            postgresql_where=text("deleted_at IS NOT NULL"),
        ),
        CheckConstraint("char_length(title) <= 500", name="title"),
        CheckConstraint(one_of("title_source", "auto", "user", "import"), name="title_source"),
        CheckConstraint(one_of("mode", "fast", "balanced", "quality", "adaptive"), name="mode"),
        CheckConstraint(
            one_of("storage_state", "live", "archiving", "archived", "restoring"),
            name="storage_state",
        ),
        CheckConstraint("char_length(source_id) <= 512", name="source_id"),
        CheckConstraint(
            "message_count >= 0 AND total_tokens >= 0 AND next_seq > 0 AND revision > 0",
            name="counters",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_email: Mapped[Words] = mapped_column(
        ForeignKey("users.email", onupdate="CASCADE", ondelete="CASCADE")
    )
    title: Mapped[Words | None]
    title_source: Mapped[Words] = mapped_column(server_default=text("'auto'"))
    title_words: Mapped[str] = mapped_column(
        TSVECTOR, server_default=text("''::tsvector"), deferred=True
    )
    preview: Mapped[Words | None]
    mode: Mapped[Words | None]
    model: Mapped[Words | None]
    system_prompt: Mapped[Words | None]
    tags: Mapped[list[str]] = mapped_column(
        ARRAY(Text), server_default=text("'{}'::text[]"), default=list
    )
    is_pinned: Mapped[bool] = mapped_column(server_default=false())
    is_archived: Mapped[bool] = mapped_column(server_default=false())
    details: Mapped[JsonObject] = mapped_column("metadata")
    message_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    total_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    next_seq: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    revision: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    rev: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    active_leaf_id: Mapped[UUID | None]
    storage_state: Mapped[Words] = mapped_column(server_default=text("'live'"))
    import_batch_id: Mapped[UUID | None]
    is_published: Mapped[bool] = mapped_column(server_default=true())
    source: Mapped[Words | None]
    source_id: Mapped[Words | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    ended_at: Mapped[At | None]
    deleted_at: Mapped[At | None]

    user: Mapped["User"] = relationship(viewonly=True, lazy="raise")
    messages: Mapped[list["Message"]] = relationship(
        order_by="Message.seq", viewonly=True, lazy="raise"
    )
    runs: Mapped[list["Run"]] = relationship(viewonly=True, lazy="raise")
