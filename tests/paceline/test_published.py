"""What the running service publishes beside what it computed: the industry's scores, and how old its data are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from paceline.service import Published, Service
from paceline.wiring import build, configuration

DEPLOYMENTS_HOLD = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: holds
spec:
  service: shop
  indicator:
    spec:
      ratioMetric:
        rawType: success
        raw: {metricSource: {type: Paceline, spec: {indicator: change_fail_rate}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.9}]
"""


def shown(published: Published, metric: str) -> dict[str, float]:
    """The values of a metric by the label it has, or by the first one."""
    families = text_string_to_metric_families(published.exposition.text.decode())
    return {next(iter(s.labels.values())): s.value for f in families for s in f.samples if s.name == metric}


def test_the_industry_of_the_configured_year_is_published(collected: Service) -> None:
    """2025, unless told otherwise: five indicators, throughput, stability and overall, as in the weekly summary."""
    published = collected.refresh()

    assert shown(published, "platform_quick_check_industry_mean") == pytest.approx(
        {
            "change_lead_time": 5.5,
            "deployment_frequency": 4.8,
            "failed_deployment_recovery_time": 7.4,
            "change_fail_rate": 8.1,
            "deployment_rework_rate": 7.8,
            "throughput": 5.9,
            "stability": 7.95,
            "overall": 6.72,
        }
    )


def test_a_year_without_means_publishes_none(settings_file: Path, clock: Callable[[], datetime]) -> None:
    """The report of 2024 has tiers and no means: nothing is made up from them."""
    settings_file.write_text(settings_file.read_text(encoding="utf-8") + "benchmark: {year: 2024}\n", encoding="utf-8")

    with closing(build(configuration(settings_file, {}, settings_file.parent), clock, {})) as running:
        published = running.service.refresh()

    assert (published.exposition.failed_parts, dict(published.snapshot.industry)) == ((), {})


def test_an_slo_s_data_are_as_old_as_the_last_collection(settings_file: Path, clock: Any) -> None:
    """An hour later nobody collected again: the time is still that of the collection, and moves with the next one."""
    (settings_file.parent / "fast.yaml").write_text(DEPLOYMENTS_HOLD, encoding="utf-8")
    first = clock.at.timestamp()

    with closing(build(configuration(settings_file, {}, settings_file.parent), clock, {})) as running:
        service = running.service
        service.collect(service.configuration.sources[0])
        clock.move(timedelta(hours=1))
        before = shown(service.refresh(), "platform_slo_data_timestamp_seconds")
        service.collect(service.configuration.sources[0])
        after = shown(service.refresh(), "platform_slo_data_timestamp_seconds")

    assert (before, after) == ({"holds": first}, {"holds": first + 3_600})


def test_a_snapshot_alone_publishes_nothing(collected: Service, clock: Any) -> None:
    """It is of the time that the clock shows; readers go on seeing what was published."""
    before, end = collected.published, clock.at
    clock.at = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)

    then = collected.snapshot()

    assert collected.published is before
    assert (then.at, len(then.numbers) > 0) == (clock.at, True)
    clock.at = end
    assert collected.snapshot().numbers == collected.refresh().snapshot.numbers
