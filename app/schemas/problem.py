from marshmallow import INCLUDE, Schema, fields

from .fields import Timestamp


class Fault(Schema):
    pointer = fields.String(
        required=True, metadata={"description": "A JSON pointer into the request (RFC 6901)."}
    )
    detail = fields.String(required=True)


class Problem(Schema):
    """Documents what blueprints.errors writes (RFC 9457)."""

    class Meta:
        unknown = INCLUDE

    type = fields.String(required=True, metadata={"format": "uri"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True, metadata={"description": "A sentence for people."})
    instance = fields.String(required=True, metadata={"format": "uri"})
    code = fields.String(required=True, metadata={"description": "A stable word for programs."})
    request_id = fields.String(required=True)
    errors = fields.List(fields.Nested(Fault), required=True)
    revision = fields.Integer(metadata={"description": "With 409 and 412: the current one."})
    reset_at = Timestamp(
        metadata={"description": "With 429: from when on trying again makes sense."}
    )
