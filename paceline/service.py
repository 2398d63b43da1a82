"""What Paceline does: collect, derive, evaluate, publish. Knows no HTTP, no schedule and no command line."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from importlib.metadata import version
from zoneinfo import ZoneInfo

from collector.bulk import seldom_collecting
from collector.document import nearest
from collector.errors import PacelineError, StoreError
from collector.events import Deployment, Incident, PipelineRun, kind_of
from collector.findings import Findings
from collector.http import Wire
from collector.pushed import PushedConfig
from collector.run import Progress, Runner, RunOutcome
from collector.source import Page, SourceConfig, SourceContext
from collector.store import (
    DeliveryLog,
    DeliveryState,
    DerivationStore,
    EventStore,
    Guard,
    InboxStore,
    ObservationStore,
    Quarantined,
    Restatement,
    SourceRun,
    from_micros,
    to_micros,
)
from collector.webhooks import Receiver
from paceline import resources
from paceline.changes import Changes
from paceline.gate import Answer, ask, log_overrides
from paceline.health import Health
from paceline.logs import Log
from paceline.privacy import with_no_address
from paceline.pushing import Pushes
from paceline.replicas import Alone, Role
from paceline.said import Said
from paceline.settings import Configuration
from paceline.telemetry import Telemetry
from slo_engine.benchmark_files import load_benchmarks
from slo_engine.benchmarks import Benchmarks
from slo_engine.beside import Beside
from slo_engine.burn import Tier
from slo_engine.derive import Helpers, derive
from slo_engine.evaluate import Evaluator
from slo_engine.explain import Explanation, Selection, explain, find_indicator
from slo_engine.exposition import Exposition, LineWriter, Publisher
from slo_engine.indicator import Family, Indicator
from slo_engine.organisation import unmatched
from slo_engine.past import Past
from slo_engine.reading import Reader
from slo_engine.restated import RestatedLine, restated_lines
from slo_engine.slo import Slo
from slo_engine.slo_states import Conditions, Finished, finished, is_counted
from slo_engine.snapshot import Snapshot, SourceState
from slo_engine.spending import Ledger
from slo_engine.weekly import MOST_RESTATED, Audience, Format, Known, Week, WeeklySummary, rendered, weekly

DELIVERIES_REMEMBERED = timedelta(days=14)
"""How long the id of a delivery is known, so that a repetition changes nothing."""
_FORGET_EVERY = timedelta(hours=1)
_LISTED = 10


@dataclass(frozen=True, kw_only=True)
class Published:
    """What readers see: one snapshot and its bytes, replaced together."""

    snapshot: Snapshot
    exposition: Exposition
    unmatched: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By kind, the names that no rule of the catalogue knows, sorted."""
    undelivered: Mapping[str, str] = field(default_factory=dict)
    """By delivery that was given up, the newest week that it was to bring."""


