"""Rules for names as the options of a family hold them: texts, each tried once. What they mean is a Pattern's."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from collector.name_rules import NameRule

__all__ = ["NameRule", "NameRules"]


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


NameRules = Annotated[tuple[NameRule, ...], BeforeValidator(_one_or_more)]
"""Rules for names, or one rule."""
