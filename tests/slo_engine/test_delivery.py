"""Delivery, case by case with hand-worked hours: commits are letters, times are hours, values are read as hours."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples

from collector.events import (
    Change,
    ChangeState,
    Commit,
    Deployment,
    Event,
    Incident,
    IncidentState,
    Result,
    Review,
    ReviewState,
    event_id,
    kind_of,
)
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore, ObservationRow, ObservationStore, Series
from slo_engine.derive import derive
from slo_engine.indicators import delivery
from slo_engine.observation import Observation, Outcome
from slo_engine.organisation import Organisation
from slo_engine.plain_events import PlainEvents

START = datetime(2026, 1, 1, tzinfo=UTC)
ADA, BOB = "person:" + "a" * 32, "person:" + "b" * 32


ORGANISATION = Organisation(production=patterns(("production", "eu", "us")), judged=patterns(("staging",)))


def observed(events: Iterable[Event]) -> Iterable[Observation]:
    """The observations of some events, without a catalogue; two regions are production, staging is judged like it."""
    return delivery.observe(PlainEvents(events), ORGANISATION)


def at(hours: float) -> datetime:
    """A time in hours after the start."""
    return START + timedelta(hours=hours)


def sha(name: str) -> str:
    """The id of a commit of that name."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def commit(
    name: str, hours: float, *parents: str, authored: float | None = None, line: bool = True, **more: Any
) -> Commit:
    """A commit, on the default branch's line unless said."""
    fields: dict[str, Any] = {"source": "git", "repository": "o/shop", "native_id": name} | more
    return Commit(
        sha=sha(name),
        parents=tuple(map(sha, parents)),
        authored_at=at(hours if authored is None else authored),
        committed_at=at(hours),
        on_default_branch=line,
        **fields,
    )


def release(name: str | None, hours: float, **more: Any) -> Deployment:
    """A deployment of a commit to production."""
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


def request(name: str, merge: str | None, hours: float | None, **more: Any) -> Change:
    """A merged request with its merge commit; it was opened at hour 1 unless said."""
    fields: dict[str, Any] = {"source": "hub", "repository": "o/shop", "created_at": at(1), "author": ADA}
    fields |= {"state": ChangeState.MERGED, "merged_at": None if hours is None else at(hours)}
    names = more.pop("commits", ())
    fields |= {"merge_sha": sha(merge) if merge else None, "commit_shas": tuple(map(sha, names))}
    return Change(native_id=name, **(fields | more))


def review(name: str, hours: float, *, author: str | None = BOB, bot: bool = False) -> Review:
    """A comment on a request."""
    return Review(
        source="hub",
        native_id=f"{name}@{hours}",
        repository="o/shop",
        change_native_id=name,
        at=at(hours),
        state=ReviewState.COMMENTED,
        author=author,
        bot=bot,
    )


@dataclass(frozen=True)
class Judged:
    """How a change was judged, in hours: lead time, delivery time and the other stages."""

    outcome: str
    reason: str
    at: float
    lead: float | None
    coding: float | None
    pickup: float | None
    review: float | None
    delivery: float | None


def judged(*events: Event, service: str = "shop", environment: str = "production") -> dict[str, Judged]:
    """Each change of a service, by the name of its commit or request."""
    known = PlainEvents(events)
    names = {e.id: e.native_id for e in known.by_id.values()}
    found: dict[str, Judged] = {}
    for o in delivery.observe(known, ORGANISATION):
        if o.indicator == "change_lead_time" and o.subject[:2] == (service, environment):
            assert names[o.unit] not in found, "a change is judged once"
            stages = [None if p is None else p / 3600 for p in (o.parts or (None,) * 4)]
            lead = None if o.value is None else o.value / 3600
            hours = (o.at - START).total_seconds() / 3600
            found[names[o.unit]] = Judged(str(o.outcome), str(o.reason), hours, lead, *stages)
    return found


def verdicts(*events: Event, **subject: str) -> dict[str, str]:
    """For each change its reason, or its outcome where there is no reason."""
    return {name: j.reason or j.outcome for name, j in judged(*events, **subject).items()}


def deliveries(*events: Event, **subject: str) -> dict[str, float | None]:
    """For each measured change the hours from merge to deployment."""
    return {n: j.delivery for n, j in judged(*events, **subject).items() if j.outcome == Outcome.MEASURED}


