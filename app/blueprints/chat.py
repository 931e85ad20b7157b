"""/chat: ask, and watch the answer being written."""

from typing import Any

from flask import Response, request

from ..schemas.chat import CHAT_EXAMPLE, ChatAnswer, ChatEvent, ChatQuery, ChatRequest
from ..services.chat import Question
from .blueprint import TEXT, Blueprint, described
from .current import identity, services
from .wires import respond, wanted_wire

blueprint = Blueprint(
    "chat", url_prefix="/chat", description="Questions, and answers as they are written"
)
_TEXT = """The citadel.
__CONTEXT__:[{"title": "Guide to Huế", "text": "…"}]"""
_EVENT = {"event": "delta", "id": "1", "data": '{"text": "The citadel."}'}
_IDS = described(
    **{
        "X-Conversation-Id": "The conversation, which may be new.",
        "X-Message-Id": "The answer's message.",
    }
)


@blueprint.post("")
@blueprint.rate("chat")
@blueprint.fails(404, 409, 502, 504)
@blueprint.arguments(ChatRequest, example=CHAT_EXAMPLE)
@blueprint.arguments(ChatQuery, location="query")
@blueprint.response(200, ChatAnswer, headers=_IDS)
@blueprint.alt_response(200, schema=TEXT, content_type="text/plain", example=_TEXT)
@blueprint.alt_response(
    200,
    schema=ChatEvent,
    content_type="text/event-stream",
    example=_EVENT,
    description="Whole as JSON, or as it is written: plain text, or server-sent events",
)
def create(body: dict[str, Any], query: dict[str, Any]) -> Response:
    """Ask a question; the answer comes as text, as events, or whole as JSON"""
    wire = wanted_wire(query.get("wire"), request.accept_mimetypes)
    return respond(services.chat.ask(identity(), _question(body)), wire)


def _question(body: dict[str, Any]) -> Question:
    text = body["message"] if "message" in body else body["messages"][-1]["content"]
    named = ("client_message_id", "mode", "model", "filters")
    given = {name: body[name] for name in named if name in body}
    return Question(text=text, conversation=body.get("conversation_id"), **given)
