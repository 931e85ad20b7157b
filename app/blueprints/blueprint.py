"""The blueprint that all of ours are: guarded unless it says otherwise, strict about what comes in.

Answers are written by the house's own JSON, so that a host's JSON provider neither changes them
nor is changed.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from http import HTTPStatus
from itertools import chain, islice
from typing import Any, NoReturn
from urllib.parse import urlencode

from flask import Request, Response, request
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException

from ..errors import FieldFault, InvalidFieldsError, MalformedError, MediaTypeError, TooLargeError
from ..json_text import dumps
from ..middleware.identity import require_identity
from ..middleware.limits import RateClass, limit_rate
from ..middleware.requests import finish_request, start_request
from ..storable import pointer_to, read_json
from .errors import handle_errors

View = Callable[..., Any]
TEXT = {"type": "string"}
_MOST_FAULTS = 100  # told; whoever makes more of them has other worries


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


class Blueprint(SmorestBlueprint):  # type: ignore[misc]
    """`name` is the tag in the documentation; endpoints begin with `parley_<name>`.

    `parameters` are the path's, each with what it means.
    """

    ARGUMENTS_PARSER = StrictParser()

    def __init__(
        self,
        name: str,
        *,
        url_prefix: str,
        description: str,
        is_public: bool = False,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"parley_{name}", __name__, url_prefix=url_prefix, description=description)
        self.tag = name
        self.is_public = is_public
        self.parameters = parameters or {}
        self.before_request(start_request)
        if not is_public:
            self.before_request(require_identity)
            self.before_request(limit_rate)
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

    def rate(self, rate_class: RateClass) -> Callable[[View], View]:
        """Counts a view's requests against another rate limit than the default one."""

        def decorate(view: View) -> View:
            vars(view)["rate_class"] = rate_class
            return view

        return decorate

    def fails(self, *statuses: int) -> Callable[[View], View]:
        """Documents problems that do not follow from the operation's form."""

        def decorate(view: View) -> View:
            responses = _apidoc(view).setdefault("response", {}).setdefault("responses", {})
            for status in statuses:
                responses.setdefault(status, [HTTPStatus(status).name])
            return view

        return decorate

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any
    ) -> None:
        """Adds to the documentation what follows from the form. OPTIONS is the fallback's."""
        view_func.provide_automatic_options = False
        whole = f"{self.url_prefix}{rule}"
        self.fails(*self._usual_problems(whole, view_func))(view_func)
        name = f"{self.tag}_{endpoint or view_func.__name__}"
        manual = _apidoc(view_func).setdefault("manual_doc", {})
        manual |= {"operationId": name} | ({"security": []} if self.is_public else {})
        options |= {"tags": [self.tag], "parameters": self._path_parameters(whole)}
        super().add_url_rule(rule, endpoint, view_func, **options)

    def _path_parameters(self, rule: str) -> list[dict[str, str]]:
        return [
            {"in": "path", "name": name, "description": meaning}
            for name, meaning in self.parameters.items()
            if f"{name}>" in rule
        ]

    def _usual_problems(self, rule: str, view: View) -> Iterator[int]:
        arguments = _apidoc(view).get("arguments", {}).get("parameters", ())
        if not self.is_public:
            yield from (401, 429, 503)
        if "<" in rule:
            yield 404
        if any(argument["in"] == "json" for argument in arguments):
            yield from (400, 413, 415)


def json_response(
    body: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A JSON answer; bytes are taken as JSON that is ready."""
    text = body if isinstance(body, bytes) else dumps(body)
    return Response(text, status, headers, content_type="application/json")


def described(**headers: str) -> dict[str, Any]:
    """Headers of an answer for the documentation, each with what it means."""
    return {
        name: {"description": meaning, "schema": {"type": "string"}}
        for name, meaning in headers.items()
    }


LONG_ADDRESS = {
    "schema": TEXT,
    "content_type": "text/html",
    "description": "The address takes more than 8,190 bytes: the server's own answer",
}
NEXT = described(Link='The next page, with rel="next" (RFC 8288); none at the end.')


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


def page_link(**changes: Any) -> dict[str, str]:
    """A Link header to the next page: other query values, relative to this address (RFC 8288).

    So it holds behind any proxy, and no forged Host can stand in it.
    """
    query = urlencode({**request.args.to_dict(), **changes})
    return {"Link": f'<?{query}>; rel="next"'}


def _apidoc(view: View) -> dict[str, Any]:
    """What flask-smorest's decorators have noted about a view."""
    noted: dict[str, Any] = vars(view).setdefault("_apidoc", {})
    return noted


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
            for fault in _faults(inner, pointer if name == "_schema" else pointer_to(pointer, name))
        ]
    texts = messages if isinstance(messages, list) else [messages]
    return [FieldFault(pointer, str(text)) for text in texts]