class Service:
    """The parts at work. Readers take `published`, which is replaced whole; writers take turns."""

    def __init__(  # noqa: PLR0913 - the wiring names each part once
        self,
        *,
        configuration: Configuration,
        context: SourceContext,
        runner: Runner,
        events: EventStore,
        inbox: InboxStore,
        observations: ObservationStore,
        derivations: DerivationStore,
        delivery_log: DeliveryLog,
        families: Sequence[Family],
        tiers: Sequence[Tier],
        telemetry: Telemetry,
        pushes: Pushes,
        health: Health,
        log: Log,
        clock: Callable[[], datetime],
        helpers: Helpers | None = None,
        second: Beside | None = None,
        slos_then: Callable[[Week], tuple[Sequence[Slo], Sequence[Slo]] | None] = lambda _: None,
        role: Role | None = None,
    ) -> None:
        self.configuration = configuration
        self.events = events
        self.inbox = inbox
        self.observations = observations
        self.delivery_log = delivery_log
        self.published: Published | None = None
        self.changes = Changes(observations)
        """Where the stored observations changed since the service started."""
        self.findings: dict[str, Findings] = {}
        """By source, what its last run here noticed of its rules; empty until it ran."""
        self.started_at = clock()
        self.role: Role = role or Alone()
        """What this process may do, where several are at work."""
        self._led: int | None = None
        """Since which election it derives."""
        self._context = context
        self._runner = runner
        self._families = families
        self._derivations = derivations
        self._evaluator = Evaluator(observations, second, LineWriter())
        self._publisher = Publisher()
        self._stamps: dict[str, dict[str, int | str]] = {}
        self._tiers = tiers
        self._telemetry = telemetry
        self.pushes = pushes
        self.health = health
        self._joined: tuple[Exposition, Exposition, Exposition] | None = None
        """The numbers, how this process fares, and both: made anew where one of them is another."""
        self._log = log
        self._clock = clock
        self._helpers = helpers
        self._second = second
        self._slos_then = slos_then
        self._said = Said()
        self._forgot_at: datetime | None = None
        self._draining = threading.Lock()
        self._refreshing = threading.Lock()
        self._deriving = threading.Lock()

    @property
    def indicators(self) -> dict[str, Indicator]:
        """The indicators by name."""
        return {i.name: i for f in self._families for i in f.indicators}

    @property
    def tiers(self) -> Sequence[Tier]:
        """The burn-rate tiers of alerts."""
        return self._tiers

    @property
    def past(self) -> Past:
        """What a past is evaluated from."""
        return Past(
            observations=self.observations,
            indicators=self.indicators,
            slos=self.configuration.slos,
            tiers=self._tiers,
            organisation=self.configuration.organisation,
            exclusions=self.configuration.exclusions,
            sources=[source.name for source in self.configuration.sources],
            version=version("paceline"),
            series_limit=self.configuration.series_limit,
        )

    @property
    def stamps(self) -> Mapping[str, Mapping[str, int | str]]:
        """By family, what its observations were derived from: while it is equal, they are."""
        return self._stamps

    @property
    def zone(self) -> ZoneInfo:
        """The zone of calendar weeks."""
        return ZoneInfo(self.configuration.settings.timezone)

    @property
    def last_week(self) -> Week:
        """The last whole week."""
        return Week.last_before(self._clock(), self.zone)

    def exposes(self) -> bool:
        """Whether this process is, at this moment, the one that derives, exposes and sends. The others only show."""
        return self.role.exposes()

    def shows(self) -> bool:
        """Whether it is, and what is published was evaluated since it is."""
        return self.role.shows()

    def collect(
        self,
        source: SourceConfig,
        progress: Progress | None = None,
        *,
        since: datetime | None = None,
        wire: Wire | None = None,
        guard: Guard | None = None,
    ) -> RunOutcome:
        """Run one source. What goes wrong is in the outcome and the log; it is never raised.

        `since`: read everything from then on, whatever was read before. `wire`: how its clients reach servers, where
        they do it in another way than usual. `guard`: what lets the run write.
        """
        if not source.punctual:
            self.drain()
        with self._telemetry.span("paceline.collect") as span:
            context = dataclasses.replace(self._context, wire=self._wire(wire), since=since, findings=Findings())
            built = _Built(source, context, self.configuration.settings.privacy.is_public)
            runner = self._runner if guard is None else self._runner.guarded(guard)
            outcome = runner.run(source.name, built, progress, source.stale_after, context.wire.traffic)
            self.findings[source.name] = context.findings
            span.tell(source=source.name, events=outcome.events, changed=outcome.changed)
            if outcome.error is not None:
                span.failed(outcome.error)
        said = {
            "source": source.name,
            "seconds": round(outcome.duration_seconds, 3),
            "events": outcome.events,
        }
        for error in self._news(source, "fails", [] if outcome.error is None else [outcome.error]):
            self._log.error("collect failed", error=error, needs_a_person=outcome.needs_a_person, **said)
        if outcome.error is None:
            self._log.info("collected", changed=outcome.changed, rejected=outcome.rejected_total, **said)
        for warning in self._news(source, "warns", outcome.warnings):
            self._log.warning("collected with a warning", source=source.name, warning=warning)
        for truncation in self._news(source, "cuts off", outcome.truncations):
            self._log.warning("the source holds more than it handed out", source=source.name, what=truncation)
        return outcome

    def _news(self, source: SourceConfig, what: str, texts: Iterable[str]) -> list[str]:
        return self._said.news(f"{source.name} {what}", texts)

    def _wire(self, wire: Wire | None) -> Wire:
        """How clients reach servers in one run; what may be reached is always as the settings say."""
        return dataclasses.replace(wire or Wire(), reach=self._context.wire.reach)

    def receiver(self, source: SourceConfig) -> Receiver | None:
        """What takes the webhooks of a source; None where it has none or is closed. Raises SourceError."""
        return source.receiver(self._context)

    def drain(self) -> int:
        """Write what webhooks delivered into the tables of events; how many events. Never raises: it waits on.

        Where somebody is at it already there is nothing to do.
        """
        if not self._draining.acquire(blocking=False):
            return 0
        try:
            return self._drain()
        finally:
            self._draining.release()

    def _drain(self) -> int:
        only_told = {s.name: s.join() for s in self.configuration.sources if isinstance(s, PushedConfig)}
        events = 0
        try:
            while done := self.inbox.drain(only_told, to_micros(self._clock())):
                events += sum(one.events for one in done)
                for one in done:
                    self._log.info("delivered", **dataclasses.asdict(one))
            self._forget()
        except StoreError as error:
            self._log.error("what was delivered is not written yet; it waits", error=str(error))
        return events

    def _forget(self) -> None:
        """Once an hour, forget deliveries that nobody sends again."""
        now = self._clock()
        if self._forgot_at is None or now - self._forgot_at >= _FORGET_EVERY:
            self._forgot_at = now
            self.inbox.forget(to_micros(now - DELIVERIES_REMEMBERED))

    def refresh(self, *, derives: bool = True) -> Published:
        """Derive what changed, evaluate, and publish. Who is not elected evaluates what is stored, and writes nothing.

        Not `derives`: who was elected a moment ago shows what is stored first, since deriving may take long.
        Raises StoreError, and ConfigError for benchmarks that cannot be read, keeping what was published before.
        """
        with self.health.evaluation():
            published = self._refresh(derives=derives)
        self.pushes.publish(self.told(published))
        self._tell(published.exposition)
        published.exposition.compress()
        self._derivations.rest()
        return published

    def told(self, published: Published) -> Exposition:
        """What is published, with how this process fares beside it."""
        own, known = self.health.exposition, self._joined
        if known is None or known[0] is not published.exposition or known[1] is not own:
            known = self._joined = published.exposition, own, published.exposition.beside(own)
        return known[2]

    def look(self) -> None:
        """Look at how this process fares. Never raises."""
        self.health.look()

    def snapshot(self) -> Snapshot:
        """Derive what changed, and evaluate: what would be published now, and is not. Raises as refresh."""
        with self._refreshing, seldom_collecting():
            snapshot, _ = self._evaluated(self._clock(), self.role.term(), derives=True)
        return snapshot

    def _refresh(self, *, derives: bool) -> Published:
        with self._refreshing, seldom_collecting(), self._telemetry.span("paceline.evaluate") as span:
            at, term = self._clock(), self.role.term()
            snapshot, names = self._evaluated(at, term, derives=derives)
            exposition = self._publisher.expose(
                snapshot,
                self.indicators,
                version("paceline"),
                self.observations.raised_counters if term is None else self.observations.raise_counters,
                self.configuration.series_limit,
            )
            if term is not None:
                self._derivations.published(to_micros(at))
            span.tell(series=exposition.series, numbers=len(snapshot.numbers))
            self.published = Published(
                snapshot=snapshot, exposition=exposition, unmatched=names, undelivered=self._undelivered()
            )
            if term is not None:
                self.role.shown(term)
        return self.published

    def _evaluated(
        self, at: datetime, term: int | None, *, derives: bool
    ) -> tuple[Snapshot, Mapping[str, tuple[str, ...]]]:
        """What is known at a time, and by kind the names that no rule of the catalogue knows."""
        started = time.perf_counter()
        # Looked at before deriving: a source that ends meanwhile is not called fresh before its events count.
        states = self.source_states(at)
        if term is None or not derives:
            with self._deriving:
                self._look_again()
        else:
            self._begin_to_lead(term)
            self._derive()
        if not derives:
            self.observations.forget_counters()
        snapshot = self._evaluator.evaluate(
            self.indicators,
            self.configuration.slos,
            states,
            at,
            self._tiers,
            organisation=self.configuration.organisation,
            exclusions=self.configuration.exclusions,
        )
        names = self.unmatched()
        snapshot = dataclasses.replace(
            snapshot,
            leads=True if self.role.shared else None,
            industry=self._industry(),
            unmatched={kind: len(found) for kind, found in names.items()},
            restatements=self._derivations.restated_units(),
            forgotten={kind: (one.pruned, one.ignored) for kind, one in self.events.forgotten().items()},
            pushes=self.pushes.states,
            duration_seconds=time.perf_counter() - started,
        )
        return snapshot, names

    def _tell(self, exposition: Exposition) -> None:
        """Log what is missing from the metrics, when it begins to be."""
        for part in self._said.news("metrics are missing", exposition.failed_parts):
            self._log.error("a part of the metrics failed and is missing", part=part)
        for metric in self._said.news("metrics are cut", exposition.cut):
            self._log.warning("a metric has too many series, some are cut", metric=metric, cut=exposition.cut[metric])

    def _begin_to_lead(self, term: int) -> None:
        """Who was elected since it last derived believes nothing that it remembers of another's work."""
        if self.role.shared and term != self._led:
            self._stamps = {}
            self.observations.forget_counters()
        self._led = term

    def _look_again(self) -> None:
        """Forget what is remembered where another process derived, too."""
        stamps = {f.name: self._derivations.stamp(f.name) for f in self._families}
        if stamps != self._stamps:
            self._evaluator = Evaluator(self.observations, self._second, LineWriter())
            self.changes.forget()
            self._stamps = stamps

    def _undelivered(self) -> dict[str, str]:
        newest = self.delivery_log.newest()
        names = (delivery.name for delivery in self.configuration.deliveries)
        found = (newest[name] for name in names if name in newest)
        return {record.delivery: record.week for record in found if record.state is DeliveryState.FAILED}

    def unmatched(self) -> dict[str, tuple[str, ...]]:
        """The names in events that no rule of the catalogue knows, by kind; none without a catalogue."""
        organisation, events = self.configuration.organisation, self.events
        if not organisation.services:
            return {}
        unowned = [r for r in events.distinct(PipelineRun, "repository") if organisation.of_run(r, "") is None]
        return unmatched(
            organisation,
            deployments=events.distinct(Deployment, "service"),
            components=events.distinct(Incident, "service"),
            runs={(r, p) for r in unowned for (p,) in events.columns(PipelineRun, "pipeline", repository=r)},
        )

    @cached_property
    def benchmarks(self) -> Benchmarks | None:
        """The published numbers of the configured year. Raises ConfigError for a file that cannot be read."""
        years = (load_benchmarks(path) for path in resources.benchmarks())
        return next((b for b in years if b.year == self.configuration.benchmark_year), None)

    def _industry(self) -> Mapping[str, float]:
        """The industry's mean scores of the configured year; empty for a year without."""
        industry = self.benchmarks.industry if self.benchmarks else None
        return industry.by_kind if industry else {}

    def set_aside(self, source: str | None = None, limit: int = 1_000) -> list[Quarantined]:
        """The records that could not be used, of all sources or of one: where each is, and why."""
        return self.events.quarantined(source, limit)

    def restatements(self, since: datetime | None = None, limit: int = 1_000) -> list[Restatement]:
        """The newest published judgements that changed afterwards, newest first."""
        return self._derivations.restatements(0 if since is None else to_micros(since), limit)

    def restated(self, since: datetime | None = None, limit: int = 1_000) -> list[RestatedLine]:
        """The same in words, with the events in one line each."""
        records = self.restatements(since, limit)
        return restated_lines(records, self.indicators, self.events.find([r.unit for r in records if r.unit]))

    def derive(self) -> None:
        """Bring the stored observations up to date with the stored events, without publishing. Raises StoreError.

        Where another process is the one to do that, look at what it stored.
        """
        if self.exposes():
            self._derive()
            return
        with self._deriving:
            self._look_again()

    def _derive(self) -> None:
        with self._deriving, self._telemetry.span("paceline.derive") as span:
            self._look_again()
            organisation, at = self.configuration.organisation, self._clock()
            own = self._families, self.events, self._derivations, organisation, at, self._helpers, self._second
            try:
                done = derive(*own)
            except StoreError:
                self._stamps = {}  # some pieces may be written: what changed in them is not known
                raise
            self._evaluator.apply(done.changes)
            self.changes.apply(done.changes)
            self._stamps = {f.name: self._derivations.stamp(f.name) for f in self._families}
            span.tell(families=", ".join(done.families), observations=done.observations)
        if done.families:
            self._log.info("derived", families=", ".join(done.families), observations=done.observations)

    def history(self, name: str, most: int) -> tuple[Slo, list[Finished]]:
        """The last finished windows of an SLO on an indicator, newest first, from what is stored.

        Raises UnknownSlo for one that there is not, and for one whose events Paceline does not count.
        """
        found = next((slo for slo in self.configuration.slos if slo.name == name), None)
        if found is None:
            known = [slo.name for slo in self.configuration.slos]
            near = nearest(name, known)
            expected = f"did you mean {near}?" if near else f"there are {', '.join(known) or 'none'}"
            raise UnknownSlo(f"no SLO is named {name[:63]!r}; {expected}")
        if not is_counted(found):
            raise UnknownSlo(f"the events of {name} are not counted here, but by Prometheus or by its parts")
        at = self._clock()
        conditions = Conditions(
            fresh=frozenset(s.name for s in self.source_states(at) if s.fresh), exclusions=self.configuration.exclusions
        )
        reader = Reader(self.observations, at, self.configuration.organisation)
        indicator = self.indicators[found.indicator]
        return found, finished(found, indicator, reader, conditions, self.zone.key, most)

    def gate(self, name: str, published: Published) -> Answer:
        """Whether a service should be changed now, by the policy. Raises UnknownService, and StoreError.

        Overrides that made less of the verdict are logged.
        """
        ledger = Ledger(
            indicators=self.indicators,
            observations=self.observations,
            events=self.events,
            exclusions=self.configuration.exclusions,
            organisation=self.configuration.organisation,
        )
        answer = ask(name, self.configuration, published.snapshot, ledger, self._clock())
        log_overrides(answer, self._log)
        return answer

    def source_states(self, at: datetime) -> list[SourceState]:
        """How the configured sources fare, judged at a time."""
        runs = self.events.runs()
        return [_state(config, runs.get(config.name), at) for config in self.configuration.sources]

    def explain(self, name: str, selection: Selection) -> Explanation:
        """The units behind a number of an indicator, named by itself or by an exported metric, as they are now.

        Raises UnknownIndicator, and PacelineError for a selection that cannot be read.
        """
        indicator = find_indicator(self.indicators, name)
        self.derive()
        at = self._clock()
        return self._explained(indicator, selection, at, self.source_states(at))

    def explain_published(self, published: Published, name: str, selection: Selection) -> Explanation:
        """The units behind a published number, from what is stored: nothing is derived, nothing is written."""
        indicator, snapshot = find_indicator(self.indicators, name), published.snapshot
        return self._explained(indicator, selection, snapshot.at, snapshot.sources, snapshot)

    def _kept_since(self, indicator: Indicator) -> dict[str, int]:
        """Of the kinds that an indicator is judged by and of which old events are not kept, since when they are."""
        read = {kind_of(t) for f in self._families if indicator in f.indicators for t in f.inputs}
        return {kind: since for kind, since in self.events.kept_since().items() if kind in read}

    def _explained(
        self,
        indicator: Indicator,
        selection: Selection,
        at: datetime,
        sources: Sequence[SourceState],
        published: Snapshot | None = None,
    ) -> Explanation:
        return explain(
            indicator,
            selection,
            self.observations,
            self.events,
            at=at,
            zone=self.zone,
            sources=sources,
            organisation=self.configuration.organisation,
            published=published,
            kept_since=self._kept_since(indicator),
        )

    def covers(self, week: Week) -> bool:
        """True where every source was collected after the week's end."""
        runs = self.events.runs()
        ends = [runs[c.name].last_success_at if c.name in runs else None for c in self.configuration.sources]
        return all(at is not None and from_micros(at) >= week.end for at in ends)

    def report(
        self,
        week: Week | None = None,
        form: Format = "markdown",
        audience: Audience = Audience.LEADER,
        team: str = "",
    ) -> str:
        """The summary of a calendar week in a format: the last whole one unless told.

        Raises UnknownTeam for one that has neither services nor SLOs, and StoreError.
        """
        return rendered(self.derived_summary(week, audience, team), form)

    def derived_summary(
        self, week: Week | None = None, audience: Audience = Audience.LEADER, team: str = ""
    ) -> WeeklySummary:
        """The same as data."""
        self.derive()
        return self.summary(week, audience, team)

    def summary(self, week: Week | None = None, audience: Audience = Audience.LEADER, team: str = "") -> WeeklySummary:
        """The same as data, from what is stored: nothing is derived, nothing is written."""
        configuration, now = self.configuration, self._clock()
        wanted = week or self.last_week
        if team:
            self._known_team(team)
        known = Known(
            observations=self.observations,
            events=self.events,
            indicators=self.indicators,
            slos=configuration.slos,
            sources=self.source_states(min(wanted.end, now)),
            policy=configuration.policy,
            organisation=configuration.organisation,
            exclusions=configuration.exclusions,
            overrides=configuration.overrides,
            benchmarks=self.benchmarks,
            restated=self.restatements(wanted.start - timedelta(microseconds=1), MOST_RESTATED),
            slos_then=self._slos_then(wanted),
            notice=configuration.settings.notice,
        )
        return weekly(wanted, known, now, audience=audience, team=team)

    def _known_team(self, team: str) -> None:
        """Raises UnknownTeam for a path that nobody uses: a misspelt one would else read as "nothing is wrong"."""
        known = self.configuration.teams
        if team not in known:
            near = nearest(team, known)
            expected = f"did you mean {near}?" if near else f"there are {', '.join(known[:_LISTED]) or 'none'}"
            raise UnknownTeam(f"there is no team {team[:60]!r}; {expected}")


