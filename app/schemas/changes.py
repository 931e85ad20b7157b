from marshmallow import Schema, fields, validate

LONGEST_SECONDS = 3600


class ChangesQuery(Schema):
    seconds = fields.Integer(
        load_default=LONGEST_SECONDS,
        validate=validate.Range(0, LONGEST_SECONDS),
        metadata={"description": "How long to listen; after that, come again."},
    )


class ChangeEvent(Schema):
    """Documents what blueprints.changes writes: one of the events of a stream."""

    event = fields.String(
        required=True,
        validate=validate.OneOf(("state", "messages", "title", "branch", "changed", "deleted")),
    )
    id = fields.String(required=True, metadata={"pattern": "^[0-9]+-[0-9]+$"})
    data = fields.String(required=True, metadata={"contentMediaType": "application/json"})
