"""One service at a time: all its delivery observations from its deployments, repositories and incidents. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Any

import msgspec

from collector.events import Result
from collector.patterns import any_matches
from slo_engine.cadence import Waiting, service_weeks
from slo_engine.changes import History, Merged, paths_of
from slo_engine.failures import Cause, Verdict, judge, rule_of
from slo_engine.incidents import Attribution, Incident, Incidents, attribute
from slo_engine.observation import NO_PARTS, Observation, Outcome, Reason, Row, Rows, Subject, from_micros
from slo_engine.organisation import Organisation
from slo_engine.shipping import Chain, Release, Start

_MICROSECOND = timedelta(microseconds=1)
_FAILED = (Result.FAILURE, Result.ERROR, Result.TIMEOUT)

_MEASURED = (Outcome.MEASURED.value, "")
_NOT_SUCCESSFUL = (Outcome.EXCLUDED.value, Reason.NOT_SUCCESSFUL.value)

Place = tuple[str, str]
"""An environment and a repository: with the service, what a chain is of."""


@dataclass(frozen=True)
class Judged:
    """A service with its chains, and what its incidents mean for them."""

    service: str
    releases: Sequence[Release]
    chains: Mapping[Place, Chain]
    unknown_paths: frozenset[str]
    incidents: Sequence[Incident]
    attribution: Attribution
    organisation: Organisation
    elsewhere: AbstractSet[str] = frozenset()
    owned: AbstractSet[str] = frozenset()
    since: int | None = None
    week: Mapping[str, tuple[Sequence[int], bool]] = field(default_factory=dict)
    """For each environment the settled deployments of the week that holds `since`, and whether work waited in it."""

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """What became of its deployments, by id."""
        return judge(list(self.chains.values()), self.attribution)

    @cached_property
    def others(self) -> AbstractSet[str]:
        """The incidents for which another service answers: its own service answers first."""
        return self.elsewhere - self.attribution.own

    @cached_property
    def incident_sources(self) -> tuple[str, ...]:
        """The sources of its incidents: that nothing failed is known only while they report."""
        return tuple(sorted({i.source for i in self.incidents}))

    @cached_property
    def lag(self) -> int:
        """How long a deployment waits for its verdict, in microseconds."""
        return self.organisation.delivery.attribution_lag // _MICROSECOND

    def joined_with_incidents(self, source: str) -> str:
        """A source and those of the incidents: a verdict rests on all of them."""
        found = self._joined.get(source)
        if found is None:
            found = self._joined[source] = "+".join(sorted({source, *self.incident_sources}))
        return found

    @cached_property
    def _joined(self) -> dict[str, str]:
        return {}


def judged(  # noqa: PLR0913, PLR0917 - everything a service is judged by
    service: str,
    releases: Sequence[Release],
    histories: Mapping[str, History],
    incidents: Incidents,
    elsewhere: AbstractSet[str],
    owned: AbstractSet[str],
    organisation: Organisation,
    starts: Mapping[Place, Start] | None = None,
    since: int | None = None,
    week: Mapping[str, tuple[Sequence[int], bool]] | None = None,
    past: Callable[[str], bool] = lambda _: False,
) -> Judged:
    """Judge a service. `starts` and `since` say what is settled; raises Settled where that must be looked at again."""
    chains, unknown = _chains(service, releases, histories, organisation, starts or {})
    own = incidents.of_service.get(service, [])
    attribution = attribute(
        service, releases, list(chains.values()), incidents, elsewhere, owned, organisation, since, past
    )
    return Judged(
        service,
        releases,
        chains,
        unknown,
        own,
        attribution,
        organisation,
        elsewhere,
        owned,
        since,
        week or {},
    )


def _chains(
    service: str,
    releases: Sequence[Release],
    histories: Mapping[str, History],
    organisation: Organisation,
    starts: Mapping[Place, Start],
) -> tuple[dict[Place, Chain], frozenset[str]]:
    succeeded: dict[Place, list[Release]] = defaultdict(list)
    for place in starts:
        succeeded[place] = []
    judged = {e for e in {r.environment for r in releases} if organisation.is_judged(service, e)}
    for release in releases:
        if release.result == Result.SUCCESS and release.environment in judged:
            succeeded[release.environment, release.repository or ""].append(release)
    entry = organisation.service(service)
    found: dict[Place, Chain] = {}
    unknown: set[str] = set()
    narrowed: dict[str, tuple[History, frozenset[int] | None, set[str]]] = {}
    for place, chain in sorted(succeeded.items()):
        repository = place[1]
        if repository not in narrowed:
            whole = histories.get(repository, History())
            narrowed[repository] = _own(whole, entry.paths) if entry and entry.paths else (whole, None, set())
        history, own, without = narrowed[repository]
        unknown |= without
        found[place] = Chain(sorted(chain), history, starts.get(place), own, organisation.delivery)
    return found, frozenset(unknown)


def _own(history: History, paths: Sequence[object]) -> tuple[History, frozenset[int], set[str]]:
    """Of a shared repository the changes that touch a service's paths, and those of which nobody knows what they do."""
    kept: list[Merged] = []
    unknown: set[str] = set()
    commits: set[int] = set()
    for change in history.changes:
        touched = paths_of(history.commits, change)
        if touched is None:
            unknown.add(change.id)
        elif not any(any_matches(paths, path) for path in touched):  # type: ignore[arg-type] # the catalogue's rules
            continue
        else:
            commits.update(change.own, history.commits.brought.get(change.commit, ()))
        kept.append(change)
    return replace(history, changes=kept), frozenset(commits), unknown


