from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, false, text, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..database import Model
from ..ids import new_id
from .types import At, CreatedAt, JsonObject, Words, one_of

if TYPE_CHECKING:
    from .conversation import Conversation
    from .idempotency_key import IdempotencyKey
    from .message import Message
    from .query_log import QueryLog

# The canonicaliser has the rules; this is the fence behind it.
_EMAIL = """octet_length(email) BETWEEN 3 AND 254
AND email COLLATE "C" !~ '[A-Z[:cntrl:][:space:]]'
AND (email ~ '^[^@]+@[^@]+$' OR email ~ '^anon:[0-9a-f-]{36}$')"""


class User(Model):
    """An owner of conversations. `email` is canonical, or `anon:<uuid>` for a visitor."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("email"),
        Index(
            "uq_users_issuer_subject",
            "issuer",
            "subject",
            unique=True,
            postgresql_where=text("subject IS NOT NULL"),
        ),
        CheckConstraint(_EMAIL, name="email"),
        CheckConstraint("(issuer IS NULL) = (subject IS NULL)", name="subject"),
        CheckConstraint("is_anonymous = (email LIKE 'anon:%')", name="is_anonymous"),
        CheckConstraint(one_of("role", "user", "admin"), name="role"),
        CheckConstraint("daily_quota >= 0", name="daily_quota"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[Words]
    name: Mapped[Words | None]
    avatar_url: Mapped[Words | None]
    dept: Mapped[Words | None]
    role: Mapped[Words] = mapped_column(server_default=text("'user'"))
    is_anonymous: Mapped[bool] = mapped_column(server_default=false())
    anonymous_secret_hash: Mapped[Words | None]
    converted_at: Mapped[At | None]
    is_active: Mapped[bool] = mapped_column(server_default=true())
    issuer: Mapped[Words | None]
    subject: Mapped[Words | None]
    daily_quota: Mapped[int | None]
    preferences: Mapped[JsonObject]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    last_seen_at: Mapped[CreatedAt]

    conversations: Mapped[list["Conversation"]] = relationship(viewonly=True, lazy="raise")
    messages: Mapped[list["Message"]] = relationship(
        primaryjoin="User.email == foreign(Message.user_email)", viewonly=True, lazy="raise"
    )
    query_logs: Mapped[list["QueryLog"]] = relationship(viewonly=True, lazy="raise")
    idempotency_keys: Mapped[list["IdempotencyKey"]] = relationship(viewonly=True, lazy="raise")
