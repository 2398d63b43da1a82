"""Onboarding: how many of those who join are productive in time, and how long it takes. Pure. definitions.md §3.

A unit is an episode: a person, a start and a kind. Each milestone of it is judged by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

import numpy as np
from pydantic import Field

from collector.durations import Duration
from collector.events import Change, Commit, Deployment, Member, Milestone, MilestoneKind, PipelineRun
from collector.patterns import patterns
from slo_engine.calendars import WorkCalendar
from slo_engine.credits import joined
from slo_engine.distinct import distinct
from slo_engine.episodes import MICROSECOND, Episode
from slo_engine.indicator import Asked, Events, Family, Indicator, Piece, Shape, Unit
from slo_engine.joiners import Joiners
from slo_engine.measure import Floats, Mask, Measured, Sample
from slo_engine.name_rules import NameRules
from slo_engine.observation import Observation, Outcome, Reason, Subject, from_micros, label_values, labelled
from slo_engine.options import Options
from slo_engine.organisation import Organisation
from slo_engine.progress import Progress, Reached, Terms
from slo_engine.statistics import kaplan_meier

_LABELS = ("stage", "kind", "method", "")
"""The labels of the time: the last, its own, is the calendar by which the days are counted."""
_MOST_DAYS = 200


class OnboardingOptions(Options):
    """When a milestone is late, and who counts."""

    access_granted_days: int = Field(default=2, ge=1, le=_MOST_DAYS, description="Working days to access (M1).")
    first_green_run_days: int = Field(
        default=5, ge=1, le=_MOST_DAYS, description="Working days to the first green pipeline run (M2)."
    )
    first_merged_change_days: int = Field(
        default=5, ge=1, le=_MOST_DAYS, description="Working days to the first merged change (M3)."
    )
    first_deployed_change_days: int = Field(
        default=10, ge=1, le=_MOST_DAYS, description="Working days to the first change in production (M4)."
    )
    tenth_merged_change_days: int = Field(
        default=30, ge=1, le=_MOST_DAYS, description="Working days to the tenth merged change (M5)."
    )
    rehire_gap: Duration = Field(
        default=timedelta(days=180), description="Who returns so long after leaving begins anew; sooner, goes on."
    )
    bulk_share: float = Field(
        default=0.2, gt=0, le=1, description="A bulk import: more than this share of the roster was entered ..."
    )
    bulk_span: Duration = Field(default=timedelta(days=7), description="... within so long.")
    follow: Duration = Field(
        default=timedelta(days=365), description="How long after the start milestones are looked for, at least."
    )
    tutorial_repositories: NameRules = Field(
        default=("*tutorial*", "*sandbox*", "*playground*"),
        description="Repositories in which nothing is a milestone: names, globs or `/regular expressions/`.",
    )
    first_activity: bool = Field(
        default=True, description="Without a roster, begin an onboarding with the first thing that somebody did."
    )
    known_for: Duration = Field(
        default=timedelta(days=90),
        description="Without a roster, how much of a repository's past must be known to call somebody new in it.",
    )

    def days(self, stage: MilestoneKind) -> int:
        """The working days in which a milestone is due."""
        found: int = getattr(self, f"{stage.value}_days")
        return found


def followed_until(calendar: WorkCalendar, start: int, options: OnboardingOptions) -> int:
    """Until when milestones of an onboarding are looked for."""
    longest = max(options.days(stage) for stage in MilestoneKind if stage is not MilestoneKind.ROSTER_START)
    return max(start + options.follow // MICROSECOND, calendar.after_working_days(start, longest))


def measure_time(sample: Sample) -> Measured:
    """The Kaplan-Meier quantiles of the time to a milestone, in seconds; who is not there yet counts as not there yet.

    `n` are the people at risk: those who arrived, those on the way and those who left on it.
    """
    arrived = sample.inside & sample.is_(Outcome.MEASURED) & ~sample.pending
    left = sample.inside & sample.is_(Outcome.EXCLUDED) & ~np.isnan(sample.value) & ~sample.pending
    waiting = sample.inside & (sample.is_(Outcome.PENDING) | (sample.pending & ~np.isnan(sample.value)))
    durations = sample.value.copy()
    durations[waiting], on_the_way = _elapsed(sample, waiting)
    chosen = arrived | left | waiting
    stats = kaplan_meier(durations[chosen], arrived[chosen])
    return Measured(n=distinct(sample.unit[chosen]).size, stats=stats, pending=on_the_way)


def _elapsed(sample: Sample, waiting: Mask) -> tuple[Floats, int]:
    """Working seconds that passed so far for those who wait, and how many are still followed."""
    options = sample.organisation.options_of(OnboardingOptions)
    names = [label_values(text, len(_LABELS))[-1] for text in sample.dimensions]
    passed: dict[tuple[str, int], tuple[float, bool]] = {}
    found: list[tuple[float, bool]] = []
    for dimension, start in zip(sample.dimension[waiting].tolist(), sample.at[waiting].tolist(), strict=True):
        place = (names[dimension], start)
        if place not in passed:
            calendar = sample.organisation.calendar(place[0])
            end = followed_until(calendar, start, options)
            passed[place] = calendar.working_seconds(start, min(sample.now, end)), sample.now < end
        found.append(passed[place])
    return np.array([seconds for seconds, _ in found], dtype=np.float64), sum(followed for _, followed in found)


ONBOARDING_SUCCESS = Indicator(
    name="onboarding_success",
    noun="newcomers",
    version="1",
    title="Onboarding success",
    definition=(
        "Share of the people who joined and reached a milestone within its working days, "
        "for those whose deadline lies in the window, whether they reached it or not."
    ),
    shape=Shape.RATIO,
    metric="platform_onboarding_success",
    labels=_LABELS[:3],
    apart=("stage",),
    people=True,
)
ONBOARDING_TIME = Indicator(
    name="onboarding_time",
    noun="newcomers",
    version="1",
    title="Onboarding time",
    definition=(
        "Working time from the start of those who joined in the window to a milestone, a day as 24 hours: "
        "the Kaplan-Meier median, in which those who are not there yet count as not there yet."
    ),
    shape=Shape.MEASURE,
    metric="platform_onboarding_time",
    labels=_LABELS,
    apart=("stage",),
    people=True,
    measure=measure_time,
    stats=("p50", "p75", "low", "high"),
    unit=Unit.SECONDS,
)


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The observations of both indicators, one person after the other."""
    for piece in pieces(events, organisation, Asked()):
        yield from piece.observations  # type: ignore[misc] # these pieces hold no rows


