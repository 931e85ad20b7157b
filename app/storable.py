"""What can be stored: no NUL, no lone surrogate, no bottomless nesting. Refused, never repaired."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from .errors import MalformedError

MAX_DEPTH = 64
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

T = TypeVar("T")


def check_storable(value: T) -> T:
    """`value`, a JSON value, unchanged; MalformedError names the place that can't be stored."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        pointer, item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise MalformedError(f"The JSON is nested more than {MAX_DEPTH} levels deep.")
        if isinstance(item, str):
            _check_text(item, pointer)
        elif isinstance(item, Mapping):
            for name, inner in item.items():
                _check_text(str(name), pointer)
                waiting.append((f"{pointer}/{name}", inner, depth + 1))
        elif isinstance(item, list | tuple):
            waiting += [(f"{pointer}/{n}", inner, depth + 1) for n, inner in enumerate(item)]
    return value


def _check_text(text: str, pointer: str) -> None:
    if _UNSTORABLE.search(text):
        where = pointer[:200] or "/"
        raise MalformedError(f"{where} holds a NUL character or half of a surrogate pair.")
