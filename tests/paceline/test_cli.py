"""The command line: exit codes that mean something, tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from paceline.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def run(capsys: Capture, settings_file: Path) -> Run:
    """Runs commands on the settings of a small history."""
    return Run(capsys, settings_file)


class Run:
    """A command's exit code, output and errors."""

    def __init__(self, capsys: Capture, settings_file: Path) -> None:
        self.capsys, self.settings_file = capsys, settings_file

    def __call__(self, *arguments: str) -> tuple[object, str, str]:
        """Run a command with the settings."""
        code: object = 0
        try:
            main([*arguments, "--config", str(self.settings_file)])
        except SystemExit as stopped:
            code = stopped.code
        return code, *self.capsys.readouterr()


def test_collect_says_what_it_did(run: Run) -> None:
    """A run that worked exits with 0, and programs get its numbers as JSON."""
    code, out, _ = run("collect", "--output", "json")

    (outcome,) = json.loads(out)
    assert code == 0
    assert (outcome["source"], outcome["succeeded"], outcome["events"], outcome["rejected"]) == ("events", True, 2, [])


def test_collecting_twice_changes_nothing(run: Run) -> None:
    """A second run of unchanged files reads and changes nothing."""
    run("collect")

    (outcome,) = json.loads(run("collect", "--output", "json")[1])

    assert (outcome["events"], outcome["changed"]) == (0, 0)


def test_a_failed_source_is_exit_code_1(run: Run, settings_file: Path) -> None:
    """Some source failed: exit code 1, its error in the table, the others collected."""
    settings = settings_file.read_text(encoding="utf-8")
    second = "sources:\n  - {type: git, name: gone, repository: 'file:///nowhere/gone.git'}"
    settings_file.write_text(settings.replace("sources:", second, 1), encoding="utf-8")

    code, out, _ = run("collect", "--output", "json")

    assert code == 1
    assert [o["succeeded"] for o in json.loads(out)] == [False, True]


