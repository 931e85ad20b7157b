"""Identifiers: UUIDv7 (RFC 9562), so that a primary key grows with time."""

from uuid import UUID

from uuid_utils.compat import uuid7

_VERSION = 7


def new_id() -> UUID:
    """A fresh identifier, later in sort order than those made before it."""
    return uuid7()


def parse_id(text: str) -> UUID | None:
    """The identifier that `text` spells in its canonical 36 characters, or None."""
    if len(text) != 36:
        return None
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None


def is_foreign(identifier: UUID) -> bool:
    """Whether an identifier was made by somebody else, like a browser's `crypto.randomUUID()`."""
    return identifier.version != _VERSION
