"""The house timestamp: aware, UTC, whole milliseconds; on the wire `2026-11-21T10:00:00.123Z`."""

import re
from datetime import UTC, datetime, timedelta

EDGE = (
    "^[12][0-9]{3}-[0-9]{2}-[0-9]{2}"
    r"(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2}))?$"
)
"""Where a period begins or ends: a date, or a timestamp that says how far it is from UTC."""


def now() -> datetime:
    """The time now, cut to milliseconds, so that what is stored equals what is shown."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def midnight() -> datetime:
    """When this day began, UTC."""
    return now().replace(hour=0, minute=0, second=0, microsecond=0)


def timestamp(moment: datetime) -> str:
    """Exactly `YYYY-MM-DDTHH:MM:SS.mmmZ`, as strict JavaScript clients expect it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """The moment that a house timestamp names; ValueError when it is not one."""
    return datetime.fromisoformat(text)


def parse_edge(text: str, *, is_end: bool = False) -> datetime:
    """The moment that a timestamp names, or at which a date (UTC) begins; or, `is_end`, is over.

    ValueError that says what is wanted.
    """
    try:
        moment = datetime.fromisoformat(text) if re.fullmatch(EDGE, text) else None
    except ValueError:  # the 31st of February
        moment = None
    if moment is None:
        raise ValueError("must be a date, or a timestamp with Z or an offset.")
    if moment.tzinfo:
        return moment.astimezone(UTC)
    return moment.replace(tzinfo=UTC) + timedelta(days=is_end)
