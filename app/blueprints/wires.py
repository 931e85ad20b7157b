"""From the events of a run to an HTTP answer, in the form that the client wants."""

from collections.abc import Callable, Iterator
from typing import Any, cast

from flask import Response
from werkzeug.datastructures import MIMEAccept

from .. import metrics
from ..errors import ModelError, ModelTimeoutError, ParleyError, UnavailableError
from ..streaming.encoders import plain_text, server_sent
from ..streaming.events import Done, Failed, Heard, Started, Watch
from ..streaming.ui import ui_stream
from .blueprint import json_response
from .errors import headers_of, problem, status_of

_BY_TYPE = {"application/json": "json", "text/event-stream": "sse", "text/plain": "text"}
_ERRORS: dict[str, type[ParleyError]] = {
    "timeout": ModelTimeoutError,
    "unavailable": UnavailableError,
}
STREAM_HEADERS = {"X-Accel-Buffering": "no", "Cache-Control": "no-cache, no-store"}
_UI_HEADERS = {"X-Vercel-AI-UI-Message-Stream": "v1"}


def wanted_wire(named: str | None, accepted: MIMEAccept, *, is_ui: bool = False) -> str:
    """`?wire=` decides, then Accept, then who asks: an AI SDK, whose form are events as well.

    Existing clients, which accept anything, expect text.
    """
    if named:
        return named
    kinds = [kind.partition(";")[0].lower() for kind, quality in accepted if quality > 0]
    wire = next((_BY_TYPE[kind] for kind in kinds if kind in _BY_TYPE), None)
    return "ui" if is_ui and wire in (None, "sse") else wire or "text"


def respond(watch: Watch, wire: str) -> Response:
    """The answer's events as an HTTP answer; closing it stops nothing."""
    return _with_ids(_FORMS[wire](_counted(watch)), watch.started)


def respond_whole(watch: Watch, form: Callable[[Started, Done], Any]) -> Response:
    """The whole answer as JSON of another form; its problems are ours."""
    return _with_ids(_whole(_counted(watch), form), watch.started)


def _counted(watch: Watch) -> Watch:
    """The same, known to the metrics while somebody listens."""

    def listen() -> Iterator[Heard | None]:
        with metrics.watchers.track_inprogress():
            yield from watch.events

    return Watch(watch.started, listen())


def _with_ids(response: Response, started: Started) -> Response:
    response.headers["X-Conversation-Id"] = str(started.conversation_id)
    response.headers["X-Message-Id"] = str(started.message_id)
    return response


def _text(watch: Watch) -> Response:
    stream = plain_text(watch.events)
    return Response(stream, headers=STREAM_HEADERS, content_type="text/plain; charset=utf-8")


def _sse(watch: Watch) -> Response:
    stream = server_sent(watch.started.message_id, watch.events)
    return Response(stream, headers=STREAM_HEADERS, content_type="text/event-stream")


def _ui(watch: Watch) -> Response:
    headers = STREAM_HEADERS | _UI_HEADERS
    stream = ui_stream(watch.events, watch.started.conversation_id)
    return Response(stream, headers=headers, content_type="text/event-stream")


def _json(watch: Watch) -> Response:
    return _whole(watch, _stored)


def _whole(watch: Watch, form: Callable[[Started, Done], Any]) -> Response:
    """The whole answer, or a problem that still names what was stored."""
    heard = [heard.event for heard in watch.events if heard]
    ending = _kept(cast(Done | Failed, heard[-1]))
    if isinstance(ending, Done):
        return json_response(form(watch.started, ending))
    error = _ERRORS.get(ending.error_class, ModelError)()
    headers, stored = headers_of(error), _stored(watch.started, ending)
    return problem(status_of(error), error.code, ending.message, headers=headers, **stored)


def _kept(ending: Done | Failed) -> Done | Failed:
    """What was stopped is as long as its user wanted it to be."""
    if isinstance(ending, Failed) and ending.status == "cancelled" and ending.turn:
        return Done(ending.turn, ending.revision or 0)
    return ending


def _stored(started: Started, ending: Done | Failed) -> dict[str, Any]:
    return {
        "conversation_id": started.conversation_id,
        "user_message_id": started.user_message_id,
        "revision": ending.revision or started.revision,
        "message": ending.turn,
    }


_FORMS: dict[str, Callable[[Watch], Response]] = {
    "text": _text,
    "sse": _sse,
    "json": _json,
    "ui": _ui,
}
