"""/chat: ask, and watch the answer being written."""

from typing import Any

from flask import Response, request

from ..schemas.chat import CHAT_EXAMPLE, ChatAnswer, ChatEvent, ChatQuery, ChatRequest
from ..services.once import Once
from ..services.questions import Question
from ..transcript import Under
from .blueprint import TEXT, Blueprint, described
from .current import identity, services
from .once import keyed, with_client_id
from .wires import respond, wanted_wire

blueprint = Blueprint(
    "chat", url_prefix="/chat", description="Questions, and answers as they are written"
)
TEXT_EXAMPLE = """The citadel.
__CONTEXT__:[{"title": "Guide to Huế", "text": "…"}]"""
EVENT_EXAMPLE = {"event": "delta", "id": "1", "data": '{"text": "The citadel."}'}
IDS = described(
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
@blueprint.response(200, ChatAnswer, headers=IDS)
@blueprint.alt_response(200, schema=TEXT, content_type="text/plain", example=TEXT_EXAMPLE)
@blueprint.alt_response(
    200,
    schema=ChatEvent,
    content_type="text/event-stream",
    example=EVENT_EXAMPLE,
    description="Whole as JSON, or as it is written: plain text, or server-sent events",
)
@keyed(blueprint)
def create(body: dict[str, Any], query: dict[str, Any], once: Once | None) -> Response:
    """Ask a question; the answer comes as text, as events, or whole as JSON"""
    wire = wanted_wire(query.get("wire"), request.accept_mimetypes)
    return respond(services.chat.ask(identity(), _question(with_client_id(body, once))), wire)


def _question(body: dict[str, Any]) -> Question:
    text = body["message"] if "message" in body else body["messages"][-1]["content"]
    named = ("client_message_id", "mode", "model", "filters")
    given = {name: body[name] for name in named if name in body}
    if "parent_id" in body:
        given["under"] = Under(body["parent_id"])
    return Question(text=text, conversation=body.get("conversation_id"), **given)
