from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validates_schema

from ..ids import parse_id
from .fields import (
    ConversationReference,
    Details,
    Items,
    Timestamp,
    limit,
    mode,
    model,
    revision,
    system_prompt,
    tags,
    title,
)
from .messages import Message, MessageCreate, Messages

CONVERSATION_EXAMPLE = {
    "title": "A week in Huế",
    "tags": ["travel"],
    "messages": [{"role": "user", "content": "What should I see in Huế?"}],
}


class ConversationCreate(Messages):
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


_CHANGEABLE = (
    *("title", "mode", "model", "system_prompt", "tags", "is_pinned", "is_archived"),
    "metadata",
)


class ConversationUpdate(Schema):
    class Meta:
        json_schema: ClassVar = {"anyOf": [{"required": [name]} for name in _CHANGEABLE]}

    title = title()
    mode = mode(allow_none=True)
    model = model(allow_none=True)
    system_prompt = system_prompt(allow_none=True)
    tags = tags()
    is_pinned = fields.Boolean()
    is_archived = fields.Boolean()
    details = Details(data_key="metadata")
    revision = revision()

    @validates_schema
    def check_something(self, data: dict[str, Any], **_: Any) -> None:
        if not data.keys() - {"revision"}:
            raise ValidationError("must name something to change.")


class ReadQuery(Schema):
    limit = limit(50)


class DeleteQuery(Schema):
    permanent = fields.Boolean(load_default=False)


class ConversationItem(Schema):
    id = fields.UUID(required=True)
    client_id = fields.String(
        required=True, allow_none=True, metadata={"description": "The client's own id for it."}
    )
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


class ListedConversation(ConversationItem):
    deleted_at = Timestamp(metadata={"description": "In the trash: when it came there."})


class ConversationRecord(ConversationItem):
    title_source = fields.String(required=True)
    active_leaf_id = fields.UUID(
        required=True,
        allow_none=True,
        metadata={"description": "The last message of the branch that is shown."},
    )
    system_prompt = fields.String(required=True, allow_none=True)
    metadata = fields.Dict(required=True)


class ConversationPage(Schema):
    conversations = fields.List(fields.Nested(ListedConversation), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class ConversationWithMessages(ConversationRecord):
    messages = fields.List(fields.Nested(Message), required=True)


class DeleteAnswer(Schema):
    success = fields.Boolean(required=True)
    id = fields.String(required=True)
    revision = fields.Integer(required=True, allow_none=True)
