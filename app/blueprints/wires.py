"""From the events of a run to an HTTP answer, in the form that the client wants."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, cast

from flask import Response
from werkzeug.datastructures import MIMEAccept

from ..errors import ModelError, ModelTimeoutError, ParleyError, UnavailableError
from ..streaming.encoders import plain_text, server_sent
from ..streaming.events import Done, Failed, Started, WireEvent
from .blueprint import json_response
from .errors import headers_of, problem, status_of

Events = Iterator[WireEvent | None]

_BY_TYPE = {"application/json": "json", "text/event-stream": "sse", "text/plain": "text"}
_ERRORS: dict[str, type[ParleyError]] = {
    "timeout": ModelTimeoutError,
    "unavailable": UnavailableError,
}
_STREAM_HEADERS = {"X-Accel-Buffering": "no", "Cache-Control": "no-cache, no-store"}


def wanted_wire(named: str | None, accepted: MIMEAccept) -> str:
    """`?wire=` decides, then Accept; existing clients, which accept anything, expect text."""
    if named:
        return named
    kinds = [kind.partition(";")[0].lower() for kind, quality in accepted if quality > 0]
    return next((_BY_TYPE[kind] for kind in kinds if kind in _BY_TYPE), "text")


def respond(events: Events, wire: str) -> Response:
    """The answer's events as an HTTP answer; closing it stops nothing."""
    started = cast(Started, next(events))
    return _with_ids(_FORMS[wire](started, events), started)


def respond_whole(events: Events, form: Callable[[Started, Done], Any]) -> Response:
    """The whole answer as JSON of another form; its problems are ours."""
    started = cast(Started, next(events))
    return _with_ids(_whole(started, events, form), started)


def _with_ids(response: Response, started: Started) -> Response:
    response.headers["X-Conversation-Id"] = str(started.conversation_id)
    response.headers["X-Message-Id"] = str(started.message_id)
    return response


def _text(started: Started, events: Events) -> Response:
    stream = plain_text(chain([started], events))
    return Response(stream, headers=_STREAM_HEADERS, content_type="text/plain; charset=utf-8")


def _sse(started: Started, events: Events) -> Response:
    stream = server_sent(chain([started], events))
    return Response(stream, headers=_STREAM_HEADERS, content_type="text/event-stream")


def _json(started: Started, events: Events) -> Response:
    return _whole(started, events, _stored)


def _whole(started: Started, events: Events, form: Callable[[Started, Done], Any]) -> Response:
    """The whole answer, or a problem that still names what was stored."""
    ending = [event for event in events if isinstance(event, Done | Failed)][-1]
    if isinstance(ending, Done):
        return json_response(form(started, ending))
    error = _ERRORS.get(ending.error_class, ModelError)()
    headers, stored = headers_of(error), _stored(started, ending)
    return problem(status_of(error), error.code, ending.message, headers=headers, **stored)


def _stored(started: Started, ending: Done | Failed) -> dict[str, Any]:
    return {
        "conversation_id": started.conversation_id,
        "user_message_id": started.user_message_id,
        "revision": ending.revision or started.revision,
        "message": ending.turn,
    }


_FORMS: dict[str, Callable[[Started, Events], Response]] = {
    "text": _text,
    "sse": _sse,
    "json": _json,
}
