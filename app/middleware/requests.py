"""Request ids and one log line a request, without a word of what was said.

What is kept of a request stands in its WSGI environment: `g` is the host's.
"""

import re
import time
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import structlog
from flask import Request, Response, current_app
from flask import request as flask_request

from .. import metrics
from ..ids import new_id
from .cors import share

log = structlog.get_logger("parley.request")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PARAMETER = re.compile(r"<(?:[^<>]*:)?(\w+)>")
_ID, _STARTED, _LOGGED = "parley.request_id", "parley.started", "parley.logged"
_PROTECTED = "parley.protected"
# What browsers may do with an answer that says nothing else about it: nothing.
_PROTECTION = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_YEAR = 31_536_000  # seconds
# What else a client calls a method is its own word: it must not become a label.
_METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}


current_request: Callable[[], Request] = cast(Any, flask_request)._get_current_object
"""The request itself: each look through Flask's `request` costs a look-up of its own."""


def request_id() -> str:
    """This request's id: its sender's, if that is a plain one, else a new one."""
    environ = current_request().environ
    if _ID not in environ:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        environ[_ID] = given if _REQUEST_ID.fullmatch(given) else str(new_id())
    return cast(str, environ[_ID])


def start_request() -> None:
    """Gives the request an id, starts its clock and bounds its body."""
    request, parley = current_request(), current_app.extensions["parley"]
    parley.wake()
    request.environ[_LOGGED] = structlog.contextvars.bind_contextvars(request_id=request_id())
    request.environ[_STARTED] = time.perf_counter()
    metrics.work.set(_described(request.url_rule.rule) if request.url_rule else "none")
    request.max_content_length = parley.settings.max_body_bytes


def finish_request(response: Response) -> Response:
    """Sends the id back and logs: for a stream, the time until its first byte.

    A host's hook that answers or fails before us leaves nothing to log.
    """
    request = current_request()
    if _ID not in request.environ:
        return response
    response.headers["X-Request-Id"] = request.environ[_ID]
    protect(response)
    if _STARTED in request.environ:
        _tell(request, response.status_code, time.perf_counter() - request.environ[_STARTED])
        structlog.contextvars.reset_contextvars(**request.environ.pop(_LOGGED))
        response.call_on_close(_at_rest)
    return response


def _at_rest() -> None:
    metrics.work.set(metrics.BACKGROUND)


def _tell(request: Request, status: int, seconds: float) -> None:
    rule = request.url_rule.rule if request.url_rule else None
    log.info(
        "request",
        method=request.method,
        route=rule,
        status=status,
        duration_ms=round(seconds * 1000, 1),
    )
    method = request.method if request.method in _METHODS else "other"
    kind = f"{status // 100}xx"
    metrics.of_requests(method, metrics.work.get(), kind).observe(seconds)


@cache
def _described(rule: str) -> str:
    """A route as the API's description has it: `/conversations/{conversation_id}`."""
    return _PARAMETER.sub(r"{\1}", rule)


def protect(response: Response) -> Response:
    """Says what browsers, and which pages, may do with the answer. Twice is as good as once."""
    if _PROTECTED in vars(response):
        return response
    vars(response)[_PROTECTED] = True
    said = {name.lower() for name, _ in response.headers}
    response.headers[len(response.headers) :] = [
        (name, value) for name, value in _PROTECTION.items() if name.lower() not in said
    ]
    return share(response)


def insist_on_tls(response: Response) -> Response:
    """After an answer over TLS, browsers come to this host over nothing else (RFC 6797)."""
    if current_request().is_secure:
        response.headers["Strict-Transport-Security"] = f"max-age={_YEAR}"
    return response
