"""How a board in Grafana differs from ours: what counts, and in which words it is said."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from dashboards.grafana import Found, Stored, compare, differences, save_command, stray, unified
from dashboards.panels import Dashboard

DOCUMENT: dict[str, Any] = {
    "uid": "paceline-one",
    "title": "One",
    "editable": False,
    "annotations": {"list": []},
    "links": [],
    "panels": [
        {"id": 1, "title": "Running", "gridPos": {"x": 0, "w": 12}, "targets": [{"refId": "A", "expr": "up"}]},
        {"id": 2, "title": "Waiting", "fieldConfig": {"defaults": {"steps": [{"color": "green", "value": None}]}}},
    ],
    "templating": {"list": [{"name": "team", "query": "label_values(team)"}]},
}
BOARD = Dashboard(uid="paceline-one", document=DOCUMENT)


def edited(*path: Any, value: Any) -> dict[str, Any]:
    """A copy of the document with another value at a place."""
    found = copy.deepcopy(DOCUMENT)
    place: Any = found
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return found


def test_a_board_that_grafana_has_not_is_missing() -> None:
    """Nothing differs where there is nothing."""
    found = compare(BOARD, None, "paceline")

    assert (found.state, found.differences, found.full) == ("missing", (), "")


def test_what_grafana_adds_is_no_difference() -> None:
    """Its ids and versions, its own annotations, the defaults of its editor, and keys that hold nothing."""
    builtin = {"builtIn": 1, "name": "Annotations & Alerts", "enable": True}
    theirs = DOCUMENT | {
        "id": 17,
        "version": 4,
        "iteration": 1,
        "preload": False,
        "fiscalYearStartMonth": 0,
        "weekStart": "",
        "gnetId": None,
        "annotations": {"list": [builtin]},
        "snapshot": {},
    }
    del theirs["links"]

    assert compare(BOARD, Stored(theirs, 4, "paceline"), "paceline").state == "equal"


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (edited("title", value="Two"), 'title: "Two" stands where "One" belongs'),
        (edited("preload", value=True), "preload: only in Grafana"),
        (edited("editable", value=0), "editable: 0 stands where false belongs"),
        (edited("links", value=[{"url": "/x"}]), "links: only in Grafana"),
        (
            edited("panels", 0, "targets", 0, "expr", value="down"),
            'panels["Running"].targets["A"].expr: "down" stands where "up" belongs',
        ),
        (edited("panels", 0, "gridPos", "w", value=6), 'panels["Running"].gridPos.w: 6 stands where 12 belongs'),
        (edited("panels", value=DOCUMENT["panels"][:1]), 'panels["Waiting"]: missing in Grafana'),
        (
            edited("panels", value=[*DOCUMENT["panels"], {"id": 3, "title": "Theirs"}]),
            'panels["Theirs"]: only in Grafana',
        ),
        (edited("panels", value=DOCUMENT["panels"][::-1]), "panels: in another order"),
        (edited("templating", "list", value=[]), "templating: missing in Grafana"),
        (
            edited("panels", 1, "fieldConfig", "defaults", "steps", 0, "value", value=5),
            'panels["Waiting"].fieldConfig.defaults.steps[0].value: only in Grafana',
        ),
        (
            edited("annotations", "list", value=[{"name": "Releases"}]),
            "annotations: only in Grafana",
        ),
    ],
)
def test_a_difference_is_said_with_its_place(theirs: dict[str, Any], said: str) -> None:
    """Panels by their titles, queries and variables by their names, other lists by position."""
    assert differences(DOCUMENT, theirs) == [said]


def test_a_panel_more_makes_no_other_differ() -> None:
    """A panel that somebody puts first moves the others in the list, and is the one difference."""
    theirs = edited("panels", value=[{"id": 3, "title": "Theirs"}, *DOCUMENT["panels"]])

    assert differences(DOCUMENT, theirs) == ['panels["Theirs"]: only in Grafana']


def test_long_values_are_cut() -> None:
    """A query of several lines does not hide the place."""
    (said,) = differences(DOCUMENT, edited("title", value="x" * 500))

    assert len(said) < 130


def test_words_of_a_document_move_no_cursor() -> None:
    """A title from outside is shown as JSON writes it."""
    (said,) = differences(DOCUMENT, edited("title", value="\x1b[2J\x9b"))

    assert said == 'title: "\\u001b[2J\\u009b" stands where "One" belongs'


def test_another_folder_is_a_difference() -> None:
    """A board that was moved is not where it belongs."""
    found = compare(BOARD, Stored(DOCUMENT, 1, ""), "paceline")

    assert (found.state, found.differences) == ("different", ("folder: none stands where paceline belongs",))


def test_the_full_difference_is_a_diff_from_grafana_to_ours() -> None:
    """With both names, and without what Grafana adds."""
    text = unified(BOARD, Stored(edited("title", value="Two") | {"version": 9}, 9, "paceline"))

    lines = text.splitlines()
    assert lines[:2] == ["--- grafana/paceline-one.json", "+++ paceline/paceline-one.json"]
    assert [line for line in lines[2:] if line[0] in "+-"] == ['-  "title": "Two"', '+  "title": "One"']


def test_a_new_board_is_saved_without_a_version() -> None:
    """Grafana gives the id; the uid is ours."""
    command = save_command(BOARD, folder_uid="f", version=None, message="m", overwrite=False)

    assert command == {
        "dashboard": DOCUMENT | {"id": None},
        "folderUid": "f",
        "message": "m",
        "overwrite": False,
    }


def test_a_known_board_is_saved_over_the_version_that_was_seen() -> None:
    """So that Grafana refuses where somebody else was faster."""
    command = save_command(BOARD, folder_uid="f", version=3, message="m", overwrite=False)

    assert command["dashboard"]["version"] == 3


def test_stray_boards_have_our_prefix_and_our_tag() -> None:
    """Others are left alone, and so is what is made."""
    hits = [
        Found("paceline-one", "One", ["paceline"]),
        Found("paceline-old", "Old", ["paceline"]),
        Found("paceline-copy", "Copy", []),
        Found("x", "X", ["paceline"]),
    ]

    assert [f.uid for f in stray(hits, [BOARD])] == ["paceline-old"]
