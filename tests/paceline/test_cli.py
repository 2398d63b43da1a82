"""The command line: exit codes that mean something, tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from paceline.cli import SHORT, cli

Capture = pytest.CaptureFixture[str]


Run = Callable[..., tuple[object, str, str]]


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
        (("restatements", "--since", "soon"), "'soon' does not match the formats"),
        (("restatements", "--limit", "0"), "0 is not in the range 1<=x<=10000"),
        (("rejected", "--limit", "0"), "0 is not in the range 1<=x<=10000"),
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
    """Numbers, what stands beside them, SLOs, sources, scores and notes, in one JSON document."""
    run("collect")

    code, out, _ = run("evaluate", "--output", "json")
    found = json.loads(out)

    assert code == 0
    assert set(found) == {
        *("at", "numbers", "accounting", "slos", "sources"),
        *("scores", "unmatched", "restatements", "suppressed", "notes"),
    }
    assert found["slos"][0]["slo"]["target"] == "0.9"
    assert [s["name"] for s in found["sources"]] == ["events"]


def test_evaluate_shows_first_what_has_a_value(run: Run) -> None:
    """A fresh set-up reads a few rows, a line for each family without values, and how the rest is listed."""
    run("collect")

    out = run("evaluate")[1]

    assert "No value, delivery: " in out
    assert "no value" not in out.partition("Numbers ")[2].partition("No value, ")[0]
    assert re.search(
        r"^These are the first of \d+ numbers: --all lists those of each service, team, ", out, re.MULTILINE
    )


def test_evaluate_lists_all_numbers_when_asked(run: Run) -> None:
    """Each row of the JSON is a row of the table."""
    run("collect")

    numbers = json.loads(run("evaluate", "--output", "json")[1])["numbers"]
    rows = run("evaluate", "--all")[1].partition("Numbers ")[2].partition("└")[0]

    assert rows.count("\n│") == len(numbers)


def append(settings_file: Path, *records: dict[str, str]) -> None:
    """Report more events."""
    with (settings_file.parent / "events.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def release(native_id: str, service: str, finished_at: str) -> dict[str, str]:
    """A record of a production deployment."""
    return {
        "kind": "deployment",
        "native_id": native_id,
        "service": service,
        "environment": "production",
        "finished_at": finished_at,
        "result": "success",
    }


OUTAGE = {
    "kind": "incident",
    "native_id": "i",
    "service": "shop",
    "environment": "production",
    "state": "resolved",
    "started_at": "2026-03-04T11:00:00Z",
    "restored_at": "2026-03-04T12:00:00Z",
}


def test_evaluate_gives_scores(run: Run, settings_file: Path) -> None:
    """Production has its Quick Check scores with their means, as JSON and in the table."""
    today = datetime.now(tz=UTC).replace(microsecond=0) - timedelta(days=2)
    append(settings_file, release("new", "shop", today.isoformat()))
    run("collect")

    found = json.loads(run("evaluate", "--output", "json")[1])["scores"]
    out = run("evaluate")[1]

    assert [(s["subject"], s["window"]) for s in found] == [
        (["shop", "production", ""], "28d"),
        (["shop", "production", ""], "90d"),
    ]
    assert found[0]["scores"] == {
        "deployment_frequency": 4.0,
        "change_fail_rate": 10.0,
        "deployment_rework_rate": 10.0,
        "throughput": 4.0,
        "stability": 10.0,
        "overall": 8.0,
    }
    assert found[0]["n"] == {"deployment_frequency": 1, "change_fail_rate": 1, "deployment_rework_rate": 1}
    assert "Quick Check, production, 0 (worst) to 10 (best)" in out


def test_evaluate_names_what_the_catalogue_does_not_know(run: Run, settings_file: Path) -> None:
    """Unmatched names come by kind, sorted; of more than twenty the first are shown with their number."""
    append(settings_file, *(release(f"r{n}", f"s{n:02}", "2026-03-05T10:00:00Z") for n in range(30)))
    with settings_file.open("a", encoding="utf-8") as settings:
        settings.write("services:\n  - {name: other, team: /a}\n")
    run("collect")

    (found,) = json.loads(run("evaluate", "--output", "json")[1])["unmatched"]
    out = run("evaluate")[1]

    assert (found["kind"], found["total"], len(found["names"])) == ("deployment", 31, 20)
    assert found["names"][::19] == ["s00", "s19"]
    assert "Unmatched names, deployment: 31 names: s00, s01, " in out
    assert " and 11 more\n" in out


def test_evaluate_says_that_nothing_is_production(run: Run, settings_file: Path) -> None:
    """No rule for production matches: nothing is production, and the command says what to do."""
    with settings_file.open("a", encoding="utf-8") as settings:
        settings.write("environments: {production: []}\n")
    run("collect")

    out = run("evaluate")[1]
    (note,) = json.loads(run("evaluate", "--output", "json")[1])["notes"]

    assert note == (
        "No deployment goes to a production environment: the environments seen are production, and production is "
        "an empty list. Name yours in the setting environments.production."
    )
    assert note in out


def test_records_set_aside_are_listed_later(run: Run, settings_file: Path) -> None:
    """What a run could not use is asked for when it is over: each record once, with its source, place and reason."""
    with (settings_file.parent / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write("{broken\n[]\n")
    run("collect")
    run("collect")

    records = json.loads(run("rejected", "--output", "json")[1])
    code, out, _ = run("rejected", "--source", "events", "--limit", "1")

    assert [(r["source"], r["location"]) for r in records] == [("events", f"events.jsonl:{n}") for n in (3, 4)]
    assert all(r["reason"] for r in records)
    assert (code, "Set aside, 1 record" in out) == (0, True)
    assert ("events.jsonl:3" in out, "events.jsonl:4" in out) == (True, False)
    assert "There may be more than these 1" in out
    assert "There may be more" not in run("rejected")[1]


def test_records_of_an_unknown_source_are_a_mistake(run: Run) -> None:
    """A name that no source has is told from a source with nothing set aside."""
    code, _, err = run("rejected", "--source", "event")

    assert (code, "no source named event; there are events" in err) == (2, True)
    assert json.loads(run("rejected", "--output", "json")[1]) == []


def test_restatements_are_listed(run: Run, settings_file: Path) -> None:
    """A late incident makes a published good deployment bad: listed with its event, from what to what, and why."""
    run("collect")
    run("evaluate")
    append(settings_file, OUTAGE)
    run("collect")
    counted = json.loads(run("evaluate", "--output", "json")[1])["restatements"]

    lines = json.loads(run("restatements", "--output", "json")[1])
    (line,) = (x for x in lines if x["indicator"] == "change_fail_rate")
    code, out, _ = run("restatements", "--limit", "1")

    assert (counted["change_fail_rate"], sum(counted.values())) == (1, len(lines))
    assert (line["subject"][:2], line["unit"]["kind"], line["change"]) == (
        ["shop", "production"],
        "deployment",
        "good → bad",
    )
    assert line["why"] == "new or changed events: incident"
    assert (code, "Restated, the newest 1, times in UTC" in out) == (0, True)
    assert "Restated units: " in run("evaluate")[1]


def test_restatements_are_listed_since_a_time(run: Run, settings_file: Path) -> None:
    """What was noticed before the time is left out."""
    run("collect")
    run("evaluate")
    append(settings_file, OUTAGE)
    run("collect")
    run("evaluate")

    assert json.loads(run("restatements", "--since", "2026-03-01", "--output", "json")[1]) != []
    assert json.loads(run("restatements", "--since", "9999-01-01", "--output", "json")[1]) == []


@pytest.mark.parametrize(
    "command", [("evaluate",), ("explain", "deployment_frequency"), ("collect",), ("rejected",), ("restatements",)]
)
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


@pytest.mark.parametrize("name", SHORT)
def test_the_list_of_commands_says_what_their_help_says(name: str) -> None:
    """The list imports no command, so it has their first sentences for itself."""
    command = cli.get_command(click.Context(cli), name)

    assert command is not None
    assert command.get_short_help_str(limit=300) == SHORT[name]
