"""Rules for names as the options of a family hold them: texts, each tried once. What they mean is a Pattern's."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from collector.patterns import Pattern


def _tried(text: str) -> str:
    if not text.strip("/ "):
        raise ValueError("an empty rule; expected a name, a glob such as shop-*, or a /regular expression/")
    try:
        Pattern(text).matches("")
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{error}; expected a regular expression between the slashes") from error
    return text


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


NameRule = Annotated[str, AfterValidator(_tried)]
"""A rule for names: an exact name, a glob, or a `/regular expression/`."""
NameRules = Annotated[tuple[NameRule, ...], BeforeValidator(_one_or_more)]
"""Rules for names, or one rule."""
