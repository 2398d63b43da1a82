"""The doctor: what a source would report, what rules took, what is missing; and that nothing of it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from replay import Provider, Reply

from collector.api import CiConfig, TrackerConfig
from collector.deploying import DeploymentRule
from collector.errors import BadRecord
from collector.events import Change, ChangeState, Commit, Event, PipelineRun, Result, RunState
from collector.http import ApiClient, Wire
from collector.patterns import patterns
from collector.people import People
from collector.registry import source_types
from collector.source import About, Page, Source, SourceContext
from collector.store import SourceRun, to_micros
from collector.tracking import Issue, IssueRule, Meaning, Status, Tracking
from paceline.commands.doctor import print_diagnosis
from paceline.doctor import Diagnosis, Seen, Share, Unmapped, examine, stored, together
from slo_engine.organisation import Organisation, Service

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BASE = "https://ci.example.com"


class CiOfTests(CiConfig):
    """A system of pipelines that hands out names of runs."""

    about: ClassVar[About | None] = About(
        system="Tests", gives=("pipeline_run",), tested="nothing", example="", scopes=(("`read_runs`", "the runs"),)
    )
    type: Literal["tests"] = "tests"

    def build(self, context: SourceContext) -> Source:
        """The source."""
        return _Runs(self, context, self.client(context))


@dataclass
class _Runs:
    config: CiOfTests
    context: SourceContext
    client: ApiClient

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """One page of what the server names."""
        assert cursor is None
        names = self.client.get("runs").json()
        deploying = self.config.deploying(self.context)
        events: list[Event] = []
        for number, name in enumerate(names):
            run = PipelineRun(
                source=self.config.name,
                native_id=str(number),
                repository="group/shop",
                pipeline=name,
                state=RunState.COMPLETED,
                result=Result.SUCCESS,
                started_at=NOW,
                finished_at=NOW,
                created_at=NOW if number else None,
                sha="a" * 40 if number else None,
            )
            events += [run, *filter(None, [deploying.of(run)])]
        events.append(_commit("a" * 40))
        events.append(_merged("1", "a" * 40))
        events.append(_merged("2", None))
        rejected = [BadRecord("item 9", "no time")]
        yield Page(events=events, cursor="x", rejected=rejected, warnings=["an unknown state"], truncations=["9 of 10"])


class TrackerOfTests(TrackerConfig):
    """A tracker whose issues all have a status of their own."""

    type: Literal["tracker_of_tests"] = "tracker_of_tests"

    def build(self, context: SourceContext) -> Source:
        """The source."""
        return _Issues(self.tracking(context))


@dataclass
class _Issues:
    tracking: Tracking

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """One page of three issues."""
        assert cursor is None
        issues = [Issue(native_id=str(n), created_at=NOW, status=Status("Parked"), project="help") for n in range(3)]
        yield Page(events=[event for one in issues if (event := self.tracking.event(one))], cursor="x")


def _commit(sha: str) -> Commit:
    return Commit(source="ci", native_id=sha, repository="group/shop", sha=sha, authored_at=NOW, committed_at=NOW)


def _merged(name: str, sha: str | None) -> Change:
    return Change(
        source="ci",
        native_id=name,
        repository="group/shop",
        state=ChangeState.MERGED,
        created_at=NOW,
        merged_at=NOW,
        merge_sha=sha,
    )


def looked(
    tmp_path: Path, names: list[str] | Reply, *rules: dict[str, Any], organisation: Organisation | None = None
) -> tuple[Diagnosis, Seen]:
    """What the doctor finds at a server that hands out runs of some names."""
    provider = Provider(BASE)
    provider.route("runs")(lambda _: names if isinstance(names, Reply) else Reply(names))
    config = CiOfTests(
        name="ci", url=BASE, deployments=[DeploymentRule.model_validate(r) for r in rules], history=timedelta(days=1)
    )
    wire = Wire(adapter=provider, sleep=lambda _: None)
    context = SourceContext(
        data_dir=tmp_path, base_dir=tmp_path, people=People(b"k" * 32), clock=lambda: NOW, wire=wire
    )
    seen = Seen()
    return examine(config, context, organisation or Organisation(), NOW - timedelta(days=14), seen), seen


def test_each_rule_says_what_it_took_and_what_was_left(tmp_path: Path) -> None:
    """Per rule what matched, what looks like a deployment and was not matched, and how much of it there was."""
    found, _ = looked(tmp_path, ["ship", "ship", "release-docs", "lint"], {"pipeline": "ship"}, {"job": "deploy"})

    assert [(r.rule, r.runs, r.names) for r in found.rules] == [
        ("pipeline: ship", 2, (("ship", 2),)),
        ("job: deploy", 0, ()),
    ]
    assert found.lookalikes == (("group/shop: release-docs", 1),)
    assert found.finished_runs == 4
    assert found.advice == (
        "Rule 2 of `deployments` took nothing in this time: job: deploy; 'release-docs' sounds like a deployment.",
    )


def test_names_from_outside_move_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever can name a run or an environment writes nothing else on the screen of who looks."""
    evil = "\x1b[2Jprod\r\u009b2K"
    names = {"environments": {evil: 1}, "lookalikes": ((evil, 1),), "warnings": (evil,), "advice": (evil,)}
    print_diagnosis(Diagnosis(source="ci", type="tests", error=evil, **names))  # type: ignore[arg-type] # each is its own
    said = capsys.readouterr().out

    assert said.count("[2Jprod") == 5
    assert [c for c in said if not c.isprintable() and c != "\n"] == []


