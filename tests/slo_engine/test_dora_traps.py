"""Cases that others got wrong in deployments, attribution, the DORA arithmetic and incidents, each worked by hand.

Commits are letters, times are hours after Thursday 1 January 2026, 00:00 UTC. What concerns changes, their stages and
their attribution alone is in test_delivery.py.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from source_states import source_state

from collector.events import (
    Change,
    ChangeState,
    Commit,
    Deployment,
    Event,
    Incident,
    IncidentState,
    PipelineRun,
    Result,
    RunKind,
    RunState,
    Transition,
)
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore, ObservationStore
from slo_engine.derive import derive
from slo_engine.evaluate import evaluate
from slo_engine.explain import Selection, explain
from slo_engine.exposition import expose
from slo_engine.indicator import indicators
from slo_engine.indicators.delivery import FAMILY
from slo_engine.numbers import summarise
from slo_engine.observation import Observation, Subject
from slo_engine.organisation import DeliveryRules, Organisation, Service
from slo_engine.plain_events import PlainEvents
from slo_engine.reading import Reader
from slo_engine.slo import IndicatorSli, Slo
from slo_engine.snapshot import Number, Snapshot, SourceState
from slo_engine.weekly import Week
from slo_engine.windows import parse_window

START = datetime(2026, 1, 1, tzinfo=UTC)
SHOP = Subject("shop", "production")
BERLIN = ZoneInfo("Europe/Berlin")
ADA = "person:" + "a" * 32
UNCONFIGURED = Organisation()


# --- events -------------------------------------------------------------------------------------------------------


def at(hours: float) -> datetime:
    """A time in hours after the start."""
    return START + timedelta(hours=hours)


def sha(name: str) -> str:
    """The id of a commit of that name."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def commit(name: str, hours: float, *parents: str, line: bool = True, **more: Any) -> Commit:
    """A commit, on the default branch's line unless said."""
    fields: dict[str, Any] = {"source": "git", "repository": "o/shop", "native_id": name, "authored_at": at(hours)}
    own = {"sha": sha(name), "parents": tuple(map(sha, parents)), "committed_at": at(hours), "on_default_branch": line}
    return Commit(**(fields | own | more))


def release(name: str | None, hours: float, **more: Any) -> Deployment:
    """A deployment of a commit to production, called `b@15`."""
    fields: dict[str, Any] = {
        "source": "cd",
        "native_id": f"{name}@{hours}",
        "service": "shop",
        "environment": "production",
        "repository": "o/shop",
        "result": Result.SUCCESS,
        "sha": sha(name) if name else None,
        "finished_at": at(hours),
    }
    return Deployment(**(fields | more))


def request(name: str, merge: str | None, hours: float, **more: Any) -> Change:
    """A merged request with its merge commit, opened an hour before its merge."""
    fields: dict[str, Any] = {"source": "hub", "repository": "o/shop", "created_at": at(hours - 1), "author": ADA}
    fields |= {"state": ChangeState.MERGED, "merged_at": at(hours), "merge_sha": sha(merge) if merge else None}
    return Change(native_id=name, **(fields | more))


def incident(name: str, hours: float, until: float | None = None, **more: Any) -> Incident:
    """An incident of the shop in production, open unless it has an end."""
    fields: dict[str, Any] = {"source": "pager", "service": "shop", "environment": "production"}
    fields["state"] = IncidentState.DETECTED if until is None else IncidentState.RESOLVED
    fields |= {"started_at": at(hours), "restored_at": None if until is None else at(until)}
    return Incident(native_id=name, **(fields | more))


def run(name: str, hours: float, **more: Any) -> PipelineRun:
    """A finished, successful pipeline run."""
    fields: dict[str, Any] = {"source": "ci", "repository": "o/shop", "pipeline": "release", "result": Result.SUCCESS}
    return PipelineRun(native_id=name, **(fields | {"state": RunState.COMPLETED, "finished_at": at(hours)} | more))


HISTORY = tuple(commit(n, i * 10, *"abcdefgh"[max(0, i - 1) : i]) for i, n in enumerate("abcdefgh"))
"""A line of eight commits: a at 0, b at 10, and so on to h at 70."""


# --- observations ---------------------------------------------------------------------------------------------------


def observed(
    indicator: str, *events: Event, organisation: Organisation = UNCONFIGURED, **subject: str
) -> dict[str, Observation]:
    """The observations of an indicator in production by the name of the event (or week) that was judged."""
    wanted = {"service": "shop", "environment": "production"} | subject
    known = PlainEvents(events)
    names = {e.id: e.native_id for e in known.by_id.values()}
    found: dict[str, Observation] = {}
    for o in FAMILY.observe(known, organisation):
        if o.indicator == indicator and (o.subject.service, o.subject.environment) == tuple(wanted.values()):
            name = names.get(o.unit, o.unit)
            assert name not in found, "a unit is judged once"
            found[name] = o
    return found


def outcomes(indicator: str, *events: Event, **more: Any) -> dict[str, str]:
    """How each unit was judged: its reason, or its outcome where there is no reason."""
    return {n: str(o.reason or o.outcome) for n, o in observed(indicator, *events, **more).items()}


def bad(indicator: str, *events: Event, **more: Any) -> set[str]:
    """The units that were judged bad."""
    return {n for n, outcome in outcomes(indicator, *events, **more).items() if outcome == "bad"}


def failed(*events: Event, **more: Any) -> set[str]:
    """The deployments that failed a change."""
    return bad("change_fail_rate", *events, **more)


def rework(*events: Event, **more: Any) -> set[str]:
    """The deployments that were unplanned."""
    return bad("deployment_rework_rate", *events, **more)


def hours(indicator: str, *events: Event, **more: Any) -> dict[str, float]:
    """The value of each measured unit in hours."""
    found = observed(indicator, *events, **more)
    return {n: o.value / 3600 for n, o in found.items() if o.value is not None}


def recovered(*events: Event, **more: Any) -> dict[str, float]:
    """For each failed deployment that recovered, the hours it took."""
    return hours("failed_deployment_recovery_time", *events, **more)


def shipped(*events: Event, **more: Any) -> dict[str, float]:
    """For each measured change the hours from merge to deployment."""
    found = observed("change_lead_time", *events, **more)
    return {n: o.parts[-1] / 3600 for n, o in found.items() if o.parts and o.parts[-1] is not None}


