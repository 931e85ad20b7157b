from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from ..ids import parse_id
from .fields import (
    ClientId,
    ConversationReference,
    Details,
    Items,
    Timestamp,
    WholeNumber,
    limit,
    mode,
    model,
    spoken,
    system_prompt,
    tags,
    title,
)

CONVERSATION_EXAMPLE = {
    "title": "A week in Huế",
    "tags": ["travel"],
    "messages": [{"role": "user", "content": "What should I see in Huế?"}],
}
APPEND_EXAMPLE = {
    "messages": [
        {"role": "user", "content": "And in Hội An?", "client_message_id": "q-2"},
        {"role": "assistant", "content": "The old town.", "client_message_id": "a-2"},
    ]
}


class MessageCreate(Schema):
    role = fields.String(
        required=True, validate=validate.OneOf(("user", "assistant", "system", "tool"))
    )
    content = spoken(required=True)
    client_message_id = ClientId()
    parts = Items(fields.Dict(keys=fields.String()), least=1, most=100)
    model = model()
    tokens_used = WholeNumber(validate=validate.Range(0, 2**31 - 1))
    metadata = Details()


class _Messages(Schema):
    @validates_schema
    def check_client_ids(self, data: dict[str, Any], **_: Any) -> None:
        given = [message.get("client_message_id") for message in data.get("messages", ())]
        named = [client_id for client_id in given if client_id]
        if len(set(named)) < len(named):
            raise ValidationError("must each have another client_message_id.", "messages")


class AppendRequest(_Messages):
    messages = Items(fields.Nested(MessageCreate), least=1, most=100, required=True)


class ConversationCreate(_Messages):
    class Meta:
        # Sent again, the whole is known by client_id and each message by its own id.
        json_schema: ClassVar = {
            "if": {"required": ["client_id"]},
            "then": {"properties": {"messages": {"items": {"required": ["client_message_id"]}}}},
        }

    client_id = ConversationReference(
        metadata={
            "description": "The client's own id, no UUID: the same again makes no second "
            "conversation. First messages then need a client_message_id each."
        }
    )
    title = title()
    mode = mode()
    model = model()
    system_prompt = system_prompt()
    tags = tags()
    metadata = Details()
    messages = Items(fields.Nested(MessageCreate), least=1, most=100)

    @validates_schema
    def check_repeatable(self, data: dict[str, Any], **_: Any) -> None:
        if "client_id" not in data:
            return
        if parse_id(data["client_id"]):
            raise ValidationError("must not be a UUID: ids of ours are.", "client_id")
        for place, message in enumerate(data.get("messages", ())):
            if "client_message_id" not in message:
                fault = {"client_message_id": ["must be given together with client_id."]}
                raise ValidationError({"messages": {place: fault}})


class ConversationUpdate(Schema):
    class Meta:
        json_schema: ClassVar = {"minProperties": 1}

    title = title()
    mode = mode(allow_none=True)
    tags = tags()
    details = Details(data_key="metadata")

    @validates_schema
    def check_something(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("must name something to change.")


class ListQuery(Schema):
    limit = limit(20)
    cursor = fields.String(validate=validate.Length(1, 200))


class ReadQuery(Schema):
    limit = limit(50)


class MessagesQuery(Schema):
    limit = limit(50)
    before = fields.UUID(metadata={"description": "A message id: what was said before it."})
    after = fields.UUID(metadata={"description": "A message id: what was said after it."})

    @validates_schema
    def check_direction(self, data: dict[str, Any], **_: Any) -> None:
        if "before" in data and "after" in data:
            raise ValidationError("must not be given together with before.", "after")


class DeleteQuery(Schema):
    permanent = fields.Boolean(load_default=False)


class ConversationItem(Schema):
    id = fields.UUID(required=True)
    title = fields.String(required=True, allow_none=True)
    preview = fields.String(required=True, allow_none=True)
    mode = fields.String(required=True, allow_none=True)
    model = fields.String(required=True, allow_none=True)
    tags = fields.List(fields.String(), required=True)
    is_pinned = fields.Boolean(required=True)
    is_archived = fields.Boolean(required=True)
    message_count = fields.Integer(required=True)
    total_tokens = fields.Integer(required=True)
    revision = fields.Integer(required=True)
    created_at = Timestamp(required=True)
    updated_at = Timestamp(required=True)


class ConversationRecord(ConversationItem):
    title_source = fields.String(required=True)
    system_prompt = fields.String(required=True, allow_none=True)
    metadata = fields.Dict(required=True)


class ConversationPage(Schema):
    conversations = fields.List(fields.Nested(ConversationItem), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class Message(Schema):
    """Documents what the cache and the runs write as JSON themselves (see transcript.Turn)."""

    id = fields.UUID(required=True)
    seq = fields.Integer(required=True)
    parent_id = fields.UUID(required=True, allow_none=True)
    role = fields.String(required=True)
    content = fields.String(required=True)
    status = fields.String(required=True)
    created_at = Timestamp(required=True)
    parts = fields.List(fields.Dict(), required=True, allow_none=True)
    client_message_id = fields.String(required=True, allow_none=True)
    model = fields.String(required=True, allow_none=True)
    finish_reason = fields.String(required=True, allow_none=True)
    error_class = fields.String(required=True, allow_none=True)
    prompt_tokens = fields.Integer(required=True, allow_none=True)
    completion_tokens = fields.Integer(required=True, allow_none=True)
    tokens_used = fields.Integer(required=True, allow_none=True)
    usage_is_estimated = fields.Boolean(required=True)
    latency_ms = fields.Integer(required=True, allow_none=True)
    first_token_ms = fields.Integer(required=True, allow_none=True)
    contexts = fields.List(fields.Dict(), required=True, allow_none=True)
    metadata = fields.Dict(required=True)


class ConversationWithMessages(ConversationRecord):
    messages = fields.List(fields.Nested(Message), required=True)


class MessagePage(Schema):
    messages = fields.List(fields.Nested(Message), required=True)
    next_cursor = fields.UUID(required=True, allow_none=True)


class AppendAnswer(Schema):
    conversation_id = fields.UUID(required=True)
    revision = fields.Integer(required=True)
    messages = fields.List(fields.Nested(Message), required=True)


class DeleteAnswer(Schema):
    success = fields.Boolean(required=True)
    id = fields.String(required=True)
    revision = fields.Integer(required=True, allow_none=True)
