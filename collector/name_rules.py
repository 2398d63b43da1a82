"""Rules for names as settings take them: one or a list of exact names, globs, `/regular expressions/`, each checked."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from collector.patterns import Pattern

_ENDLESS = re.compile(r"(?<!\\)\((?:\?:|\?P<\w+>)?(?:\\.|\[[^\]]*\]|[^\\()\[|])[+*]\??\)[+*{]")
"""Such as `(a+)+`: how many ways there are to read a name doubles with each of its characters."""


def checked_rule(text: str) -> str:
    """The text of a rule. Raises ValueError for an empty one, and for what is no regular expression."""
    if not text.strip("/ "):
        raise ValueError("an empty rule; expected a name, a glob such as shop-*, or a /regular expression/")
    try:
        Pattern(text).matches("")
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{error}; expected a regular expression between the slashes") from error
    if Pattern(text).rank == 2 and _ENDLESS.search(text):  # noqa: PLR2004 - the rank of an expression
        raise ValueError("a repetition of nothing but a repetition may take for ever; expected one of the two")
    return text


def one_or_more(value: object) -> object:
    """A list of texts, of one text too."""
    return [value] if isinstance(value, str) else value


NameRule = Annotated[str, AfterValidator(checked_rule)]
"""A rule for names."""
NameRules = Annotated[list[NameRule], BeforeValidator(one_or_more)]
"""Rules for names, or one rule."""
