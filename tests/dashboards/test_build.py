"""Writing the dashboards, and noticing that what was written is out of date."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

from dashboards.build import build, check
from slo_engine.indicators.delivery import FAMILY

INDICATORS = FAMILY.indicators


def test_building_writes_the_board_and_its_provisioning(tmp_path: Path) -> None:
    """A missing folder is made; the dashboard has the name of its uid."""
    written = build(tmp_path / "new", INDICATORS)
    assert [p.name for p in written] == ["paceline-delivery.json", "provisioning.yaml"]


def test_what_was_built_checks_clean(tmp_path: Path) -> None:
    """Building twice gives the same bytes, and the check agrees."""
    build(tmp_path, INDICATORS)
    first = (tmp_path / "paceline-delivery.json").read_bytes()
    build(tmp_path, INDICATORS)
    assert (tmp_path / "paceline-delivery.json").read_bytes() == first
    assert check(tmp_path, INDICATORS) == []


def test_missing_files_are_named(tmp_path: Path) -> None:
    """A folder without the files is told so, file by file."""
    assert check(tmp_path, INDICATORS) == ["paceline-delivery.json: missing", "provisioning.yaml: missing"]


def test_an_edited_board_is_named_with_its_line(tmp_path: Path) -> None:
    """The first line that differs is shown with what belongs there."""
    build(tmp_path, INDICATORS)
    path = tmp_path / "provisioning.yaml"
    path.write_text(path.read_text().replace("apiVersion: 1", "apiVersion: 2"))
    expected = "provisioning.yaml:2: 'apiVersion: 2' stands where 'apiVersion: 1' belongs"
    assert check(tmp_path, INDICATORS) == [expected]


def test_other_line_ends_are_a_difference(tmp_path: Path) -> None:
    """A file without its last line feed differs although its lines are equal."""
    build(tmp_path, INDICATORS)
    path = tmp_path / "provisioning.yaml"
    path.write_text(path.read_text().rstrip("\n"))
    assert len(check(tmp_path, INDICATORS)) == 1


def test_a_board_that_is_no_longer_made_is_named(tmp_path: Path) -> None:
    """A dashboard of ours that is built no more would stay in Grafana and is named; others are left alone."""
    build(tmp_path, INDICATORS)
    (tmp_path / "paceline-old.json").write_text("{}")
    (tmp_path / "theirs.json").write_text("{}")
    assert check(tmp_path, INDICATORS) == ["paceline-old.json: no dashboard has this name any more"]


def test_an_added_indicator_is_a_difference(tmp_path: Path) -> None:
    """Boards follow the declarations: fewer indicators, another board."""
    build(tmp_path, INDICATORS)
    assert len(check(tmp_path, INDICATORS[:1])) == 1


def test_provisioning_is_yaml_that_grafana_reads(tmp_path: Path) -> None:
    """The provisioning file declares one file provider of version 1."""
    build(tmp_path, INDICATORS)
    found = YAML(typ="safe").load(tmp_path / "provisioning.yaml")
    assert found["apiVersion"] == 1
    assert [p["type"] for p in found["providers"]] == ["file"]
