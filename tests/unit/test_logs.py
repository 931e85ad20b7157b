"""Lines of JSON: the short way to one writes what the long way would."""

import io
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import uuid4

import pytest
import structlog

from app.logs import _SHARED, ShortWay, _handler, _JsonLines, _last_step


@pytest.fixture
def long_way():
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    render = structlog.processors.JSONRenderer(separators=(",", ":"))
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED, processors=[remove, render]
    )


def record(message, **extra):
    made = logging.LogRecord("tests", logging.INFO, "file.py", 1, message, (), None)
    vars(made).update(extra)
    return made


EVENTS = {
    "request": {"status": 200, "duration_ms": 0.4, "route": None, "count": True},
    "plain text": {"words": 'A "line"\n of\t\x00 ASCII \x1b'},
    "text": {"words": "Huế \u2028 👩 \x9b"},
    "half a character": {"words": "\ud800"},
    "objects": {"id": uuid4(), "at": datetime.now(UTC), "nested": {"set": {1}}},
    "keys": {"keys": {1: "one", None: "none"}, "where": ["a.py:1 f"]},
    "large number": {"value": 2**80},
}
EVENTS = {name: {**event, "event": name, "level": "info"} for name, event in EVENTS.items()}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_an_event_is_written_as_the_long_way_writes_it(long_way, event):
    ours = {"_logger": logging.getLogger("tests"), "_name": "info"}
    line = _JsonLines().format(record(event, **ours))
    assert line == long_way.format(record(event, **ours))
    assert line.isascii()
    assert "\n" not in line


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_the_short_way_writes_what_the_long_way_writes(long_way, event):
    ours = {"_logger": logging.getLogger("tests"), "_name": "info"}
    with alone() as (log, _, lines):
        log.info(**{name: value for name, value in event.items() if name != "level"})
        assert lines() == [long_way.format(record(event, **ours))]


@pytest.mark.parametrize("message", ["plain", {"event": "a dict of somebody else's"}])
def test_what_others_log_is_told_apart(message):
    written = json.loads(_JsonLines().format(record(message)))
    assert written["event"] == str(message)
    assert written.keys() == {"event", "level", "timestamp", "logger"}


class Ears(logging.Handler):
    """Hears records."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def emit(self, record):
        self.heard.append(record.msg)


@contextmanager
def alone():
    """A logger whose events one handler alone hears, the handler, and the lines that it wrote."""
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(_JsonLines())
    before = logging.root.handlers, logging.root.level
    logging.root.handlers, logging.root.level = [handler], logging.INFO
    steps = [structlog.stdlib.add_log_level, ShortWay(handler)]
    logger = logging.getLogger(f"tests.{uuid4().hex}")
    log = structlog.wrap_logger(logger, steps, structlog.stdlib.BoundLogger)
    try:
        yield log, handler, lambda: handler.stream.getvalue().splitlines()
    finally:
        logging.root.handlers, logging.root.level = before


def test_an_event_that_one_handler_hears_is_written_without_a_record(monkeypatch):
    with alone() as (log, _, lines):
        monkeypatch.delattr(logging.Logger, "makeRecord")
        log.info("request", status=200)
        log.error("broken")
        assert list(map(json.loads, lines())) == [
            {"status": 200, "event": "request", "level": "info"},
            {"event": "broken", "level": "error"},
        ]


def test_what_is_below_the_level_is_not_written():
    with alone() as (log, _, lines):
        log.debug("detail")
        logging.disable(logging.WARNING)
        log.info("request")
        logging.disable(logging.NOTSET)
        assert lines() == []


@pytest.mark.parametrize("place", ["root", "between"])
def test_whoever_listens_as_well_hears_a_record(place):
    with alone() as (log, _, lines):
        source, ears = logging.root if place == "root" else logging.getLogger("tests"), Ears()
        source.addHandler(ears)
        log.info("request", status=200)
        source.removeHandler(ears)
        assert ears.heard == [{"status": 200, "event": "request", "level": "info"}]
        assert len(lines()) == 1


def test_whoever_filters_is_asked():
    with alone() as (log, handler, lines):
        handler.addFilter(lambda record: record.msg["event"] == "wanted")
        log.info("request")
        log.info("wanted")
        assert [json.loads(line)["event"] for line in lines()] == ["wanted"]


def test_what_is_no_plain_json_is_written_all_the_same():
    with alone() as (log, _, lines):
        log.info("odd", thing={1})
        assert json.loads(lines()[0])["thing"] == "{1}"


def test_a_closed_stream_fails_nobody(monkeypatch):
    with alone() as (log, handler, _):
        monkeypatch.setattr(logging, "raiseExceptions", False)
        handler.stream.close()
        log.info("request")


def test_many_threads_write_whole_lines():
    with alone() as (log, _, lines):
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda number: log.info("request", number=number), range(400)))
        assert {json.loads(line)["number"] for line in lines()} == set(range(400))


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_only_lines_of_json_to_the_output_go_the_short_way(log_format, tmp_path):
    written = SimpleNamespace(log_format=log_format, log_file=None)
    filed = SimpleNamespace(log_format=log_format, log_file=str(tmp_path / "log"))
    assert isinstance(_last_step(_handler(written)), ShortWay) is (log_format == "json")
    handler = _handler(filed)
    assert not isinstance(_last_step(handler), ShortWay)
    handler.close()
