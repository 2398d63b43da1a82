"""What stands beside SLO files: exclusions, the gate's policy, its overrides. Mistakes are tested by `bad/`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from collector.registry import source_types
from paceline.settings import Configuration, load
from paceline.slo_files import packaged_policy
from slo_engine.indicator import families

GOOD = Path(__file__).parent / "good"
PART = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: part}
spec:
  service: shop
  indicator:
    spec: {ratioMetric: {rawType: success, raw: {metricSource: {type: Paceline, spec: {indicator: uptime}}}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.99}]
"""
COMPOSITE = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: whole}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives:
    - indicator: {spec: {ratioMetric: {rawType: success, raw: {metricSource: {type: Paceline, spec: {slo: part}}}}}}
    - displayName: Runs
      target: 0.95
      indicator:
        spec:
          ratioMetric:
            rawType: success
            raw: {metricSource: {type: Paceline, spec: {indicator: pipeline_success}}}
"""


@pytest.fixture
def everything() -> Configuration:
    """The settings that say everything."""
    return load(GOOD / "everything.good.yaml", {}, source_types(), families())


@pytest.fixture
def least() -> Configuration:
    """The settings that say nothing of it."""
    return load(GOOD / "least.good.yaml", {}, source_types(), families())


def test_a_configuration_has_the_exclusions_of_its_files(everything: Configuration) -> None:
    """They are found beside the settings; a file that two patterns name is read once."""
    assert [(e.service, e.ticket) for e in everything.exclusions] == [("shop", "OPS-18")]


def test_a_configuration_has_the_overrides_of_its_files(everything: Configuration) -> None:
    """They are found beside the settings; a file that two patterns name is read once."""
    assert [(o.slo, o.ticket) for o in everything.overrides] == [("fa*", "OPS-17")]


def test_a_configuration_has_its_own_policy(everything: Configuration) -> None:
    """The file of the setting replaces the policy that comes with Paceline."""
    assert everything.policy.source == "Our error budget policy"
    assert everything.policy.rules[0].block_below == Decimal("0.1")


def test_without_a_word_the_policy_is_the_packaged_one(least: Configuration) -> None:
    """Nothing is excluded and nothing overridden unless a file says so."""
    assert least.policy == packaged_policy()
    assert (least.exclusions, least.overrides) == ((), ())


def test_a_part_of_a_composite_may_stand_in_another_file(tmp_path: Path) -> None:
    """Files that the settings name are read together: what one says of an SLO holds in all of them."""
    (tmp_path / "part.yaml").write_text(PART, encoding="utf-8")
    (tmp_path / "composite.yaml").write_text(COMPOSITE, encoding="utf-8")
    settings = tmp_path / "paceline.yaml"
    settings.write_text("slos: [composite.yaml, part.yaml]\n", encoding="utf-8")

    found = load(settings, {}, source_types(), families()).slos

    assert [slo.name for slo in found] == ["part", "whole", "whole-runs"]
