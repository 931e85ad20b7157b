"""Structured logs. Only an application of our own sets them up: a host has its own."""

import json
import logging
import sys
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from typing import Any

import structlog

from .settings import Settings

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_PLAIN = structlog.processors.KeyValueRenderer(key_order=["event"])


class _JsonLines(structlog.stdlib.ProcessorFormatter):
    """Events of ours, as they are, and others' records.

    What holds nothing but plain JSON needs neither a copy nor a way for the rest.
    """

    def __init__(self) -> None:
        remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        processors: list[Any] = [remove, structlog.processors.JSONRenderer()]
        super().__init__(foreign_pre_chain=_SHARED, processors=processors)

    def format(self, record: logging.LogRecord) -> str:
        if hasattr(record, "_logger") and isinstance(record.msg, dict):
            with suppress(TypeError):
                return json.dumps(record.msg)
        return super().format(record)


def configure_logs(settings: Settings) -> None:
    """Sends everything to stdout, or to LOG_FILE (rotated), as JSON or as text."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_handler(settings)], level=settings.log_level, force=True)
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
