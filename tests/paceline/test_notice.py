"""The notice of the settings stands on every screen; and what is told as of a time is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from paceline.service import Service
from paceline.web import create_app
from paceline.wiring import build, configuration

NOTICE = "Only an example."
Run = Callable[..., tuple[object, str, str]]


@pytest.fixture
def settings_file(settings_file: Path) -> Path:
    """The small history's settings with a notice."""
    settings_file.write_text(f"notice: {NOTICE}\n{settings_file.read_text(encoding='utf-8')}", encoding="utf-8")
    return settings_file


@pytest.mark.parametrize("command", ["check", "collect", "evaluate", "restatements", "slo list"])
def test_it_is_the_first_line_for_people(run: Run, command: str) -> None:
    """Tables stand below it."""
    _, out, _ = run(*command.split())
    assert out.splitlines()[0] == NOTICE


def test_it_is_a_field_of_objects_in_json(run: Run) -> None:
    """A program sees it, and nothing stands above the object."""
    _, out, _ = run("evaluate", "--output", "json")
    assert json.loads(out)["notice"] == NOTICE


def test_lists_in_json_stay_lists(run: Run) -> None:
    """There is no room for it in a list, so the form of the answer stays."""
    _, out, _ = run("restatements", "--output", "json")
    assert json.loads(out) == []


def test_what_other_programs_read_does_not_have_it(run: Run) -> None:
    """Rules are rules: the first line is the group of them."""
    _, out, _ = run("rules")
    assert NOTICE not in out


def test_it_heads_the_weekly_summary(run: Run) -> None:
    """As a quotation above the title."""
    _, out, _ = run("report")
    assert out.splitlines()[:2] == [f"> {NOTICE}", ""]


def test_it_stands_on_every_page(collected: Service) -> None:
    """On the status page and on what explains a number."""
    with TestClient(create_app(collected)) as client:
        pages = [client.get(path).text for path in ("/", "/explain/deployment_frequency")]
    assert [page.count(f'<p class="note">{NOTICE}</p>') for page in pages] == [1, 1]


def test_it_stands_above_every_board(run: Run, tmp_path: Path) -> None:
    """The first panel is its text, and nothing lies under it."""
    run("dashboards", "build", "--out", str(tmp_path / "boards"))
    boards = [json.loads(path.read_text(encoding="utf-8"))["panels"] for path in (tmp_path / "boards").glob("*.json")]
    assert boards
    assert all(NOTICE in json.dumps(first) for first, *_ in boards)
    assert all(second["gridPos"]["y"] == first["gridPos"]["h"] for first, second, *_ in boards)


def test_everything_is_told_as_of_the_time_of_the_settings(settings_file: Path, run: Run) -> None:
    """An example that ended long ago is told as it stood then."""
    settings_file.write_text(
        f"as_of: 2026-03-09T06:00:00+01:00\n{settings_file.read_text(encoding='utf-8')}", encoding="utf-8"
    )
    _, out, _ = run("evaluate", "--output", "json")
    assert json.loads(out)["at"] == "2026-03-09T05:00:00Z"


def test_a_clock_that_is_given_wins(settings_file: Path) -> None:
    """Whoever builds the service may tell another time."""
    settings_file.write_text(
        f"as_of: 2026-03-09T06:00:00Z\n{settings_file.read_text(encoding='utf-8')}", encoding="utf-8"
    )
    found = configuration(settings_file, {}, settings_file.parent)
    assert found.settings.as_of is not None
    later = found.settings.as_of.replace(year=2027)
    running = build(found, lambda: later, {})
    assert running.service.started_at == later
    running.close()
