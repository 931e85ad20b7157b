"""Opaque cursors: where a page ended, for clients to hand back as they got it."""

import base64
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .errors import FieldFault, InvalidFieldsError
from .json_text import dumps, loads

Place = TypeVar("Place")


def encode_cursor(*place: Any) -> str:
    return base64.urlsafe_b64encode(dumps(place)).decode().rstrip("=")


def decode_cursor(cursor: str, read: Callable[..., Place | None]) -> Place:
    """What `read` makes of the parts of a place.

    InvalidFieldsError that names /cursor: `read` gives None, or can't make anything of them.
    """
    try:
        parts: Sequence[Any] = loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        place = read(*parts)
    except (ValueError, TypeError, AttributeError, OverflowError):
        place = None
    if place is None:
        raise InvalidFieldsError([FieldFault("/cursor", "is not one that such an answer gave.")])
    return place
