"""What clients of the systems that are being replaced send and read, in their own words."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, fields, validate

from ..services.compat import MOST_TURNS
from .fields import ConversationReference, Details, Flag, Items, spoken


class NaiveTimestamp(fields.Field[datetime]):
    """A moment in UTC that does not say so: `2026-11-21T10:00:00.123000`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"type": "string"}, **kwargs)

    def _serialize(self, value: datetime | None, *_: Any, **__: Any) -> str | None:
        if value is None:
            return None
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def _words(**kwargs: Any) -> Items:
    return Items(fields.String(validate=validate.Length(1, 64)), most=50, **kwargs)


# Chat sessions of a RAG service


class RagQuestion(Schema):
    session_id = ConversationReference(
        allow_none=True, metadata={"description": "Without it a session is made."}
    )
    message = spoken(required=True)


class RagMessage(Schema):
    message = spoken(required=True, most=5000)
    metadata = Details(load_default=dict)


class RagHistoryQuery(Schema):
    max_messages = fields.Integer(load_default=50, validate=validate.Range(1, MOST_TURNS))
    user_id = fields.String(metadata={"description": "Ignored: the token says who asks."})


class RagSession(Schema):
    session_id = fields.UUID(required=True, attribute="id")
    created_at = NaiveTimestamp(required=True)


class RagListedSession(RagSession):
    session_title = fields.String(required=True, allow_none=True, attribute="title")
    last_activity = NaiveTimestamp(required=True, attribute="updated_at")
    message_count = fields.Integer(required=True)


class RagSessions(Schema):
    sessions = fields.List(fields.Nested(RagListedSession), required=True, attribute="newest")
    total = fields.Integer(required=True)


class _RagAnswered(Schema):
    session_id = fields.UUID(required=True)
    sources = fields.List(fields.Dict(), required=True)
    processing_time_ms = fields.Integer(required=True, allow_none=True)


class RagAnswer(_RagAnswered):
    session_title = fields.String(required=True, allow_none=True)
    message_count = fields.Integer(required=True)
    response = fields.String(required=True)


class RagExchange(_RagAnswered):
    user_message = fields.String(required=True)
    assistant_response = fields.String(required=True)


class RagTurn(Schema):
    role = fields.String(required=True)
    content = fields.String(required=True)
    timestamp = NaiveTimestamp(required=True, attribute="created_at")
    metadata = fields.Method("read_metadata", required=True, metadata={"type": "object"})

    def read_metadata(self, turn: Any) -> dict[str, Any]:
        """The message's own, with what an answer is based on, and what became of it if not all."""
        told = dict(turn.metadata)
        if turn.role == "assistant":
            told |= {"sources": turn.contexts or [], "processing_time_ms": turn.latency_ms}
        return told if turn.status == "complete" else told | {"status": turn.status}


class RagHistory(Schema):
    session_id = fields.UUID(required=True)
    messages = fields.List(fields.Nested(RagTurn), required=True)
    total_messages = fields.Integer(required=True)


class Said(Schema):
    message = fields.String(required=True)


# The ChatBot service


class ChatbotQuestion(Schema):
    message = spoken(required=True)
    model = fields.String(load_default="gemini", validate=validate.Length(1, 200))
    context = fields.String(load_default="casual", validate=validate.Length(1, 200))
    deep_thinking = Flag(load_default=False)
    tools = _words(load_default=list)
    memory_ids = _words(load_default=list)
    history = Items(
        fields.Dict(),
        most=10_000,
        load_default=None,
        allow_none=True,
        metadata={"description": "All that was said before, to ask a question there anew."},
    )


class ChatbotAnswer(Schema):
    response = fields.String(required=True)
    model = fields.String(required=True)
    context = fields.String(required=True)
    deep_thinking = fields.Boolean(required=True)
    tools = fields.List(fields.String(), required=True)
    timestamp = NaiveTimestamp(required=True)


class ChatbotPair(Schema):
    user = fields.String(required=True)
    assistant = fields.String(required=True)
    timestamp = NaiveTimestamp(required=True)
    model = fields.String(required=True, allow_none=True)
    context = fields.String(required=True, allow_none=True)
    deep_thinking = fields.Boolean(required=True)


class ChatbotHistory(Schema):
    history = fields.List(fields.Nested(ChatbotPair), required=True)


class ChatbotReference(Schema):
    conversation_id = ConversationReference(required=True)


class ChatbotBegun(Said):
    conversation_id = fields.UUID(required=True)


class ChatbotConversation(Schema):
    id = fields.UUID(required=True)
    title = fields.String(required=True, allow_none=True)
    tags = fields.List(fields.String(), required=True)
    message_count = fields.Integer(required=True)
    created_at = NaiveTimestamp(required=True)
    updated_at = NaiveTimestamp(required=True)


class ChatbotConversations(Schema):
    conversations = fields.List(
        fields.Nested(ChatbotConversation), required=True, attribute="newest"
    )
