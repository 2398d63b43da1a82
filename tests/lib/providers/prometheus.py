"""A stand-in for a Prometheus server: queries that it knows, and what each gives at a time.

Shapes, limits and errors are those that a server of version 2.42 answers: at most 11 000 points of a series, an error
with its type in the body, values as texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from names import PLANTED_LOGIN, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.prometheus import PrometheusConfig

BASE = "https://prometheus.example.com/api/v1"
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
NOW = int(datetime(2026, 3, 2, 9, 0, tzinfo=UTC).timestamp())
SHARE = "avg by (service) (avg_over_time(probe_success[1m]))"
GOOD = 'sum by (app) (increase(http_requests_total{code!~"5.."}[1m]))'
TOTAL = "sum by (app) (increase(http_requests_total[1m]))"
USES = "sum by (team, user) (increase(builds_total[1h]))"
Value = Callable[[int], str | None]
_MOST_POINTS = 11_000
_RETENTION_SECONDS = 12 * 3_600


def always(value: str) -> Value:
    """A series that has one value at all times."""
    return lambda _: value


@dataclass
class World:
    """What a server holds: the series of each query since a time, its time, what it says beside them or instead."""

    queries: dict[str, list[tuple[Mapping[str, str], Value]]] = field(default_factory=dict)
    now: int = NOW
    first: int = 0
    warnings: dict[str, list[str]] = field(default_factory=dict)
    refusals: dict[str, Reply] = field(default_factory=dict)
    most_samples: int = 50_000_000

    def series(self, query: str, value: Value, **labels: str) -> None:
        """One more series of a query."""
        self.queries.setdefault(query, []).append((labels, value))

    def range(self, asked: Request) -> Reply:
        """The answer to a range query."""
        query, step = asked.one("query"), asked.number("step", 0)
        start, end = (int(at.timestamp()) for at in (asked.time("start"), asked.time("end")) if at is not None)
        if step <= 0 or (end - start) // step > _MOST_POINTS:
            said = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution"
            return refusal(400, "bad_data", f"{said} (?step=XX)")
        if query in self.refusals:
            return self.refusals[query]
        if query not in self.queries:
            return refusal(400, "bad_data", 'invalid parameter "query": 1:4: parse error: unexpected end of input')
        skipped = max(0, self.first - start + step - 1) // step
        times = range(start + skipped * step, end + 1, step)
        if len(times) * len(self.queries[query]) > self.most_samples:
            said = "query processing would load too many samples into memory in query execution"
            return refusal(422, "execution", said)
        found = [
            (labels, [[t, v] for t in times if (v := value(t)) is not None]) for labels, value in self.queries[query]
        ]
        matrix = [{"metric": dict(labels), "values": values} for labels, values in found if values]
        warnings = {"warnings": self.warnings[query]} if query in self.warnings else {}
        return Reply({"status": "success", "data": {"resultType": "matrix", "result": matrix}, **warnings})


def refusal(status: int, kind: str, error: str) -> Reply:
    """An error as the API tells it."""
    return Reply({"status": "error", "errorType": kind, "error": error}, status=status)


def provider(world: World) -> Provider:
    """The API of a server."""
    api = Provider(BASE, token=TOKEN, with_etags=False)

    @api.route("query")
    def query(asked: Request) -> Reply:
        assert asked.one("query") == "vector(time())"
        result: list[dict[str, Any]] = [{"metric": {}, "value": [world.now + 0.781, f"{world.now}.781"]}]
        return Reply({"status": "success", "data": {"resultType": "vector", "result": result}})

    @api.route("query_range")
    def query_range(asked: Request) -> Reply:
        return world.range(asked)

    return api


def _flapping(at: int) -> str | None:
    """Up but for a quarter of an hour in which it was half down, NaN, or not looked at."""
    return {1: "0.5", 2: "NaN", 3: None}.get((NOW - at) // 300, "1")


def world() -> World:
    """Two services that are probed, one whose requests are counted, and builds by somebody and by a robot."""
    made = World()
    made.series(SHARE, _flapping, service="shop", owner=PLANTED_NAME)
    made.series(SHARE, always("0.9999999999"), service="cart")
    made.series(TOTAL, lambda at: "0" if at % 3600 == 0 else "13.333333333333334", app="api")
    made.series(GOOD, lambda at: None if at % 7200 < 600 else "6.666666666666667", app="api")
    made.series(USES, always("2.5"), team="/commerce", user=PLANTED_LOGIN)
    made.series(USES, always("0"), team="/commerce", user="somebody")
    made.series(USES, always("7"), team="/commerce", user="renovate[bot]")
    return made


def config_of(**fields: Any) -> PrometheusConfig:
    """Settings of the server of a sample."""
    given = {"name": "sample", "type": "prometheus", "url": BASE.removesuffix("/api/v1"), "token": TOKEN, **fields}
    return PrometheusConfig.model_validate(given)


def sample(folder: Path) -> Sample:
    """Five hours of two queries for uptime and one for usage."""
    del folder
    uptime = [
        {"query": SHARE, "service": "{service}"},
        {"good": GOOD, "total": TOTAL, "service": "{app}", "environment": "staging"},
    ]
    usage = [{"query": USES, "capability": "ci", "action": "build", "team": "{team}", "person": "{user}"}]
    held = world()
    held.first = NOW - _RETENTION_SECONDS  # who asks for years gets what a server keeps
    return sample_of(config_of(history="5h", uptime=uptime, usage=usage), provider(held))