HISTORY = (commit("a", 0), commit("b", 10, "a", authored=8), commit("c", 20, "b"))


# --- A. Git and changes -----------------------------------------------------------------------------------------


def test_a_closed_request_is_no_change() -> None:
    """A pull request closed without a merge → no change; only a merge time makes one."""
    closed = request("pr", None, None, state=ChangeState.CLOSED, closed_at=at(12))

    assert "pr" not in judged(*HISTORY, release("a", 1), release("c", 30), closed)


def test_a_merge_without_a_time_is_never_guessed() -> None:
    """State says `merged` but the merge time is null → kept, `excluded{reason="missing_time"}`, never guessed."""
    found = judged(*HISTORY, release("a", 1), release("c", 30), request("pr", "b", None))

    assert (found["pr"].outcome, found["pr"].reason) == ("excluded", "missing_time")
    assert (found["pr"].lead, found["pr"].delivery) == (None, None)


def test_a_squash_counts_from_the_first_commit_of_the_request() -> None:
    """A squash: the request's own commits never reach the default branch → their author times still begin it."""
    own = (commit("x", 4, "a", authored=2, line=False), commit("y", 6, "x", line=False))
    squashed = request("pr", "b", 10, commits=("x", "y"))

    found = judged(*HISTORY, *own, release("a", 1), release("b", 15), squashed)

    assert (found["pr"].lead, found["pr"].delivery) == (13, 5)
    assert set(found) == {"a", "pr", "c"}


def test_a_squash_counts_from_what_the_provider_knows() -> None:
    """The provider's first commit time comes before the graph's, which a squash has lost."""
    squashed = request("pr", "b", 10, first_commit_at=at(3))

    assert judged(*HISTORY, release("a", 1), release("b", 15), squashed)["pr"].lead == 12


def test_a_rebase_merge_is_one_change() -> None:
    """A rebase merge puts several commits on the line; they belong to the request and are counted once."""
    line = (commit("a", 0), commit("x2", 10, "a", authored=2), commit("y2", 10, "x2", authored=5))
    own = (commit("x", 2, "a", line=False), commit("y", 5, "x", line=False))
    rebased = request("pr", "y2", 10, commits=("x", "y"))

    found = judged(*line, *own, release("a", 1), release("y2", 12), rebased)

    assert set(found) == {"a", "pr"}
    assert (found["pr"].lead, found["pr"].delivery) == (10, 2)


def test_a_rebase_merge_of_commits_nobody_kept_is_one_change() -> None:
    """Where only the provider remembers the request's commits, its first commit time tells the rebase."""
    line = (commit("a", 0), commit("x2", 10, "a", authored=2), commit("y2", 10, "x2", authored=5))
    rebased = request("pr", "y2", 10, commits=("x", "y"), first_commit_at=at(2))

    assert set(judged(*line, release("a", 1), release("y2", 12), rebased)) == {"a", "pr"}


def test_a_squash_does_not_claim_the_commit_below_it() -> None:
    """A squash of two commits is no rebase of two: the commit below it stays a change of its own."""
    squashed = request("pr", "c", 20, commits=("x", "y"), first_commit_at=at(9))

    assert set(judged(*HISTORY, release("a", 1), release("c", 30), squashed)) == {"a", "b", "pr"}


def test_a_fast_forward_is_one_change() -> None:
    """Commits that came to the line as they were belong to their request."""
    merged = request("pr", "c", 21, commits=("b", "c"))

    found = judged(*HISTORY, release("a", 1), release("c", 30), merged)

    assert set(found) == {"a", "pr"}
    assert (found["pr"].lead, found["pr"].delivery) == (22, 9)


def test_a_merge_and_its_request_are_one_change() -> None:
    """A merged branch counts once, from its first commit, with or without the provider's list of commits."""
    events = [commit("a", 0), commit("x", 5, "a", line=False), commit("y", 6, "x", line=False)]
    events += [commit("m", 10, "a", "y"), commit("z", 3, line=False)]
    deployed = [release("a", 1), release("m", 15)]

    for pr in (request("pr", "m", 10), request("pr", "m", 10, commits=("x", "y"))):
        found = judged(*events, *deployed, pr)
        assert (set(found), found["pr"].lead) == ({"a", "pr"}, 10)
    assert judged(*events, *deployed)["m"].lead == 10


