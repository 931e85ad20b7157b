"""What a request gives a view: its body, query and headers, read by a schema to the letter."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain, islice
from typing import Any, NoReturn

from flask import Request
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException

from ..errors import FieldFault, InvalidFieldsError, MalformedError, MediaTypeError, TooLargeError
from ..storable import pointer_to, read_json

Read = Callable[[Request], Any]

_MOST_FAULTS = 100  # told; whoever makes more of them has other worries
_SHORT = 24  # characters, as `limit=20`: longer queries hardly come again
_MOST_KNOWN = 256


class StrictParser(FlaskParser):
    """Reads JSON bodies to the letter and turns every fault into one error that names fields."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {"json": RAISE, "query": RAISE}  # noqa: RUF012

    def load_json(self, req: Request, schema: Schema) -> Any:
        if getattr(schema.Meta, "may_be_absent", False) and not whole_body(req):
            return {}
        if not req.is_json:
            raise MediaTypeError
        return read_json(whole_body(req))

    def handle_error(self, error: ValidationError, *_: Any, **__: Any) -> NoReturn:
        by_location: Mapping[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
        faults = chain.from_iterable(map(_faults, by_location.values()))
        raise InvalidFieldsError(list(islice(faults, _MOST_FAULTS)))


def reader(parser: StrictParser, schema: Schema, location: str) -> Read:
    """What reads a part of requests by a schema. Raises InvalidFieldsError, and others for bodies.

    Most queries are empty or one of a few, and most headers none of the schema's. What a schema
    makes of those must be the same at all times, and hold nothing that can be changed: it is found
    out once.
    """
    read = partial(parser.parse, schema, location=location)
    spelled = _spelling(schema, location)
    if spelled is None:
        return read
    known: dict[str, Any] = {}

    def read_once(request: Request) -> Any:
        text = spelled(request.environ)
        if text is None:
            return read(request)
        try:
            found = known[text]
        except KeyError:
            found = read(request)
            _keep(known, text, found)
        return dict(found) if isinstance(found, dict) else found

    return read_once


def _spelling(schema: Schema, location: str) -> Callable[[Mapping[str, Any]], str | None] | None:
    """What tells by a WSGI environment how a part is spelled; None there: it will not come again.

    None at all: it can't be told so.
    """
    if location == "query":
        return _short_query
    if location == "headers":
        names = [field.data_key or name for name, field in schema.fields.items()]
        keys = [f"HTTP_{name.upper().replace('-', '_')}" for name in names]
        return lambda environ: None if any(key in environ for key in keys) else ""
    return None


def _short_query(environ: Mapping[str, Any]) -> str | None:
    query: str = environ.get("QUERY_STRING", "")
    return query if len(query) <= _SHORT else None


def _keep(known: dict[str, Any], text: str, found: Any) -> None:
    if len(known) >= _MOST_KNOWN:
        known.clear()
    known[text] = found


def whole_body(req: Request) -> bytes:
    """The body. One sent in chunks is cut at the limit by werkzeug, not refused."""
    try:
        body = req.get_data()
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001 -- each server has errors of its own for chunks that are none
        raise MalformedError("The request body breaks off.") from None
    if req.content_length is None and len(body) == req.max_content_length:
        raise TooLargeError
    return body


def _faults(messages: Any, pointer: str = "") -> list[FieldFault]:
    """marshmallow's nested messages as a flat list of JSON pointers."""
    if isinstance(messages, dict):
        return [
            fault
            for name, inner in messages.items()
            for fault in _faults(inner, pointer if name == "_schema" else pointer_to(pointer, name))
        ]
    texts = messages if isinstance(messages, list) else [messages]
    return [FieldFault(pointer, str(text)) for text in texts]
