"""Looks at what sources would report, before anything is kept: what rules take, what they leave, and what is missing.

Nothing is written but the clones of repositories, which are a cache.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

from pydantic import SecretStr

from collector.api import CiConfig
from collector.deploying import DeploymentRule
from collector.errors import AuthError, PacelineError, SourceError
from collector.events import (
    Change,
    ChangeState,
    Commit,
    Deployment,
    Event,
    Incident,
    PipelineRun,
    Result,
    RunState,
    kind_of,
)
from collector.findings import Findings
from collector.http import Traffic
from collector.pushed import PushedConfig
from collector.source import Page, SourceConfig, SourceContext
from collector.store import SourceRun, from_micros
from slo_engine.organisation import Organisation
from slo_engine.words import duration_text

_SHOWN = 10
_MOST_WORDS = 50
_SETTING_OF = {"status": "statuses", "severity": "severities", "type": "issues"}
"""Where a word of a system is mapped."""
_NOT_FOUND = 404


@dataclass(frozen=True, kw_only=True)
class RuleFound:
    """What a rule for deployments took: how many runs, by the names that occur most."""

    rule: str
    runs: int
    names: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Unmapped:
    """A word of a system that no setting maps: what it is (`status`), what it was taken as, and how often it came."""

    what: str
    word: str
    taken_as: str
    times: int


@dataclass(frozen=True, kw_only=True)
class Share:
    """How many of some events have what a number needs."""

    what: str
    part: int
    whole: int


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What a look at a source found. Nothing of it was kept."""

    source: str
    type: str
    error: str | None = None
    requests: int = 0
    quota: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    rejected: tuple[str, ...] = ()
    rejected_total: int = 0
    warnings: tuple[str, ...] = ()
    truncations: tuple[str, ...] = ()
    finished_runs: int = 0
    rules: tuple[RuleFound, ...] = ()
    lookalikes: tuple[tuple[str, int], ...] = ()
    unmapped: tuple[Unmapped, ...] = ()
    environments: Mapping[str, int] = field(default_factory=dict)
    """Deployments by environment."""
    incidents: Mapping[str, int] = field(default_factory=dict)
    """Incidents by label; one with two labels counts for both."""
    unknown_services: tuple[str, ...] = ()
    """Names of services in deployments that the catalogue does not know."""
    shares: tuple[Share, ...] = ()
    advice: tuple[str, ...] = ()


@dataclass
class Seen:
    """What the sources that were looked at reported together: commits may come from another than deployments."""

    commits: set[str] = field(default_factory=set)
    deployed: list[str] = field(default_factory=list)
    production: int = 0

    @property
    def shares(self) -> tuple[Share, ...]:
        """How many deployments went to a commit that some source knows."""
        known = sum(sha in self.commits for sha in self.deployed)
        return (Share(what="deployed commits that a source knows", part=known, whole=len(self.deployed)),)


@dataclass
class _Tally:
    organisation: Organisation
    seen: Seen
    events: Counter[str] = field(default_factory=Counter)
    environments: Counter[str] = field(default_factory=Counter)
    incidents: Counter[str] = field(default_factory=Counter)
    unknown: set[str] = field(default_factory=set)
    having: Counter[str] = field(default_factory=Counter)
    of: Counter[str] = field(default_factory=Counter)

    def count(self, event: Event) -> None:
        """Look at one event."""
        self.events[kind_of(type(event))] += 1
        if isinstance(event, Commit):
            self.seen.commits.add(event.sha)
        elif isinstance(event, Deployment):
            self._deployment(event)
        elif isinstance(event, Incident):
            self.incidents.update(set(event.labels))
        elif isinstance(event, Change) and event.state is ChangeState.MERGED:
            self._share("merged changes with their merge commit", has=event.merge_sha is not None)
        elif isinstance(event, PipelineRun) and event.state is RunState.COMPLETED:
            timed = None not in {event.created_at, event.started_at, event.finished_at}
            self._share("finished runs with all their times", has=timed)

    def _deployment(self, event: Deployment) -> None:
        self.environments[event.environment] += 1
        self._share("deployments with their commit", has=event.sha is not None)
        service = self.organisation.deployed(event.service)
        if self.organisation.services and service is None:
            self.unknown.add(event.service)
        if event.result is Result.SUCCESS and event.sha is not None:
            self.seen.deployed.append(event.sha)
        self.seen.production += self.organisation.is_production(service or event.service, event.environment)

    def _share(self, what: str, *, has: bool) -> None:
        self.of[what] += 1
        self.having[what] += has

    @property
    def shares(self) -> tuple[Share, ...]:
        """What was counted, in the order in which it came."""
        return tuple(Share(what=what, part=self.having[what], whole=whole) for what, whole in self.of.items())


def examine(
    config: SourceConfig, context: SourceContext, organisation: Organisation, since: datetime, seen: Seen
) -> Diagnosis:
    """Read what a source reports since a time, keep none of it, and say what it is. Never raises for the source."""
    traffic, findings = Traffic(), Findings()
    context = replace(context, since=since, findings=findings, wire=replace(context.wire, traffic=traffic))
    tally, pages, problem = _Tally(organisation, seen), list[Page](), None
    try:
        for page in config.build(context).pull(None):
            for event in page.events:
                tally.count(event)
            pages.append(replace(page, events=()))
    except PacelineError as error:
        problem = error
    found = Diagnosis(
        source=config.name,
        type=str(getattr(config, "type", "")),
        error=None if problem is None else str(problem),
        requests=traffic.requests,
        quota={name: (left.remaining, left.limit) for name, left in traffic.quota.items()},
        events=dict(sorted(tally.events.items())),
        rejected=tuple(islice((str(r) for p in pages for r in p.rejected), _SHOWN)),
        rejected_total=sum(len(p.rejected) for p in pages),
        warnings=_once(w for p in pages for w in p.warnings),
        truncations=_once(t for p in pages for t in p.truncations),
        finished_runs=findings.runs,
        rules=rules_found(config, findings),
        lookalikes=tuple(findings.lookalikes.most_common(_SHOWN)),
        unmapped=unmapped_words(findings),
        environments=dict(tally.environments.most_common(_SHOWN)),
        incidents=dict(tally.incidents.most_common()),
        unknown_services=tuple(sorted(tally.unknown)),
        shares=tally.shares,
    )
    return replace(found, advice=tuple(_broken(config, problem) if problem else _advice(config, found)))