def test_a_direct_push_is_a_change() -> None:
    """A commit pushed straight to the default branch → is a change, timed from its author time."""
    found = judged(*HISTORY, release("a", 1), release("c", 30))

    assert (found["b"].lead, found["b"].delivery) == (22, 20)
    assert (found["c"].lead, found["c"].delivery) == (10, 10)


def test_long_differences_do_not_wrap() -> None:
    """Author time 2015-12-31T18:16:25Z, commit time 2016-01-03T23:26:58Z → 77.18 h apart, not 18.82 h."""
    authored, committed = datetime(2015, 12, 31, 18, 16, 25, tzinfo=UTC), datetime(2016, 1, 3, 23, 26, 58, tzinfo=UTC)
    late = Commit(
        source="git",
        native_id="b",
        repository="o/shop",
        sha=sha("b"),
        parents=(sha("a"),),
        authored_at=authored,
        committed_at=committed,
        on_default_branch=True,
    )
    first = release("a", 0, finished_at=authored)
    second = release("b", 1, finished_at=committed)

    assert judged(commit("a", -99_999), late, first, second)["b"].lead == pytest.approx(77.1758, abs=1e-4)


def test_an_author_time_after_the_merge_gives_way_to_the_committer_time() -> None:
    """Author time after the merge (wrong clock) → committer time instead, counted; never negative, never null."""
    events = (commit("a", 0), commit("x", 6, "a", authored=500, line=False), commit("m", 10, "a", "x", authored=900))

    found = judged(*events, release("a", 1), release("m", 12))

    assert (found["m"].lead, found["m"].delivery) == (6, 2)
    rules = [o.rule for o in observed([*events, release("a", 1), release("m", 12)]) if o.value]
    assert rules == ["graph, committer time"]


def test_a_provider_time_after_the_merge_gives_way_to_the_graph() -> None:
    """A first commit time after the merge is a wrong clock: the commit graph tells instead."""
    found = judged(*HISTORY, release("a", 1), release("b", 15), request("pr", "b", 10, first_commit_at=at(14)))

    assert found["pr"].lead == 7


def test_thirty_seconds_are_a_lead_time() -> None:
    """A change deployed 30 seconds after its commit → kept; fast does not mean automated."""
    quick = 30 / 3600

    assert judged(*HISTORY, release("a", 1), release("c", 20 + quick))["c"].lead == pytest.approx(quick)


def staged(**more: Any) -> tuple[Event, ...]:
    """A request opened at 12, merged at 20, deployed at 26; its first commit was written at 8."""
    first = {"created_at": at(12), "first_commit_at": at(8)}
    return (*HISTORY, release("a", 1), release("c", 26), request("pr", "c", 20, **(first | more)))


def stages(*events: Event) -> tuple[float | None, ...]:
    """Coding, pickup, review, delivery and the whole of the request."""
    pr = judged(*events)["pr"]
    return (pr.coding, pr.pickup, pr.review, pr.delivery, pr.lead)


def test_stages_add_up_to_the_lead_time() -> None:
    """Stages known for a change always add up to its lead time."""
    assert stages(*staged(), review("pr", 15)) == (4, 3, 5, 6, 18)


def test_a_draft_waits_for_nobody() -> None:
    """Draft opened Monday, ready Thursday → review waiting starts at ready; the whole lead time is unchanged."""
    assert stages(*staged(ready_at=at(17)), review("pr", 18)) == (9, 1, 2, 6, 18)


def test_a_review_of_a_draft_counts_from_ready() -> None:
    """Somebody who reviewed the draft had it picked up at once when it became ready."""
    assert stages(*staged(ready_at=at(17)), review("pr", 15)) == (9, 0, 3, 6, 18)


def test_without_a_review_two_stages_are_absent() -> None:
    """Merged without any review → lead time counts; pickup and review stages are absent, not 0."""
    assert stages(*staged()) == (4, None, None, 6, 18)


def test_a_review_after_the_merge_is_none() -> None:
    """A review after the merge did not hold it up: known stages never exceed the lead time."""
    assert stages(*staged(), review("pr", 24)) == (4, None, None, 6, 18)


def test_ready_after_the_merge_is_unknown() -> None:
    """A time of readiness after the merge is no end of coding."""
    assert stages(*staged(ready_at=at(23))) == (None, None, None, 6, 18)