# --- numbers, through a store ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without an event."""
    folder = tmp_path_factory.mktemp("empty")
    Database.open(folder).close()
    return folder / "paceline.db"


class World:
    """A store, and what is read from it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._events, self.observations = EventStore(database), ObservationStore(database)

    def write(self, *events: Event) -> None:
        """Write events and derive delivery from them."""
        with self._database.transaction() as transaction:
            self._events.write(transaction, events)
        derive([FAMILY], self._events, DerivationStore(self._database))

    def snapshot(self, asked: float, window: str = "7d", slos: tuple[Slo, ...] = ()) -> Snapshot:
        """Everything known at an hour, in one window."""
        found = {i.name: i for i in FAMILY.indicators}
        return evaluate(self.observations, found, slos, SOURCES, at(asked), windows=[parse_window(window)])

    def number(self, indicator: str, asked: float, window: str = "7d") -> Number:
        """The shop's number of an indicator at an hour."""
        found = self.snapshot(asked, window).number(indicator, SHOP, window)
        assert found is not None
        return found

    def pending(self, indicator: str, asked: float) -> int:
        """How many of the shop's units of the last 7 days could not be judged yet."""
        snapshot = self.snapshot(asked)
        return next(a.pending for a in snapshot.accounting if (a.indicator, a.subject) == (indicator, SHOP))

    def listed(self, indicator: str, asked: float) -> dict[str, str]:
        """The units of the last 7 days, and how each was judged."""
        found = explain(
            indicators()[indicator],
            Selection(window="7d"),
            self.observations,
            self._events,
            at=at(asked),
            zone=BERLIN,
            sources=SOURCES,
        )
        return {u.unit.id: u.outcome for u in found.units}

    def of_week(self, indicator: str, label: str) -> int:
        """How many units a week in Berlin holds."""
        week = Week.parse(label, BERLIN)
        reader = Reader(self.observations, week.end)
        found = summarise(indicators()[indicator], reader, [week.span], {s.name for s in SOURCES})
        return next((n.n for n in found if isinstance(n, Number) and n.subject == SHOP), 0)


@pytest.fixture
def world(empty: Path, tmp_path: Path) -> Iterator[World]:
    """An empty store of a test's own."""
    shutil.copy(empty, tmp_path / "paceline.db")
    database = Database.open(tmp_path)
    yield World(database)
    database.close()


def source(name: str) -> SourceState:
    """A source that is fresh."""
    return source_state(
        name, last_success_at=START, last_run_at=START, last_duration_seconds=1.0, newest_event_at=START
    )


SOURCES = tuple(map(source, ("cd", "ci", "git", "hub", "pager")))


# --- B. Deployments -------------------------------------------------------------------------------------------------


def test_a_green_pipeline_with_a_failed_production_job_deployed_nothing() -> None:
    """Pipeline is green, its production job failed with `allow_failure` → no deployment."""
    job = {"run_kind": RunKind.TASK, "parent_native_id": "p", "environment": "production", "allow_failure": True}
    runs = (run("p", 16, sha=sha("b")), run("j", 15, sha=sha("b"), result=Result.FAILURE, **job))
    events = (*HISTORY[:2], *runs, release("a", 1), release("b", 15, result=Result.FAILURE))

    assert outcomes("deployment_frequency", *events) == {"a@1": "measured", "b@15": "not_successful"}
    assert outcomes("change_lead_time", *events)["b"] == "pending"
    assert outcomes("change_fail_rate", *events) == {"a@1": "good"}


def test_the_deploying_jobs_time_counts() -> None:
    """A health-check job of a December pipeline is re-run in January → the deployment stays in December."""
    deployed = release("b", 15, pipeline_run_native_id="p", updated_at=at(900))
    again = run("check", 900, run_kind=RunKind.TASK, parent_native_id="p", attempt=2, environment="production")
    events = (*HISTORY[:2], release("a", 1), deployed, run("p", 900), again)

    assert observed("deployment_frequency", *events)["b@15"].at == at(15)
    assert shipped(*events) == {"b": 5}


def test_one_pipeline_deploys_three_services() -> None:
    """One pipeline deploys three services → three; a downstream pipeline reporting the same release → still one."""
    three = [release("a", 1, service=s, native_id=s, pipeline_run_native_id="p") for s in ("shop", "web", "api")]
    downstream = release("a", 1, native_id="shop", pipeline_run_native_id="downstream")
    found = FAMILY.observe(PlainEvents([*three, downstream]), UNCONFIGURED)

    counted = [o.subject.service for o in found if o.indicator == "deployment_frequency"]

    assert sorted(counted) == ["api", "shop", "web"]


@pytest.mark.parametrize("result", [r for r in Result if r is not Result.SUCCESS])
def test_what_did_not_deploy_is_no_unit_of_the_rates(result: Result) -> None:
    """Cancelled, skipped, aborted → neither success nor failure; a failed roll-out never served and is not judged."""
    events = (*HISTORY, release("a", 1), release("b", 15), release("c", 25, result=result))

    assert set(outcomes("change_fail_rate", *events)) == {"a@1", "b@15"}
    assert set(outcomes("deployment_rework_rate", *events)) == {"a@1", "b@15"}


def test_a_cancelled_hotfix_repairs_nothing_and_blames_nobody() -> None:
    """A cancelled deployment of a hotfix is no remedy: the deployment before it did not fail by it."""
    hotfix = request("pr", "c", 20, source_branch="hotfix/pay")
    events = (*HISTORY, hotfix, release("a", 1), release("b", 15), release("c", 25, result=Result.CANCELLATION))

    assert failed(*events) == set()


def test_a_running_release_is_no_deployment_yet() -> None:
    """Running, blocked, created, still building → no deployment yet: a run alone ships nothing."""
    running = run("p", 15, state=RunState.EXECUTING, result=None, finished_at=None, sha=sha("b"))
    events = (*HISTORY[:2], release("a", 1), running)

    assert set(outcomes("deployment_frequency", *events)) == {"a@1"}
    assert outcomes("change_lead_time", *events)["b"] == "pending"


