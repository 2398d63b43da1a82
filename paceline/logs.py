"""Structured logs to standard error: text for people, JSON for machines. Sole importer of structlog."""

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
    """The log of the service. Credentials in URLs and mail addresses are cut out of every value."""
    # It takes a quarter of a second to import, and what prints a help text or a table writes no log.
    import structlog  # noqa: PLC0415

    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _redacted,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    log: Log = structlog.get_logger()
    return log


def _redacted(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = without_addresses(_CREDENTIALS.sub("//", value))
    return event