def test_a_request_opened_before_its_first_commit_has_no_coding_time() -> None:
    """An empty request opened first → coding is 0, and waiting starts with the commit."""
    assert stages(*staged(created_at=at(2)), review("pr", 15)) == (0, 7, 5, 6, 18)


def test_the_first_review_is_by_another_human() -> None:
    """First comment is by the author, by a bot, or dated before the request → not the first review."""
    not_yet = (review("pr", 13, author=ADA), review("pr", 14, bot=True), review("pr", 11))

    assert stages(*staged(), *not_yet) == (4, None, None, 6, 18)
    assert stages(*staged(), *not_yet, review("pr", 18), review("pr", 16)) == (4, 4, 4, 6, 18)


def test_a_review_of_another_source_with_the_same_number_is_not_ours() -> None:
    """Two sources both have a request "42": each has its own reviews."""
    other = Review(
        source="lab",
        native_id="1",
        repository="o/shop",
        change_native_id="pr",
        at=at(15),
        state=ReviewState.APPROVED,
        author=BOB,
    )

    assert stages(*staged(), other) == (4, None, None, 6, 18)


def test_a_merge_commit_has_no_stages_but_delivery() -> None:
    """Without a request nobody knows when coding ended: only the delivery stage is known."""
    found = judged(*HISTORY, release("a", 1), release("b", 15))["b"]

    assert (found.coding, found.pickup, found.review, found.delivery) == (None, None, None, 5)


def test_after_a_forced_push_recorded_changes_stay() -> None:
    """The default branch is force-pushed → recorded changes stay, and no change is judged twice."""
    events = (*HISTORY, commit("b2", 12, "a"), commit("c2", 22, "b2"))

    assert deliveries(*events, release("a", 1), release("c", 21), release("c2", 30)) == {
        "b": 11,
        "c": 1,
        "b2": 18,
        "c2": 8,
    }


def test_missing_ancestors_are_an_unknown_base() -> None:
    """After a rewrite the graph lacks the deployed commit → `unknown_base`, not new work."""
    events = (commit("a", 0), commit("b", 10, "a"), commit("c", 20, "b"), commit("d", 40, "c"))

    found = verdicts(*events, release("a", 1), release("lost", 15), release("c", 30), release("d", 50))

    assert found == {"a": "before_horizon", "b": "unknown_base", "c": "unknown_base", "d": "measured"}


# --- B. Deployments ---------------------------------------------------------------------------------------------


def frequencies(*events: Event) -> list[tuple[str, str, str]]:
    """Every observation of the frequency: service, result, outcome."""
    found = observed(events)
    return sorted(
        (o.subject.service, o.dimension, str(o.outcome)) for o in found if o.indicator == "deployment_frequency"
    )


def test_the_same_native_id_is_one_deployment() -> None:
    """The same native id by webhook and by polling → one. Two sources both posting id "42" → two."""
    one, other = release("a", 1, native_id="42"), release("a", 1, native_id="42", source="hook")

    assert len(frequencies(one, one)) == 1
    assert len(frequencies(one, other)) == 2


def test_a_redeploy_is_a_deployment() -> None:
    """Redeploy of the same artifact → a deployment, which ships nothing a second time."""
    events = (*HISTORY, release("a", 1), release("b", 15), release("b", 16))

    assert frequencies(*events) == [("shop", "success", "measured")] * 3
    assert deliveries(*events) == {"b": 5}


def test_a_rollback_counts_and_ships_nothing() -> None:
    """The deployed commit is an ancestor of the one before → counts, and takes no change from the first release."""
    events = (*HISTORY, release("a", 1), release("b", 15), release("a", 16), release("c", 30))

    assert len(frequencies(*events)) == 4
    assert deliveries(*events) == {"b": 5, "c": 10}


def test_without_deployments_there_is_nothing_to_judge() -> None:
    """No rule for "production" is configured → nothing is production, and no change waits for it."""
    assert list(observed(HISTORY)) == []


def test_each_environment_has_its_own_chain() -> None:
    """Several production environments (eu, us) → each keeps its own chain."""
    eu = [release("a", 1, environment="eu"), release("b", 15, environment="eu")]
    us = [release("a", 2, environment="us"), release("b", 19, environment="us")]

    assert deliveries(*HISTORY, *eu, *us, environment="eu") == {"b": 5}
    assert deliveries(*HISTORY, *eu, *us, environment="us") == {"b": 9}