def test_a_superseded_deployment_keeps_its_time() -> None:
    """A deployment is superseded weeks later and its `updated_at` moves → its time stays that of its success."""
    superseded = release("b", 15, updated_at=at(777_562 / 3600))
    events = (*HISTORY[:2], release("a", 1), superseded)

    assert observed("change_fail_rate", *events)["b@15"].at == at(15)
    assert shipped(*events) == {"b": 5}


@pytest.mark.parametrize("turned", [False, True])
def test_a_reposted_id_with_another_commit_replaces(world: World, turned: bool) -> None:  # noqa: FBT001 - a parameter
    """Re-posting an id with another commit → replaces, in whichever order the two arrive."""
    first = release("b", 25, native_id="42", updated_at=at(25))
    second = release("c", 25, native_id="42", updated_at=at(26))
    world.write(*HISTORY[:3], release("a", 1), *((second, first) if turned else (first, second)))

    assert world.number("deployment_frequency", 30).n == 2
    assert world.number("change_lead_time", 30).n == 2


def test_a_deployment_still_running_in_the_next_window_is_not_counted_again(world: World) -> None:
    """The same deployment still running in the next window → not counted again."""
    world.write(*HISTORY[:2], release("a", 1), release("b", 15))

    assert [world.number("deployment_frequency", asked).n for asked in (24, 24 + 7 * 24)] == [2, 0]


def test_an_ancestor_is_a_rollback_and_fails_what_it_undoes() -> None:
    """The deployed commit is an ancestor of the one before → counts, flagged, fails the deployment it undoes."""
    events = (*HISTORY, release("a", 1), release("b", 15), release("c", 25), release("b", 26))

    assert failed(*events) == {"c@25"}
    assert rework(*events) == {"b@26"}
    assert outcomes("deployment_frequency", *events)["b@26"] == "measured"
    assert observed("deployment_frequency", *events)["b@26"].rule == "rollback"
    assert recovered(*events) == {"c@25": 1}


@pytest.mark.parametrize("name", ["c", None, "lost"])
def test_an_event_that_says_rolled_back_is_a_rollback(name: str | None) -> None:
    """The event says `rolledback` → a rollback, also where the commit alone would not tell."""
    back = release(name, 16, rolled_back=True, native_id="back")
    events = (*HISTORY, release("a", 1), release("b", 15), back)

    assert (failed(*events), rework(*events)) == ({"b@15"}, {"back"})


def test_the_same_commit_again_is_no_rollback() -> None:
    """The same commit again is no rollback: a redeploy, which fails nothing."""
    events = (*HISTORY, release("a", 1), release("b", 15), release("b", 16))

    assert (failed(*events), rework(*events)) == (set(), set())
    assert observed("deployment_frequency", *events)["b@16"].rule == "redeploy"


def test_a_rollback_over_a_failed_deployment_fails_the_success_before_it() -> None:
    """A failed deployment in between is no predecessor: the rollback undoes the last one that served."""
    broken = release("c", 25, result=Result.FAILURE)
    events = (*HISTORY, release("a", 1), release("b", 15), broken, release("a", 26))

    assert failed(*events) == {"b@15"}
    assert recovered(*events) == {"b@15": 11}


def test_without_a_production_environment_no_week_is_judged() -> None:
    """No rule for "production" is configured → nothing is production, and no week is asked for deployments."""
    events = (*HISTORY, release("a", 1), release("b", 200))

    assert outcomes("deploy_cadence", *events, organisation=Organisation(production=())) == {}
    assert outcomes("deploy_cadence", *events) != {}


def test_production_is_a_list_of_names() -> None:
    """Several production environments → each keeps its own chain; an incident in one fails nothing in the other."""
    world = Organisation(production=patterns(("eu", "us")))
    eu = [release("a", 1, environment="eu", native_id="e1"), release("b", 15, environment="eu", native_id="e2")]
    us = [release("a", 2, environment="us", native_id="u1"), release("b", 16, environment="us", native_id="u2")]
    events = (*HISTORY, *eu, *us, incident("i", 17, 18, environment="eu"))

    assert failed(*events, organisation=world, environment="eu") == {"e2"}
    assert failed(*events, organisation=world, environment="us") == set()


def test_a_deployment_of_an_unknown_commit_can_fail() -> None:
    """A deployment whose commit is unknown → counts in the fail rate, good or bad like any other."""
    events = (*HISTORY, release("a", 1), release(None, 15), release("lost", 40), incident("i", 16, 17))

    assert outcomes("change_fail_rate", *events) == {"a@1": "good", "None@15": "bad", "lost@40": "good"}


def test_two_services_of_one_commit_fail_apart() -> None:
    """Two services built from one commit → an incident of one fails that one's deployment, named commit or not."""
    web = (release("a", 1, service="web", native_id="w1"), release("b", 15, service="web", native_id="w2"))
    events = (*HISTORY, release("a", 1), release("b", 15), *web, incident("i", 16, 17, service="web", shas=(sha("b"),)))

    assert failed(*events, service="web") == {"w2"}
    assert failed(*events) == set()


# --- C. Attribution of changes ---------------------------------------------------------------------------------------


def test_each_rollback_fails_what_it_undid() -> None:
    """Hotfix from an old tag, then main, then rollback, then main again → the two that were undone failed."""
    events = (*HISTORY[:3], commit("fix", 22, "b", line=False), commit("m", 40, "c", "fix"))
    chain = [release("a", 1), release("b", 15), release("fix", 25), release("c", 30), release("b", 31)]
    chain += [release("c", 32), release("m", 45), release("c", 46), release("m", 47)]

    assert failed(*events, *chain) == {"c@30", "m@45"}
    assert recovered(*events, *chain) == {"c@30": 1, "m@45": 1}


def test_the_providers_comparison_ships_where_the_graph_cannot() -> None:
    """A deployment without a known commit but with the provider's comparison ships what that lists."""
    compared = release(None, 25, change_shas=(sha("b"), sha("c")))
    found = observed("change_lead_time", *HISTORY[:3], release("a", 1), compared)

    assert {n: o.parts[-1] for n, o in found.items() if o.value is not None} == {"b": 15 * 3600, "c": 5 * 3600}
    assert {o.rule for o in found.values() if o.value is not None} == {"compare"}


