"""The weekly summary by command and page: who may ask for what, and what the settings' history says of SLOs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from block_kit import refused
from fastapi.testclient import TestClient

from paceline.service import Service
from paceline.slo_history import SloHistory
from paceline.web import create_app
from paceline.wiring import configuration
from slo_engine.indicator import indicators
from slo_engine.weekly import Week

Repository = Any
"""As tests/conftest.py makes it."""
SLO = (Path(__file__).parent / "good" / "slos" / "fast.yaml").read_text(encoding="utf-8")
WEEK = Week.parse("2026-W02", ZoneInfo("UTC"))
Run = Callable[..., tuple[int, str, str]]


# --- the command -----------------------------------------------------------------------------------------


@pytest.fixture
def told(run: Run) -> Callable[..., str]:
    """What the command writes of the week that was collected."""
    run("collect")

    def tell(*arguments: str) -> str:
        code, out, err = run("report", "--week", "2026-W10", *arguments)
        assert (code, err) == (0, "")
        return out

    return tell


def test_markdown_for_leaders_is_what_is_written_unless_told(told: Callable[..., str]) -> None:
    """Without options it is the page that leaders read."""
    assert told() == told("--format", "markdown", "--audience", "leader")
    assert told().startswith("# Platform summary, week 2026-W10\n")


def test_html_is_one_document(told: Callable[..., str]) -> None:
    """It begins and ends as HTML does."""
    page = told("--format", "html", "--audience", "sre")

    HTMLParser().feed(page)
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert page.endswith("</html>\n")


def test_slack_takes_what_is_written(told: Callable[..., str]) -> None:
    """The message is within the limits."""
    assert refused(json.loads(told("--format", "slack"))) == []


def test_json_is_for_programs(told: Callable[..., str]) -> None:
    """With its version, week and audience."""
    found = json.loads(told("--format", "json", "--audience", "sre"))

    assert (found["schema_version"], found["week"], found["audience"]) == (1, "2026-W10", "sre")
    assert [m["n"] for m in found["delivery"][0]["metrics"] if m["indicator"] == "deployment_frequency"] == [2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--audience", "team"), "--audience team: whose? expected --team with the path of a team"),
        (("--audience", "sre", "--team", "/shop"), "--team is for --audience team"),
        (("--format", "pdf"), "'pdf' is not one of"),
    ],
)
def test_what_does_not_belong_together_is_refused(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """With exit code 2 and what is expected."""
    code, out, err = run("report", *arguments)

    assert (code, out) == (2, "")
    assert said in err


def test_a_team_that_nobody_knows_is_refused(run: Run, settings_file: Path) -> None:
    """A misspelt one would else read as if nothing were wrong."""
    text = settings_file.read_text(encoding="utf-8")
    settings_file.write_text(f"{text}services: [{{name: shop, team: /commerce/shop}}]\n", encoding="utf-8")

    code, out, err = run("report", "--team", "/comerce")

    assert (code, out) == (1, "")
    assert "there is no team '/comerce'; did you mean /commerce?" in err


# --- the page --------------------------------------------------------------------------------------------


@pytest.fixture
def client(collected: Service) -> Iterator[TestClient]:
    """A client of a service that has a snapshot."""
    with TestClient(create_app(collected)) as found:
        yield found


def test_the_mail_of_a_week_is_what_the_command_writes(client: TestClient, collected: Service) -> None:
    """The same bytes, as HTML, with the headers of every page."""
    answer = client.get("/weekly/2026-W10?format=html")

    assert answer.text == collected.report(Week.parse("2026-W10", ZoneInfo("UTC")), "html")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("form", ["markdown", "text", "slack", "json"])
def test_the_page_has_other_formats(client: TestClient, collected: Service, form: Any) -> None:
    """They are asked for by name."""
    answer = client.get("/weekly/2026-W10", params={"format": form, "audience": "sre"})

    assert answer.text.startswith(collected.report(Week.parse("2026-W10", ZoneInfo("UTC")), form)[:1])
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/weekly/2026-W54", 404, "is no week; expected an ISO week"),
        ("/weekly/2026-W10?team=/nobody", 404, "there is no team '/nobody'"),
        ("/weekly/2026-W10?audience=team", 422, "belong together"),
        ("/weekly/2026-W54?format=json", 404, "is no week; expected an ISO week"),
        ("/weekly/2026-W10?format=pdf", 422, "literal_error"),
    ],
)
def test_a_page_that_there_is_not_says_why(client: TestClient, path: str, status: int, said: str) -> None:
    """With what was expected."""
    answer = client.get(path)

    assert (answer.status_code, said in unescape(answer.text)) == (status, True)


# --- what the history of the settings says -----------------------------------------------------------------


@pytest.fixture
def history(repository: Repository) -> Callable[[], SloHistory]:
    """The history of settings that were committed before the week of 5 January 2026, and of what is committed since."""
    (repository.path / "paceline.yaml").write_text("slos: [slos/*.yaml]\n", encoding="utf-8")
    (repository.path / "slos").mkdir()
    (repository.path / "slos" / "fast.yaml").write_text(SLO, encoding="utf-8")
    repository.git("add", ".")
    repository.commit("settings", at=24)

    def read() -> SloHistory:
        found = configuration(repository.path / "paceline.yaml", {}, repository.path)
        return SloHistory(found, {}, indicators())

    return read


def test_a_target_that_changed_in_the_week_is_known(history: Callable[[], SloHistory], repository: Repository) -> None:
    """The SLOs as they were when the week began, and when it ended; what came later is not of it."""
    file = repository.path / "slos" / "fast.yaml"
    for text, at in ((SLO.replace("0.9}", "0.95}"), 24 * 5), (SLO.replace("0.9}", "0.99}"), 24 * 30)):
        file.write_text(text, encoding="utf-8")
        repository.git("add", ".")
        repository.commit("another target", at=at)

    found = history().of(WEEK)

    assert found is not None
    assert [[float(s.target) for s in slos] for slos in found] == [[0.9], [0.95]]


def test_before_the_first_commit_nothing_is_known(history: Callable[[], SloHistory]) -> None:
    """That there is no history is not that everything is new."""
    assert history().of(Week.parse("2026-W01", ZoneInfo("UTC"))) is None


def test_without_a_repository_nothing_is_known(tmp_path: Path) -> None:
    """Settings that lie anywhere else have no history."""
    (tmp_path / "paceline.yaml").write_text("slos: []\n", encoding="utf-8")
    found = configuration(tmp_path / "paceline.yaml", {}, tmp_path)

    assert SloHistory(found, {}, indicators()).of(WEEK) is None


def test_a_version_that_cannot_be_read_is_not_known(history: Callable[[], SloHistory], repository: Repository) -> None:
    """A broken file of last year does not keep this week's summary from being written."""
    file = repository.path / "slos" / "fast.yaml"
    file.write_text("apiVersion: nonsense\n", encoding="utf-8")
    repository.git("add", ".")
    repository.commit("broken", at=24 * 5)
    file.write_text(SLO, encoding="utf-8")

    assert history().of(WEEK) is None