def test_of_other_environments_only_deployments_are_counted() -> None:
    """An environment that is neither production nor said to be judged like it has deployments and nothing else."""
    events = (*HISTORY, release("a", 1, environment="sandbox"), release("b", 15, environment="sandbox"))

    assert {o.indicator for o in observed(events)} == {"deployment_frequency"}


def test_a_deployment_of_an_unknown_commit_counts_for_frequency_only() -> None:
    """A deployment whose commit is unknown → counts for frequency, excluded from lead time."""
    events = (*HISTORY, release("a", 1), release(None, 15), release("elsewhere", 16), release("b", 17, repository=None))

    assert frequencies(*events) == [("shop", "success", "measured")] * 4
    assert verdicts(*events) == {"a": "before_horizon", "b": "pending", "c": "pending"}


def test_two_services_of_one_commit_are_two_deployments() -> None:
    """Two services built from one commit → two deployments of two services, each with its own changes."""
    web = [release("a", 1, service="web", native_id="w1"), release("b", 18, service="web", native_id="w2")]
    events = (*HISTORY, release("a", 1), release("b", 15), *web)

    assert [f[0] for f in frequencies(*events)] == ["shop", "shop", "web", "web"]
    assert (deliveries(*events), deliveries(*events, service="web")) == ({"b": 5}, {"b": 8})


@pytest.mark.parametrize("result", [r for r in Result if r is not Result.SUCCESS])
def test_only_success_is_a_success(result: Result) -> None:
    """Failed, cancelled, skipped → kept under its own result, outside the frequency, and ships nothing."""
    events = (*HISTORY, release("a", 1), release("b", 15, result=result), release("c", 30))

    assert ("shop", result.value, "excluded") in frequencies(*events)
    assert deliveries(*events) == {"b": 20, "c": 10}


# --- C. Attribution of changes ----------------------------------------------------------------------------------


def test_the_first_deployment_opens_the_horizon() -> None:
    """First known deployment of a ten-year-old repository → earlier merges are `before_horizon`."""
    old = commit("old", -87_600)
    events = (old, commit("a", 0, "old"), commit("side", 0.5, "a", line=False), commit("m", 10, "a", "side"))

    found = judged(*events, release("a", 1), release("m", 12))

    assert (found["old"].reason, found["a"].reason, found["m"].lead) == ("before_horizon", "before_horizon", 11.5)
    assert found["old"].lead is None


def test_what_was_merged_before_the_horizon_but_shipped_later_is_excluded() -> None:
    """What was merged before the first known deployment is `before_horizon`, also where that did not contain it."""
    found = verdicts(*HISTORY, release("a", 15), release("c", 30))

    assert found == {"a": "before_horizon", "b": "before_horizon", "c": "measured"}


def test_a_request_merged_before_the_horizon_is_excluded_whatever_its_commit() -> None:
    """An old request whose merge commit nobody knows is before the horizon, not an unknown commit."""
    found = verdicts(*HISTORY, release("a", 15), request("old", "lost", 3), request("new", "lost", 18))

    assert (found["old"], found["new"]) == ("before_horizon", "unknown_commit")


def test_a_change_ships_through_branches() -> None:
    """Merge feature → develop → main → deploy → the change ships with the first deployment that contains it."""
    feature = (commit("x", 3, "a", line=False), commit("dev", 5, "a", "x", line=False))
    events = (commit("a", 0), *feature, commit("m", 10, "a", "dev"))
    requests = (
        request("feature", "dev", 5, commits=("x",), target_branch="develop"),
        request("develop", "m", 10, commits=("x", "dev"), target_branch="main"),
    )

    found = judged(*events, *requests, release("a", 1), release("m", 12))

    assert (found["feature"].lead, found["feature"].delivery) == (9, 7)
    assert (found["develop"].lead, found["develop"].delivery) == (9, 2)
    assert set(found) == {"a", "feature", "develop"}


def test_each_change_ships_once() -> None:
    """Hotfix from an old tag, then main, then rollback, then main again → each change ships once, at the first."""
    fix = commit("fix", 22, "b", line=False)
    events = (*HISTORY, fix, commit("m", 40, "c", "fix"), request("hotfix", "fix", 22))
    chain = [release("a", 1), release("b", 15), release("fix", 25), release("c", 30), release("b", 31)]
    chain += [release("c", 32), release("m", 45), release("c", 46), release("m", 47)]

    assert deliveries(*events, *chain) == {"b": 5, "hotfix": 3, "c": 10, "m": 5}


