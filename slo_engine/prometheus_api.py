"""What is asked of a Prometheus server, and the shapes of its answers. Pure: who asks hands in how.

`Ask` takes a path below `/api/v1/` with its query (`query?query=up`) and gives the decoded `data` of the answer; it
raises what it raises. An answer of another shape is a ContractError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from collector.errors import ContractError

Ask: TypeAlias = Callable[[str], Any]
Labels: TypeAlias = Mapping[str, str]

_POINTS_AT_ONCE = 10_000
"""Prometheus answers with at most 11 000 points of a series."""
_PART = re.compile(r"([0-9]+)(ms|[smhdwy])")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}


class Sample(NamedTuple):
    """A series and its value at one time."""

    labels: Labels
    value: float


@dataclass(frozen=True, eq=False)
class Line:
    """A series over time: seconds since 1970, ascending, and the values there."""

    labels: Labels
    times: NDArray[np.float64]
    values: NDArray[np.float64]


def query(ask: Ask, expr: str, at: datetime | None = None) -> list[Sample]:
    """The series that an expression gives, at a time or now."""
    when = {} if at is None else {"time": f"{at.timestamp():.3f}"}
    data = ask(f"query?{urlencode({'query': expr, **when})}")
    return [Sample(*_sample(one)) for one in _result(data, "vector")]


def query_range(ask: Ask, expr: str, start: datetime, end: datetime, step_seconds: int) -> list[Line]:
    """The series that an expression gives at each step from start to end; NaN is no value.

    Long ranges are asked for in parts. Steps are at whole multiples of their length since 1970.
    """
    first, last = -(-int(start.timestamp()) // step_seconds), int(end.timestamp()) // step_seconds
    found: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for begin in range(first, last + 1, _POINTS_AT_ONCE):
        stop = min(last, begin + _POINTS_AT_ONCE - 1)
        asked = {"query": expr, "start": begin * step_seconds, "end": stop * step_seconds, "step": step_seconds}
        for one in _result(ask(f"query_range?{urlencode(asked)}"), "matrix"):
            labels, points = _points(one)
            found.setdefault(tuple(sorted(labels.items())), []).extend(points)
    return [_line(dict(labels), points) for labels, points in sorted(found.items())]


def label_values(ask: Ask, label: str, matches: Iterable[str] = ()) -> list[str]:
    """The values of a label, among all series or those of some selectors."""
    data = ask(f"label/{label}/values?{urlencode([('match[]', m) for m in matches])}")
    if not isinstance(data, list) or not all(isinstance(one, str) for one in data):
        raise _unexpected("a list of texts", data)
    return data


def scrape_intervals(ask: Ask) -> dict[tuple[str, str], timedelta]:
    """How often each target is scraped, by its `job` and `instance`."""
    data = ask("targets?state=active")
    targets = data.get("activeTargets") if isinstance(data, Mapping) else None
    if not isinstance(targets, list):
        raise _unexpected("activeTargets", data)
    return {
        (labels.get("job", ""), labels.get("instance", "")): interval
        for labels, interval in map(_target, targets)
        if interval is not None
    }


def retention(ask: Ask) -> timedelta | None:
    """For how long the server keeps what it scraped; None where only its size is bounded."""
    data = ask("status/runtimeinfo")
    text = data.get("storageRetention") if isinstance(data, Mapping) else None
    if not isinstance(text, str):
        raise _unexpected("storageRetention", data)
    return next((d for part in text.split(" or ") if (d := duration(part)) is not None), None)


def duration(text: str) -> timedelta | None:
    """A duration as Prometheus writes it (`15d`, `1m30s`); None for what is none, or endless (`0s`)."""
    if not re.fullmatch(f"({_PART.pattern})+", text.strip()):
        return None
    return sum((int(n) * _UNITS[unit] for n, unit in _PART.findall(text)), timedelta()) or None


# ---- shapes


def data_of(answer: Any) -> Any:
    """What an answer is about: its `data`. Raises ContractError where it is no success of this API."""
    if not isinstance(answer, Mapping) or answer.get("status") != "success" or "data" not in answer:
        raise _unexpected("status success with data", answer)
    return answer["data"]


def _target(target: Any) -> tuple[Labels, timedelta | None]:
    if not isinstance(target, Mapping) or not isinstance(target.get("labels"), Mapping):
        raise _unexpected("a target with labels", target)
    return target["labels"], duration(str(target.get("scrapeInterval", "")))


def _result(data: Any, kind: str) -> Sequence[Any]:
    result = data.get("result") if isinstance(data, Mapping) and data.get("resultType") == kind else None
    if not isinstance(result, list):
        raise _unexpected(f"a {kind}", data)
    return result


def _sample(one: Any) -> tuple[Labels, float]:
    try:
        return one["metric"], float(one["value"][1])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _unexpected("a series with a value", one) from error


def _points(one: Any) -> tuple[Labels, list[tuple[float, float]]]:
    try:
        return one["metric"], [(float(at), float(value)) for at, value in one["values"]]
    except (KeyError, TypeError, ValueError) as error:
        raise _unexpected("a series with values", one) from error


def _line(labels: Labels, points: Sequence[tuple[float, float]]) -> Line:
    times, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
    there = ~np.isnan(values)
    return Line(labels, times[there], values[there])


def _unexpected(expected: str, found: Any) -> ContractError:
    return ContractError(f"the Prometheus API answered {_short(found)}; expected {expected}")


def _short(found: Any) -> str:
    return " ".join(repr(found)[:80].split())


def joined(labels: Labels, names: Iterable[str]) -> str:
    """The values of some labels as one text, as the recordings join them; empty text for no names."""
    return "/".join(labels.get(name, "") for name in names)


def by_group(lines: Iterable[Line], names: Sequence[str]) -> Iterator[tuple[str, Line]]:
    """The lines with the group each stands for."""
    return ((joined(line.labels, names), line) for line in lines)
