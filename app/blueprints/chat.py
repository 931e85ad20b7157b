"""/chat: ask, and watch the answer being written."""

from typing import Any

from flask import Response, request

from ..schemas.chat import ChatAnswer, ChatQuery, ChatRequest
from ..services.chat import Question
from .blueprint import Blueprint
from .current import identity, services
from .wires import respond, wanted_wire

blueprint = Blueprint(
    "parley_chat", url_prefix="/chat", description="Questions, and answers as they are written"
)


@blueprint.post("")
@blueprint.arguments(ChatRequest)
@blueprint.arguments(ChatQuery, location="query")
@blueprint.response(200, ChatAnswer)
@blueprint.alt_response(200, schema={"type": "string"}, content_type="text/plain")
@blueprint.alt_response(200, schema={"type": "string"}, content_type="text/event-stream")
def create(body: dict[str, Any], query: dict[str, Any]) -> Response:
    """Ask a question; the answer comes as text, as events, or whole as JSON"""
    wire = wanted_wire(query.get("wire"), request.accept_mimetypes)
    return respond(services.chat.ask(identity(), _question(body)), wire)


def _question(body: dict[str, Any]) -> Question:
    text = body["message"] if "message" in body else body["messages"][-1]["content"]
    named = ("client_message_id", "mode", "model", "filters")
    given = {name: body[name] for name in named if name in body}
    return Question(text=text, conversation=body.get("conversation_id"), **given)
