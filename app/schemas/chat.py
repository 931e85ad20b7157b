from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from .fields import ClientId, ConversationReference, Details, Items, mode, model, spoken
from .messages import PARENT, Message

WIRES = ("text", "sse", "json")


CHAT_EXAMPLE = {"message": "What should I see in Huế?", "client_message_id": "q-1"}


class SaidMessage(Schema):
    """One of the messages that existing clients send along. Only the last one counts."""

    class Meta:
        unknown = EXCLUDE

    role = fields.String(required=True)
    content = fields.String(required=True)


class ChatRequest(Schema):
    class Meta:
        json_schema: ClassVar = {"oneOf": [{"required": ["message"]}, {"required": ["messages"]}]}

    conversation_id = ConversationReference(
        allow_none=True,
        metadata={"description": "An id of ours, or a client's own: an unknown one is made."},
    )
    message = spoken()
    messages = Items(
        fields.Nested(SaidMessage),
        least=1,
        most=10_000,
        metadata={"description": "The last must be the user's; the history is the server's."},
    )
    parent_id = fields.UUID(allow_none=True, metadata=PARENT)
    client_message_id = ClientId()
    mode = mode()
    model = model()
    filters = Items(Details(), most=100, load_default=list)

    @validates_schema
    def check_message(self, data: dict[str, Any], **_: Any) -> None:
        if ("message" in data) == ("messages" in data):
            raise ValidationError("must be given, or messages, but not both.", "message")
        if "messages" in data:
            _check_last(data["messages"])


class RetryRequest(Schema):
    class Meta:
        may_be_absent = True

    client_message_id = ClientId()
    mode = mode()
    model = model()
    filters = Items(Details(), most=100, load_default=list)


class ChatQuery(Schema):
    wire = fields.String(
        validate=validate.OneOf(WIRES),
        metadata={"description": "The form of the answer; else Accept decides, else it is text."},
    )


class ChatAnswer(Schema):
    conversation_id = fields.UUID(required=True)
    user_message_id = fields.UUID(required=True)
    revision = fields.Integer(required=True)
    message = fields.Nested(Message, required=True)


class ChatEvent(Schema):
    """Documents what streaming.encoders writes: one of the events of a stream."""

    event = fields.String(
        required=True,
        validate=validate.OneOf(("message", "delta", "reasoning", "contexts", "done", "error")),
    )
    id = fields.String(required=True, metadata={"pattern": "^[0-9]+$"})
    data = fields.String(required=True, metadata={"contentMediaType": "application/json"})


def _check_last(messages: list[dict[str, str]]) -> None:
    place, last = len(messages) - 1, messages[-1]
    if last["role"] != "user":
        raise ValidationError(
            {"messages": {place: {"role": ["must be user in the last message."]}}}
        )
    if not last["content"].strip():
        raise ValidationError({"messages": {place: {"content": ["must not be empty."]}}})
