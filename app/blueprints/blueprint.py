"""The blueprint that all of ours are: guarded unless it says otherwise, strict about what comes in.

Answers are written by the house's own JSON, so that a host's JSON provider neither changes them
nor is changed.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from flask import Response, request
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import Schema

from ..json_text import dumps
from ..middleware.identity import require_identity
from ..middleware.limits import RateClass, limit_rate
from ..middleware.requests import current_request, finish_request, start_request
from .arguments import StrictParser, reader
from .errors import handle_errors

View = Callable[..., Any]
TEXT = {"type": "string"}


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

    def arguments(
        self, schema: Any, *, location: str = "json", arg_name: str | None = None, **documented: Any
    ) -> Callable[[View], View]:
        """Documents what a view is given, and gives it that: behind what it has, or by a name."""
        document = super().arguments(schema, location=location, arg_name=arg_name, **documented)
        instance = schema() if isinstance(schema, type) else schema
        read = reader(self.ARGUMENTS_PARSER, instance, location)

        def decorate(view: View) -> View:
            @wraps(view)
            def given(*args: Any, **kwargs: Any) -> Any:
                value = read(current_request())
                if arg_name is None:
                    return view(*args, value, **kwargs)
                return view(*args, **kwargs, **{arg_name: value})

            return _noted(given, document)

        return decorate

    def response(
        self, status_code: int, schema: Any = None, **documented: Any
    ) -> Callable[[View], View]:
        """Documents the answer and writes what a view returns; a Response passes as it is."""
        document = super().response(status_code, schema, **documented)
        dump = _dumper(schema)

        def decorate(view: View) -> View:
            @wraps(view)
            def written(*args: Any, **kwargs: Any) -> Response:
                result = view(*args, **kwargs)
                if isinstance(result, Response):
                    return result
                return json_response(dump(result), status=status_code)

            return _noted(written, document)

        return decorate

    def alt_response(self, *args: Any, **documented: Any) -> Callable[[View], View]:
        """Documents another answer."""
        document = super().alt_response(*args, **documented)
        return lambda view: _noted(view, document)

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


def _noted(view: View, document: Callable[[View], Any]) -> View:
    """A view with what flask-smorest notes about it, but not within what it would put around it."""
    vars(view)["_apidoc"] = vars(document(view))["_apidoc"]
    return view


def _dumper(schema: Any) -> Callable[[Any], Any]:
    """What a schema makes of a result. Where there is none, or JSON Schema alone, it is JSON."""
    instance = schema() if isinstance(schema, type) else schema
    return instance.dump if isinstance(instance, Schema) else lambda result: result