def pieces(events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
    """The people of whom new events say something else, each as a whole."""
    options = organisation.options_of(OnboardingOptions)
    terms = Terms(
        tutorials=patterns(options.tutorial_repositories),
        rehire_gap=options.rehire_gap // MICROSECOND,
        bulk_share=options.bulk_share,
        bulk_span=options.bulk_span // MICROSECOND,
        known_for=options.known_for // MICROSECOND,
        first_activity=options.first_activity,
        end=lambda e: followed_until(organisation.calendar(e.site), e.start, options),
    )
    joiners = Joiners(events, organisation, terms, asked)
    for person, progress, words in joiners.found():
        found = [o for one in progress for o in _judged(one, joiners.stages, organisation, options)]
        yield Piece(person, found, words)
    yield from joiners.kept()


def _judged(
    progress: Progress, stages: Iterable[MilestoneKind], organisation: Organisation, options: OnboardingOptions
) -> Iterator[Observation]:
    """The observations of an episode: of each milestone whether it was reached in time, and when."""
    calendar, start = organisation.calendar(progress.episode.site), progress.episode.start
    for stage in stages:
        deadline = calendar.after_working_days(start, options.days(stage))
        one = _Stage(progress, stage, calendar, deadline)
        yield from one.success()
        yield one.time()


class _Stage:
    """A milestone of an episode, to be judged."""

    def __init__(self, progress: Progress, stage: MilestoneKind, calendar: WorkCalendar, deadline: int) -> None:
        self._episode, self._stage, self._calendar, self._deadline = progress.episode, stage, calendar, deadline
        self._reached: Reached | None = progress.reached.get(stage)
        self._sources = progress.sources.get(stage, frozenset())
        self._out = _left_out(progress.episode, deadline)

    def success(self) -> Iterator[Observation]:
        """Whether the milestone was reached in time: dated at the deadline, and pending until then."""
        episode, deadline = self._episode, self._deadline
        left_at, matures_at = episode.left_at, deadline
        outcome, reason = (Outcome.GOOD if self._in_time() else Outcome.BAD), self._out
        if left_at is not None and left_at < deadline:
            reason, matures_at = reason or Reason.LEFT, left_at
        if self._out is None and matures_at > episode.start:
            yield self._observation(ONBOARDING_SUCCESS, episode.start, Outcome.PENDING, matures_at=matures_at)
        outcome = Outcome.EXCLUDED if reason else outcome
        yield self._observation(ONBOARDING_SUCCESS, deadline, outcome, reason)

    def _in_time(self) -> bool:
        return self._reached is not None and self._reached.at <= self._deadline

    def time(self) -> Observation:
        """How long it took: dated at the start. Who left has a time too, up to which they were not there yet."""
        start, left_at, reached = self._episode.start, self._episode.left_at, self._reached
        if self._out is not None:
            return self._observation(ONBOARDING_TIME, start, Outcome.EXCLUDED, self._out)
        if reached is not None:
            return self._timed(Outcome.MEASURED, reached.at)
        if left_at is None:
            return self._observation(ONBOARDING_TIME, start, Outcome.PENDING)
        if left_at <= start:
            return self._observation(ONBOARDING_TIME, start, Outcome.EXCLUDED, Reason.LEFT)
        return self._timed(Outcome.EXCLUDED, left_at, Reason.LEFT)

    def _timed(self, outcome: Outcome, until: int, reason: Reason | None = None) -> Observation:
        start = self._episode.start
        seconds = round(self._calendar.working_seconds(start, until), 6)
        return self._observation(ONBOARDING_TIME, start, outcome, reason, matures_at=until, value=seconds)

    def _observation(
        self,
        indicator: Indicator,
        at: int,
        outcome: Outcome,
        reason: Reason | None = None,
        matures_at: int | None = None,
        value: float | None = None,
    ) -> Observation:
        episode, reached = self._episode, self._reached
        labels = (self._stage.value, episode.kind, episode.method, episode.site)
        sources = self._sources if reached is None else {reached.source}
        return Observation(
            indicator=indicator.name,
            unit=episode.person,
            at=from_micros(at),
            subject=Subject(team=episode.team),
            source=joined(*(s for s in (episode.source, *sources) if s)),
            outcome=outcome,
            reason=reason or "",
            dimension=labelled(*labels[: len(indicator.labels)]),
            value=value,
            matures_at=None if matures_at is None else from_micros(matures_at),
            rule="" if reached is None else reached.rule,
            evidence=(*episode.evidence, *(() if reached is None else reached.evidence)),
        )


def _left_out(episode: Episode, deadline: int) -> Reason | None:
    """Why an episode says nothing of onboarding here, whatever became of it; None where it does."""
    if not episode.codes:
        return Reason.NOT_ELIGIBLE
    if episode.imported:
        return Reason.BULK_IMPORT
    if episode.entered_at is not None and episode.entered_at > deadline:
        return Reason.LATE_ROSTER
    return Reason.BEFORE_HORIZON if episode.unsure else None


FAMILY = Family(
    name="onboarding",
    inputs=(Member, Milestone, PipelineRun, Change, Commit, Deployment),
    indicators=(ONBOARDING_SUCCESS, ONBOARDING_TIME),
    observe=observe,
    pieces=pieces,
    options=OnboardingOptions,
)
