"""The weekly summary: one calendar week as a model, and its renderings, which say the same.

The same events give the same bytes, whenever they are asked for. docs/weekly.md describes it.
"""

from slo_engine.weekly.compose import weekly
from slo_engine.weekly.known import MOST_RESTATED, Known
from slo_engine.weekly.model import Audience, SloChange, WeeklySummary
from slo_engine.weekly.render import FORMATS, Format, rendered
from slo_engine.weekly.week import Week

__all__ = [
    "FORMATS",
    "MOST_RESTATED",
    "Audience",
    "Format",
    "Known",
    "SloChange",
    "Week",
    "WeeklySummary",
    "rendered",
    "weekly",
]
