from datetime import UTC, datetime, timedelta, timezone

from app.clock import now, parse, timestamp


def test_a_timestamp_has_exactly_milliseconds_and_z():
    assert timestamp(datetime(2026, 11, 21, 10, tzinfo=UTC)) == "2026-11-21T10:00:00.000Z"
    hanoi = timezone(timedelta(hours=7))
    assert timestamp(datetime(2026, 1, 1, 6, 0, 0, 123999, hanoi)) == "2025-12-31T23:00:00.123Z"


def test_now_survives_its_own_spelling():
    moment = now()
    assert parse(timestamp(moment)) == moment
