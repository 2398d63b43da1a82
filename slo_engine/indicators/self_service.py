"""Self-service: requests that people make without anybody of the platform, how they end and how long they take. Pure.

definitions.md §4. A journey is judged by itself, from its attempts and the tickets that ask for it or name one of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from math import fsum

import numpy as np
from msgspec.structs import replace

from collector.conditions import Above
from collector.events import Result, SelfServiceAttempt, Ticket
from slo_engine.headcount import team_path
from slo_engine.indicator import Asked, Events, Family, Indicator, Piece, Shape, Unit
from slo_engine.measure import Measured, Sample
from slo_engine.observation import Observation, Outcome, Reason, Subject, from_micros, label_values, labelled
from slo_engine.organisation import Organisation
from slo_engine.requests_attempts import Attempt, Ending, Request, read_attempts, requests_of
from slo_engine.requests_judged import Helped, Judgement, inferred, judge
from slo_engine.requests_options import SelfServiceOptions, micros
from slo_engine.requests_tickets import Call, Calls, read_calls
from slo_engine.statistics import wilson

SUCCESS = Indicator(
    name="self_service_success",
    noun="requests",
    version="1",
    title="Self-service success",
    definition=(
        "Share of the self-service requests that ended well within their journey's target time and without anybody of "
        "the platform; assisted, failed, expired and late ones did not. Judged when the time in which a ticket may "
        "still come is over."
    ),
    shape=Shape.RATIO,
    metric="platform_self_service_success",
    labels=("journey",),
)
TIME = Indicator(
    name="self_service_time",
    noun="requests",
    version="1",
    title="Self-service time to fulfil",
    definition=(
        "Time from the first attempt of a self-service request to its good end, with approvals and without the time "
        "it waited for its requester, for the requests that ended well in the window, assisted or not."
    ),
    shape=Shape.DURATION,
    metric="platform_self_service_request_duration",
    labels=("journey",),
)
FIRST_ATTEMPT = Indicator(
    name="self_service_first_attempt",
    noun="requests",
    version="1",
    title="Self-service first-attempt yield",
    definition="Share of the self-service requests whose first attempt ended well.",
    shape=Shape.RATIO,
    metric="platform_self_service_first_attempt",
    labels=("journey",),
)
ASSISTED = Indicator(
    name="self_service_assisted",
    noun="requests",
    version="1",
    title="Self-service assisted share",
    definition=(
        "Share of the self-service requests that ended well in which somebody of the platform had a hand, or whose "
        "result was asked for again or deleted within the grace."
    ),
    shape=Shape.RATIO,
    metric="platform_self_service_assisted",
    share_of="bad",
    labels=("journey",),
)
OUTCOME = Indicator(
    name="self_service_outcome",
    noun="requests",
    version="1",
    title="Self-service requests",
    definition=(
        "Self-service requests per day of the window, by how they ended: success, assisted, failed, rejected, "
        "abandoned, cancelled or expired."
    ),
    shape=Shape.FREQUENCY,
    metric="platform_self_service_requests",
    labels=("journey", "outcome"),
)
ADOPTION = Indicator(
    name="self_service_adoption",
    noun="requests and tickets",
    version="1",
    title="Self-service adoption",
    definition=(
        "Self-served requests as a share of these and of the tickets that asked for the same journeys instead, since "
        "a journey has an action."
    ),
    shape=Shape.RATIO,
    metric="platform_self_service_adoption",
    labels=("journey",),
)


def success_by_requester(sample: Sample) -> Measured:
    """The mean over requesters of the share of their requests that were good, with an interval over requesters.

    Wilson's interval with the requesters as trials: shares vary no more than yes and no do, so it is not too narrow.
    """
    good, excluded = sample.is_(Outcome.GOOD), sample.is_(Outcome.EXCLUDED)
    final = sample.inside & ~sample.pending & (good | sample.is_(Outcome.BAD))
    # A unit without a time to mature has one before all times: what waits without one waits on.
    waits = sample.inside & ~excluded & (sample.pending | (sample.is_(Outcome.PENDING) & (sample.matures_at < 0)))
    reasons = Counter(label_values(sample.dimensions[d], 2)[1] for d in sample.dimension[sample.inside & excluded])
    beside = {"pending": int(np.unique(sample.unit[waits]).size)}
    people, whose = np.unique(sample.unit[final], return_inverse=True)
    if not people.size:
        return Measured(0, {}, beside["pending"], reasons)
    # People come in no order that stays: their exact sum has none.
    share = fsum(np.bincount(whose, weights=good[final]) / np.bincount(whose)) / people.size
    interval = wilson(share * people.size, people.size) or (0.0, 1.0)
    stats = {"value": share, "low": interval[0], "high": interval[1]}
    unknown = reasons[Reason.UNKNOWN] + reasons[Reason.MISSING_TIME]
    used = int(np.count_nonzero(final))
    return Measured(people.size, stats, beside["pending"], reasons, used / (used + unknown))


BY_REQUESTER = Indicator(
    name="self_service_success_by_requester",
    noun="people",
    version="1",
    title="Self-service success by requester",
    definition=(
        "Mean over the requesters of the share of their self-service requests that were good: everybody counts once, "
        "however often they asked."
    ),
    shape=Shape.MEASURE,
    metric="platform_self_service_success_by_requester",
    labels=("journey", ""),
    people=True,
    measure=success_by_requester,
    stats=("value", "low", "high"),
    unit=Unit.RATIO,
)


_NO_FAILURE = (Reason.REJECTED, Reason.ABANDONED, Reason.CANCELLED)
"""Reasons that are outcomes of their own: a request that ended so is excluded elsewhere, and counted by outcome."""


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The observations of all journeys, one after the other."""
    known = _Known(events, organisation)
    for journey in events.distinct(SelfServiceAttempt, "journey"):
        yield from known.judged(journey).observations()


