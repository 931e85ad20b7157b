"""/chat: ask, and watch the answer being written."""

from functools import reduce
from typing import Any

from flask import Response, request

from ..schemas.chat import (
    CHAT_EXAMPLE,
    AskRequest,
    ChatAnswer,
    ChatEvent,
    ChatQuery,
    ResumeQuery,
    StopAnswer,
    StopRequest,
)
from ..schemas.ui import AGAIN, said_in, text_of
from ..services.once import Once
from ..services.questions import Question, Wishes
from ..services.ui import Said, UiQuestion
from ..streaming.events import Watch
from ..transcript import Under
from .blueprint import TEXT, Blueprint, View, described
from .current import identity, owner, services
from .once import keyed, with_client_id
from .wires import respond, wanted_wire

blueprint = Blueprint(
    "chat",
    url_prefix="/chat",
    description="Questions, and answers as they are written",
    parameters={"conversation_id": "The conversation's id, or the client's own id for it."},
)
TEXT_EXAMPLE = """The citadel.
__CONTEXT__:[{"title": "Guide to Huế", "text": "…"}]"""
EVENT_EXAMPLE = {
    "event": "delta",
    "id": "01a1fe7b-6629-77e7-b657-d4a4eae4abc1:1",
    "data": '{"text": "The citadel."}',
}
IDS = described(
    **{
        "X-Conversation-Id": "The conversation, which may be new.",
        "X-Message-Id": "The answer's message.",
    }
)
_ONE = "/<string(maxlength=64):conversation_id>"
_WISHES = ("client_message_id", "mode", "model", "filters")


def asking(view: View) -> View:
    """What it takes to ask, and what comes of it."""
    contract = (
        keyed(blueprint),
        blueprint.alt_response(
            200,
            schema=ChatEvent,
            content_type="text/event-stream",
            example=EVENT_EXAMPLE,
            description="Whole as JSON, or as it is written: plain text, or server-sent events",
        ),
        blueprint.alt_response(200, schema=TEXT, content_type="text/plain", example=TEXT_EXAMPLE),
        blueprint.response(200, ChatAnswer, headers=IDS),
        blueprint.arguments(ChatQuery, location="query"),
        blueprint.arguments(AskRequest, example=CHAT_EXAMPLE),
        blueprint.fails(404, 409, 502, 504),
        blueprint.rate("chat"),
    )
    return reduce(lambda asked, decorate: decorate(asked), contract, view)


@blueprint.post("")
@asking
def create(body: dict[str, Any], query: dict[str, Any], once: Once | None) -> Response:
    """Ask a question; the answer comes as text, as events, or whole as JSON"""
    return _answer(body, query, once, is_for_agent=False)


@blueprint.post("/agent")
@asking
def create_by_agent(body: dict[str, Any], query: dict[str, Any], once: Once | None) -> Response:
    """Ask whoever may call tools; what they are called for comes with the answer"""
    return _answer(body, query, once, is_for_agent=True)


@blueprint.get(f"{_ONE}/stream")
@blueprint.arguments(ResumeQuery, location="query")
@blueprint.response(
    200, ChatEvent, headers=IDS, content_type="text/event-stream", example=EVENT_EXAMPLE
)
@blueprint.alt_response(204, description="No answer is being written")
def read(query: dict[str, Any], conversation_id: str) -> Response:
    """The answer that is being written, from its beginning on; events from Last-Event-ID on"""
    is_sse = wanted_wire(query.get("wire"), request.accept_mimetypes) == "sse"
    heard = request.headers.get("Last-Event-ID") if is_sse else None
    watch = services.answers.resume(owner(), conversation_id, heard)
    return respond(watch, "sse" if is_sse else "ui") if watch else Response(status=204)


@blueprint.post(f"{_ONE}/stop")
@blueprint.arguments(StopRequest, required=False)
@blueprint.response(200, StopAnswer)
def stop(body: dict[str, Any], conversation_id: str) -> Any:
    """End the answer that is being written; what was written of it is kept"""
    return services.answers.stop(owner(), conversation_id, body.get("message_id"))


def _answer(
    body: dict[str, Any], query: dict[str, Any], once: Once | None, *, is_for_agent: bool
) -> Response:
    is_ui = "ui" in body
    wire = wanted_wire(query.get("wire"), request.accept_mimetypes, is_ui=is_ui)
    ask = _ask_ui if is_ui else _ask
    asked = with_client_id(body["ui"] if is_ui else body, once) | {"is_for_agent": is_for_agent}
    return respond(ask(asked), wire)


def _ask(body: dict[str, Any]) -> Watch:
    text = body["message"] if "message" in body else body["messages"][-1]["content"]
    given = {name: body[name] for name in (*_WISHES, "is_for_agent", "is_retry") if name in body}
    if "parent_id" in body:
        given["under"] = Under(body["parent_id"])
    question = Question(text=text, conversation=body.get("conversation_id"), **given)
    return services.chat.ask(identity(), question)


def _ask_ui(body: dict[str, Any]) -> Watch:
    said, is_again = said_in(body), body["trigger"] == AGAIN
    is_users = said is not None and said["role"] == "user"
    asked = UiQuestion(
        conversation=body.get("id"),
        said=_said(said) if is_users else None,
        message=body.get("message_id") or (said["id"] if said and not is_users else None),
        is_again=is_again,
        wishes=Wishes(**{name: body[name] for name in (*_WISHES, "is_for_agent") if name in body}),
    )
    return services.ui.ask(identity(), asked)


def _said(message: dict[str, Any]) -> Said:
    """What a UIMessage says. One that is a text and nothing else needs no parts to be kept."""
    text, parts = text_of(message["parts"]), message["parts"]
    return Said(
        text=text,
        message_id=message.get("id"),
        parts=None if parts == [{"type": "text", "text": text}] else parts,
        metadata=message.get("metadata"),
    )
