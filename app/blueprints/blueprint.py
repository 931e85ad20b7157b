"""The blueprint that all of ours are: guarded unless it says otherwise, strict about what comes in.

Answers are written by the house's own JSON, so that a host's JSON provider neither changes them
nor is changed.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NoReturn
from urllib.parse import urlencode

import orjson
from flask import Request, Response, request
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser

from ..errors import FieldFault, InvalidFieldsError, MalformedError, MediaTypeError
from ..json_text import dumps
from ..middleware.identity import require_identity
from ..middleware.requests import finish_request, start_request
from ..storable import check_storable
from .errors import handle_errors

View = Callable[..., Any]


class StrictParser(FlaskParser):
    """Reads JSON bodies to the letter and turns every fault into one error that names fields."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {"json": RAISE, "query": RAISE}  # noqa: RUF012

    def load_json(self, req: Request, schema: Schema) -> Any:  # noqa: ARG002
        if not req.is_json:
            raise MediaTypeError
        return read_json(req.get_data())

    def handle_error(self, error: ValidationError, *_: Any, **__: Any) -> NoReturn:
        by_location: Mapping[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise InvalidFieldsError(
            [fault for messages in by_location.values() for fault in _faults(messages)]
        )


class Blueprint(SmorestBlueprint):  # type: ignore[misc]
    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, name: str, *, url_prefix: str, description: str, is_public: bool = False):
        super().__init__(name, __name__, url_prefix=url_prefix, description=description)
        self.before_request(start_request)
        if not is_public:
            self.before_request(require_identity)
        self.after_request(finish_request)
        handle_errors(self)

    def response(self, status_code: int, schema: Any = None, **documented: Any) -> Any:
        """Documents the answer and writes what a view returns; a Response passes as it is."""
        document = super().response(status_code, schema, **documented)

        def decorate(view: View) -> Any:
            @wraps(view)
            def written(*args: Any, **kwargs: Any) -> Response:
                result = view(*args, **kwargs)
                if isinstance(result, Response):
                    return result
                return json_response(_dumper(schema)(result), status=status_code)

            return document(written)

        return decorate


def json_response(
    body: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A JSON answer; bytes are taken as JSON that is ready."""
    text = body if isinstance(body, bytes) else dumps(body)
    return Response(text, status, headers, content_type="application/json")


def read_json(body: bytes) -> Any:
    """A request's JSON: refused as malformed when it can't be stored as it is."""
    if not body.strip():
        raise MalformedError("The request body is empty.")
    try:
        return check_storable(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedError(f"The request body is not valid JSON ({place}).") from None


def page_link(**changes: Any) -> dict[str, str]:
    """A Link header to the next page: this address with other query values (RFC 8288)."""
    query = urlencode({**request.args.to_dict(), **changes})
    return {"Link": f'<{request.base_url}?{query}>; rel="next"'}


def _dumper(schema: Any) -> Callable[[Any], Any]:
    if schema is None:
        return lambda result: result
    instance: Schema = schema() if isinstance(schema, type) else schema
    return instance.dump


def _faults(messages: Any, pointer: str = "") -> list[FieldFault]:
    """marshmallow's nested messages as a flat list of JSON pointers."""
    if isinstance(messages, dict):
        return [
            fault
            for name, inner in messages.items()
            for fault in _faults(inner, pointer if name == "_schema" else f"{pointer}/{name}")
        ]
    texts = messages if isinstance(messages, list) else [messages]
    return [FieldFault(pointer, str(text)) for text in texts]