def pieces(events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
    """The journeys that new attempts or tickets touch, each as a whole.

    A journey reads the ids of its tickets, and what its attempts are linked with.
    """
    known = _Known(events, organisation)
    touched = known.touched(asked) if asked.only is None else asked.only
    for journey in sorted(touched - set(asked.derived)):
        judged = known.judged(journey)
        yield Piece(journey, judged.observations(), reads=judged.reads)


def scopes(events: Events, organisation: Organisation) -> list[str]:
    """The journeys that have attempts."""
    del organisation
    return events.distinct(SelfServiceAttempt, "journey")


@dataclass(frozen=True)
class _Known:
    """The events of all journeys; the tickets are read once."""

    events: Events
    organisation: Organisation

    @cached_property
    def options(self) -> SelfServiceOptions:
        return self.organisation.options_of(SelfServiceOptions)

    @cached_property
    def calls(self) -> Calls:
        """All tickets in the platform's queues."""
        return Calls(tuple(read_calls(self.events, self.organisation, self.options.queues, self.options.journeys)))

    def judged(self, journey: str) -> _Journey:
        """A journey, judged."""
        options = self.options
        limits = options.limits(journey)
        attempts = read_attempts(self.events, self.organisation, [journey])
        requests = requests_of(attempts, micros(options.gap), limits.grace)
        helped = Helped(
            self.calls,
            inferred(requests, self.calls, journey, limits),
            self._undone(options.undoing(journey)),
        )
        judgements = [judge(r, limits, helped, self.organisation) for r in requests]
        return _Journey(journey, attempts, requests, judgements, self.calls, self.organisation)

    def _undone(self, journeys: Sequence[str]) -> Mapping[str, Sequence[tuple[int, str]]]:
        """When something was deleted, by target and in order."""
        found: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for attempt in read_attempts(self.events, self.organisation, journeys):
            real = not (attempt.dry_run or attempt.load_test)
            if attempt.target is not None and attempt.result == Result.SUCCESS and real:
                found[attempt.target].append((attempt.started_at, attempt.id))
        return found

    def touched(self, asked: Asked) -> set[str]:
        """The journeys that events after some revisions may change."""
        every = {*self.events.distinct(SelfServiceAttempt, "journey"), *asked.known}
        if asked.since is None:
            return every
        revision = asked.since["self_service_attempt"]
        found = {
            *self.events.distinct(SelfServiceAttempt, "journey", revision),
            *self.events.moved(SelfServiceAttempt, revision),
        }
        found |= {j.name for j in self.options.journeys if not found.isdisjoint(j.undone_by)}
        found |= self._asked_for(asked, asked.since["ticket"])
        return found & every

    def _asked_for(self, asked: Asked, revision: int) -> set[str]:
        """The journeys that tickets after a revision ask for, asked for before, or are linked with."""
        options = self.options
        # Whatever the queue is now: a ticket may have left the platform's.
        calls = read_calls(self.events, self.organisation, (), options.journeys, revision=Above(revision))
        tokens = {t for c in calls for t in (c.id, *c.names)}
        found = {c.journey for c in calls}
        found |= {scope for scope, reads in asked.known.items() if not tokens.isdisjoint(reads)}
        links = sorted({link for c in calls for link in c.links})
        for column in ("native_id", "url"):
            where = {column: links}
            found |= {j for (j,) in self.events.columns(SelfServiceAttempt, "journey", **where)} if links else set()
        return found


@dataclass(frozen=True)
class _Journey:
    """A journey with its requests and what became of them."""

    name: str
    attempts: Sequence[Attempt]
    requests: Sequence[Request]
    judgements: Sequence[Judgement]
    calls: Calls
    organisation: Organisation

    @cached_property
    def linked(self) -> list[Call]:
        """The tickets that are linked with attempts."""
        return [c for a in self.attempts for c in self.calls.linked(a)]

    @property
    def reads(self) -> tuple[str, ...]:
        """What it was derived from beside its attempts: ids of tickets, and links that a ticket may be called by."""
        tickets = {c.id for c in (*self.linked, *self.calls.asking(self.name))}
        return tuple(sorted(tickets.union(link for a in self.attempts for link in a.links)))

    @cached_property
    def ticket_sources(self) -> set[str]:
        """The sources of its tickets: that nobody asked for help is known only while they report."""
        return {c.source for c in (*self.linked, *self.calls.asking(self.name))}

    def observations(self) -> Iterator[Observation]:
        """All observations of the journey."""
        taken: set[tuple[str, str, datetime]] = set()
        for request, judgement in zip(self.requests, self.judgements, strict=True):
            unit = _Unit(self, request, judgement)
            yield from unit.ratios()
            yield from unit.durations()
            yield from unit.outcomes()
            yield from unit.of_requester(taken)
        yield from self._tickets()

    def _tickets(self) -> Iterator[Observation]:
        """The tickets that ask for the journey: since its first attempt they need not have been written."""
        if not self.attempts:
            return  # those there were are gone: without any it is no journey
        horizon = min((a.started_at for a in self.attempts if not (a.dry_run or a.load_test)), default=None)
        for call in self.calls.asking(self.name):
            outcome, reason = Outcome.EXCLUDED, ""
            if self.organisation.is_platform(call.team):
                reason = Reason.PLATFORM_TEAM
            elif call.bot:
                reason = Reason.BOT
            elif horizon is None or call.created_at < horizon:
                reason = Reason.BEFORE_HORIZON
            else:
                outcome = Outcome.BAD
            yield Observation(
                indicator=ADOPTION.name,
                unit=call.id,
                at=from_micros(call.created_at),
                subject=Subject(team=team_path(call.team)),
                source="+".join(sorted({call.source, *self.ticket_sources})),
                dimension=labelled(self.name),
                outcome=outcome,
                reason=reason,
                rule="ticket",
            )


@dataclass(frozen=True)
class _Unit:
    """A request of a journey, as the indicators see it."""

    journey: _Journey
    request: Request
    judged: Judgement

    @cached_property
    def _subject(self) -> Subject:
        return Subject(team=team_path(self.request.team))

    @cached_property
    def _source(self) -> str:
        """The sources that the judgement rests on."""
        return "+".join(sorted({*(a.source for a in self.request.attempts), *self.journey.ticket_sources}))

    @property
    def _excluded(self) -> bool:
        return self.judged.outcome is Outcome.EXCLUDED

    def ratios(self) -> Iterator[Observation]:
        """Whether it was good, whether its first attempt worked, and whether it was self-served."""
        judged = self.judged
        yield from self._seen(SUCCESS, judged.outcome, matures_at=judged.matures_at)
        worked = Outcome.GOOD if judged.first_worked else Outcome.BAD
        first = judged.outcome if self._excluded else worked
        yield from self._seen(FIRST_ATTEMPT, first, matures_at=judged.matures_at)
        if judged.ending is Ending.SUCCESS and not self._excluded:
            yield from self._seen(ADOPTION, Outcome.GOOD, matures_at=judged.matures_at)

    def durations(self) -> Iterator[Observation]:
        """How long it took, and whether a human had a hand in it, where it ended well."""
        judged = self.judged
        if judged.seconds is None:
            reason = judged.reason or Reason.NOT_SUCCESSFUL
            yield from self._seen(TIME, Outcome.EXCLUDED, reason=reason)
            yield from self._seen(ASSISTED, Outcome.EXCLUDED, reason=reason)
            return
        helped = Outcome.BAD if judged.ending is Ending.ASSISTED else Outcome.GOOD
        yield from self._seen(TIME, Outcome.MEASURED, value=judged.seconds)
        yield from self._seen(ASSISTED, helped, matures_at=judged.matures_at)

    def outcomes(self) -> Iterator[Observation]:
        """How it ended. What is nobody's failure is an outcome too; only what is out of scope is none."""
        judged, name = self.judged, self.journey.name
        counts = not judged.reason or judged.reason in _NO_FAILURE
        kept = Outcome.MEASURED if counts else Outcome.EXCLUDED
        ended = labelled(name, judged.ending)
        for one in self._seen(OUTCOME, kept, matures_at=judged.matures_at, dimension=ended):
            waits = one.outcome is Outcome.PENDING
            yield replace(one, dimension=labelled(name, Ending.IN_PROGRESS)) if waits else one

    def of_requester(self, taken: set[tuple[str, str, datetime]]) -> Iterator[Observation]:
        """Whether it was good, for the one who asked.

        A person is one unit, and has one observation at a time: of several that ended at once the others are set a
        microsecond later each.
        """
        judged, person = self.judged, self.request.first.requester
        reason = judged.reason or ("" if person else Reason.UNKNOWN)
        outcome = judged.outcome if person else Outcome.EXCLUDED
        shown = labelled(self.journey.name, reason)
        for one in self._seen(BY_REQUESTER, outcome, reason=reason, matures_at=judged.matures_at, dimension=shown):
            at, unit = one.at, person or one.unit
            while (shown, unit, at) in taken:
                at += timedelta(microseconds=1)
            taken.add((shown, unit, at))
            yield replace(one, at=at, unit=unit, evidence=tuple(dict.fromkeys((one.unit, *one.evidence))))

    def _seen(
        self,
        indicator: Indicator,
        outcome: Outcome,
        *,
        value: float | None = None,
        reason: str = "",
        matures_at: int | None = None,
        dimension: str = "",
    ) -> Iterator[Observation]:
        """The request as an indicator sees it, and where it was in progress until its deadline, that it was."""
        judged, first = self.judged, self.request.first
        final = Observation(
            indicator=indicator.name,
            unit=first.id,
            at=from_micros(judged.at),
            subject=self._subject,
            source=self._source,
            dimension=dimension or labelled(self.journey.name),
            outcome=outcome,
            value=value,
            reason=(reason or judged.reason) if outcome is Outcome.EXCLUDED else "",
            matures_at=None if matures_at is None else from_micros(matures_at),
            rule=judged.rule,
            evidence=judged.evidence,
        )
        if judged.waits_until is not None:
            until, since = from_micros(judged.waits_until), from_micros(first.started_at)
            yield replace(final, at=since, outcome=Outcome.PENDING, reason="", rule="", matures_at=until)
        yield final


FAMILY = Family(
    name="self_service",
    inputs=(SelfServiceAttempt, Ticket),
    indicators=(SUCCESS, TIME, FIRST_ATTEMPT, ASSISTED, OUTCOME, ADOPTION, BY_REQUESTER),
    observe=observe,
    pieces=pieces,
    scopes=scopes,
    options=SelfServiceOptions,
)
