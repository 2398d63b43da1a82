"""The queries inside a finished dashboard, for tests and for a check against a real Prometheus."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
_LABEL_VALUES = re.compile(r"label_values\((.+),\s*(\w+)\)")


def queries(dashboard_json: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The title of a panel and an expression of it, with its variables, for each query from top to bottom."""
    return [
        (panel["title"], target["expr"]) for panel in dashboard_json["panels"] for target in panel.get("targets", ())
    ]


def variable_queries(dashboard_json: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The name, the selector and the label of each variable that reads `label_values(selector, label)`."""
    found = []
    for variable in dashboard_json["templating"]["list"]:
        match = _LABEL_VALUES.fullmatch(variable["query"])
        if match:
            found.append((variable["name"], match[1], match[2]))
    return found


def variables_in(text: str) -> set[str]:
    """The names of the variables that a text uses: `$name`, `${name}` or `${name:format}`."""
    return {braced or bare for braced, bare in _VARIABLE.findall(text)}


def substituted(expr: str, variables: Mapping[str, str]) -> str:
    """An expression with values in place of its variables, as Grafana sends it.

    Several values are written as a pattern, `(a|b)`. Raises KeyError naming a variable that has no value.
    """
    return _VARIABLE.sub(lambda match: variables[match[1] or match[2]], expr)