def test_records_set_aside_are_named(run: Run, settings_file: Path) -> None:
    """A broken record is shown with its place; the good ones are kept, and the run succeeds."""
    with (settings_file.parent / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write("{broken\n")

    code, _, err = run("collect")

    assert code == 0
    assert "set aside: events.jsonl:3: " in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("collect", "--source", "nobody"), "no source named nobody; there are events"),
        (("report", "--week", "2026-W54"), "'2026-W54' is no week; expected an ISO week, for example 2026-W14"),
        (("serve", "--port", "70000"), "70000 is not in the range 0<=x<=65535"),
        (("collect", "--nonsense"), "No such option"),
    ],
)
def test_wrong_arguments_are_exit_code_2(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """What a person must write differently is exit code 2 and one sentence."""
    code, out, err = run(*arguments)

    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("explain", "lead_time"), "change_lead_time"),
        (("explain", "change_lead_time", "--window", "1M"), "'1M' is no duration"),
        (("explain", "change_lead_time", "--dimension", "codng"), "expected one of coding, pickup, review, delivery"),
        (("report", "--out", "/dev/null/report.md"), "/dev/null"),
    ],
)
def test_what_cannot_be_done_is_exit_code_1(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """A failure is exit code 1 and one clear text, never a traceback."""
    code, out, err = run(*arguments)

    assert (code, out) == (1, "")
    assert said in err
    assert "Traceback" not in err


def test_evaluate_gives_everything_as_json(run: Run) -> None:
    """Numbers, what stands beside them, SLOs and sources, in one JSON document."""
    run("collect")

    code, out, _ = run("evaluate", "--output", "json")
    found = json.loads(out)

    assert code == 0
    assert set(found) == {"at", "numbers", "accounting", "slos", "sources"}
    assert found["slos"][0]["slo"]["target"] == "0.9"
    assert [s["name"] for s in found["sources"]] == ["events"]


@pytest.mark.parametrize("command", [("evaluate",), ("explain", "deployment_frequency"), ("collect",)])
def test_tables_are_for_people(run: Run, command: tuple[str, ...]) -> None:
    """Without --output a command prints a table."""
    run("collect")

    code, out, _ = run(*command)

    assert code == 0
    assert "━" in out


WEEK = ("--week", "2026-W10")


def test_explain_says_what_stands_behind_a_number(run: Run) -> None:
    """Definition, window, both sides, what is exported, the age of the data; then the units."""
    run("collect")

    code, out, _ = run("explain", "platform_deployments_per_day", *WEEK)
    lines = out.splitlines()

    assert code == 0
    assert lines[:4] == [
        "Deployments (definition 1): Successful deployments of the service to the environment per day of the window.",
        "2026-W10: after 2026-03-01 23:59:59 up to 2026-03-08 23:59:59 UTC",
        "shop/production: n 2 (2 of 7), per_day 0.285714, as exported",
        "shop/production: 0 pending, left out: none",
    ]
    assert lines[4].startswith("source events: last success ")
    assert lines[5].strip() == "Units 1 to 2 of 2, oldest first"


def test_explain_lists_a_part_and_says_so(run: Run) -> None:
    """A limit and an offset choose the units; the title says which of how many."""
    run("collect")

    _, out, _ = run("explain", "deployment_frequency", *WEEK, "--limit", "1", "--offset", "1")
    found = json.loads(run("explain", "deployment_frequency", *WEEK, "--limit", "1", "--output", "json")[1])

    assert "Units 2 to 2 of 2, oldest first" in out
    assert (len(found["units"]), found["total"], found["numbers"][0]["n"]) == (1, 2, 2)


def test_explain_lists_everything_as_json(run: Run) -> None:
    """Programs get each unit with its role, event and subject."""
    run("collect")

    found = json.loads(run("explain", "deployment_frequency", *WEEK, "--output", "json")[1])

    assert [(u["role"], u["subject"][0], u["unit"]["kind"]) for u in found["units"]] == [
        ("count", "shop", "deployment"),
        ("count", "shop", "deployment"),
    ]
    assert (found["numbers"][0]["exported"], found["numbers"][0]["stale"]) == ({"per_day": 2 / 7}, [])


def test_explain_pools_a_team(run: Run, settings_file: Path) -> None:
    """A level of teams is explained as one number of all its services."""
    with settings_file.open("a", encoding="utf-8") as settings:
        settings.write("services:\n  - {name: shop, team: /commerce/checkout}\n")
    run("collect")

    pooled = run("explain", "deployment_frequency", *WEEK, "--team", "/commerce")[1]
    other = run("explain", "deployment_frequency", *WEEK, "--team", "/data")[1]

    assert "/commerce, production: n 2 (2 of 7), per_day 0.285714, as exported" in pooled
    assert "Units 0 to 0 of 0" in other


def test_explain_names_the_source_that_withholds_a_number(run: Run, settings_file: Path) -> None:
    """A source that never succeeded under its name is why nothing is exported; its units are facts."""
    run("collect")
    settings_file.write_text(
        settings_file.read_text(encoding="utf-8").replace("name: events", "name: others"), encoding="utf-8"
    )

    out = run("explain", "deployment_frequency", *WEEK)[1]

    assert "per_day 0.285714, not exported: no recent success of events" in out
    assert "source events: last success never, not fresh" in out


def test_a_report_is_written_where_asked(run: Run, tmp_path: Path) -> None:
    """A summary goes to the file, and the file's name to standard error; else to standard output."""
    run("collect")

    code, out, err = run("report", "--week", "2026-W10", "--out", str(tmp_path / "new" / "w.md"))

    assert (code, out, err) == (0, "", f"{tmp_path}/new/w.md\n")
    assert (tmp_path / "new" / "w.md").read_text() == run("report", "--week", "2026-W10")[1]


def test_rules_need_no_store(run: Run, settings_file: Path) -> None:
    """Rules follow from the files alone: no data directory appears."""
    code, out, _ = run("rules")

    assert code == 0
    assert "groups:" in out
    assert not (settings_file.parent / ".paceline").exists()


def test_dashboards_are_checked(run: Run, tmp_path: Path) -> None:
    """What was written passes the check, what was changed fails it."""
    folder = tmp_path / "grafana"
    written = run("dashboards", "--out", str(folder))[1].split()

    assert run("dashboards", "--out", str(folder), "--check")[0] == 0
    Path(written[0]).write_text("{}", encoding="utf-8")
    assert run("dashboards", "--out", str(folder), "--check")[0] == 1


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_installed_command_answers(option: str) -> None:
    """The command itself, in a process of its own, exits with 0."""
    done = subprocess.run(
        [sys.executable, "-c", "from paceline.cli import main; main()", option], capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_reader_that_has_enough_sees_no_traceback(run: Run, settings_file: Path) -> None:
    """Piped into `head`, a command ends quietly."""
    run("collect")
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [
            *(sys.executable, "-c", "from paceline.cli import main; main()"),
            *("evaluate", "--output", "json", "--config", str(settings_file)),
        ],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (1, b"")