def rules_found(config: SourceConfig, findings: Findings) -> tuple[RuleFound, ...]:
    """What each rule for deployments of a source took of the runs that it read; none for one without rules."""
    rules = config.deployments if isinstance(config, CiConfig) else []
    return tuple(_rule_found(number, rule, findings) for number, rule in enumerate(rules))


def unmapped_words(findings: Findings) -> tuple[Unmapped, ...]:
    """The words of a system that no setting maps, those that came most often first."""
    words = findings.unmapped.most_common(_MOST_WORDS)
    return tuple(Unmapped(what=what, word=word, taken_as=taken, times=n) for (what, word, taken), n in words)


def together(found: Sequence[Diagnosis], seen: Seen, organisation: Organisation) -> list[str]:
    """What is to be said of all sources at once. While one cannot be read, nobody knows what is missing."""
    said: list[str] = []
    deployments = sum(d.events.get("deployment", 0) for d in found)
    broken = [d.source for d in found if d.error]
    if broken and not deployments:
        said.append(f"Whether anything deploys is known once {', '.join(broken)} can be read.")
    elif not deployments:
        said.append("No source reports a deployment: lead time, frequency and fail rate will have no value.")
    elif not seen.production:
        seen_in = ", ".join(sorted({e for d in found for e in d.environments}))
        wanted = ", ".join(p.text for p in organisation.production) or "nothing"
        said.append(
            f"No deployment went to production: `environments.production` is {wanted}, deployments went to {seen_in}. "
            "Name there what is production with you."
        )
    if seen.deployed and not seen.commits and not broken:
        said.append("No source reads commits: lead times need them. A forge reads them with `commits: true`, or `git`.")
    return said


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(texts), _SHOWN))


def _rule_found(number: int, rule: DeploymentRule, findings: Findings) -> RuleFound:
    names = findings.matched.get(number, Counter())
    said = rule.model_dump(exclude_defaults=True)
    shown = ", ".join(f"{k}: {' | '.join(v) if isinstance(v, list) else v}" for k, v in said.items())
    return RuleFound(rule=shown, runs=names.total(), names=tuple(names.most_common(3)))


def stored(config: SourceConfig, run: SourceRun | None, at: datetime) -> Iterator[str]:
    """What the store says of a source: that it was never collected, failed last, or is too old for numbers."""
    if run is None:
        yield "Nothing of it was collected yet: `paceline collect` does so once, `paceline serve` again and again."
        return
    if run.error:
        yield f"Its last run failed: {run.error}."
    succeeded = None if run.last_success_at is None else from_micros(run.last_success_at)
    if succeeded is None:
        yield "It never succeeded: its numbers are withheld."
    elif at - succeeded > config.stale_after:
        age, most = (duration_text(span.total_seconds()) for span in (at - succeeded, config.stale_after))
        yield (
            f"Its numbers are withheld: it was last collected {age} ago, `stale_after` is {most}. `paceline serve` or "
            "`paceline collect` brings them back."
        )


def _broken(config: SourceConfig, problem: PacelineError) -> Iterator[str]:
    """How to mend a source that cannot be read."""
    if isinstance(problem, AuthError):
        if _has_no_token(config):
            yield "`token` is empty: give it as ${NAME}, a variable that holds it where Paceline runs."
        for scope, what in config.about.scopes if config.about else ():
            yield f"The token needs {scope}: {what}."
    elif isinstance(problem, SourceError) and problem.status == _NOT_FOUND:
        yield "Look at `url` and at the names; what is private is not found by a token that may not see it."


def _has_no_token(config: SourceConfig) -> bool:
    token = getattr(config, "token", None)
    return isinstance(token, SecretStr) and not token.get_secret_value() and not getattr(config, "app_id", "")


def _advice(config: SourceConfig, found: Diagnosis) -> Iterator[str]:
    if not found.events and isinstance(config, PushedConfig):
        yield "It is only told what happens: send it something, and look at `/webhooks` and the status page."
    elif not found.events:
        yield "It reports nothing in this time: look at which repositories and projects are named, and at `--days`."
    left = next((name.partition(": ")[2] for name, _ in found.lookalikes), "")
    for number, rule in enumerate(found.rules, start=1):
        if not rule.runs:
            near = f"; {left!r} sounds like a deployment" if left else ""
            yield f"Rule {number} of `deployments` took nothing in this time: {rule.rule}{near}."
    if left and not found.rules and not found.environments:
        yield f"No rule says what deploys; {left!r} sounds like it. See docs/deployments.md."
    for what in dict.fromkeys(word.what for word in found.unmapped):
        words = ", ".join(repr(word.word) for word in found.unmapped if word.what == what)
        setting = _SETTING_OF.get(what, what)
        yield f"No name under `{setting}` fits this {what}: {words}. See docs/tracking.md."
    if found.unknown_services:
        names = ", ".join(found.unknown_services[:_SHOWN])
        yield f"The catalogue does not know what deployments call {names}; see `deployed_as` in docs/catalogue.md."
