"""Did we meet February? On the command line and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from paceline.web import create_app
from paceline.wiring import Running, build, configuration

Run = Callable[..., tuple[object, str, str]]

SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: builds}
spec:
  service: shop
  indicator:
    metadata: {name: runs}
    spec:
      ratioMetric:
        counter: true
        rawType: success
        raw: {metricSource: {type: Paceline, spec: {indicator: pipeline_success}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.8}]
"""
NOW = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)
JANUARY, FEBRUARY = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 2, 1, 12, tzinfo=UTC)


def a_run(number: int, at: datetime, result: str) -> str:
    """A run of a pipeline as a line of a file."""
    told = at.isoformat()
    return json.dumps(
        {
            "kind": "pipeline_run",
            "native_id": str(number),
            "updated_at": told,
            "repository": "forge.example/shop",
            "pipeline": "ci",
            "run_kind": "pipeline",
            "state": "completed",
            "result": result,
            "created_at": told,
            "started_at": told,
            "finished_at": told,
        }
    )


@pytest.fixture
def told(settings_file: Path) -> Path:
    """Settings with a run a day in January, the last 3 of 31 failed, and in February, of which every other failed."""
    january = [a_run(n, JANUARY + timedelta(days=n), "failure" if n > 27 else "success") for n in range(31)]
    february = [a_run(50 + n, FEBRUARY + timedelta(days=n), "failure" if n % 2 else "success") for n in range(28)]
    events = settings_file.parent / "events.jsonl"
    events.write_text("\n".join([*january, *february]) + "\n", encoding="utf-8")
    (settings_file.parent / "fast.yaml").write_text(SLO, encoding="utf-8")
    return settings_file


@pytest.fixture
def client(told: Path) -> Iterator[TestClient]:
    """The API of a service in March."""
    found: Running = build(configuration(told, {}, told.parent), lambda: NOW, {})
    assert found.service.collect(found.service.configuration.sources[0]).error is None
    found.service.refresh()
    with TestClient(create_app(found.service)) as client:
        yield client
    found.close()


def test_finished_months_say_whether_they_were_met(client: TestClient) -> None:
    """A rolling window's history is by calendar months: January met 80 %, February did not, before nothing is known."""
    answer = client.get("/api/v1/slos/builds/history?windows=3").json()

    assert [(w["start"][:7], w["good"], w["bad"], w["met"]) for w in answer["windows"]] == [
        ("2026-02", 14.0, 14.0, False),
        ("2026-01", 28.0, 3.0, True),
        ("2025-12", 0.0, 0.0, None),
    ]
    assert answer["windows"][2]["why"] == "0 events in month, at least 10 are needed"


def test_an_unknown_slo_is_named(client: TestClient) -> None:
    """A name that no SLO has is answered with the nearest one."""
    answer = client.get("/api/v1/slos/build/history")

    assert (answer.status_code, answer.json()["detail"]) == (404, "no SLO is named 'build'; did you mean builds?")


@pytest.mark.usefixtures("told")
def test_the_command_line_says_it_too(run: Run) -> None:
    """A table for people; one line for each window."""
    run("collect")

    code, out, _ = run("slo", "history", "builds", "--windows", "2")

    assert code == 0
    assert "builds: 80.0%, days in UTC" in out


@pytest.mark.usefixtures("told")
def test_a_program_gets_numbers(run: Run) -> None:
    """As JSON the windows are those of the API."""
    run("collect")

    windows = json.loads(run("slo", "history", "builds", "--windows", "60", "--output", "json")[1])

    found = {w["start"][:7]: (w["good"], w["bad"]) for w in windows}
    assert (found["2026-01"], found["2026-02"]) == ((28.0, 3.0), (14.0, 14.0))