def observations(judged: Judged) -> Iterator[Observation | Row | Rows]:
    """Every delivery observation of a service."""
    yield from _frequency(judged)
    for (environment, _), chain in judged.chains.items():
        subject = Subject(judged.service, environment)
        yield from _changes(judged, subject, chain)
        yield from _fates(judged, subject, chain)
    yield from _failed_rollouts(judged)
    yield from _restored(judged)
    yield from _unattributed(judged)
    yield from _cadence(judged)


def _frequency(judged: Judged) -> Iterator[Rows]:
    flags: dict[str, str] = {}
    for chain in judged.chains.values():
        flags |= {chain.releases[i].id: "redeploy" for i in chain.redeployments}
        flags |= {chain.releases[i].id: "rollback" for i in chain.rollbacks}
    found: dict[tuple[str, str, str], list[tuple[Any, ...]]] = defaultdict(list)
    for release in judged.releases:
        outcome = _MEASURED if release.result == Result.SUCCESS else _NOT_SUCCESSFUL
        found[release.result, release.environment, release.source].append(
            (release.at, release.id, None, *NO_PARTS, *outcome, None, flags.get(release.id, ""), "[]")
        )
    for (result, environment, source), rows in found.items():
        yield Rows(("deployment_frequency", result, judged.service, environment, "", source), rows)


def _changes(judged: Judged, subject: Subject, chain: Chain) -> Iterator[Rows]:
    """What became of the changes of a chain."""
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = defaultdict(list)
    unknown_paths, bots, releases = judged.unknown_paths, judged.organisation.delivery.bots, chain.releases
    for change, index, rule, reason in chain.shipments:
        release = releases[index] if index >= 0 else None
        why = reason
        if change.id in unknown_paths:
            why = Reason.UNKNOWN_PATHS
        elif change.bot and not bots:
            why = Reason.BOT
        if why is None and release is not None:
            found[change.source, release.source].append(_measured(change, release, rule))
        else:
            source = release.source if release is not None else change.source
            found[change.source, source].append(_unmeasured(chain, change, release, why))
    for sources, rows in found.items():
        yield Rows(("change_lead_time", "", *subject, _joined(*sources)), rows)


def _unmeasured(chain: Chain, change: Merged, release: Release | None, reason: Reason | None) -> tuple[Any, ...]:
    """Why a change has no lead time, or that it waits for its deployment."""
    at = release.at if release else chain.horizon if change.merged_at is None else change.merged_at
    outcome = (Outcome.EXCLUDED.value, reason.value) if reason else (Outcome.PENDING.value, "")
    evidence = f'["{release.id}"]' if release else "[]"
    return (at, change.id, None, *NO_PARTS, *outcome, None, "", evidence)


def _measured(change: Merged, release: Release, rule: str) -> tuple[Any, ...]:
    """The lead time of a change, and its stages."""
    first_at, stages = change.first_commit_at, _stages(change, release.at)
    seconds = (release.at - first_at) / 1e6 if first_at is not None and first_at <= release.at else None
    missing = "" if stages[-1] is not None else Reason.MERGED_AFTER_DEPLOYMENT.value
    reason = missing if seconds is not None else Reason.MISSING_TIME.value
    first = change.first_commit_id
    evidence = f'["{release.id}","{first}"]' if first else f'["{release.id}"]'
    rule = f"{rule}, bot" if change.bot else rule
    return (release.at, change.id, seconds, *stages, "measured", reason, None, rule, evidence)


