"""Boards as ConfigMaps: what the sidecar of Grafana's chart reads, and what Kubernetes takes."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from ruamel.yaml import YAML

from collector.errors import PacelineError
from dashboards.build import boards_of
from dashboards.grafana import config_maps
from dashboards.panels import Dashboard
from slo_engine.indicators.delivery import FAMILY

UGLY = "a: b\n\t# \u2028\u2029\x7f\x85\x9b\ufeff\uffff ü 🚀 \\u2028 '\" ---\n..."
BOARD = Dashboard(uid="paceline-one", document={"title": UGLY, "tags": ["paceline"]})


def loaded(text: str) -> list[Any]:
    """The documents of YAML as another reader sees them."""
    return list(YAML(typ="safe", pure=True).load_all(StringIO(text)))


def test_each_board_is_a_config_map() -> None:
    """Its name is the board's uid, its one key the file's name, and label and annotation are what the sidecar reads."""
    (found,) = loaded(config_maps([BOARD]))

    assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")
    assert found["metadata"] == {
        "name": "paceline-one",
        "labels": {"grafana_dashboard": "1"},
        "annotations": {"grafana_folder": "Paceline"},
    }
    assert list(found["data"]) == ["paceline-one.json"]


def test_any_letters_survive() -> None:
    """Whatever stands in a board, YAML gives back the same JSON."""
    (found,) = loaded(config_maps([BOARD], folder='Päce: "x" # 🚀 \u2028'))

    assert json.loads(found["data"]["paceline-one.json"]) == BOARD.document
    assert found["metadata"]["annotations"] == {"grafana_folder": 'Päce: "x" # 🚀 \u2028'}


def test_real_boards_are_the_files_that_are_written() -> None:
    """Byte for byte, and the same each time."""
    boards = boards_of(FAMILY.indicators)

    found = loaded(config_maps(boards))

    assert [next(iter(one["data"].values())) for one in found] == [b.text() for b in boards]
    assert config_maps(boards) == config_maps(boards_of(FAMILY.indicators))


def test_labels_and_namespace_are_added() -> None:
    """The sidecar's own label may be replaced; texts stay texts."""
    labels = {"grafana_dashboard": "yes", "example.com/team": "1.0"}

    (found,) = loaded(config_maps([BOARD], labels=labels, namespace="monitoring"))

    assert found["metadata"]["labels"] == labels
    assert found["metadata"]["namespace"] == "monitoring"


@pytest.mark.parametrize(
    "labels",
    [
        {"": "x"},
        {"a b": "x"},
        {"-a": "x"},
        {"a": "x y"},
        {"a": "x" * 64},
        {"a" * 64: "x"},
        {"Example.com/a": "x"},
        {"/a": "x"},
        {"a/b/c": "x"},
        {f"{'a' * 254}/b": "x"},
    ],
)
def test_labels_that_kubernetes_refuses_are_refused(labels: dict[str, str]) -> None:
    """Before a cluster does."""
    with pytest.raises(ValueError, match="of a label; expected"):
        config_maps([BOARD], labels=labels)


@pytest.mark.parametrize("namespace", ["A", "a_b", "-a", "a.b", "a" * 64])
def test_namespaces_that_kubernetes_refuses_are_refused(namespace: str) -> None:
    """Lower-case letters, digits and dashes, at most 63."""
    with pytest.raises(ValueError, match="is no namespace; expected"):
        config_maps([BOARD], namespace=namespace)


@pytest.mark.parametrize("folder", ["", "..", "a/b"])
def test_folders_that_are_no_directory_are_refused(folder: str) -> None:
    """The sidecar writes the boards into a directory of this name."""
    with pytest.raises(ValueError, match="is no folder for the sidecar"):
        config_maps([BOARD], folder=folder)


@pytest.mark.parametrize("uid", ["Paceline", "a_b", "x" * 64])
def test_a_name_that_kubernetes_refuses_is_refused(uid: str) -> None:
    """A uid of Grafana may hold what a name may not."""
    with pytest.raises(PacelineError, match=f"{uid}: no name for a ConfigMap"):
        config_maps([Dashboard(uid=uid, document={})])


def test_a_board_that_is_too_large_is_refused() -> None:
    """A ConfigMap holds 1 MiB, keys and values together: one byte more is said with what to do instead."""
    room = 1024 * 1024 - len("paceline-one.json") - len(Dashboard(uid="x", document={"title": ""}).text())
    fits, large = (Dashboard(uid="paceline-one", document={"title": "x" * n}) for n in (room, room + 1))

    assert len(loaded(config_maps([fits]))) == 1
    with pytest.raises(PacelineError, match="a board of 1048577 bytes does not fit into a ConfigMap"):
        config_maps([large])
