from typing import Any

from marshmallow import Schema, fields, post_load, validate

from ..services.search import Search
from .fields import ConversationReference, Edge, Timestamp, limit

_ROLES = ("user", "assistant", "system", "tool")
_LANGUAGE = (
    'Words, "phrases in their order", OR, -minus, beginnings*. Case and accents make no difference.'
)


class SearchRequest(Schema):
    q = fields.String(
        required=True,
        attribute="text",
        validate=validate.Length(max=1000),
        metadata={"description": _LANGUAGE},
    )
    conversation = ConversationReference(
        metadata={"description": "In this conversation alone: its id, or the client's own."}
    )
    role = fields.String(
        validate=validate.OneOf(_ROLES),
        metadata={"description": "What they said alone, and no titles."},
    )
    tag = fields.String(validate=[validate.Length(1, 100), validate.ContainsNoneOf("\0")])
    since = Edge(data_key="from")
    until = Edge(data_key="to", is_end=True)
    limit = limit(20)
    cursor = fields.String(validate=validate.Length(1, 200))

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """What SearchService.search takes."""
        limit, cursor = data.pop("limit"), data.pop("cursor", None)
        return {"search": Search(**data), "limit": limit, "cursor": cursor}


class SearchHit(Schema):
    kind = fields.String(required=True, validate=validate.OneOf(("message", "title")))
    conversation_id = fields.UUID(required=True)
    title = fields.String(required=True, allow_none=True)
    message_id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "Null when a title was found."}
    )
    role = fields.String(required=True, allow_none=True)
    is_active = fields.Boolean(
        required=True, metadata={"description": "False: in a branch that is not shown now."}
    )
    snippet = fields.String(
        required=True,
        metadata={"description": "Safe HTML: what was found stands in <mark>…</mark>."},
    )
    created_at = Timestamp(required=True)
    rank = fields.Float(required=True, metadata={"description": "Higher fits better."})


class SearchAnswer(Schema):
    results = fields.List(fields.Nested(SearchHit), required=True)
    next_cursor = fields.String(required=True, allow_none=True)
