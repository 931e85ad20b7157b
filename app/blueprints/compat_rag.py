"""Chat sessions as the clients of a RAG service call them: each is a conversation of ours."""

from contextlib import suppress
from typing import Any

from flask import Response

from ..errors import RecordNotFoundError
from ..schemas.compat import (
    RagAnswer,
    RagExchange,
    RagHistory,
    RagHistoryQuery,
    RagMessage,
    RagQuestion,
    RagSession,
    RagSessions,
    Said,
)
from ..services.compat import Heard
from ..streaming.events import Done, Started
from .blueprint import Blueprint
from .current import identity, owner, services
from .wires import respond_whole

blueprint = Blueprint(
    "compat_rag",
    url_prefix="/compat/rag",
    description="Chat sessions, for clients of a RAG service. A `user_id` is ignored.",
    parameters={"conversation_id": "The session's id."},
)


@blueprint.post("/chat/create")
@blueprint.rate("create")
@blueprint.response(200, RagSession)
def create() -> Any:
    """Make a session"""
    return services.conversations.create(owner(), {}).reading.fields()


@blueprint.post("/chat/send")
@blueprint.rate("chat")
@blueprint.fails(404, 502, 504)
@blueprint.arguments(RagQuestion, example={"message": "What should I see in Huế?"})
@blueprint.response(200, RagAnswer)
def send(body: dict[str, Any]) -> Response:
    """Ask in a session, or in a new one; the answer comes whole"""
    session_id = body.get("session_id")
    return respond_whole(services.compat.ask_in(identity(), session_id, body["message"], {}), _sent)


@blueprint.get("/chat/history/<string(maxlength=64):conversation_id>")
@blueprint.response(200, RagHistory)
def read(conversation_id: str) -> Any:
    """The newest 200 messages of a session"""
    return _history(services.compat.heard(owner(), conversation_id))


@blueprint.delete("/chat/delete/<string(maxlength=64):conversation_id>")
@blueprint.response(200, Said)
def delete(conversation_id: str) -> Any:
    """Put a session into the trash; one that is not there is gone as well"""
    return _deleted(conversation_id)


@blueprint.post("/chat/sessions")
@blueprint.rate("create")
@blueprint.response(200, RagSession)
def create_session() -> Any:
    """Make a session"""
    return services.conversations.create(owner(), {}).reading.fields()


@blueprint.get("/chat/sessions")
@blueprint.response(200, RagSessions)
def search_sessions() -> Any:
    """The 200 sessions with the newest activity, and how many there are"""
    return services.compat.sessions(owner())


@blueprint.delete("/chat/sessions/<string(maxlength=64):conversation_id>")
@blueprint.response(200, Said)
def delete_session(conversation_id: str) -> Any:
    """Put a session into the trash; one that is not there is gone as well"""
    return _deleted(conversation_id)


@blueprint.post("/chat/sessions/<string(maxlength=64):conversation_id>/messages")
@blueprint.rate("chat")
@blueprint.fails(502, 504)
@blueprint.arguments(RagMessage, example={"message": "What should I see in Huế?"})
@blueprint.response(200, RagExchange)
def create_message(body: dict[str, Any], conversation_id: str) -> Response:
    """Ask in a session; the answer comes whole"""
    asked = body["message"]
    events = services.compat.ask_in(identity(), conversation_id, asked, body["metadata"])
    return respond_whole(events, lambda started, done: _exchanged(asked, started, done))


@blueprint.get("/chat/sessions/<string(maxlength=64):conversation_id>/history")
@blueprint.arguments(RagHistoryQuery, location="query")
@blueprint.response(200, RagHistory)
def read_session_history(query: dict[str, Any], conversation_id: str) -> Any:
    """The newest messages of a session"""
    return _history(services.compat.heard(owner(), conversation_id, limit=query["max_messages"]))


def _sent(started: Started, done: Done) -> dict[str, Any]:
    fields = services.compat.heard(owner(), str(started.conversation_id), limit=1).fields
    return _answered(started, done) | {
        "session_title": fields["title"],
        "message_count": fields["message_count"],
        "response": done.turn.content,
    }


def _exchanged(asked: str, started: Started, done: Done) -> dict[str, Any]:
    answer = {"user_message": asked, "assistant_response": done.turn.content}
    return _answered(started, done) | answer


def _answered(started: Started, done: Done) -> dict[str, Any]:
    return {
        "session_id": started.conversation_id,
        "sources": done.turn.contexts or [],
        "processing_time_ms": done.turn.latency_ms,
    }


def _history(heard: Heard) -> dict[str, Any]:
    return {
        "session_id": heard.fields["id"],
        "messages": heard.turns,
        "total_messages": heard.fields["message_count"],
    }


def _deleted(conversation_id: str) -> dict[str, str]:
    """Those clients expect no 404 here; the one answer tells nobody what there was."""
    with suppress(RecordNotFoundError):
        services.conversations.trash(owner(), conversation_id)
    return {"message": "The session is gone."}
