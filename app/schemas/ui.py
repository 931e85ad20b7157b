"""What clients of the AI SDK send (DefaultChatTransport, and its documented slim form), and get."""

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from .fields import ClientId, ConversationReference, Details, Items, mode, model

UI_EXAMPLE = {
    "id": "trip-1",
    "message": {
        "id": "9C5QTtA8lMeNU0Kb",
        "role": "user",
        "parts": [{"type": "text", "text": "What should I see in Huế?"}],
    },
    "trigger": "submit-message",
}
AGAIN = "regenerate-message"
_TRIGGERS = ("submit-message", AGAIN)
_ON_THE_SERVER = "must be the user's: tools run, and are approved, on the server."


class Last(Items):
    """A list of which only the last item counts: no other is looked at."""

    def _deserialize(self, value: Any, *_: Any, **kwargs: Any) -> Any:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        self._check_length(value)
        try:
            return [self.inner.deserialize(value[-1], **kwargs)]
        except ValidationError as error:
            raise ValidationError({len(value) - 1: error.messages}) from None


class UiSaid(Schema):
    """A UIMessage as its client writes it; its parts are kept as they are."""

    class Meta:
        unknown = EXCLUDE

    id = ClientId()
    role = fields.String(required=True)
    parts = Items(fields.Dict(keys=fields.String()), most=100, required=True)
    metadata = Details(allow_none=True)

    @validates_schema
    def check_said(self, data: dict[str, Any], **_: Any) -> None:
        if data["role"] == "user" and not text_of(data["parts"]).strip():
            raise ValidationError("must hold a text that is not empty.", "parts")


class UiRequest(Schema):
    """What else it holds is ignored: hosts add to it what they like."""

    class Meta:
        unknown = EXCLUDE
        json_schema: ClassVar = {
            "anyOf": [{"required": ["trigger"]}, {"required": ["message"]}],
        }

    id = ConversationReference(
        allow_none=True,
        metadata={"description": "An id of ours, or the client's own: an unknown one is made."},
    )
    messages = Last(
        fields.Nested(UiSaid),
        least=1,
        most=10_000,
        metadata={"description": "Only the last counts; the history is the server's."},
    )
    message = fields.Nested(UiSaid)
    trigger = fields.String(validate=validate.OneOf(_TRIGGERS), load_default=_TRIGGERS[0])
    message_id = ClientId(
        data_key="messageId",
        allow_none=True,
        metadata={"description": "The message to edit, or to answer anew."},
    )
    mode = mode()
    model = model()
    filters = Items(Details(), most=100, load_default=list)

    @validates_schema
    def check_message(self, data: dict[str, Any], **_: Any) -> None:
        if data["trigger"] == AGAIN:
            return
        if "message" not in data and "messages" not in data:
            raise ValidationError("must be given, or messages.", "message")
        if said_in(data)["role"] != "user":
            raise ValidationError(_ON_THE_SERVER, "message" if "message" in data else "messages")


class UiMessage(Schema):
    """Documents what streaming.ui writes: a UIMessage."""

    id = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(("user", "assistant", "system")))
    metadata = fields.Dict(required=True)
    parts = fields.List(fields.Dict(), required=True)


class UiMessagePage(Schema):
    messages = fields.List(fields.Nested(UiMessage), required=True)
    next_cursor = fields.UUID(required=True, allow_none=True)


def is_ui(body: object) -> bool:
    """Whether a body is an AI SDK's: it has a trigger, or its last message has parts alone."""
    if not isinstance(body, Mapping):
        return False
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else body.get("message")
    has_parts = isinstance(last, Mapping) and "parts" in last and "content" not in last
    return "trigger" in body or has_parts


def said_in(body: Mapping[str, Any]) -> Any:
    """The message of a loaded request, the last one; None when it has none."""
    return body.get("message") or next(iter(body.get("messages", ())), None)


def text_of(parts: list[Mapping[str, Any]]) -> str:
    """What a message says: its text parts, joined as the AI SDK joins them."""
    texts = (part.get("text") for part in parts if part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str))