def _stages(change: Merged, deployed_at: int) -> tuple[float | None, ...]:
    """The stages in seconds, None where an end is unknown. Where all are known they add up to the lead time.

    A draft is not ready; a request never reviewed has no pickup and no review; what was deployed before its
    merge has no delivery. A review of a draft counts from when it became ready; one after the merge is none.
    """
    ready, review, merged = change.ready_at, change.first_review_at, change.merged_at
    if ready is None and review is None:  # no request, as of most changes
        return None, None, None, _part(merged, deployed_at)
    first = change.first_commit_at
    if merged is not None:
        ready = ready if ready is not None and ready <= merged else None
        review = review if review is not None and review <= merged else None
    if first is not None and ready is not None:
        ready = max(ready, first)
    begun = first if ready is None else ready
    if begun is not None and review is not None:
        review = max(review, begun)
    return _part(first, ready), _part(ready, review), _part(review, merged), _part(merged, deployed_at)


def _part(start: int | None, end: int | None) -> float | None:
    return (end - start) / 1e6 if start is not None and end is not None and end >= start else None


def _fates(judged: Judged, subject: Subject, chain: Chain) -> Iterator[Observation | Rows]:
    """Whether deployments that succeeded failed later, how long until that was put right, whether they were planned."""
    verdicts, lag = judged.verdicts, judged.lag
    failing: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    planned: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for release in chain.releases:
        at, unit, source, verdict = release.at, release.id, release.source, verdicts.get(release.id)
        if verdict is None:  # as nearly all are
            failing[source].append((at, unit, None, *NO_PARTS, "good", "", at + lag, "", "[]"))
            planned[source].append((at, unit, None, *NO_PARTS, "good", "", None, "", "[]"))
            continue
        failures, rework = verdict.failures, verdict.rework
        told = (_outcome(failures), "", at + lag, _failing_rule(failures), _json(failures))
        failing[source].append((at, unit, None, *NO_PARTS, *told))
        rules = " + ".join(sorted({c.rule for c in rework})) if rework else ""
        planned[source].append((at, unit, None, *NO_PARTS, _outcome(rework), "", None, rules, _json(rework)))
        if failures:
            yield _recovery(subject, release, verdict, judged.joined_with_incidents(source))
    for indicator, found in (("change_fail_rate", failing), ("deployment_rework_rate", planned)):
        for source, rows in found.items():
            yield Rows((indicator, "", *subject, judged.joined_with_incidents(source)), rows)


def _outcome(causes: set[Cause]) -> str:
    return Outcome.BAD.value if causes else Outcome.GOOD.value


def _json(causes: set[Cause]) -> str:
    return msgspec.json.encode(_evidence(causes)).decode() if causes else "[]"


def _failing_rule(failures: set[Cause]) -> str:
    if not failures:
        return ""
    first = rule_of(failures)
    return f"incident ({first})" if first in {"named", "linked", "window"} else first


def _evidence(causes: Iterable[Cause]) -> tuple[str, ...]:
    return tuple(sorted({c.evidence for c in causes}))


def _recovery(subject: Subject, release: Release, verdict: Verdict, source: str) -> Observation:
    recovered = verdict.recovered_at
    backwards = recovered is not None and recovered < release.at
    outcome = Outcome.PENDING if recovered is None else Outcome.EXCLUDED if backwards else Outcome.MEASURED
    measured = recovered is not None and not backwards
    return Observation(
        indicator="failed_deployment_recovery_time",
        unit=release.id,
        at=from_micros(recovered if recovered is not None and measured else release.at),
        subject=subject,
        source=source,
        outcome=outcome,
        value=(recovered - release.at) / 1e6 if recovered is not None and measured else None,
        reason=Reason.RESOLVED_BEFORE_START if backwards else "",
        rule="incidents resolved" if verdict.restored else "remedy deployed" if verdict.remedies else "",
        evidence=tuple(sorted({*_evidence(verdict.failures), *(r.id for r in verdict.remedies)})),
    )


def _failed_rollouts(judged: Judged) -> Iterator[Observation]:
    """Roll-outs that never served, where the organisation counts them as failed deployments."""
    if not judged.organisation.delivery.failed_rollouts:
        return
    for release in judged.releases:
        if release.result in _FAILED:
            at = from_micros(release.at)
            yield Observation(
                indicator="change_fail_rate",
                unit=release.id,
                at=at,
                subject=Subject(judged.service, release.environment),
                source=judged.joined_with_incidents(release.source),
                outcome=Outcome.BAD,
                matures_at=at + judged.organisation.delivery.attribution_lag,
                rule="roll-out failed",
            )


