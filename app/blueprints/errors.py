"""The single table from errors to HTTP, and what an error looks like on the wire (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response
from flask.blueprints import Blueprint
from werkzeug.exceptions import HTTPException, default_exceptions

from ..errors import (
    ConflictError,
    IdentityError,
    InputError,
    InvalidFieldsError,
    LimitError,
    MalformedError,
    MediaTypeError,
    ModelError,
    ModelTimeoutError,
    ParleyError,
    PreconditionError,
    RecordNotFoundError,
    SetupError,
    StaleError,
    TooLargeError,
    UnavailableError,
    places,
)
from ..json_text import dumps
from ..middleware.requests import request_id

log = structlog.get_logger(__name__)

STATUS: dict[type[ParleyError], HTTPStatus] = {
    MalformedError: HTTPStatus.BAD_REQUEST,
    InvalidFieldsError: HTTPStatus.UNPROCESSABLE_ENTITY,
    MediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    InputError: HTTPStatus.BAD_REQUEST,
    IdentityError: HTTPStatus.UNAUTHORIZED,
    RecordNotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    PreconditionError: HTTPStatus.PRECONDITION_FAILED,
    LimitError: HTTPStatus.TOO_MANY_REQUESTS,
    ModelTimeoutError: HTTPStatus.GATEWAY_TIMEOUT,
    ModelError: HTTPStatus.BAD_GATEWAY,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    SetupError: HTTPStatus.INTERNAL_SERVER_ERROR,
    ParleyError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_SENTENCES = {
    404: ("not_found", RecordNotFoundError.message),
    405: ("method_not_allowed", "This method is not allowed here."),
    413: (TooLargeError.code, TooLargeError.message),
}


def status_of(error: ParleyError) -> HTTPStatus:
    """The status of the error's class, or of the nearest class above it."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(
    status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """An error as application/problem+json; `more` are members beyond the standard ones."""
    body = {
        "type": f"urn:parley:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": f"urn:request:{request_id()}",
        "code": code,
        "request_id": request_id(),
        "errors": [],
        **more,
    }
    headers = {"X-Request-Id": request_id()} | (headers or {})
    return Response(dumps(body), status, headers, content_type="application/problem+json")


def handle_errors(scope: Blueprint | Flask) -> None:
    """Lets a blueprint, or a whole application of our own, answer every error as a problem.

    A host's page for one status would go before our handler for all of them: hence each.
    """
    for status in default_exceptions:
        scope.register_error_handler(status, http_problem)
    scope.register_error_handler(HTTPException, http_problem)
    scope.register_error_handler(ParleyError, _parley_error)
    scope.register_error_handler(Exception, _unexpected_error)


def _parley_error(error: ParleyError) -> Response:
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unexpected_error(error)
    members: dict[str, Any] = {}
    if isinstance(error, InvalidFieldsError):
        members["errors"] = error.faults
    if isinstance(error, LimitError):
        members["reset_at"] = error.reset_at
    if isinstance(error, StaleError):
        members["revision"] = error.number
    return problem(status, error.code, str(error), headers=headers_of(error), **members)


def headers_of(error: ParleyError) -> dict[str, str]:
    if isinstance(error, IdentityError):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, StaleError):
        return {"ETag": f'"{error.tag}"'}
    if isinstance(error, LimitError | UnavailableError):
        return {"Retry-After": str(error.retry_after)}
    return {}


def http_problem(error: HTTPException) -> Response | HTTPException:
    """An error of the router or of a hook in our words; a redirect stays what it is."""
    status = error.code or 500
    if error.response is not None or status < 400:
        return error
    code, detail = _SENTENCES.get(status, ("http_error", HTTPStatus(status).phrase + "."))
    allowed = getattr(error, "valid_methods", None)
    headers = {"Allow": ", ".join(sorted(allowed))} if allowed else {}
    return problem(status, code, detail, headers=headers)


def _unexpected_error(error: Exception) -> Response:
    log.error("unexpected_error", error=type(error).__name__, where=places(error))
    return problem(500, ParleyError.code, ParleyError.message)
