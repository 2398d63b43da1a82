"""A weekly summary as JSON: the model of docs/weekly.md, its keys in one order. Pure."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from slo_engine.weekly.model import WeeklySummary

_DIGITS = 9
"""So many decimals of a number are kept: beyond them stands what floating point leaves."""


def as_json(summary: WeeklySummary) -> str:
    """The summary as indented JSON. What has no value is null; shares are 0 to 1, durations seconds, times UTC."""
    return json.dumps(_rounded(msgspec.to_builtins(summary)), ensure_ascii=False, indent=2) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, (list, tuple)) else value