def test_only_the_pair_with_the_unknown_base_is_excluded() -> None:
    """The previously deployed commit is not in the graph → that pair is `unknown_base`; history is not new."""
    more = (commit("d", 40, "c"), commit("e", 50, "d"))
    chain = (release("a", 1), release(None, 12), release("c", 30), release("d", 45), release("e", 55))

    assert verdicts(*HISTORY, *more, *chain) == {
        "a": "before_horizon",
        "b": "unknown_base",
        "c": "unknown_base",
        "d": "measured",
        "e": "measured",
    }


def test_an_unknown_first_deployment_opens_the_horizon_without_a_base() -> None:
    """Where already the first deployment is unknown, the next one has no base."""
    found = verdicts(*HISTORY, release("lost", 5), release("b", 15), release("c", 30))

    assert found == {"a": "before_horizon", "b": "unknown_base", "c": "measured"}


@pytest.mark.parametrize("odd", [{"result": Result.FAILURE}, {"environment": "staging"}])
def test_a_failed_or_staging_deployment_ships_nothing(odd: dict[str, Any]) -> None:
    """A failed or staging deployment between two good ones ships nothing; its changes belong to the next success."""
    events = (*HISTORY, release("a", 1), release("b", 15, **odd), release("c", 30))

    assert deliveries(*events) == {"b": 20, "c": 10}


def test_a_late_request_is_judged_as_if_it_had_been_in_time() -> None:
    """A merge request arrives after its deployment was processed → same result as in order."""
    events = [*HISTORY, release("a", 1), release("b", 15), request("pr", "b", 10, commits=("b",))]

    assert judged(*events) == judged(*reversed(events))
    assert "b" not in judged(*events)


def test_chains_are_kept_per_service_repository_and_environment() -> None:
    """Chains are kept apart; a failed row is no predecessor and no base."""
    other = [release("z", 2, repository="o/web"), commit("z", 1, repository="o/web", source="git2")]
    failed = release("lost", 14, result=Result.FAILURE)

    assert deliveries(*HISTORY, *other, release("a", 1), failed, release("b", 15)) == {"b": 5}


def test_a_merge_after_the_deployment_has_a_lead_time_and_no_delivery() -> None:
    """The request is merged after its commit was deployed → lead time holds; delivery absent, not negative."""
    found = judged(*HISTORY, release("a", 1), release("b", 15), request("pr", "b", 18, first_commit_at=at(9)))["pr"]

    assert (found.outcome, found.lead, found.delivery) == ("measured", 6, None)
    assert found.reason == "merged_after_deployment"


def test_an_undeployed_change_is_pending_since_its_merge() -> None:
    """What no deployment contains yet waits, dated at its merge, without a value."""
    found = judged(*HISTORY, release("a", 1), release("b", 15))["c"]

    assert (found.outcome, found.at, found.lead) == ("pending", 20, None)


def test_a_first_commit_after_the_deployment_has_no_lead_time() -> None:
    """Where every clock says that coding began after the deployment, there is no lead time, never a negative one."""
    events = (commit("a", 0), commit("b", 50, "a"), release("a", 1), release("b", 15))

    found = judged(*events)["b"]

    assert (found.lead, found.delivery, found.reason) == (None, None, "missing_time")


def test_two_sources_of_one_repository_give_each_commit_once() -> None:
    """Two collectors deliver the same facts → one set of changes; what a shallow one lacks, the other knows."""
    again = [commit(c.native_id, (c.committed_at - START).total_seconds() / 3600, source="a-shallow") for c in HISTORY]

    assert set(judged(*HISTORY, *again, release("a", 1), release("c", 30))) == {"a", "b", "c"}
    assert deliveries(*HISTORY, *again, release("a", 1), release("c", 30)) == {"b": 20, "c": 10}


def test_evidence_names_the_deployment_and_the_first_commit() -> None:
    """Each judgement can be explained: the deployment that shipped it, and the commit it was counted from."""
    side = commit("x", 5, "a", line=False)
    merge, shipped = commit("m", 10, "a", "x"), release("m", 15)

    found = [o for o in observed([commit("a", 0), side, merge, release("a", 1), shipped]) if o.value]

    assert [(o.unit, o.evidence, o.source) for o in found] == [(merge.id, (shipped.id, side.id), "cd+git")]


