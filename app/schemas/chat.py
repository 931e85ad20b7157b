from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from .fields import ClientId, ConversationReference, Details, Flag, Items, mode, model, spoken
from .messages import PARENT, Message
from .ui import UiRequest, is_ui

WIRES = ("text", "sse", "json", "ui")
EVENTS = (
    "message", "delta", "reasoning", "contexts", "step", "tool_call", "tool_result", "data", "done",
    "error",
)  # fmt: skip

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
    is_retry = Flag(
        data_key="retry",
        metadata={"description": "Asked again: an answer that was broken off is given anew."},
    )

    @validates_schema
    def check_message(self, data: dict[str, Any], **_: Any) -> None:
        if ("message" in data) == ("messages" in data):
            raise ValidationError("must be given, or messages, but not both.", "message")
        if "messages" in data:
            _check_last(data["messages"])


_chat, _ui = ChatRequest(), UiRequest()


class AskRequest(Schema):
    """A question in our own form, or, as `ui`, in the AI SDK's."""

    class Meta:
        any_of = (ChatRequest, UiRequest)

    def load(self, data: Any, **options: Any) -> Any:
        if is_ui(data):
            return {"ui": _ui.load(data)}
        return _chat.load(data, **options)


class RetryRequest(Schema):
    class Meta:
        may_be_absent = True

    client_message_id = ClientId()
    mode = mode()
    model = model()
    filters = Items(Details(), most=100, load_default=list)
    is_for_agent = Flag(
        data_key="agent", metadata={"description": "Whether whoever answers may call tools."}
    )


class ChatQuery(Schema):
    wire = fields.String(
        validate=validate.OneOf(WIRES),
        metadata={"description": "The form of the answer; else Accept decides, else the body."},
    )


class ResumeQuery(Schema):
    wire = fields.String(
        validate=validate.OneOf(("sse", "ui")),
        metadata={"description": "The form of the answer; else Accept decides, else it is ui."},
    )


class StopRequest(Schema):
    class Meta:
        may_be_absent = True

    message_id = ClientId(
        metadata={"description": "The answer that is meant: another one goes on then."}
    )


class StopAnswer(Schema):
    conversation_id = fields.UUID(required=True)
    stopped = fields.Integer(
        required=True, attribute="count", metadata={"description": "How many answers were ended."}
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
        validate=validate.OneOf(EVENTS),
    )
    id = fields.String(metadata={"description": "The message's id, a colon, and a number."})
    data = fields.String(required=True, metadata={"contentMediaType": "application/json"})


def _check_last(messages: list[dict[str, str]]) -> None:
    place, last = len(messages) - 1, messages[-1]
    if last["role"] != "user":
        raise ValidationError(
            {"messages": {place: {"role": ["must be user in the last message."]}}}
        )
    if not last["content"].strip():
        raise ValidationError({"messages": {place: {"content": ["must not be empty."]}}})
