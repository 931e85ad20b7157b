"""/conversations/{id}/events: what changes in a conversation, for the tabs that have it open."""

from collections.abc import Iterable, Iterator
from typing import Any

from flask import Response, request

from ..schemas.changes import ChangeEvent, ChangesQuery
from ..services.changes import Change
from ..streaming.encoders import HEARTBEAT, frame
from .blueprint import Blueprint
from .current import owner, services
from .wires import STREAM_HEADERS

blueprint = Blueprint(
    "changes",
    url_prefix="/conversations/<string(maxlength=64):conversation_id>/events",
    description="What changes in a conversation, as it happens",
    parameters={"conversation_id": "The conversation's id, or the client's own id for it."},
)
EXAMPLE = {"event": "title", "id": "7-4", "data": '{"revision": 7, "title": "A week in Huế"}'}


@blueprint.get("")
@blueprint.arguments(ChangesQuery, location="query")
@blueprint.response(200, ChangeEvent, content_type="text/event-stream", example=EXAMPLE)
def read(query: dict[str, Any], conversation_id: str) -> Response:
    """New messages, another title or branch, and deletion, as server-sent events"""
    since = request.headers.get("Last-Event-ID")
    changes = services.changes.watch(owner(), conversation_id, **query, since=since)
    return Response(_server_sent(changes), headers=STREAM_HEADERS, content_type="text/event-stream")


def _server_sent(changes: Iterable[Change | None]) -> Iterator[bytes]:
    for change in changes:
        yield HEARTBEAT if change is None else frame(change.name, change.mark, change.data)