def test_of_first_commits_of_one_second_the_id_decides() -> None:
    """Two commits written in the same second: which of them is the evidence does not depend on the order of reading."""
    sides = [commit(name, 5, "a", line=False) for name in ("x", "y")]
    ends = (commit("a", 0), commit("m", 10, "a", "x", "y"), release("a", 1), release("m", 15))

    found = [observed([*order, *ends]) for order in (sides, sides[::-1])]

    assert [[o.evidence[1] for o in one if o.value] for one in found] == [[min(c.id for c in sides)]] * 2


def test_a_shallow_history_is_judged_as_far_as_it_goes() -> None:
    """Parents beyond a shallow clone's boundary are cut off, and what is above is judged."""
    assert deliveries(commit("b", 10, "beyond"), commit("c", 20, "b"), release("b", 11), release("c", 30)) == {"c": 10}


# --- laws -------------------------------------------------------------------------------------------------------


@st.composite
def worlds(draw: st.DrawFn) -> list[Event]:
    """Commits of a random graph with one or two lines, deployments, requests and reviews."""
    hours = st.integers(0, 60)
    count = draw(st.integers(1, 12))
    parents: list[list[int]] = [
        draw(st.lists(st.integers(max(0, n - 4), n - 1), max_size=2, unique=True)) if n else [] for n in range(count)
    ]
    numbers = st.integers(0, count - 1)
    line: set[int] = set()
    for tip in draw(st.lists(numbers, min_size=1, max_size=2)):
        while tip not in line:
            line.add(tip)
            tip = parents[tip][0] if parents[tip] else tip  # noqa: PLW2901 - one step down
    events: list[Event] = [
        commit(str(n), draw(hours), *map(str, parents[n]), authored=draw(hours), line=n in line, source=s)
        for n in range(count)
        for s in draw(st.sampled_from([["git"], ["git"], ["git", "mirror"]]))
    ]
    known = st.integers(-1, count - 1).map(str)
    if draw(st.booleans()):  # a horizon early enough for something to be measured
        events.append(release("0", -1))
    for n in range(draw(st.integers(0, 5))):
        place = {"service": draw(st.sampled_from(["shop", "web"])), "result": draw(st.sampled_from([*Result][:2]))}
        events.append(release(draw(known), draw(hours), native_id=str(n), **place))
    for n in range(draw(st.integers(0, 3))):
        times = {"created_at": at(draw(hours)), "first_commit_at": draw(st.none() | hours.map(at))}
        merged, names = draw(st.none() | hours), tuple(draw(st.lists(known, max_size=3)))
        events.append(request(f"pr{n}", draw(st.none() | known), merged, commits=names, **times))
        events.extend(review(f"pr{n}", h) for h in draw(st.lists(hours, max_size=2, unique=True)))
    return events


def canonical(observations: Iterable[Observation]) -> list[str]:
    """Observations without their order."""
    return sorted(map(repr, observations))


@settings(max_examples=examples(60), deadline=None)
@given(worlds(), st.data())
def test_order_and_duplicates_change_nothing(world: list[Event], data: st.DataObject) -> None:
    """The same events give the same observations whatever their order of arrival and their duplicates."""
    twice = data.draw(st.lists(st.sampled_from(world), max_size=5))
    other = data.draw(st.permutations([*world, *twice]))

    assert canonical(observed(other)) == canonical(observed(world))


@settings(max_examples=examples(60), deadline=None)
@given(worlds())
def test_durations_are_never_negative_and_stages_never_exceed_the_whole(world: list[Event]) -> None:
    """No value is negative, known stages never add up to more than the lead time, all of them exactly to it."""
    for o in observed(world):
        parts = [p for p in o.parts if p is not None]
        assert min([*parts, o.value or 0]) >= 0
        if o.value is not None and not o.reason and o.parts:
            assert sum(parts) <= o.value + 1e-6
        if len(parts) == len(delivery.STAGES):
            assert sum(parts) == pytest.approx(o.value)


@settings(max_examples=examples(60), deadline=None)
@given(worlds(), st.integers(0, 60))
def test_later_deployments_do_not_move_earlier_attributions(world: list[Event], hours: int) -> None:
    """What was measured up to a time stays as it is when later deployments become known."""
    known = [e for e in world if not isinstance(e, Deployment) or e.finished_at <= at(hours)]

    before = {repr(o) for o in observed(known) if o.outcome == Outcome.MEASURED}
    after = {repr(o) for o in observed(world) if o.outcome == Outcome.MEASURED}

    assert before <= after


