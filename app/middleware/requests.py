"""Request ids and one log line a request, without a word of what was said."""

import re
import time

import structlog
from flask import Response, current_app, g, request

from ..ids import new_id

log = structlog.get_logger("parley.request")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def start_request() -> None:
    """Gives the request an id, its sender's if that is a plain one, and bounds its body."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else str(new_id())
    g.request_started = time.perf_counter()
    request.max_content_length = current_app.extensions["parley"].settings.max_body_bytes
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def finish_request(response: Response) -> Response:
    """Sends the id back and logs: for a stream, the time until its first byte."""
    response.headers["X-Request-Id"] = g.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    log.info(
        "request",
        method=request.method,
        route=request.url_rule.rule if request.url_rule else None,
        status=response.status_code,
        duration_ms=round((time.perf_counter() - g.request_started) * 1000, 1),
    )
    structlog.contextvars.unbind_contextvars("request_id")
    return response
