"""What can be stored: no NUL, no lone surrogate, no bottomless nesting, no integer beyond 64 bits.

What clients send is refused, never repaired; what a model or a tool says is mended.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from math import frexp
from typing import Any, TypeVar

import orjson

from .errors import MalformedError

MAX_DEPTH = 64
MAX_VALUES = 100_000
# PostgreSQL writes numbers out: 1e307, five characters long, takes 308 bytes.
_MAX_ZEROS = 1_000_000
# Controls, line ends, marks that reorder text. Joiners stay: emoji and Persian need them.
UNPRINTABLE = (
    r"\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f"
    r"\u2028-\u202e\u2066-\u2069\ufeff"
)
"""What no name or id may hold, as the inside of a regular expression's brackets."""
_PRINTABLE = re.compile(f"[^{UNPRINTABLE}\ud800-\udfff]+")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_INTEGERS = range(-(2**63), 2**64)
# A run of digits is sought this way in a tenth of the time that a regular expression takes.
_TO_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19

T = TypeVar("T")


def read_json(text: bytes) -> Any:
    """The value that a request's JSON spells. MalformedError: none that can be stored."""
    if not text.strip():
        raise MalformedError("The request body is empty.")
    try:
        value = check_storable(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        _check_exactly(text)
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedError(f"The request body is not valid JSON ({place}).") from None
    if _LONG_NUMBER in text.translate(_TO_ZEROS):
        _check_exactly(text)
    return value


def check_storable(value: T) -> T:
    """`value`, a JSON value, unchanged; MalformedError names the place that can't be stored."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    values = zeros = 0
    while waiting:
        pointer, item, depth = waiting.pop()
        values += len(item) if isinstance(item, Mapping | list | tuple) else 0
        zeros += abs(frexp(item)[1]) // 3 if isinstance(item, float) else 0
        if values > MAX_VALUES or zeros > _MAX_ZEROS:
            raise _refusal(
                pointer, f"is one of more than {MAX_VALUES} values, or of too many digits"
            )
        if depth > MAX_DEPTH:
            raise _refusal(pointer, f"is nested more than {MAX_DEPTH} levels deep")
        if isinstance(item, str):
            _check_text(item, pointer)
        elif isinstance(item, Mapping):
            for name, inner in item.items():
                _check_text(str(name), pointer)
                waiting.append((pointer_to(pointer, name), inner, depth + 1))
        elif isinstance(item, list | tuple):
            waiting += [(f"{pointer}/{n}", inner, depth + 1) for n, inner in enumerate(item)]
        elif isinstance(item, int) and item not in _INTEGERS:
            raise _refusal(pointer, "is an integer of more than 64 bits")
    return value


def mended(value: Any) -> Any:
    """A JSON value whose texts hold U+FFFD for NULs and halves of surrogate pairs."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {mended(name): mended(inner) for name, inner in value.items()}
    return [mended(inner) for inner in value] if isinstance(value, list | tuple) else value


def is_printable(text: str) -> bool:
    """Whether a text can stand in one line, for people to see all of it."""
    return bool(_PRINTABLE.fullmatch(text))


def pointer_to(parent: str, name: object) -> str:
    """The JSON pointer (RFC 6901) to what is called `name` in what `parent` points to."""
    return f"{parent}/{str(name).replace('~', '~0').replace('/', '~1')}"


def _check_exactly(text: bytes) -> None:
    """Names the place of what orjson rounds, or refuses without a name: long integers, halves of
    surrogate pairs, bytes that are no UTF-8.
    """
    with suppress(ValueError, RecursionError):
        check_storable(json.loads(text.decode(errors="surrogateescape")))


def _check_text(text: str, pointer: str) -> None:
    if _UNSTORABLE.search(text):
        raise _refusal(pointer, "holds a NUL, half of a surrogate pair, or bytes that are no UTF-8")


def _refusal(pointer: str, what: str) -> MalformedError:
    return MalformedError(f"{pointer[:200] or '/'} {what}.")