class UnknownTeam(PacelineError):  # noqa: N818 - it says what is asked for, and what there is
    """Nothing belongs to a team of this path."""


class UnknownSlo(PacelineError):  # noqa: N818 - it says what is asked for, and what there is
    """Nobody can say whether this SLO was met."""


@dataclass(frozen=True)
class _Built:
    """A source that is built when it is pulled, so that what fails in building is the run's failure.

    Its events name nobody where numbers are named by them; `public` addresses are nobody's.
    """

    config: SourceConfig
    context: SourceContext
    public: Callable[[str], bool]

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """As the source itself."""
        # From a time on, all is read again: what earlier runs read does not shorten it.
        for page in self.config.build(self.context).pull(None if self.context.since else cursor):
            yield dataclasses.replace(page, events=[with_no_address(e, self.public) for e in page.events])


def _state(config: SourceConfig, run: SourceRun | None, at: datetime) -> SourceState:
    succeeded = from_micros(run.last_success_at) if run and run.last_success_at is not None else None
    staleness = max((at - succeeded).total_seconds(), 0.0) if succeeded else None
    return SourceState(
        name=config.name,
        type=str(getattr(config, "type", "")),
        fresh=staleness is not None and timedelta(seconds=staleness) <= config.stale_after,
        staleness_seconds=staleness,
        last_success_at=succeeded,
        last_run_at=from_micros(run.finished_at) if run else None,
        last_duration_seconds=(run.finished_at - run.started_at) / 1e6 if run else None,
        last_succeeded=run.succeeded if run else None,
        error=run.error if run else None,
        events_total=run.events_total if run else 0,
        rejected_total=run.rejected_total if run else 0,
        newest_event_at=from_micros(run.newest_event_at) if run and run.newest_event_at is not None else None,
        warnings=run.warnings if run else (),
        truncations=run.truncations if run else (),
        truncated_total=run.truncated_total if run else 0,
        removed_total=run.removed_total if run else 0,
        requests_total=run.requests_total if run else 0,
        failure=run.failure if run else None,
        quota=run.quota if run else {},
    )
