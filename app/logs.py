"""Structured logs. Only an application of our own sets them up: a host has its own."""

import json
import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from typing import Any

import orjson
import structlog

from .settings import Settings

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_LEVELS = {name.lower(): level for name, level in logging.getLevelNamesMapping().items()}
_LEVELS["exception"] = logging.ERROR
_as_record = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
_COMPACT = (",", ":")
_SIMPLE = frozenset({str, int, float, bool, type(None)})
_PLAIN = structlog.processors.KeyValueRenderer(key_order=["event"])


class _JsonLines(structlog.stdlib.ProcessorFormatter):
    """Events of ours, as they are, and others' records.

    What holds nothing but plain JSON needs neither a copy nor a way for the rest.
    """

    def __init__(self) -> None:
        remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        render = structlog.processors.JSONRenderer(separators=_COMPACT)
        processors: list[Any] = [remove, render]
        super().__init__(foreign_pre_chain=_SHARED, processors=processors)

    def format(self, record: logging.LogRecord) -> str:
        if hasattr(record, "_logger") and isinstance(record.msg, dict):
            with suppress(TypeError):
                return _as_json(record.msg)
        return super().format(record)


class ShortWay:
    """Hands an event to the one handler that hears it, without the record that logging would make.

    A record costs more than all else about a line. Whoever else listens, filters or formats gets
    one all the same, and so does an event that is no plain JSON.
    """

    def __init__(self, handler: "logging.StreamHandler[Any]") -> None:
        """`handler` writes JSON."""
        self._handler = handler
        self._formatter = handler.formatter

    def __call__(self, logger: logging.Logger, name: str, event: Any) -> Any:
        if not self._is_alone(logger):
            return _as_record(logger, name, event)
        if logger.isEnabledFor(_LEVELS[name]):
            try:
                self._write(_as_json(event))
            except (TypeError, ValueError, OSError):  # no JSON, or nobody to write to
                return _as_record(logger, name, event)
        raise structlog.DropEvent

    def _is_alone(self, logger: logging.Logger) -> bool:
        handler = self._handler
        if logger.filters or handler.filters or handler.formatter is not self._formatter:
            return False
        source: logging.Logger | None = logger
        while source and source.propagate and source.parent and not source.handlers:
            source = source.parent
        return source is logging.root and source.handlers == [handler]

    def _write(self, line: str) -> None:
        self._handler.acquire()
        try:
            self._handler.stream.write(f"{line}\n")
            self._handler.flush()
        finally:
            self._handler.release()


def _as_json(event: Mapping[str, Any]) -> str:
    """What json.dumps makes of it; sooner, where nothing has to be escaped and nothing is odd."""
    if all(type(value) in _SIMPLE for value in event.values()):
        with suppress(TypeError):  # a lone surrogate, or a number beyond 64 bits
            line = orjson.dumps(event)
            if line.isascii():
                return line.decode()
    return json.dumps(event, separators=_COMPACT)


def configure_logs(settings: Settings) -> None:
    """Sends everything to stdout, or to LOG_FILE (rotated), as JSON or as text."""
    handler = _handler(settings)
    structlog.configure(
        processors=[*_SHARED, _last_step(handler)],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    for chatty in ("httpx2", "httpcore2", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def join_logs() -> None:
    """Sends what we log to the host's logging, unless the host has structlog set up its way."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[structlog.stdlib.filter_by_level, *_SHARED[:1], _PLAIN],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )


def _handler(settings: Settings) -> logging.Handler:
    handler: logging.Handler = logging.StreamHandler(sys.stdout)
    if settings.log_file:
        handler = RotatingFileHandler(settings.log_file, maxBytes=50_000_000, backupCount=5)
    handler.setFormatter(_JsonLines() if settings.log_format == "json" else _text_lines(settings))
    return handler


def _last_step(handler: logging.Handler) -> Any:
    """What hands events to logging. A file may have to be changed for the next one before."""
    if type(handler) is logging.StreamHandler and isinstance(handler.formatter, _JsonLines):
        return ShortWay(handler)
    return _as_record


def _text_lines(settings: Settings) -> logging.Formatter:
    renderer = structlog.dev.ConsoleRenderer(
        colors=not settings.log_file and sys.stdout.isatty(),
        # Where Rich is installed, the default one shows local variables: what people said.
        exception_formatter=structlog.dev.plain_traceback,
    )
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED, processors=[remove, renderer]
    )
