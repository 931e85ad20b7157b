"""The house timestamp: aware, UTC, whole milliseconds; on the wire `2026-11-21T10:00:00.123Z`."""

from datetime import UTC, datetime


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
