"""Lines of JSON: the short way to one writes what the long way would."""

import json
import logging
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import structlog

from app.logs import _SHARED, _JsonLines


@pytest.fixture
def long_way():
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED, processors=[remove, structlog.processors.JSONRenderer()]
    )


def record(message, **extra):
    made = logging.LogRecord("tests", logging.INFO, "file.py", 1, message, (), None)
    vars(made).update(extra)
    return made


@pytest.mark.parametrize(
    "event",
    [
        {"event": "request", "status": 200, "duration_ms": 0.4, "route": None, "count": True},
        {"event": "said", "words": "Huế \u2028 👩 \ud800 \x00"},
        {"event": "odd", "id": uuid4(), "at": datetime.now(UTC), "nested": {"set": {1}}},
        {"event": "odd", "keys": {1: "one", None: "none"}, "where": ["a.py:1 f"]},
        {"event": "number", "value": float("nan")},
    ],
    ids=["request", "text", "objects", "keys", "number"],
)
def test_an_event_is_written_as_the_long_way_writes_it(long_way, event):
    ours = {"_logger": logging.getLogger("tests"), "_name": "info"}
    line = _JsonLines().format(record(event, **ours))
    assert line == long_way.format(record(event, **ours))
    assert line.isascii()
    assert "\n" not in line


@pytest.mark.parametrize("message", ["plain", {"event": "a dict of somebody else's"}])
def test_what_others_log_is_told_apart(message):
    written = json.loads(_JsonLines().format(record(message)))
    assert written["event"] == str(message)
    assert written.keys() == {"event", "level", "timestamp", "logger"}