def test_without_any_graph_the_first_deployment_after_the_merge_ships() -> None:
    """Without graph and comparison a change ships with the first deployment after its merge on the same branch."""
    merged = {"target_branch": "main", "first_commit_at": at(8)}
    requests = (request("pr", "x", 10, **merged), request("old", "y", 9, **merged | {"target_branch": "release"}))
    chain = (release(None, 1, ref="main"), release(None, 15, ref="main"), release(None, 16, ref="release"))
    found = observed("change_lead_time", *requests, *chain)

    assert {n: ((o.value or 0) / 3600, o.rule) for n, o in found.items()} == {"pr": (7, "time"), "old": (8, "time")}


PATHS = {"api": ("api/*", "shared/*"), "web": ("web/*", "shared/*")}
MONOREPO = Organisation(
    services=tuple(Service(name=n, repositories=patterns(("o/shop",)), paths=patterns(p)) for n, p in PATHS.items())
)


def monorepo(*paths: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """How the commits b, c, … that touch these paths are judged for api and web, all deployed at 90."""
    touched = [commit("a", 0, paths=("api/x", "web/x"))]
    for name, before, path in zip("bcdefgh", "abcdefg", paths, strict=False):
        touched.append(commit(name, 10, before, paths=None if path is None else (path,)))
    tip = touched[-1].native_id
    chain = [release("a", 1, service=s, native_id=f"{s}1") for s in ("api", "web")]
    chain += [release(tip, 90, service=s, native_id=f"{s}2") for s in ("api", "web")]
    events = [*touched, *chain]
    api, web = (outcomes("change_lead_time", *events, organisation=MONOREPO, service=s) for s in ("api", "web"))
    return api, web


def test_a_change_belongs_to_the_services_whose_paths_it_touches() -> None:
    """Monorepo: a change belongs to the services whose paths it touches, docs-only to none, shared to all listed."""
    api, web = monorepo("api/handler", "web/page", "docs/readme", "shared/money")

    assert api == {"a": "before_horizon", "b": "measured", "e": "measured"}
    assert web == {"a": "before_horizon", "c": "measured", "e": "measured"}


def test_a_change_of_unknown_paths_belongs_to_nobody_surely() -> None:
    """What a change touches is unknown → excluded with that reason, for each service it may belong to."""
    api, web = monorepo(None, "web/page")

    assert api == {"a": "before_horizon", "b": "unknown_paths"}
    assert web == {"a": "before_horizon", "b": "unknown_paths", "c": "measured"}


def test_one_repository_in_two_products_counts_for_each() -> None:
    """One repository mapped to two products → each product counts the change, as the same unit."""
    web = (release("a", 1, service="web", native_id="w1"), release("b", 18, service="web", native_id="w2"))
    events = (*HISTORY[:2], release("a", 1), release("b", 15), *web)

    ours, theirs = (observed("change_lead_time", *events, service=s)["b"] for s in ("shop", "web"))

    assert (ours.unit, ours.value, theirs.value) == (theirs.unit, 5 * 3600, 8 * 3600)


# --- D. DORA arithmetic ----------------------------------------------------------------------------------------------


def test_one_incident_naming_two_commits_fails_one_deployment(world: World) -> None:
    """Two deployments, one incident naming two commits of the first → fail rate 0.5, not 1.0."""
    named = incident("i", 36, 37, shas=(sha("b"), sha("c")))
    world.write(*HISTORY, release("c", 25), release("d", 35), named)

    found = world.number("change_fail_rate", 100)

    assert (found.n, found.stats["value"]) == (2, 0.5)


def test_six_incidents_on_two_of_five_deployments(world: World) -> None:
    """Six incidents on two of five deployments → 0.4 on every page; never 1.2."""
    chain = [release(n, 5 + 20 * i) for i, n in enumerate("abcde")]
    six = [incident(f"i{n}", 26 + n, 30 + n) for n in range(3)] + [incident(f"j{n}", 66 + n, 70 + n) for n in range(3)]
    commits = [commit(n, 0.01 * i, *"abcde"[max(0, i - 1) : i]) for i, n in enumerate("abcde")]
    world.write(*commits, *chain, *six)

    found = world.number("change_fail_rate", 120)

    assert (found.n, found.stats["value"]) == (5, 0.4)
    assert failed(*commits, *chain, *six) == {"b@25", "d@65"}


def test_moving_the_asked_range_changes_no_verdict(world: World) -> None:
    """Moving the asked range by a day changes no deployment's verdict, and no change's deployment."""
    chain = [release("a", 1), release("b", 15), release("c", 25), release("b", 26), release("d", 60)]
    world.write(*HISTORY[:4], *chain, incident("i", 61, 70))

    for indicator in ("change_fail_rate", "deployment_rework_rate", "change_lead_time"):
        today, tomorrow = (world.listed(indicator, asked) for asked in (168, 192))
        both = today.keys() & tomorrow.keys()
        assert both
        assert {u: today[u] for u in both} == {u: tomorrow[u] for u in both}


@pytest.mark.parametrize(("asked", "n", "pending"), [(16, 0, 1), (38.999, 0, 1), (39, 1, 0)])
def test_a_young_deployment_is_pending(world: World, asked: float, n: int, pending: int) -> None:
    """A deployment one hour old → `pending`, in neither term, until the attribution lag of 24 h has passed."""
    world.write(*HISTORY[:2], release("b", 15))

    assert world.number("change_fail_rate", asked).n == n
    assert world.pending("change_fail_rate", asked) == pending


def test_a_failure_found_early_waits_for_the_lag_too(world: World) -> None:
    """A deployment rolled back within the hour is pending like any other: the rate does not lean to bad news."""
    world.write(*HISTORY[:2], release("a", 1), release("b", 15), release("a", 15.5))

    assert (world.number("change_fail_rate", 16).stats, world.pending("change_fail_rate", 16)) == ({}, 3)


def test_the_attribution_lag_is_an_option() -> None:
    """The lag that the organisation configured decides how long a verdict is pending."""
    soon = Organisation(delivery=DeliveryRules(attribution_lag=timedelta(hours=2)))
    found = observed("change_fail_rate", *HISTORY[:2], release("b", 15), organisation=soon)

    assert found["b@15"].matures_at == at(17)


def test_blended_figures_pool_observations(world: World) -> None:
    """Two services, 1 and 99 deployments → blended figures pool observations; no average of averages."""
    many = [release(None, n / 10, native_id=str(n), service="web") for n in range(1, 100)]
    world.write(release(None, 1), *many, incident("i", 2, 3))
    slo = Slo(
        name="stable",
        title="Stable",
        description="",
        owner_service="shop",
        sli=IndicatorSli(indicator="change_fail_rate"),
        target=Decimal("0.9"),
        window=parse_window("7d"),
        minimum_coverage=0.0,
    )

    (state,) = world.snapshot(100, slos=(slo,)).slos

    assert state.attainment == pytest.approx(0.99)


def test_a_month_without_deployments_has_no_lead_time_and_no_rate(world: World) -> None:
    """A month without deployments → lead time and fail rate absent; not 0."""
    world.write(*HISTORY[:2], release("a", 1), release("b", 15), incident("i", 16, 17))

    snapshot = world.snapshot(40 * 24, "28d")
    text = expose(snapshot, {i.name: i for i in FAMILY.indicators}, "1").text.decode()

    values = [line for line in text.splitlines() if 'window="28d"' in line and 'stat="' in line]
    assert (values, world.number("change_fail_rate", 40 * 24, "28d").n) == ([], 0)


def test_the_median_of_four_lead_times_lies_between(world: World) -> None:
    """One documented percentile method everywhere: median of 1, 2, 3, 4 is 2.5."""
    world.write(*HISTORY[:5], release("a", 1), *(release(n, 10 * i + i) for i, n in enumerate("bcde", start=1)))

    found = world.number("change_lead_time", 100)

    assert (found.n, found.stats["p50"]) == (4, 2.5 * 3600)


def test_a_percentile_of_two_says_how_few_they_are(world: World) -> None:
    """p90 of two values says n = 2."""
    world.write(*HISTORY[:3], release("a", 1), release("b", 11), release("c", 22))

    found = world.number("change_lead_time", 100)

    assert found.n == 2
    assert found.stats["p90"] == pytest.approx(1.9 * 3600)


def test_three_deployments_in_four_days_stay_three_in_four_days(world: World) -> None:
    """Frequency over a range that cuts weeks → three deployments in four days stay three in four days."""
    world.write(release(None, 1), release(None, 30), release(None, 90))

    assert world.number("deployment_frequency", 96, "4d").stats["per_day"] == 0.75


def test_a_deployment_after_local_midnight_belongs_to_the_local_week(world: World) -> None:
    """Deployment at 00:30 in Berlin → belongs to that local week, though UTC still has the day before."""
    monday = datetime(2026, 3, 30, 0, 30, tzinfo=BERLIN)
    world.write(release(None, 1), release("x", 2, finished_at=monday))

    weeks = ("2026-W13", "2026-W14")

    assert [world.of_week("deployment_frequency", w) for w in weeks] == [0, 1]


def test_the_cadence_counts_local_weeks() -> None:
    """Merged and deployed at 00:30 on Monday in Berlin → that local week's work, though UTC still has Sunday."""
    midnight = (datetime(2026, 1, 12, 0, 10, tzinfo=BERLIN) - START) / timedelta(hours=1)
    events = (commit("a", 0), commit("b", midnight, "a"), release("a", 1), release("b", midnight + 1 / 3))

    found = observed("deploy_cadence", *events, organisation=Organisation(zone=BERLIN))

    assert {n: (str(o.outcome), o.at) for n, o in found.items()} == {
        "shop 2026-W03": ("good", datetime(2026, 1, 19, tzinfo=BERLIN).astimezone(UTC) - timedelta(microseconds=1))
    }


def test_a_week_without_work_is_not_judged() -> None:
    """Weeks without merged, undeployed work do not count; one with work and without a deployment is bad."""
    events = (
        *HISTORY[:2],
        commit("c", 24 * 7 * 3, "b"),
        release("a", 1),
        release("b", 24 * 7),
        release("c", 24 * 7 * 5),
    )

    assert outcomes("deploy_cadence", *events) == {
        "shop 2026-W02": "good",
        "shop 2026-W04": "bad",
        "shop 2026-W05": "bad",
        "shop 2026-W06": "good",
    }


def test_a_revert_that_is_the_remedy_is_one_rework_deployment() -> None:
    """A revert that is also the incident's remedy → one rework deployment; rework and fail rate are separate."""
    back = commit("r", 40, "c", reverts=(sha("c"),))
    remedy = release("r", 41, links=("https://pager.example/i",))
    trouble = incident("i", 30, 41, url="https://pager.example/i")
    events = (*HISTORY[:3], back, release("b", 15), release("c", 25), remedy, trouble)

    assert outcomes("deployment_rework_rate", *events) == {"b@15": "good", "c@25": "good", "r@41": "bad"}
    assert outcomes("change_fail_rate", *events) == {"b@15": "good", "c@25": "bad", "r@41": "good"}


def test_a_recovery_of_53_seconds_is_53_seconds() -> None:
    """A 53-second recovery → 53 s, not 0 minutes."""
    second = 1 / 3600
    trouble = incident("i", 15 + 10 * second, 15 + 53 * second)
    events = (*HISTORY[:2], release("a", 1), release("b", 15), trouble)

    assert observed("failed_deployment_recovery_time", *events)["b@15"].value == 53
    assert observed("incident_time_to_restore", *events)["i"].value == 43


# --- reverts and hotfixes --------------------------------------------------------------------------------------------


def reverted(*more: Event) -> tuple[Event, ...]:
    """a, b and c deployed one by one; then commits that may revert b, whose deployment is b@15."""
    return (*HISTORY[:3], release("a", 1), release("b", 15), release("c", 25), *more)


def test_a_revert_fails_the_deployment_that_first_shipped_it() -> None:
    """A revert fails the deployment that shipped the reverted commit, not the newest one; its own is rework."""
    events = reverted(commit("r", 30, "c", reverts=(sha("b"),)), release("r", 35))

    assert (failed(*events), rework(*events), recovered(*events)) == ({"b@15"}, {"r@35"}, {"b@15": 20})


def test_a_merged_revert_fails_before_it_ships() -> None:
    """A revert that is merged and waits for its deployment has failed the change; nothing recovered yet."""
    events = reverted(commit("r", 30, "c", reverts=(sha("b"),)))

    assert failed(*events) == {"b@15"}
    assert outcomes("failed_deployment_recovery_time", *events) == {"b@15": "pending"}


def test_a_revert_names_its_commit_by_a_prefix() -> None:
    """A revert's message may shorten the id."""
    assert failed(*reverted(commit("r", 30, "c", reverts=(sha("b")[:10],)), release("r", 35))) == {"b@15"}


def test_a_revert_in_the_same_deployment_fails_nothing() -> None:
    """What was reverted before it ever shipped alone never failed in production."""
    both = (commit("r", 30, "d", reverts=(sha("d"),)), release("r", 40))

    assert (failed(*reverted(*both, HISTORY[3])), rework(*reverted(*both, HISTORY[3]))) == (set(), set())


def test_a_revert_without_a_message_is_told_by_its_tree() -> None:
    """A commit that brings the tree of an earlier one back reverts all between, whatever it says."""
    trees = {"a": "1", "b": "2", "c": "3", "r": "1"}
    line = [commit(n, 10 * i, *"abcr"[max(0, i - 1) : i], tree_sha=sha(trees[n])) for i, n in enumerate("abcr")]
    events = (*line, release("a", 1), release("b", 15), release("c", 25), release("r", 35))

    assert (failed(*events), rework(*events)) == ({"b@15", "c@25"}, {"r@35"})


def test_an_empty_commit_is_no_revert() -> None:
    """A commit with its direct predecessor's tree changes nothing and reverts nothing."""
    trees = {"a": "1", "b": "2", "c": "2"}
    line = [commit(n, 10 * i, *"abc"[max(0, i - 1) : i], tree_sha=sha(trees[n])) for i, n in enumerate("abc")]
    events = (*line, release("a", 1), release("b", 15), release("c", 25))

    assert (failed(*events), rework(*events)) == (set(), set())


def test_a_reapplied_change_fails_nothing_more() -> None:
    """The revert of a revert brings the change back: the deployment of the first revert did not fail by it."""
    first = (commit("r", 30, "c", reverts=(sha("b"),)), release("r", 35))
    again = (commit("s", 40, "r", reverts=(sha("r"),)), release("s", 45))

    assert failed(*reverted(*first, *again)) == {"b@15"}


def test_a_hotfix_branch_fails_the_deployment_before() -> None:
    """A hotfix of one's own branch name: its deployment is rework, and the one before it failed."""
    hotfix = request("pr", "d", 30, source_branch="hotfix-pay")
    events = reverted(HISTORY[3], hotfix, release("d", 35))

    assert (failed(*events), rework(*events), recovered(*events)) == ({"c@25"}, {"d@35"}, {"c@25": 10})


@pytest.mark.parametrize("label", ["hotfixes", "no-hotfix", "Hot fix", "debugging"])
def test_whole_labels_are_compared(label: str) -> None:
    """Label `bug` does not match `debugging`: whole labels are compared, so these are no `hotfix`."""
    events = reverted(HISTORY[3], request("pr", "d", 30, labels=(label,)), release("d", 35, labels=(label,)))

    assert (failed(*events), rework(*events)) == (set(), set())


@pytest.mark.parametrize("of", ["request", "deployment"])
def test_a_hotfix_label_marks_a_hotfix(of: str) -> None:
    """The label may stand on the request or on the deployment."""
    labels = {"request": (), "deployment": ()} | {of: ("urgent", "hotfix")}
    pr = request("pr", "d", 30, labels=labels["request"])
    events = reverted(HISTORY[3], pr, release("d", 35, labels=labels["deployment"]))

    assert (failed(*events), rework(*events)) == ({"c@25"}, {"d@35"})


@pytest.mark.parametrize("place", ["ref", "version"])
def test_a_hotfix_tag_is_a_rule_of_the_organisation(place: str) -> None:
    """A tag or version that fits the configured rule marks a hotfix; without a rule none does."""
    tag: dict[str, Any] = {place: "v1.2.3-fix"}
    events = reverted(HISTORY[3], release("d", 35, **tag))
    tagged = Organisation(delivery=DeliveryRules(hotfix_tags=patterns(("v*-fix",))))

    assert failed(*events, organisation=tagged) == {"c@25"}
    assert failed(*events) == set()


# --- E. Incidents ----------------------------------------------------------------------------------------------------

SERVED = (*HISTORY[:3], release("a", 1), release("b", 15), release("c", 25))
"""a, b and c deployed one by one: the last at 25."""


def test_acknowledged_is_still_open() -> None:
    """Acknowledged → still open: neither restored nor recovered."""
    seen: dict[str, Any] = {"state": IncidentState.ACKNOWLEDGED, "acknowledged_at": at(27)}
    events = (*SERVED, incident("i", 26, transitions=(Transition(at=at(27), state="acknowledged"),), **seen))

    assert outcomes("incident_time_to_restore", *events) == {"i": "pending"}
    assert outcomes("failed_deployment_recovery_time", *events) == {"c@25": "pending"}
    assert failed(*events) == {"c@25"}


def test_open_incidents_are_shown_before_the_first_one_closes(world: World) -> None:
    """Open incidents → censored and shown; panels are not empty until the first one closes."""
    world.write(*SERVED, incident("i", 26))

    assert world.pending("incident_time_to_restore", 60) == 1
    assert world.pending("failed_deployment_recovery_time", 60) == 1


def test_one_open_incident_keeps_a_deployment_failed() -> None:
    """Of two incidents of a deployment one is open: it has not recovered."""
    events = (*SERVED, incident("i", 26, 27), incident("j", 26))

    assert outcomes("failed_deployment_recovery_time", *events) == {"c@25": "pending"}
    assert hours("incident_time_to_restore", *events) == {"i": 1}


def test_reopened_is_restored_at_the_last_resolution() -> None:
    """Reopened → restored at the *last* resolution."""
    states = ((27, "resolved"), (28, "detected"), (30, "resolved"))
    told = tuple(Transition(at=at(h), state=s) for h, s in states)
    events = (*SERVED, incident("i", 26, None, state=IncidentState.RESOLVED, transitions=told))

    assert hours("incident_time_to_restore", *events) == {"i": 4}
    assert recovered(*events) == {"c@25": 5}


def test_reopened_and_not_resolved_again_is_open() -> None:
    """Reopening starts the clock again: until it is resolved again, an incident is open."""
    told = tuple(Transition(at=at(h), state=s) for h, s in ((27, "resolved"), (28, "detected")))
    events = (*SERVED, incident("i", 26, None, transitions=told))

    assert outcomes("incident_time_to_restore", *events) == {"i": "pending"}


def test_closed_without_a_resolution_time_is_restored_at_the_close() -> None:
    """Closed without a resolution time → the close time, flagged."""
    events = (*SERVED, incident("i", 26, None, state=IncidentState.RESOLVED, closed_at=at(29)))
    found = observed("incident_time_to_restore", *events)["i"]

    assert (found.value, found.rule) == (3 * 3600, "closed_at")


@pytest.mark.parametrize(
    "unrelated",
    [
        incident("i", 25 + 90 * 24, 25 + 90 * 24 + 1),
        incident("i", 26, 27, service="web"),
        incident("i", 26, 27, service=None),
        incident("i", 26, 27, environment="staging"),
    ],
    ids=["three months later", "another service", "no service", "another environment"],
)
def test_an_unrelated_incident_is_blamed_on_no_deployment(unrelated: Incident) -> None:
    """Incident three months after the last release, or of another service, or a cloud outage → blamed on none."""
    assert failed(*SERVED, unrelated) == set()


def test_an_incident_without_an_environment_is_productions() -> None:
    """Where an incident names no environment, production is meant."""
    assert failed(*SERVED, incident("i", 26, 27, environment=None)) == {"c@25"}


@pytest.mark.parametrize(
    ("started", "blamed"),
    [
        (timedelta(hours=25), {"b@15"}),
        (timedelta(hours=25, microseconds=1), {"c@25"}),
        (timedelta(hours=49), {"c@25"}),
        (timedelta(hours=49, microseconds=1), set()),
    ],
)
def test_a_deployment_is_blamed_from_its_end_to_a_day_later(started: timedelta, blamed: set[str]) -> None:
    """Incident starting the very moment a deployment finished → not that one's; 24 hours later still, then no more."""
    assert failed(*SERVED, incident("i", 25, None, started_at=START + started)) == blamed


def test_the_incident_window_is_an_option() -> None:
    """How long after a deployment an incident may begin is the organisation's choice."""
    short = Organisation(delivery=DeliveryRules(incident_window=timedelta(hours=1)))

    assert failed(*SERVED, incident("i", 26, 27), organisation=short) == {"c@25"}
    assert failed(*SERVED, incident("i", 26.5, 27), organisation=short) == set()


def test_an_incident_resolved_before_it_started_is_set_aside() -> None:
    """Resolved before it started → set aside with a reason, never a negative time."""
    events = (*SERVED, incident("i", 26, 25.5))

    assert outcomes("incident_time_to_restore", *events) == {"i": "resolved_before_start"}
    assert hours("incident_time_to_restore", *events) == {}


@pytest.mark.parametrize("place", ["artifact", "version"])
def test_a_named_artifact_is_blamed_however_old(place: str) -> None:
    """Incident names an artifact deployed two releases ago → that release failed, not the newest."""
    named_so: dict[str, Any] = {place: "shop-1.0"}
    old = release("a", 1, **named_so)
    named = incident("i", 26, 27, artifact="shop-1.0")

    assert failed(*HISTORY[:3], old, release("b", 15), release("c", 25), named) == {"a@1"}


def test_a_named_deployment_comes_before_nearness() -> None:
    """Incident names a deployment → that one failed, though another finished later."""
    assert failed(*SERVED, incident("i", 26, 27, deployment_native_id="b@15")) == {"b@15"}


def test_a_named_commit_is_blamed_where_it_first_shipped() -> None:
    """Incident names a commit → the deployment that shipped it failed, also where it was not the deployed one."""
    events = (*HISTORY[:4], release("a", 1), release("c", 25), release("d", 35))

    assert failed(*events, incident("i", 36, 37, shas=(sha("b"),))) == {"c@25"}


def test_a_named_commit_does_not_blame_what_came_after_the_incident() -> None:
    """A commit deployed again after the incident began is no cause of it."""
    events = (*SERVED, incident("i", 26, 27, shas=(sha("c"),)), release("c", 30))

    assert failed(*events) == {"c@25"}


@pytest.mark.parametrize(
    ("linking", "linked"),
    [
        ({"links": ("https://cd.example/b",)}, {"url": "https://cd.example/b"}),
        ({"url": "https://pager.example/i"}, {"links": ("https://pager.example/i",)}),
    ],
    ids=["from the incident", "from the deployment"],
)
def test_a_link_comes_before_nearness(linking: dict[str, Any], linked: dict[str, Any]) -> None:
    """A link between incident and deployment, in either direction, decides before nearness in time."""
    chain = (release("a", 1), release("b", 15, **linked), release("c", 25))

    assert failed(*HISTORY[:3], *chain, incident("i", 26, 27, **linking)) == {"b@15"}


def test_a_linked_change_leads_to_its_deployment() -> None:
    """An incident linked with a change → the deployment that shipped the change failed."""
    pr = request("pr", "b", 10, url="https://hub.example/pr")
    linked = incident("i", 26, 27, links=("https://hub.example/pr",))

    assert failed(*SERVED, pr, linked) == {"b@15"}


def test_a_linked_deployment_after_the_incident_is_its_remedy() -> None:
    """A deployment linked with an incident that began before it is the remedy: rework, and not the cause."""
    remedy = release("d", 35, links=("https://pager.example/i",))
    events = (*SERVED, HISTORY[3], incident("i", 26, 36, url="https://pager.example/i"), remedy)

    assert (failed(*events), rework(*events)) == ({"c@25"}, {"d@35"})


def test_a_linked_change_shipped_after_the_incident_is_its_remedy() -> None:
    """A change linked with an incident that began before it shipped: its deployment is rework."""
    pr = request("pr", "d", 30, links=("https://pager.example/i",))
    events = (*SERVED, HISTORY[3], incident("i", 26, 36, url="https://pager.example/i"), pr, release("d", 35))

    assert (failed(*events), rework(*events)) == ({"c@25"}, {"d@35"})


def test_bad_deployments_keep_their_evidence() -> None:
    """Which incident failed a deployment is kept with the verdict."""
    trouble = incident("i", 26, 27)
    found = observed("change_fail_rate", *SERVED, trouble)["c@25"]

    assert trouble.id in found.evidence
    assert found.rule


# --- what lies between the rules --------------------------------------------------------------------------------------


def shared(name: str, hours: float, before: str, path: str, **more: Any) -> Commit:
    """A commit of the monorepo that touches one path."""
    return commit(name, hours, before, paths=(path,), **more)


def both(name: str, hours: float) -> tuple[Deployment, Deployment]:
    """A deployment of api and one of web, half an hour later, of the same commit: called `api b` and `web b`."""
    api = release(name, hours, service="api", native_id=f"api {name}")
    return api, release(name, hours + 0.5, service="web", native_id=f"web {name}")


MONO = (
    commit("a", 0, paths=("api/x", "web/x")),
    shared("b", 10, "a", "web/page"),
    *both("a", 1),
    *both("b", 15),
)
"""A monorepo of api and web whose second commit is of web alone, deployed for both."""


def test_a_hotfix_of_one_service_is_none_of_its_neighbour() -> None:
    """Monorepo: a hotfix that touches web alone makes no rework of api's deployment of the same commit."""
    fix = (shared("c", 20, "b", "web/page"), request("pr", "c", 20, source_branch="hotfix/web", paths=("web/page",)))
    events = (*MONO, *fix, *both("c", 25))

    assert (
        failed(*events, organisation=MONOREPO, service="web"),
        rework(*events, organisation=MONOREPO, service="web"),
    ) == (
        {"web b"},
        {"web c"},
    )
    assert failed(*events, organisation=MONOREPO, service="api") == set()
    assert rework(*events, organisation=MONOREPO, service="api") == set()


def test_a_revert_of_one_services_change_fails_none_of_its_neighbour() -> None:
    """Monorepo: the revert of a change of web alone fails web's deployment and not api's of the same commit."""
    events = (*MONO, shared("r", 20, "b", "web/page", reverts=(sha("b"),)), *both("r", 25))

    assert failed(*events, organisation=MONOREPO, service="web") == {"web b"}
    assert failed(*events, organisation=MONOREPO, service="api") == set()
    assert rework(*events, organisation=MONOREPO, service="api") == set()


def test_a_revert_inside_a_branch_reverts_what_a_merge_brought() -> None:
    """A revert of a branch's commit, itself merged from a branch, fails the deployment that shipped that commit."""
    branch = (commit("x", 5, "a", line=False), commit("m", 10, "a", "x"))
    back = (commit("r", 30, "m", line=False, reverts=(sha("x"),)), commit("n", 31, "m", "r"))
    events = (HISTORY[0], *branch, *back, release("a", 1), release("m", 15), release("n", 35))

    assert (failed(*events), rework(*events), recovered(*events)) == ({"m@15"}, {"n@35"}, {"m@15": 20})


def test_a_first_deployment_that_is_a_hotfix_fails_nothing() -> None:
    """A hotfix without a deployment before it is rework, and there is nothing that it repaired."""
    events = (HISTORY[0], release("a", 1, ref="hotfix/a"))

    assert (failed(*events), rework(*events)) == (set(), {"a@1"})


def test_incidents_come_before_remedies_for_recovery() -> None:
    """A failure with incidents is over with the last of them, though it was rolled back before."""
    events = (*SERVED, incident("i", 26, 40), release("b", 27))

    assert failed(*events) == {"c@25"}
    assert recovered(*events) == {"c@25": 15}


def test_the_first_remedy_ends_a_failure() -> None:
    """A deployment that was rolled back, and whose change was reverted later, had recovered with the rollback."""
    events = (*SERVED, release("b", 26), commit("r", 30, "c", reverts=(sha("c"),)), release("r", 45))

    assert (failed(*events), recovered(*events)) == ({"c@25"}, {"c@25": 1})


def test_failed_roll_outs_are_an_option() -> None:
    """Roll-outs that never served count as failed where the organisation says so; cancelled and skipped ones never."""
    ends = {25: Result.FAILURE, 26: Result.ERROR, 27: Result.TIMEOUT, 28: Result.CANCELLATION, 29: Result.SKIP}
    events = (*HISTORY, release("b", 15), *(release("c", hour, result=result) for hour, result in ends.items()))
    counted = Organisation(delivery=DeliveryRules(failed_rollouts=True))

    assert failed(*events, organisation=counted) == {"c@25", "c@26", "c@27"}
    assert failed(*events) == set()


def test_where_production_has_another_name_an_incident_without_one_is_there() -> None:
    """An incident without an environment belongs to production, whatever the organisation calls it."""
    live = Organisation(production=patterns(("live",)))
    events = (*HISTORY[:2], release("b", 15, environment="live"), incident("i", 16, 17, environment=None))

    assert failed(*events, organisation=live, environment="live") == {"b@15"}
    assert hours("incident_time_to_restore", *events, organisation=live, environment="live") == {"i": 1}


def test_a_change_that_is_never_deployed_is_not_waited_for_for_ever() -> None:
    """Half a year after the last merge an abandoned service is no longer asked for deployments."""
    found = outcomes("deploy_cadence", *HISTORY[:2], release("a", 1))

    assert 26 <= len(found) <= 27
    assert set(found.values()) == {"bad"}


def test_staging_has_no_cadence() -> None:
    """Cadence is a promise about production: weeks of staging are not judged."""
    events = (*HISTORY[:2], release("a", 1, environment="staging"), release("b", 200, environment="staging"))

    assert outcomes("deploy_cadence", *events, environment="staging") == {}


def test_deployments_of_one_moment_have_one_order() -> None:
    """Two deployments that finished in the same microsecond are judged alike in whichever order they are told."""
    twins = (release("b", 15, native_id="x"), release("c", 15, native_id="y"), release("b", 15, native_id="z"))
    told = [FAMILY.observe(PlainEvents([*HISTORY[:3], *order]), UNCONFIGURED) for order in (twins, twins[::-1])]

    assert sorted(map(repr, told[0])) == sorted(map(repr, told[1]))
