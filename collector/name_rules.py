"""Rules for names as settings take them: one or a list of exact names, globs, `/regular expressions/`, each checked."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from collector.backtracking import MOST_SHARING, Cost, cost
from collector.patterns import Pattern


def checked_rule(text: str) -> str:
    """The text of a rule. Raises ValueError for an empty one, and for what is no regular expression."""
    if not text.strip("/ "):
        raise ValueError("an empty rule; expected a name, a glob such as shop-*, or a /regular expression/")
    try:
        Pattern(text).matches("")
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{error}; expected a regular expression between the slashes") from error
    refuse_endless(Pattern(text).cost)
    return text


def checked_expression(text: str) -> str:
    """The text of a regular expression. Raises ValueError for what is none, and for one that may take for ever."""
    try:
        re.compile(text)
        found = cost(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{error}; expected a regular expression") from None
    refuse_endless(found)
    return text


def refuse_endless(found: Cost) -> None:
    """Raises ValueError where an expression may take for ever."""
    if found.endless:
        raise ValueError(
            "what is repeated can be read in several ways, so it may take for ever; expected one way, such as (a|b)* "
            "or ([^,]*,)*"
        )
    if found.sharing > MOST_SHARING:
        raise ValueError(
            f"{found.sharing} repetitions can share a text, which may take for ever; expected at most {MOST_SHARING}, "
            "or other characters between them"
        )


def one_or_more(value: object) -> object:
    """A list of texts, of one text too."""
    return [value] if isinstance(value, str) else value


NameRule = Annotated[str, AfterValidator(checked_rule)]
"""A rule for names."""
NameRules = Annotated[list[NameRule], BeforeValidator(one_or_more)]
"""Rules for names, or one rule."""
