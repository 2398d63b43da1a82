"""`paceline plan`: what changes of SLO files do, against files, folders, rule files and Git revisions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from paceline.cli import main

Repository = Any
"""As tests/conftest.py makes it."""
SLO = (Path(__file__).parent / "good" / "slos" / "fast.yaml").read_text(encoding="utf-8")
TIGHTER = SLO.replace("0.9}", "0.95}")


class Planned:
    """Settings in a folder, with one SLO file that was applied and another one that is to be."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        (folder / "slos").mkdir(parents=True)
        (folder / "paceline.yaml").write_text("slos: [slos/*.yaml]\n", encoding="utf-8")
        self.write("slos/fast.yaml", SLO)

    def write(self, name: str, text: str) -> Path:
        """Write a file of the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, *arguments: str) -> tuple[object, str, str]:
        """A command's exit code, output and errors."""
        code: object = 0
        try:
            main([*arguments, "--config", str(self.folder / "paceline.yaml")])
        except SystemExit as stopped:
            code = stopped.code
        return code, *self._capsys.readouterr()

    def plan(self, against: str | Path, *arguments: str) -> dict[str, Any]:
        """The plan for programs; it must succeed."""
        code, out, err = self.run("plan", "--against", str(against), "--output", "json", *arguments)
        assert (code, err) == (0, "")
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.fixture
def planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Planned:
    """Settings that lie in no repository."""
    return Planned(tmp_path / "settings", capsys)


@pytest.fixture
def committed(repository: Repository, capsys: pytest.CaptureFixture[str]) -> Planned:
    """Settings in a subfolder of a repository, committed."""
    found = Planned(repository.path / "ops", capsys)
    found.write("slos/notes.txt", "no YAML\n")
    repository.git("add", ".")
    repository.commit("SLOs", at=1)
    return found


# --- files


def test_a_tighter_target_is_planned(planned: Planned, tmp_path: Path) -> None:
    """Against a folder of SLOs: the field, and from when to when the SLO alerts."""
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "fast.yaml").write_text(SLO, encoding="utf-8")
    planned.write("slos/fast.yaml", TIGHTER)

    found = planned.plan(tmp_path / "before")

    (slo,) = found["slos"]
    assert (found["changes"], slo["action"], slo["name"]) == (True, "changed", "fast")
    assert slo["fields"] == [{"field": "spec.objectives[0].target", "before": "0.9", "after": "0.95"}]
    assert "(10% bad)" in found["alerts"][0]["fields"][0]["before"]
    assert "(5% bad)" in found["alerts"][0]["fields"][0]["after"]


def test_people_see_a_table(planned: Planned, tmp_path: Path) -> None:
    """What comes is one line with what it is; what changes has a line for each field."""
    planned.write("slos/fast.yaml", TIGHTER)
    planned.write("slos/new.yaml", SLO.replace("name: fast", "name: new"))
    before = tmp_path / "fast.yaml"
    before.write_text(SLO, encoding="utf-8")

    code, out, _ = planned.run("plan", "--against", str(before))

    assert code == 0
    assert "SLOs: 1 added, 1 changed" in out
    assert "When SLOs alert: 1 added, 1 changed" in out


def test_nothing_to_apply_is_said(planned: Planned) -> None:
    """The same files against themselves: exit code 0 also with --exit-code."""
    code, out, _ = planned.run("plan", "--against", str(planned.folder / "slos"), "--exit-code")

    assert (code, out) == (0, f"Nothing changes against {planned.folder}/slos.\n")


def test_changes_are_exit_code_2_where_asked(planned: Planned, tmp_path: Path) -> None:
    """A pipeline can tell a change from none."""
    before = tmp_path / "fast.yaml"
    before.write_text(TIGHTER, encoding="utf-8")

    assert planned.run("plan", "--against", str(before), "--exit-code")[0] == 2
    assert planned.run("plan", "--against", str(before))[0] == 0


def test_other_settings_are_read_with_their_slos(planned: Planned, tmp_path: Path) -> None:
    """Another folder's settings name the SLOs that were applied."""
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "paceline.yaml"
    other.write_text("slos: []\n", encoding="utf-8")

    assert [(s["action"], s["name"]) for s in planned.plan(other)["slos"]] == [("added", "fast")]


@pytest.mark.parametrize("form", ["prometheus", "prometheusrule", "mimir"])
def test_rules_that_were_applied_are_compared(planned: Planned, form: str) -> None:
    """Against its own rule file nothing changes, in every format."""
    applied = planned.folder / "applied.yaml"
    planned.run("rules", "--format", form, "--out", str(applied))

    found = planned.plan(applied)

    assert (found["changes"], found["slos"]) == (False, [])
    assert found["notes"] == ["A rule file says nothing of SLOs and of when they alert: only rules are compared."]


def test_rules_are_compared_with_the_links_they_are_given(planned: Planned) -> None:
    """Rules made for another address differ in their annotations alone."""
    applied = planned.folder / "applied.yaml"
    planned.run("rules", "--base-url", "https://p.example.com", "--out", str(applied))

    fields = {f["field"] for rule in planned.plan(applied)["rules"] for f in rule["fields"]}

    assert fields == {"annotations.explain_url"}
    assert not planned.plan(applied, "--base-url", "https://p.example.com/")["changes"]


def test_dashboards_that_differ_are_named(planned: Planned, tmp_path: Path) -> None:
    """The folder that was written before is compared with what would be written now."""
    folder = tmp_path / "grafana"
    planned.run("dashboards", "build", "--out", str(folder))
    before = planned.plan(planned.folder / "slos", "--dashboards", str(folder))["dashboards"]
    (folder / "provisioning.yaml").unlink()

    after = planned.plan(planned.folder / "slos", "--dashboards", str(folder))["dashboards"]

    assert (before, after) == ([], ["provisioning.yaml: missing"])


