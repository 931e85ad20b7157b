from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..database import Model
from .types import At, CreatedAt, Words, one_of

if TYPE_CHECKING:
    from .user import User


class IdempotencyKey(Model):
    """A request that must take effect once, by the key its client gave it."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint("char_length(key) BETWEEN 1 AND 255", name="key"),
        CheckConstraint(one_of("status", "started", "finished"), name="status"),
    )

    user_email: Mapped[Words] = mapped_column(
        ForeignKey("users.email", onupdate="CASCADE", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[Words] = mapped_column(primary_key=True)
    request_sha256: Mapped[bytes] = mapped_column(BYTEA)
    status: Mapped[Words]
    response: Mapped[dict[str, object] | None] = mapped_column(JSONB)
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[At | None]

    user: Mapped["User"] = relationship(viewonly=True, lazy="raise")
