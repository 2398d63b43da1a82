"""A small organisation for tests of pages: two services, half a year of runs, and an SLO of every kind."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from paceline.service import Service
from paceline.wiring import build, configuration

NOW = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)
"""A Monday; the week before it is 2026-W10."""
HOSTILE = "</script><script>alert(1)</script>'\"&"
_FIRST = datetime(2025, 9, 20, 10, 0, tzinfo=UTC)
_HOLIDAYS = (datetime(2025, 12, 22, tzinfo=UTC), datetime(2026, 1, 5, tzinfo=UTC))
_COUNTED = """
    spec:
      ratioMetric:
        counter: true
        rawType: success
        raw: {metricSource: {type: Paceline, spec: {indicator: pipeline_success}}}"""
_ROLLING = "[{duration: 28d, isRolling: true}]"
_SLO = """apiVersion: openslo/v1
kind: SLO
metadata:
  name: %(name)s
  displayName: %(title)s
  annotations:
    paceline.dev/minimum-events: "1"
    paceline.dev/alert-class: %(alerts)s
    paceline.dev/runbook: https://runbooks.example/builds
spec:
  service: %(service)s
  description: %(description)s
  indicator:
    metadata: {name: %(name)s-runs}%(sli)s
  budgetingMethod: %(method)s
  timeWindow: %(window)s
  objectives: [%(objective)s]
---
"""
_COMPOSITE = """apiVersion: openslo/v1
kind: SLO
metadata: {name: both}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives:
    - {displayName: builds, target: 0.8, indicatorRef: of-builds}
    - {displayName: waits, target: 0.8, indicatorRef: of-builds}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: of-builds}""" + _COUNTED.replace("\n    ", "\n")
_PROMQL = """
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{code!~"5.."}'}}}
        total: {metricSource: {type: Prometheus, spec: {query: http_requests_total}}}"""
_EXCLUSIONS = """exclusions:
  - slo: builds
    reason: maintenance
    author: platform
    ticket: OPS-1
    from: 2026-02-20T00:00
    until: 2026-02-23T00:00
    zone: UTC
"""
_CATALOGUE = """services:
  - {name: shop, team: /commerce/basket, repositories: forge.example/shop}
  - {name: bank, team: /finance, repositories: forge.example/bank}
"""


def _slo(name: str, **fields: str) -> str:
    known = {"name": name, "title": name, "description": "Most runs succeed.", "service": "shop", "sli": _COUNTED}
    known |= {"alerts": "count", "method": "Occurrences", "window": _ROLLING, "objective": "{target: 0.8}"}
    return _SLO % (known | fields)


def _slos() -> str:
    monthly = "[{duration: 1M, calendar: {timeZone: Europe/Berlin}}]"
    sliced = "{target: 0.9, timeSliceTarget: 0.8, timeSliceWindow: 1h}"
    return "".join(
        (
            _slo("builds"),
            _slo("monthly", window=monthly, service="bank"),
            _slo("hours", method="Timeslices", objective=sliced),
            _slo("shares", method="RatioTimeslices", objective="{target: 0.9, timeSliceWindow: 1h}"),
            _slo("hostile", title=json.dumps(HOSTILE), description=json.dumps(HOSTILE)),
            _slo("busy", alerts="rate"),
            _slo("requests", sli=_PROMQL, objective="{target: 0.99}"),
            _COMPOSITE,
        )
    )


def _runs() -> Iterator[str]:
    """Three runs of each service a day but for two weeks of holidays; of the shop's every seventh fails."""
    at, number = _FIRST, 0
    while at < NOW:
        for service in ("shop", "bank"):
            for hours in (0, 2, 5):
                number += 1
                result = "failure" if service == "shop" and number % 7 == 0 else "success"
                yield _run(number, at + timedelta(hours=hours), result, service)
        at += timedelta(days=1)
        if at.date() == _HOLIDAYS[0].date():
            at = _HOLIDAYS[1].replace(hour=at.hour)


def _run(number: int, at: datetime, result: str, service: str) -> str:
    created, started, finished = (at + timedelta(minutes=n) for n in (0, number % 5, 10))
    told = {"kind": "pipeline_run", "native_id": str(number), "repository": f"forge.example/{service}"}
    told |= {"pipeline": "ci", "run_kind": "pipeline", "state": "completed", "result": result}
    told |= {"url": f"https://ci.example/{number}", "updated_at": finished.isoformat()}
    told |= {"created_at": created.isoformat(), "started_at": started.isoformat(), "finished_at": finished.isoformat()}
    return json.dumps(told) + "\n"


def write(folder: Path) -> Path:
    """The settings of the organisation, with all that they name beside them."""
    (folder / "events.jsonl").write_text("".join(_runs()), encoding="utf-8")
    (folder / "slos.yaml").write_text(_slos(), encoding="utf-8")
    (folder / "services.yaml").write_text(_CATALOGUE, encoding="utf-8")
    (folder / "exclusions.yaml").write_text(_EXCLUSIONS, encoding="utf-8")
    path = folder / "paceline.yaml"
    path.write_text(
        "timezone: Europe/Berlin\ncatalogue: services.yaml\nlogs: {level: error}\n"
        "sources:\n  - {type: files, name: events, path: events.jsonl}\n"
        "slos: [slos.yaml]\nexclusions: [exclusions.yaml]\n",
        encoding="utf-8",
    )
    return path


@contextlib.contextmanager
def published(folder: Path) -> Iterator[Service]:
    """A service of the organisation that has collected and published once."""
    running = build(configuration(write(folder), {}, folder), lambda: NOW, {})
    with contextlib.closing(running):
        outcome = running.service.collect(running.service.configuration.sources[0])
        assert (outcome.error, outcome.rejected) == (None, ())
        running.service.refresh()
        yield running.service


def data_of(page: str, name: str) -> dict[str, Any]:
    """What a page gives the script of a chart."""
    (found,) = re.findall(rf'<script type="application/json" id="{name}-data">(.*?)</script>', page)
    data: dict[str, Any] = json.loads(found)
    return data
