from marshmallow import Schema, fields, validate


class Life(Schema):
    status = fields.String(required=True, validate=validate.OneOf(("ok",)))


class Readiness(Schema):
    status = fields.String(required=True, validate=validate.OneOf(("ok", "unavailable")))
    database = fields.String(required=True, validate=validate.OneOf(("ok", "away")))
    migrations = fields.String(required=True, validate=validate.OneOf(("ok", "behind", "unknown")))
    redis = fields.String(required=True, validate=validate.OneOf(("ok", "away", "off")))


class Version(Schema):
    version = fields.String(required=True)
