"""Expressions that say where in a JSON answer something stands: JMESPath, checked when they are read. Sole importer.

An expression has no loops but those over what it is given, its text is short, and it may repeat what it is given only
so often, so its work is bounded by the answer.
Messages name the expression and the place in it, never a value that it was given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import jmespath
from jmespath import exceptions, functions
from pydantic import AfterValidator

_LONGEST = 1_000
_MOST_COPIES = 1_000
_COPYING = frozenset({"multi_select_list", "multi_select_dict"})
_FUNCTIONS = functions.Functions().FUNCTION_TABLE
_PLACE = re.compile(r"\{([^{}]*)\}")


class NoResultError(Exception):
    """What an expression was given cannot be taken by it; says which expression, without the value."""


@dataclass(frozen=True)
class Expression:
    """A JMESPath expression. Raises ValueError, with the place, where the text is none."""

    text: str

    def __post_init__(self) -> None:
        _compiled(self.text)

    def of(self, value: Any) -> Any:
        """What it finds in a value; None where there is nothing. Raises NoResultError."""
        try:
            return _compiled(self.text).search(value)
        except (exceptions.JMESPathError, RecursionError, TypeError, ValueError, AttributeError, OverflowError):
            # `from None`: the library's message quotes the value.
            raise NoResultError(f"`{self.text}` does not take what stands there") from None

    def holds(self, value: Any) -> bool:
        """Whether it finds something that is true to JMESPath: not false, null, nor empty. Raises NoResultError."""
        found = self.of(value)
        return found is not None and found is not False and found not in ("", [], {})


@dataclass(frozen=True)
class Template:
    """A text with expressions between braces: `run/{id}`. Raises ValueError where one is none."""

    text: str

    def __post_init__(self) -> None:
        for one in self.expressions():
            _compiled(one.text)
        if set(_PLACE.sub("", self.text)) & {"{", "}"}:
            raise ValueError(f"a brace of {self.text!r} has no partner; expected a text such as run/{{id}}")

    def expressions(self) -> Iterator[Expression]:
        """The expressions in it."""
        return (Expression(found[1]) for found in _PLACE.finditer(self.text))

    def of(self, value: Any, written: Callable[[str], str] = str) -> str | None:
        """The text for a value; None where something that it names is missing. `written` writes each part.

        Raises NoResultError, also where a part is a list or an object.
        """
        parts = {one.text: as_text(one.of(value), f"`{one.text}`") for one in self.expressions()}
        if None in parts.values():
            return None
        return _PLACE.sub(lambda found: written(str(parts[found[1]])), self.text)


def as_text(value: Any, name: str) -> str | None:
    """A single value as JSON writes it, a text as it is; None stays. Raises NoResultError for a list or an object."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise NoResultError(f"{name} is a list or an object; expected a text or a number")


@lru_cache(maxsize=4096)
def _compiled(text: str) -> jmespath.parser.ParsedResult:
    """Raises ValueError for what is no expression."""
    if len(text) > _LONGEST:
        raise ValueError(f"an expression of {len(text)} characters; expected at most {_LONGEST}")
    if not text.strip():
        raise ValueError("an empty expression; expected one such as `fields.status.name`")
    try:
        parsed = jmespath.compile(text)
        copies = 1
        for node in _nodes(parsed.parsed):
            _check_function(text, node)
            copies *= max(1, len(node["children"])) if node["type"] in _COPYING else 1
        if copies > _MOST_COPIES:
            raise ValueError(f"{text[:40]!r}… may repeat what it is given too often; expected fewer lists and objects")
    except RecursionError:
        raise ValueError("an expression that is nested too deeply; expected a JMESPath expression") from None
    except exceptions.JMESPathError as error:
        place = getattr(error, "lex_position", None)
        place = getattr(error, "lexer_position", None) if place is None else place
        where = "" if place is None else f" at character {place + 1}"
        raise ValueError(f"{text!r} is no expression{where}; expected JMESPath, see docs/http-json.md") from None
    return parsed


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("children", ()):
        if isinstance(child, dict):
            yield from _nodes(child)


def _check_function(text: str, node: dict[str, Any]) -> None:
    """A function's name and number of arguments, which the library itself only looks at when it is called."""
    if node["type"] != "function_expression":
        return
    name = node["value"]
    if name not in _FUNCTIONS:
        raise ValueError(f"{text!r} calls {name}(); expected one of {', '.join(sorted(_FUNCTIONS))}")
    wanted, given = _FUNCTIONS[name]["signature"], len(node["children"])
    variadic = bool(wanted and wanted[-1].get("variadic"))
    if given < len(wanted) or (given > len(wanted) and not variadic):
        raise ValueError(f"{text!r} gives {name}() {given} arguments; expected {len(wanted)}")


def _checked(text: str) -> str:
    return Expression(text).text


def _checked_template(text: str) -> str:
    return Template(text).text


ExpressionText = Annotated[str, AfterValidator(_checked)]
"""A JMESPath expression in settings."""
TemplateText = Annotated[str, AfterValidator(_checked_template)]
"""A text with JMESPath expressions between braces, in settings."""