# --- through the store ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Database]]:
    """Makes empty databases, copied from one that is migrated: migrating takes longer than most tests."""
    folder = tmp_path_factory.mktemp("stores")
    Database.open(folder / "empty").close()

    def make() -> Database:
        place = Path(folder / "data")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        shutil.copy(folder / "empty" / "paceline.db", place / "paceline.db")
        return Database.open(place)

    yield make
    shutil.rmtree(folder)


def derived(database: Database, batches: Sequence[Sequence[Event]], derive_between: bool) -> dict[Series, list[Any]]:  # noqa: FBT001
    """The observations after writing some batches of events in their order, deriving in between or at the end."""
    events, observations = EventStore(database), ObservationStore(database)
    for batch in batches:
        with database.transaction() as transaction:
            events.write(transaction, batch)
        if derive_between:
            derive([delivery.FAMILY], events, DerivationStore(database), ORGANISATION)
    derive([delivery.FAMILY], events, DerivationStore(database), ORGANISATION)
    found = {
        series: observations.window([number], -(2**62), 2**62, *ObservationRow._fields)
        for number, series in observations.series().items()
    }
    database.close()
    return found


def test_an_incident_that_a_settled_deployment_links_is_its(new_database: Callable[[], Database]) -> None:
    """The deployment named the incident's page before the incident was known, and is long settled."""
    page = "https://pager.example/i"
    early: list[Event] = [commit(str(day), 24 * day - 1, str(day - 1)) for day in range(1, 60)]
    early += [release(str(day), 24 * day, links=(page,) if day == 2 else ()) for day in range(1, 60)]
    first = Incident(
        source="pager",
        native_id="first",
        service="shop",
        environment="production",
        state=IncidentState.ACKNOWLEDGED,
        started_at=at(24 * 10 + 1),
    )
    late = msgspec.structs.replace(first, native_id="late", url=page, started_at=at(24 * 60))

    in_parts = derived(new_database(), [[*early, first], [late]], derive_between=True)

    assert in_parts == derived(new_database(), [[*early, first, late]], derive_between=False)


@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=worlds(), data=st.data())
def test_the_store_gives_the_same_rows_in_any_order(
    world: list[Event], data: st.DataObject, new_database: Callable[[], Database]
) -> None:
    """Events written in any order, split and repeated, with derivations in between, give the same rows."""
    twice = data.draw(st.lists(st.sampled_from(world), max_size=5))
    other = data.draw(st.permutations([*world, *twice]))
    cut = data.draw(st.integers(0, len(other)))

    at_once = derived(new_database(), [world], derive_between=False)
    in_parts = derived(new_database(), [other[:cut], other[cut:]], derive_between=True)

    assert in_parts == at_once
    assert sum(map(len, at_once.values())) == len(list(observed(world)))


def test_an_unchanged_store_is_not_derived_again(new_database: Callable[[], Database]) -> None:
    """A derivation without new events costs one look; a new event of an input derives the family again."""
    database = new_database()
    events = EventStore(database)
    with database.transaction() as transaction:
        events.write(transaction, [*HISTORY, release("a", 1)])

    first = derive([delivery.FAMILY], events, DerivationStore(database), ORGANISATION)
    second = derive([delivery.FAMILY], events, DerivationStore(database), ORGANISATION)
    with database.transaction() as transaction:
        events.write(transaction, [release("c", 30)])
    third = derive([delivery.FAMILY], events, DerivationStore(database), ORGANISATION)
    database.close()

    assert [d.families for d in (first, second, third)] == [("delivery",), (), ("delivery",)]
    assert (first.pieces, third.pieces, second.observations) == (1, 1, 0)


def test_the_evidence_is_in_the_store(new_database: Callable[[], Database]) -> None:
    """An observation's row names the events behind it by the ids under which the store has them."""
    found = derived(new_database(), [[*HISTORY, release("a", 1), release("c", 30)]], derive_between=False)

    shipped = [
        row for series, rows in found.items() if series.indicator == "change_lead_time" for row in rows if row[2]
    ]
    assert {tuple(json.loads(row[-1])) for row in shipped} == {(event_id(kind_of(Deployment), "cd", "c@30"),)}
