"""Runs of pipelines and their jobs, with times in minutes after Monday, 5 January 2026, 00:00 UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from collector.events import PipelineRun, Result, RunKind, RunState

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = 1440
ANN = "person:ann"


def at(minutes: float | None) -> datetime | None:
    """A time in minutes after the start, None where it is unknown."""
    return None if minutes is None else START + timedelta(minutes=minutes)


def run(name: str, created: float | None, started: float | None, **more: Any) -> PipelineRun:
    """A pipeline's run of Ann's that has ended."""
    fields: dict[str, Any] = {
        "source": "ci",
        "native_id": name,
        "repository": "o/shop",
        "pipeline": "build",
        "state": RunState.COMPLETED,
        "result": Result.SUCCESS,
        "created_at": at(created),
        "started_at": at(started),
        "finished_at": at(None if started is None else started + 5),
        "actor": ANN,
    }
    return PipelineRun(**(fields | more))


def job(name: str, created: float | None, started: float | None, **more: Any) -> PipelineRun:
    """A job of the run "p", of which nobody says who started it."""
    own = {"run_kind": RunKind.TASK, "task": name, "parent_native_id": "p", "actor": None}
    return run(name, created, started, **{**own, **more})
