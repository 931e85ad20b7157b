from typing import Any

from marshmallow import Schema, fields

from ..clock import EDGE
from .fields import Timestamp


def _moment(name: str, meaning: str) -> fields.String:
    return fields.String(data_key=name, metadata={"pattern": EDGE, "description": meaning})


class StatsQuery(Schema):
    first = _moment("from", "A date or timestamp; by default 30 days before `to`.")
    last = _moment("to", "A date, included, or a timestamp, excluded; by default today.")


class PercentilesRecord(Schema):
    p50 = fields.Integer(required=True)
    p90 = fields.Integer(required=True)
    p95 = fields.Integer(required=True)
    p99 = fields.Integer(required=True)


def _percentiles() -> fields.Nested:
    return fields.Nested(PercentilesRecord, required=True, allow_none=True)


def _name(**kwargs: Any) -> fields.String:
    return fields.String(attribute="name", required=True, **kwargs)


class QuestionTotal(Schema):
    questions = fields.Integer(required=True)
    complete = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    interrupted = fields.Integer(required=True)
    cancelled = fields.Integer(required=True)
    tokens = fields.Integer(required=True)
    first_token_ms = _percentiles()
    response_time_ms = _percentiles()


class DayTotal(QuestionTotal):
    day = _name(metadata={"format": "date"})


class ModeTotal(QuestionTotal):
    mode = _name(allow_none=True)


class ModelTotal(QuestionTotal):
    model = _name(allow_none=True)


class StoredRecord(Schema):
    conversations = fields.Integer(required=True)
    archived = fields.Integer(required=True)
    trashed = fields.Integer(required=True)
    messages = fields.Integer(required=True)


class StatsAnswer(Schema):
    since = Timestamp(data_key="from", attribute="period.since", required=True)
    until = Timestamp(data_key="to", attribute="period.until", required=True)
    total = fields.Nested(QuestionTotal, attribute="questions.total", required=True)
    by_day = fields.List(fields.Nested(DayTotal), attribute="questions.by.day", required=True)
    by_mode = fields.List(fields.Nested(ModeTotal), attribute="questions.by.mode", required=True)
    by_model = fields.List(fields.Nested(ModelTotal), attribute="questions.by.model", required=True)
    stored = fields.Nested(StoredRecord, required=True)