def test_words_that_no_setting_maps_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tracker's unmapped statuses stand in a table, each with what it was taken as, and the advice says where."""
    folder, config = tmp_path, TrackerOfTests(name="desk", url=BASE, issues=[IssueRule(becomes=Meaning.TICKET)])
    context = SourceContext(data_dir=folder, base_dir=folder, people=People(b"k" * 32), clock=lambda: NOW)

    found = examine(config, context, Organisation(), NOW - timedelta(days=14), Seen())
    print_diagnosis(found)

    assert found.unmapped == (Unmapped(what="status", word="Parked", taken_as="open", times=3),)
    assert found.advice == ("No name under `statuses` fits this status: 'Parked'. See docs/tracking.md.",)
    assert "Words that no setting maps" in capsys.readouterr().out


def test_what_numbers_need_is_counted(tmp_path: Path) -> None:
    """Coverage before anything is saved: commits of deployments, merge commits of changes, times of runs."""
    found, seen = looked(tmp_path, ["ship", "ship"], {"pipeline": "ship"})

    assert found.events == {"change": 2, "commit": 1, "deployment": 2, "pipeline_run": 2}
    assert found.shares == (
        Share(what="finished runs with all their times", part=1, whole=2),
        Share(what="deployments with their commit", part=1, whole=2),
        Share(what="merged changes with their merge commit", part=1, whole=2),
    )
    assert seen.shares == (Share(what="deployed commits that a source knows", part=1, whole=1),)


def test_what_a_source_says_of_itself_is_told(tmp_path: Path) -> None:
    """Requests, set aside records, warnings and what the system cut off."""
    found, _ = looked(tmp_path, ["lint"])

    assert (found.requests, found.rejected, found.rejected_total) == (1, ("item 9: no time",), 1)
    assert (found.warnings, found.truncations) == (("an unknown state",), ("9 of 10",))


def test_without_rules_the_first_look_alike_is_named(tmp_path: Path) -> None:
    """Nothing deploys without a rule, and the doctor says which one to begin with."""
    found, seen = looked(tmp_path, ["lint", "deploy prod"])

    assert found.advice == ("No rule says what deploys; 'deploy prod' sounds like it. See docs/deployments.md.",)
    assert together([found], seen, Organisation()) == [
        "No source reports a deployment: lead time, frequency and fail rate will have no value."
    ]


def test_no_rule_for_production_is_said(tmp_path: Path) -> None:
    """No rule for "production" is configured → nothing is production, and `doctor` says so."""
    nowhere = Organisation(production=())
    found, seen = looked(tmp_path, ["ship"], {"pipeline": "ship", "to": "prod"}, organisation=nowhere)

    (said,) = together([found], seen, nowhere)

    assert "`environments.production` is nothing, deployments went to prod. Name there what is production" in said


def test_services_that_the_catalogue_does_not_know_are_named(tmp_path: Path) -> None:
    """A service of another name is counted nowhere: the doctor says which."""
    organisation = Organisation(services=(Service(name="api", deployed_as=patterns(("api-*",))),))
    found, _ = looked(tmp_path, ["ship"], {"pipeline": "ship"}, organisation=organisation)

    assert found.unknown_services == ("shop",)
    assert "The catalogue does not know what deployments call shop" in found.advice[0]


def test_refused_credentials_name_the_scopes(tmp_path: Path) -> None:
    """401 → what the token must be allowed, from the source's own page; no token is shown."""
    found, _ = looked(tmp_path, Reply({}, status=401))

    assert found.error == "GET https://ci.example.com/runs: answered 401; check its credentials and what they allow"
    assert found.advice == (
        "`token` is empty: give it as ${NAME}, a variable that holds it where Paceline runs.",
        "The token needs `read_runs`: the runs.",
    )


def test_what_is_not_found_may_be_hidden(tmp_path: Path) -> None:
    """404 is a wrong name, a wrong address, or a token that may not see it; and nobody knows yet what deploys."""
    found, seen = looked(tmp_path, Reply({}, status=404))

    assert found.advice == (
        "Look at `url` and at the names; what is private is not found by a token that may not see it.",
    )
    assert together([found], seen, Organisation()) == ["Whether anything deploys is known once ci can be read."]


