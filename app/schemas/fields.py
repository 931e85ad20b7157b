"""Fields that several schemas share."""

import re
from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validate

from ..clock import EDGE, parse_edge, timestamp
from ..json_text import dumps
from ..storable import UNPRINTABLE, is_printable

_PRINTABLE = f"^[^{UNPRINTABLE}]+$"
_ADDRESSABLE = f"^(?!\\.{{1,2}}$)[^/{UNPRINTABLE}]+$"  # clients take . and .. out of addresses
_SPOKEN = {"pattern": r"\S"}
_MAX_DETAILS_BYTES = _MAX_PROMPT_BYTES = 65_536
MODES = ("fast", "balanced", "quality", "adaptive")


class Timestamp(fields.Field[datetime]):
    """A moment with exactly milliseconds and Z."""

    def _serialize(self, value: datetime | None, *_: Any, **__: Any) -> str | None:
        return None if value is None else timestamp(value)


class Edge(fields.String):
    """Where a period begins, or, `is_end`, ends: a date or a timestamp, see clock.parse_edge."""

    def __init__(self, *, is_end: bool = False, **kwargs: Any) -> None:
        meaning = (
            "A date, included, or a timestamp, excluded." if is_end else "A date or timestamp."
        )
        super().__init__(metadata={"pattern": EDGE, "description": meaning}, **kwargs)
        self._is_end = is_end

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return parse_edge(super()._deserialize(value, *args, **kwargs), is_end=self._is_end)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class ClientId(fields.String):
    """An id that a client made: any printable string of 1 to 64 characters."""

    def __init__(self, **kwargs: Any) -> None:
        known = {"pattern": _PRINTABLE} | kwargs.pop("metadata", {})
        check: list[Any] = [validate.Length(1, 64), _check_printable]
        super().__init__(validate=check, metadata=known, **kwargs)


class ConversationReference(fields.String):
    """An id of ours, or one that a client made: it must fit into a path, so it holds no slash."""

    def __init__(self, **kwargs: Any) -> None:
        known = {"pattern": _ADDRESSABLE} | kwargs.pop("metadata", {})
        check: list[Any] = [validate.Length(1, 64), _check_addressable]
        super().__init__(validate=check, metadata=known, **kwargs)


class Details(fields.Dict):
    """A JSON object of the client's own, kept as it is: at most 64 kB."""

    def __init__(self, **kwargs: Any) -> None:
        known = {"description": f"At most {_MAX_DETAILS_BYTES} bytes as JSON."}
        super().__init__(keys=fields.String(), validate=_check_details, metadata=known, **kwargs)


class Items(fields.List[Any]):
    """A list that is counted before any of its items is looked at: a million would take minutes."""

    def __init__(self, inner: Any, *, least: int = 0, most: int, **kwargs: Any) -> None:
        self._check_length = validate.Length(least or None, most)
        super().__init__(inner, validate=self._check_length, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list):
            self._check_length(value)
        return super()._deserialize(value, *args, **kwargs)


class Flag(fields.Boolean):
    """true or false, and nothing that looks like one of them."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, *args, **kwargs)


class WholeNumber(fields.Integer):
    """An integer as JSON has it: 2.0 is one, "2" is none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strict=True, **kwargs)

    def _validated(self, value: Any) -> int:
        is_whole = isinstance(value, float) and value.is_integer()
        return super()._validated(int(value) if is_whole else value)


def spoken(*, most: int | None = None, **kwargs: Any) -> fields.String:
    """A text that says something: not empty, not only white space; `most` characters, if given."""
    check: list[Any] = [_check_spoken, *([validate.Length(max=most)] if most else [])]
    return fields.String(validate=check, metadata=_SPOKEN, **kwargs)


def system_prompt(**kwargs: Any) -> fields.String:
    known = _SPOKEN | {"description": f"At most {_MAX_PROMPT_BYTES} bytes."}
    return fields.String(validate=[_check_spoken, _check_prompt], metadata=known, **kwargs)


def title(**kwargs: Any) -> fields.String:
    check: list[Any] = [validate.Length(1, 500), _check_spoken]
    return fields.String(validate=check, metadata=_SPOKEN, **kwargs)


def mode(**kwargs: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(MODES), **kwargs)


def model(**kwargs: Any) -> fields.String:
    return fields.String(validate=validate.Length(1, 200), **kwargs)


def tags(**kwargs: Any) -> Items:
    return Items(fields.String(validate=validate.Length(1, 100)), most=50, **kwargs)


def revision() -> WholeNumber:
    """What a writer believes to write upon."""
    known = {"description": "The revision that was seen: when it is another one now, it is a 409."}
    return WholeNumber(validate=validate.Range(1, 2**63 - 1), metadata=known)


def limit(default: int) -> fields.Integer:
    """How many a page holds, 1 to 100."""
    return fields.Integer(load_default=default, validate=validate.Range(1, 100))


def _check_printable(text: str) -> None:
    if not is_printable(text):
        raise ValidationError("must hold printable characters only.")


def _check_addressable(text: str) -> None:
    if not re.fullmatch(_ADDRESSABLE, text):
        raise ValidationError("must be printable, without a slash, and no . or .. alone.")


def _check_details(details: dict[str, Any]) -> None:
    if len(dumps(details)) > _MAX_DETAILS_BYTES:
        raise ValidationError(f"must be at most {_MAX_DETAILS_BYTES} bytes as JSON.")


def _check_prompt(text: str) -> None:
    if len(text.encode()) > _MAX_PROMPT_BYTES:
        raise ValidationError(f"must be at most {_MAX_PROMPT_BYTES} bytes.")


def _check_spoken(text: str) -> None:
    if not text.strip():
        raise ValidationError("must not be empty.")
