"""The renderings of a weekly summary by the names of their formats. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, get_args

from slo_engine.weekly.as_json import as_json
from slo_engine.weekly.html import html
from slo_engine.weekly.markdown import markdown
from slo_engine.weekly.model import WeeklySummary
from slo_engine.weekly.slack import slack
from slo_engine.weekly.text import plain_text

Format = Literal["markdown", "html", "text", "slack", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)
_RENDERINGS: Mapping[Format, Callable[[WeeklySummary], str]] = MappingProxyType(
    {"markdown": markdown, "html": html, "text": plain_text, "slack": slack, "json": as_json}
)


def rendered(summary: WeeklySummary, form: Format) -> str:
    """A summary in a format; it ends with a line break."""
    return _RENDERINGS[form](summary)
