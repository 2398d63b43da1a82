"""Writing the dashboards, and noticing that what was written is out of date."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dashboards.build import Form, boards_of, build, check
from dashboards.panels import Dashboard
from slo_engine.indicators.delivery import FAMILY

ONE, OTHER = (Dashboard(uid=f"paceline-{n}", document={"title": n}) for n in ("one", "other"))
BOARDS = (ONE, OTHER)


def test_building_writes_the_boards_and_their_provisioning(tmp_path: Path) -> None:
    """A missing folder is made; each dashboard has the name of its uid."""
    written = build(tmp_path / "new", BOARDS)
    assert [p.name for p in written] == ["paceline-one.json", "paceline-other.json", "provisioning.yaml"]


def test_what_was_built_checks_clean(tmp_path: Path) -> None:
    """Building twice gives the same bytes, and the check agrees."""
    build(tmp_path, boards_of(FAMILY.indicators))
    first = (tmp_path / "paceline-delivery.json").read_bytes()
    build(tmp_path, boards_of(FAMILY.indicators))
    assert (tmp_path / "paceline-delivery.json").read_bytes() == first
    assert check(tmp_path, boards_of(FAMILY.indicators)) == []


def test_missing_files_are_named(tmp_path: Path) -> None:
    """A folder without the files is told so, file by file."""
    assert check(tmp_path, [ONE]) == ["paceline-one.json: missing", "provisioning.yaml: missing"]


def test_an_edited_board_is_named_with_its_line(tmp_path: Path) -> None:
    """The first line that differs is shown with what belongs there."""
    build(tmp_path, BOARDS)
    path = tmp_path / "provisioning.yaml"
    path.write_text(path.read_text().replace("apiVersion: 1", "apiVersion: 2"))
    expected = "provisioning.yaml:2: 'apiVersion: 2' stands where 'apiVersion: 1' belongs"
    assert check(tmp_path, BOARDS) == [expected]


def test_other_line_ends_are_a_difference(tmp_path: Path) -> None:
    """A file without its last line feed differs although its lines are equal."""
    build(tmp_path, BOARDS)
    path = tmp_path / "provisioning.yaml"
    path.write_text(path.read_text().rstrip("\n"))
    assert len(check(tmp_path, BOARDS)) == 1


def test_a_board_that_is_no_longer_made_is_named(tmp_path: Path) -> None:
    """A dashboard of ours that is built no more would stay in Grafana and is named; others are left alone."""
    build(tmp_path, BOARDS)
    (tmp_path / "theirs.json").write_text("{}")
    assert check(tmp_path, [ONE]) == ["paceline-other.json: no dashboard has this name any more"]


def test_an_added_indicator_is_a_difference(tmp_path: Path) -> None:
    """Boards follow the declarations: fewer indicators, another board."""
    build(tmp_path, boards_of(FAMILY.indicators))
    assert any("paceline-delivery.json" in one for one in check(tmp_path, boards_of(FAMILY.indicators[:1])))


@pytest.mark.parametrize("folder", ["Paceline", 'Plat: "form" # 1'])
def test_provisioning_is_yaml_that_grafana_reads(folder: str, tmp_path: Path) -> None:
    """The provisioning file declares one file provider of version 1, whose boards are in the folder."""
    build(tmp_path, BOARDS, Form(folder=folder))
    found = YAML(typ="safe").load(tmp_path / "provisioning.yaml")
    assert found["apiVersion"] == 1
    assert [(p["type"], p["folder"]) for p in found["providers"]] == [("file", folder)]


def test_a_data_source_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    """A Prometheus at an address, as Grafana provisions it."""
    build(tmp_path, BOARDS, Form(prometheus_url="http://prometheus:9090"))
    (found,) = YAML(typ="safe").load(tmp_path / "datasource.yaml")["datasources"]
    assert (found["type"], found["url"]) == ("prometheus", "http://prometheus:9090")


def test_config_maps_are_one_file(tmp_path: Path) -> None:
    """Nothing else is written, and the check knows it."""
    form = Form(kind="configmap", namespace="monitoring")
    assert [p.name for p in build(tmp_path, BOARDS, form)] == ["configmaps.yaml"]
    assert check(tmp_path, BOARDS, form) == []
    assert check(tmp_path, [ONE], form) != []
