"""JSON as the house writes it: UTF-8, timestamps with exactly milliseconds and Z."""

from datetime import datetime
from typing import Any

import orjson

from .clock import timestamp

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME


def dumps(value: Any) -> bytes:
    """`value` as JSON: containers, dataclasses, UUIDs and aware datetimes included."""
    return orjson.dumps(value, default=_timestamp, option=_OPTIONS)


def loads(text: bytes | str) -> Any:
    """The value that JSON `text` spells; ValueError when it is none."""
    return orjson.loads(text)


def _timestamp(value: object) -> str:
    if isinstance(value, datetime):
        return timestamp(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
