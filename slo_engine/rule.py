"""One rule, one group of rules, and the few words of PromQL that all of them share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

INTERVAL = "1m"
INTERVAL_SECONDS = 60
"""How often rules are evaluated. Each event is in as many recorded 5-minute rates as fit into 5 minutes."""
_SLOWER = 4
_LONGEST_SECONDS = 240
"""Below the 5 minutes for which Prometheus knows a last value, and for which a recorded rate counts an event."""


def interval_of(seconds: int) -> str:
    """An interval as Prometheus writes it: `1m`, `15s`. Raises ValueError for one that would lose events."""
    if not 1 <= seconds <= _LONGEST_SECONDS:
        raise ValueError(f"{seconds} s is no interval for rules; expected 1 to {_LONGEST_SECONDS} s")
    return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"


def slow_interval_of(seconds: int) -> str:
    """How often sums over whole SLO windows are taken."""
    return interval_of(min(_SLOWER * seconds, _LONGEST_SECONDS))


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One recording rule (`record`) or alert (`alert`)."""

    expr: str
    record: str = ""
    alert: str = ""
    wait: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rules that are evaluated one after the other, so that each reads what those before it just recorded."""

    name: str
    interval: str
    rules: tuple[Rule, ...]


def either(*branches: str) -> str:
    """The first branch that has a series; empty ones are left out."""
    return "\nor\n".join(filter(None, branches))


def known(metric: str, by: str = "slo", info: str = "") -> str:
    """What Paceline exports, without the labels of its replicas; for an hour also after it was last scraped.

    `info` names a metric of the same SLOs: while one of them has it, its past does not count.
    """
    now, past = (f"max by ({by}) ({m})" for m in (metric, f"last_over_time({metric}[1h])"))
    gone = f"({past} unless on (slo) max by (slo) ({info or metric}))"
    return f"({now} or {gone})"


def indented(text: str) -> str:
    """A text, two places to the right."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def bracketed(text: str) -> str:
    """An operand that spans lines."""
    return f"(\n{indented(text)}\n)"


def literals(names: Iterable[str]) -> str:
    """Names as one template argument each."""
    return " ".join(f'"{name}"' for name in names)