HOUR = 3_600_000_000


def ran(**more: Any) -> SourceRun:
    """A run of a source, long ago."""
    return SourceRun(source="ci", started_at=0, finished_at=0, **more)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (None, ["Nothing of it was collected yet: `paceline collect` does so once"]),
        (ran(succeeded=True, last_success_at=to_micros(NOW)), []),
        (
            ran(succeeded=False, error="no route", last_success_at=to_micros(NOW) - 3 * HOUR),
            ["Its last run failed: no route.", "Its numbers are withheld: it was last collected 3.0 h ago"],
        ),
        (
            ran(succeeded=False, error="no route"),
            ["Its last run failed: no route.", "It never succeeded: its numbers are withheld."],
        ),
    ],
)
def test_a_source_that_is_stale_says_so(run: SourceRun | None, said: list[str]) -> None:
    """When it was last collected, why it failed, and what brings its numbers back."""
    found = list(stored(CiOfTests(name="ci", url=BASE), run, NOW))

    assert [line[: len(start)] for line, start in zip(found, said, strict=True)] == said


@pytest.mark.usefixtures("collected")
def test_the_doctor_looks_into_the_store(run: Callable[..., Any], settings_file: Path) -> None:
    """What was collected long ago and a people key that is gone are said; no new key is made."""
    key = settings_file.parent / ".paceline" / "people.key"
    key.unlink()
    code, out, _ = run("doctor")

    assert code == 0
    assert "Its numbers are withheld: it was last collected" in out
    assert "! The people key is gone: .paceline/people.key is not there, but the store is." in out
    assert not key.exists()


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("command", ["doctor", "collect"])
def test_what_is_away_costs_only_itself(run: Callable[..., Any], settings_file: Path, command: str) -> None:
    """Where files and a repository are not there, the other sources are read and told; only a check refuses."""
    away = "- {type: files, name: gone, path: gone/*.jsonl}\n  - {type: git, name: moved, repository: nowhere}\n  "
    text = settings_file.read_text(encoding="utf-8")
    settings_file.write_text(text.replace("sources:\n  ", f"sources:\n  {away}"), encoding="utf-8")

    checked, (code, out, _) = run("check"), run(command)

    assert checked[0] == 2
    assert "sources[0].path: no file matches gone/*.jsonl" in checked[2]
    assert "sources[1].repository: " in checked[2]
    assert code == 1
    assert "no file matches the path gone/*.jsonl" in out
    assert ("events (files): it can be read" if command == "doctor" else "events") in out


def test_a_source_without_anything_says_where_to_look(tmp_path: Path) -> None:
    """An empty answer is no health: repositories, projects and the time are what to look at."""

    class Silent(CiOfTests):
        def build(self, context: SourceContext) -> Source:
            del context
            return _Nothing()

    context = SourceContext(data_dir=tmp_path, base_dir=tmp_path, people=People(b"k" * 32), clock=lambda: NOW)
    found = examine(Silent(name="ci", url=BASE), context, Organisation(), NOW, Seen())

    assert "It reports nothing in this time" in found.advice[0]


class _Nothing:
    def pull(self, cursor: str | None) -> Iterator[Page]:
        """No page."""
        del cursor
        yield from ()


@pytest.mark.parametrize("days", [1, 60])
def test_a_source_is_asked_from_then_on(tmp_path: Path, days: int) -> None:
    """How far back it looks is handed to the source, whatever its own history says."""
    asked: list[datetime] = []

    class Listening(CiOfTests):
        def build(self, context: SourceContext) -> Source:
            asked.append(self.horizon(context))
            return super().build(context)

    provider = Provider(BASE)
    provider.route("runs")(lambda _: Reply([]))
    context = SourceContext(
        data_dir=tmp_path, base_dir=tmp_path, people=People(b"k" * 32), clock=lambda: NOW, wire=Wire(adapter=provider)
    )
    examine(Listening(name="ci", url=BASE), context, Organisation(), NOW - timedelta(days=days), Seen())

    assert asked == [NOW - timedelta(days=days)]


def test_a_source_that_is_only_told_says_how_to_try_it(tmp_path: Path) -> None:
    """It has no repository to look at: what it needs is that something is sent."""
    config = (
        source_types().by_key["webhook"].model_validate({"type": "webhook", "name": "told", "webhook_secret": "s" * 20})
    )
    context = SourceContext(data_dir=tmp_path, base_dir=tmp_path, people=People(b"k" * 32), clock=lambda: NOW)
    found = examine(config, context, Organisation(), NOW, Seen())

    assert "send it something" in "".join(found.advice)
