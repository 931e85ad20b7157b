"""What a compact token (RFC 7515) says before anything of it is believed, read to the letter."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, NoReturn

from ..errors import IdentityError

MAX_TOKEN_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Compact:
    """A token's header and claims, unverified: good for choosing a key, and for nothing else."""

    header: dict[str, Any]
    claims: dict[str, Any]


def read_compact(token: str) -> Compact:
    """Raises IdentityError unless the token has three parts, of which two are JSON objects.

    A name that stands twice in an object is refused: who checked the one might use the other.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise IdentityError
    try:
        header, claims, signature = token.split(".")
        _octets(signature)
        return Compact(_object(header), _object(claims))
    except (ValueError, RecursionError):
        raise IdentityError from None


def _octets(part: str) -> bytes:
    octets = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != part.encode("ascii"):
        raise binascii.Error("not the one way to write it")
    return octets


def _object(part: str) -> dict[str, Any]:
    text = _octets(part).decode("utf-8")
    value = json.loads(text, object_pairs_hook=_without_repetition, parse_constant=_refuse)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004
    return value


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) != len(pairs):
        raise ValueError("a name stands twice")
    return named


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
