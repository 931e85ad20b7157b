from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from .fields import (
    ClientId,
    Details,
    Items,
    Timestamp,
    WholeNumber,
    limit,
    model,
    revision,
    spoken,
)
from .ui import UiMessagePage

APPEND_EXAMPLE = {
    "messages": [
        {"role": "user", "content": "And in Hội An?", "client_message_id": "q-2"},
        {"role": "assistant", "content": "The old town.", "client_message_id": "a-2"},
    ]
}
EDIT_EXAMPLE = {"content": "And in Hội An, in the rain?"}
PARENT = {"description": "The message that it follows; null: it begins anew, without any."}


class _Said(Schema):
    """What is said in a message."""

    content = spoken(required=True)
    client_message_id = ClientId()
    parts = Items(fields.Dict(keys=fields.String()), least=1, most=100)
    model = model()
    tokens_used = WholeNumber(validate=validate.Range(0, 2**31 - 1))
    metadata = Details()


class MessageCreate(_Said):
    role = fields.String(
        required=True, validate=validate.OneOf(("user", "assistant", "system", "tool"))
    )


class MessageEdit(_Said):
    revision = revision()


class Messages(Schema):
    """New messages, each with a client_message_id of its own if it has one."""

    @validates_schema
    def check_client_ids(self, data: dict[str, Any], **_: Any) -> None:
        given = [message.get("client_message_id") for message in data.get("messages", ())]
        named = [client_id for client_id in given if client_id]
        if len(set(named)) < len(named):
            raise ValidationError("must each have another client_message_id.", "messages")


class AppendRequest(Messages):
    messages = Items(fields.Nested(MessageCreate), least=1, most=100, required=True)
    parent_id = fields.UUID(allow_none=True, metadata=PARENT)


class MessagesQuery(Schema):
    limit = limit(50)
    before = fields.UUID(metadata={"description": "A message id: what was said before it."})
    after = fields.UUID(metadata={"description": "A message id: what was said after it."})

    @validates_schema
    def check_direction(self, data: dict[str, Any], **_: Any) -> None:
        if "before" in data and "after" in data:
            raise ValidationError("must not be given together with before.", "after")


class BranchQuery(MessagesQuery):
    branch = fields.String(
        load_default="active",
        validate=validate.OneOf(("active", "all")),
        metadata={"description": "The branch that is shown, or the whole tree."},
    )
    format = fields.String(
        validate=validate.OneOf(("ui",)),
        metadata={"description": "As the AI SDK's messages, for a client of its to begin with."},
    )


class ActiveLeaf(Schema):
    message_id = fields.UUID(
        required=True,
        metadata={"description": "A message of the branch: it is shown to its newest end."},
    )
    revision = revision()


class Message(Schema):
    """Documents what the cache and the runs write as JSON themselves (see transcript.Turn)."""

    id = fields.UUID(required=True)
    seq = fields.Integer(required=True)
    parent_id = fields.UUID(required=True, allow_none=True)
    is_active = fields.Boolean(
        required=True, metadata={"description": "Whether it is of the branch that is shown."}
    )
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


class MessagePage(Schema):
    messages = fields.List(fields.Nested(Message), required=True)
    next_cursor = fields.UUID(required=True, allow_none=True)


class MessagesAnswer(Schema):
    class Meta:
        any_of = (MessagePage, UiMessagePage)


class AppendAnswer(Schema):
    conversation_id = fields.UUID(required=True)
    revision = fields.Integer(required=True)
    messages = fields.List(fields.Nested(Message), required=True)


class MessageAnswer(Schema):
    conversation_id = fields.UUID(required=True)
    revision = fields.Integer(required=True)
    message = fields.Nested(Message, required=True)


class CutAnswer(Schema):
    success = fields.Boolean(required=True)
    conversation_id = fields.UUID(required=True)
    revision = fields.Integer(required=True)
    deleted = fields.Integer(
        required=True, metadata={"description": "How many messages went: it and what followed."}
    )
    active_leaf_id = fields.UUID(required=True, allow_none=True)