def _restored(judged: Judged) -> Iterator[Observation]:
    """How long each incident lasted; an open one waits."""
    attributed: dict[str, tuple[str, list[str]]] = {}
    for hit in judged.attribution.causes:
        attributed.setdefault(hit.incident.id, (hit.rule, []))[1].append(hit.release.id)
    for incident in _new(judged):
        started, restored = incident.started_at, incident.restored_at
        reason = Reason.RESOLVED_BEFORE_START if incident.impossible else ""
        if incident.rule == "missing_time":
            reason = Reason.MISSING_TIME
        open_, (how, releases) = restored is None and not reason, attributed.get(incident.id, ("", []))
        measured = restored is not None and not reason
        yield Observation(
            indicator="incident_time_to_restore",
            unit=incident.id,
            at=from_micros(restored if restored is not None and measured else started),
            subject=Subject(judged.service, incident.environment or judged.organisation.default_environment),
            source=incident.source,
            outcome=Outcome.MEASURED if measured else Outcome.PENDING if open_ else Outcome.EXCLUDED,
            value=(restored - started) / 1e6 if restored is not None and measured else None,
            reason=reason,
            rule=(incident.rule if measured else "")
            or how
            or ("another service" if incident.id in judged.others else "unattributed"),
            evidence=tuple(sorted(releases)),
        )


def _unattributed(judged: Judged) -> Iterator[Observation]:
    """Incidents that no rule gives to a deployment: they fail none, and lower the coverage of the fail rate."""
    attributed = {h.incident.id for h in judged.attribution.causes}
    for incident in _new(judged):
        if incident.id in attributed or incident.id in judged.others or incident.impossible:
            continue
        yield Observation(
            indicator="change_fail_rate",
            unit=incident.id,
            at=from_micros(incident.started_at),
            subject=Subject(judged.service, incident.environment or judged.organisation.default_environment),
            source=incident.source,
            outcome=Outcome.EXCLUDED,
            reason=Reason.UNATTRIBUTED,
        )


def _new(judged: Judged) -> list[Incident]:
    """The service's incidents that are not settled."""
    return [i for i in judged.incidents if judged.since is None or i.started_at > judged.since]


def _cadence(judged: Judged) -> Iterator[Row]:
    organisation = judged.organisation
    entry = organisation.service(judged.service)
    promised = entry.cadence if entry else 1
    by_environment: dict[str, list[Chain]] = defaultdict(list)
    for (environment, _), chain in judged.chains.items():
        if organisation.is_production(judged.service, environment):
            by_environment[environment].append(chain)
    for environment, chains in sorted(by_environment.items()):
        carried, busy = judged.week.get(environment, ((), False))
        deployed = sorted([*carried, *(r.at for c in chains for r in c.releases)])
        waiting = [w for c in chains for w in _waiting(judged, c)]
        if busy and judged.since is not None:
            waiting.append((judged.since, judged.since))
        latest = max(r for c in chains for r in (*c.releases, *([c.start.last] if c.start else [])))
        horizon = min(c.horizon for c in chains)
        for week, kept in service_weeks(waiting, deployed, promised, horizon, organisation.zone):
            if judged.since is not None and week.end - 1 <= judged.since:
                continue
            outcome = Outcome.GOOD.value if kept else Outcome.BAD.value
            told = (None, *NO_PARTS, outcome, "", None, f"{promised} a week", "[]")
            # A team's services have a week each: alike in name, they would be one unit that reached several services.
            yield Row(
                ("deploy_cadence", "", judged.service, environment, "", latest.source),
                (week.end - 1, f"{judged.service} {week.label}", *told),
            )


def _waiting(judged: Judged, chain: Chain) -> Iterator[Waiting]:
    """The changes that waited for a chain: shipped or not, but not those nobody can place."""
    for change, index, _, reason in chain.shipments:
        merged_at = change.merged_at
        placed = reason is None or reason is Reason.UNKNOWN_BASE
        if placed and merged_at is not None and change.id not in judged.unknown_paths:
            at = chain.releases[index].at if index >= 0 else None
            if at is None or at >= merged_at:
                yield merged_at, at


@lru_cache(maxsize=1024)
def _joined(one: str, other: str) -> str:
    """The sources a judgement rests on: its number is shown only while all of them are fresh."""
    return one if one == other else "+".join(sorted((one, other)))
