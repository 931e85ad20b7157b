"""Fields that several schemas share."""

from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validate

from ..clock import timestamp

MODES = ("fast", "balanced", "quality", "adaptive")


class Timestamp(fields.Field[datetime]):
    """A moment with exactly milliseconds and Z."""

    def _serialize(self, value: datetime | None, *_: Any, **__: Any) -> str | None:
        return None if value is None else timestamp(value)


class ClientId(fields.String):
    """An id that a client made: any printable string of 1 to 64 characters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=[validate.Length(1, 64), _check_printable], **kwargs)


def spoken(**kwargs: Any) -> fields.String:
    """A text that says something: not empty, not only white space."""
    return fields.String(validate=_check_spoken, **kwargs)


def title(**kwargs: Any) -> fields.String:
    return fields.String(validate=[validate.Length(1, 500), _check_spoken], **kwargs)


def mode(**kwargs: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(MODES), **kwargs)


def model(**kwargs: Any) -> fields.String:
    return fields.String(validate=validate.Length(1, 200), **kwargs)


def tags(**kwargs: Any) -> fields.List[str]:
    tag = fields.String(validate=validate.Length(1, 100))
    return fields.List(tag, validate=validate.Length(max=50), **kwargs)


def limit(default: int) -> fields.Integer:
    """How many a page holds, 1 to 100."""
    return fields.Integer(load_default=default, validate=validate.Range(1, 100))


def _check_printable(text: str) -> None:
    if not text.isprintable():
        raise ValidationError("must hold printable characters only.")


def _check_spoken(text: str) -> None:
    if not text.strip():
        raise ValidationError("must not be empty.")
