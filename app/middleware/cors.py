"""Calls from the web pages of other origins (CORS, as the Fetch standard has it).

Only origins that CORS_ORIGINS names, letter by letter, and without credentials: who asks is told
by a bearer token, never by a cookie. Where none is named, there is no word of it in any answer.
"""

from flask import Response, current_app, request

_SENT = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id"
_READ = "ETag, Link, Location, Retry-After, X-Conversation-Id, X-Message-Id, X-Request-Id"
_PREFLIGHT_SECONDS = "600"


def share(response: Response) -> Response:
    """Lets a page of a listed origin read the answer; to OPTIONS, says what it may send."""
    origins: tuple[str, ...] = current_app.extensions["parley"].settings.cors_origins
    if not origins:
        return response
    response.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin not in origins:
        return response
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = _READ
    if request.method == "OPTIONS" and "Allow" in response.headers:
        response.headers["Access-Control-Allow-Methods"] = response.headers["Allow"]
        response.headers["Access-Control-Allow-Headers"] = _SENT
        response.headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS
    return response
