"""Structured logs to standard error: text for people, JSON for machines. Sole importer of structlog.

What libraries say by Python's own logging, and its warnings, go the same way and look the same.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, Protocol

from paceline.privacy import without_addresses

_CREDENTIALS = re.compile(r"//[^/@\s]+@")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Log(Protocol):
    """What the service writes its log with: an event, and what belongs to it as keywords."""

    def info(self, event: str, **values: Any) -> None:
        """Something went as it should."""

    def warning(self, event: str, **values: Any) -> None:
        """Something needs a look, the service goes on."""

    def error(self, event: str, **values: Any) -> None:
        """Something failed."""


def configure(level: Literal["debug", "info", "warning", "error"], form: Literal["json", "text"]) -> Log:
    """The log of the service. Credentials in URLs and mail addresses are cut out of every value.

    Of libraries, warnings and what is worse are told, or errors alone where that is the level.
    """
    # It takes a quarter of a second to import, and what prints a help text or a table writes no log.
    import structlog  # noqa: PLC0415

    stream = sys.stderr
    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=24,
            exception_formatter=structlog.dev.plain_traceback,  # the usual one shows what variables hold
        )
    )
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redacted,
        renderer,
    ]
    foreign: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *processors]
    _take_over(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[structlog.stdlib.add_logger_name], processors=foreign),
        max(_LEVELS[level], logging.WARNING),
    )
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        # Where it has been closed since, what standard error is by then.
        logger_factory=lambda *_of: structlog.PrintLogger(sys.stderr if stream.closed else stream),
        cache_logger_on_first_use=False,
    )
    log: Log = structlog.get_logger()
    return log


class _ToStandardError(logging.Handler):
    """Writes to what standard error is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        try:
            print(self.format(record), file=sys.stderr, flush=True)  # noqa: T201 - this is where it is written
        except (OSError, TypeError, ValueError):  # nobody reads it, or it does not fit its values: it ends nothing
            self.handleError(record)


def _take_over(formatter: logging.Formatter, level: int) -> None:
    """Have all that libraries log written by one handler; an earlier one of ours is replaced."""
    handler, root = _ToStandardError(), logging.getLogger()
    handler.setFormatter(formatter)
    handler.setLevel(level)
    for old in [one for one in root.handlers if isinstance(one, _ToStandardError)]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.captureWarnings(capture=True)


def _redacted(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = without_addresses(_CREDENTIALS.sub("//", value))
    return event
