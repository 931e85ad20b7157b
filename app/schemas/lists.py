"""Lists of conversations: what narrows them, and one change to many."""

from typing import Any, ClassVar, get_args

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from ..services.bulk import Action, Change
from ..services.lists import ListFilter
from .fields import ConversationReference, Edge, Items, limit, mode, tags

BULK_EXAMPLE = {"action": "tag", "tags": ["travel"], "ids": ["chat-1", "chat-2"]}
_TAGGING = ("tag", "untag")
_STATUSES = ("done", "unchanged", "not_found", "refused")


class ConversationFilter(Schema):
    """All that is given must be so."""

    archived = fields.Boolean(
        attribute="is_archived",
        metadata={"description": "Those that are, or, as by default outside the trash, are not."},
    )
    pinned = fields.Boolean(attribute="is_pinned")
    tag = fields.String(validate=[validate.Length(1, 100), validate.ContainsNoneOf("\0")])
    mode = mode()
    since = Edge(data_key="from")
    until = Edge(data_key="to", is_end=True)
    q = fields.String(
        attribute="title",
        validate=validate.Length(max=1000),
        metadata={"description": "Words of the title; the last one may be just its beginning."},
    )
    trashed = fields.Boolean(
        attribute="is_trashed", metadata={"description": "What lies in the trash instead."}
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        return ListFilter(**data)


class ListQuery(ConversationFilter):
    pinned_first = fields.Boolean(attribute="is_pinned_first", load_default=False)
    limit = limit(20)
    cursor = fields.String(validate=validate.Length(1, 200))

    @validates_schema
    def check_order(self, data: dict[str, Any], **_: Any) -> None:
        if data["is_pinned_first"] and data.get("is_trashed"):
            raise ValidationError("must not be given together with trashed.", "pinned_first")

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        """What ListService.page takes."""
        own = ("limit", "cursor", "is_pinned_first")
        given = {name: data.pop(name) for name in own if name in data}
        return {"wanted": ListFilter(**data), **given}


class BulkFilter(ConversationFilter):
    class Meta:
        json_schema: ClassVar = {"minProperties": 1}

    @validates_schema
    def check_something(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("must name something.")


class BulkRequest(Schema):
    class Meta:
        json_schema: ClassVar = {"oneOf": [{"required": ["ids"]}, {"required": ["filter"]}]}

    action = fields.String(required=True, validate=validate.OneOf(get_args(Action)))
    ids = Items(
        ConversationReference(),
        least=1,
        most=100,
        metadata={"description": "Ids of ours, or the client's own."},
    )
    filter = fields.Nested(BulkFilter)
    tags = tags(least=1, metadata={"description": "For tag and untag, and for these alone."})

    @validates_schema
    def check_choice(self, data: dict[str, Any], **_: Any) -> None:
        if ("ids" in data) == ("filter" in data):
            raise ValidationError("must be given, or filter; not both.", "ids")
        if ("tags" in data) != (data["action"] in _TAGGING):
            raise ValidationError("must be given to tag and untag, and to nothing else.", "tags")

    @validates_schema
    def check_trash(self, data: dict[str, Any], **_: Any) -> None:
        chosen, action = data.get("filter"), data["action"]
        if chosen is None or action == "delete":
            return
        if chosen.is_trashed != (action == "restore"):
            fault = {"trashed": ["must be true to restore, and to do nothing else but delete."]}
            raise ValidationError({"filter": fault})

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """What BulkService's methods take: `change`, and `references` or `wanted`."""
        change = Change(data["action"], tuple(dict.fromkeys(data.get("tags", ()))))
        if "ids" in data:
            return {"change": change, "references": data["ids"]}
        return {"change": change, "wanted": data["filter"]}


class BulkOutcome(Schema):
    id = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(_STATUSES))
    revision = fields.Integer(required=True, allow_none=True)
    detail = fields.String(
        required=True, allow_none=True, metadata={"description": "Why it was refused."}
    )


class BulkAnswer(Schema):
    results = fields.List(fields.Nested(BulkOutcome), required=True)
    has_more = fields.Boolean(
        required=True, metadata={"description": "Whether the same again would change more."}
    )