def test_dashboards_are_compared_with_the_links_and_the_notice_they_have(planned: Planned, tmp_path: Path) -> None:
    """A folder that was written for an address is planned for it; the notice of the settings stands on its boards."""
    planned.write("paceline.yaml", "slos: [slos/*.yaml]\nnotice: An example.\n")
    folder, address = tmp_path / "grafana", ["--base-url", "https://p.example.com"]
    planned.run("dashboards", "build", "--out", str(folder), *address)

    plans = [planned.plan(planned.folder / "slos", "--dashboards", str(folder), *o) for o in (address, [])]

    assert [bool(plan["dashboards"]) for plan in plans] == [False, True]


# --- Git


def test_the_working_tree_is_compared_with_the_last_commit(committed: Planned) -> None:
    """Without a word a plan says what is not committed yet."""
    committed.write("slos/fast.yaml", TIGHTER)

    code, out, _ = committed.run("plan", "--output", "json")

    assert (code, [s["name"] for s in json.loads(out)["slos"]]) == (0, ["fast"])


def test_a_revision_has_the_files_that_its_settings_named(committed: Planned, repository: Repository) -> None:
    """Files that came or went between two revisions are told by what the settings of each named."""
    repository.tag("applied")
    committed.write("more/new.yaml", SLO.replace("name: fast", "name: new"))
    committed.write("paceline.yaml", "slos: [more/]\n")
    (committed.folder / "slos" / "fast.yaml").unlink()
    repository.git("add", ".")
    repository.commit("others", at=2)

    found = committed.plan("applied")

    assert [(s["action"], s["name"]) for s in found["slos"]] == [("removed", "fast"), ("added", "new")]
    assert not committed.plan("HEAD")["changes"]


def test_before_the_first_settings_everything_is_new(committed: Planned, repository: Repository) -> None:
    """A revision without the settings file had no SLOs, and that is said."""
    repository.git("rm", "--quiet", "--cached", "ops/paceline.yaml")
    repository.commit("no settings", at=2)

    found = committed.plan("HEAD")

    assert [(s["action"], s["name"]) for s in found["slos"]] == [("added", "fast")]
    assert found["notes"] == ["HEAD has no ops/paceline.yaml: everything is new"]


def test_what_lay_outside_then_is_noted(committed: Planned, repository: Repository, tmp_path: Path) -> None:
    """A file that the earlier settings named outside the repository is compared as it is now."""
    outside = tmp_path / "outside.yaml"
    outside.write_text(SLO.replace("name: fast", "name: outside"), encoding="utf-8")
    committed.write("paceline.yaml", f"slos: [slos/*.yaml, {outside}]\n")
    repository.git("add", ".")
    repository.commit("outside", at=2)

    found = committed.plan("HEAD")

    assert not found["changes"]
    assert found["notes"] == [f"{outside} is not in the repository: it is read as it is now"]


def test_a_mistake_in_a_revision_is_placed_there(committed: Planned, repository: Repository) -> None:
    """What was wrong then is told with the revision, the file and the line, not with a temporary folder."""
    committed.write("slos/fast.yaml", SLO.replace("0.9}", "1}"))
    repository.git("add", ".")
    repository.commit("wrong", at=2)
    committed.write("slos/fast.yaml", SLO)

    code, out, err = committed.run("plan")

    assert (code, out) == (2, "")
    assert err.startswith("HEAD:ops/slos/fast.yaml:13: spec.objectives[0].target: a target of 1 leaves no error budget")


def test_a_pattern_that_matched_nothing_is_placed_there(committed: Planned, repository: Repository) -> None:
    """The pattern is told as it would be in the repository."""
    committed.write("paceline.yaml", "slos: [slo/*.yaml]\n")
    repository.git("add", ".")
    repository.commit("wrong", at=2)
    committed.write("paceline.yaml", "slos: [slos/*.yaml]\n")

    err = committed.run("plan")[2]

    assert err.startswith("HEAD:ops/paceline.yaml:1: slos[0]: 'HEAD:ops/slo/*.yaml' matches no file")


@pytest.mark.parametrize("name", ["nowhere", "--all", "HEAD~9"])
def test_what_is_neither_file_nor_revision_is_refused(committed: Planned, name: str) -> None:
    """Exit code 2, with what may stand there; nothing of it reaches git as an option."""
    code, out, err = committed.run("plan", f"--against={name}")

    assert (code, out) == (2, "")
    assert err.startswith(f"--against: {name}: there is no file, and no revision, of this name; expected a file")


def test_settings_outside_a_repository_have_no_revision(
    planned: Planned, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is said that there is no repository to ask."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))

    code, _, err = planned.run("plan")

    assert code == 2
    assert "--against: HEAD: there is no file of this name, and paceline.yaml lies in no Git repository" in err


def test_without_settings_there_is_no_earlier_version(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The quickstart has no file: a plan can be made against files only."""
    repository.commit(at=1)
    monkeypatch.chdir(repository.path)

    with pytest.raises(SystemExit) as stopped:
        main(["plan"])

    assert stopped.value.code == 2
    assert "without a settings file there is no earlier version of it" in capsys.readouterr().err


def test_a_plan_writes_nothing(committed: Planned, repository: Repository) -> None:
    """Neither the folder nor the repository is touched: a plan can be made anywhere."""
    before = sorted(committed.folder.rglob("*"))

    committed.plan("HEAD")

    assert sorted(committed.folder.rglob("*")) == before
    assert repository.git("status", "--porcelain") == ""
