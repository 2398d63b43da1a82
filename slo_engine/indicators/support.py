"""Support: how soon somebody answers, how soon it is done, and how much is asked and open. Pure.

definitions.md §5. A ticket is judged by itself: a queue's month can be derived alone, and so can the users of a
capability.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import cached_property
from itertools import chain, groupby
from typing import NamedTuple

import msgspec
import numpy as np
from pydantic import Field

from collector.conditions import Above, Where
from collector.durations import Duration
from collector.events import Reply, Ticket, TicketState, Transition, UsageEvent
from collector.patterns import Pattern, any_matches, patterns
from slo_engine.calendars import WorkCalendar
from slo_engine.indicator import Asked, Events, Family, Indicator, Piece, Reach, Shape, Unit
from slo_engine.measure import Mask, Measured, Sample
from slo_engine.name_rules import NameRule, NameRules
from slo_engine.observation import Observation, Outcome, Reason, Subject, from_micros, labelled, to_micros
from slo_engine.options import Options
from slo_engine.organisation import Organisation
from slo_engine.settled import Marks, mark, marks
from slo_engine.statistics import quantiles
from slo_engine.tickets import Life, Phase, last_moment, life

_DAY = 86_400_000_000
_PERIOD_DAYS = 28
_PER_USERS = 100
_TICKETS, _USERS = "tickets", "users"


class QueueOptions(Options):
    """What is promised for some queues; what is not told here is as for all others."""

    name: NameRule = Field(description="The queues it is about: a name, a glob or a /regular expression/.")
    calendar: str | None = Field(default=None, description="The calendar whose opening hours count.")
    first_response: Duration | None = Field(
        default=None, description="Within which opening hours somebody answers: `4h` is half of an eight-hour day."
    )
    resolution: Duration | None = Field(
        default=None, description="Within which opening hours it is resolved: `24h` are three eight-hour days."
    )


class SupportOptions(Options):
    """What is promised, and which tickets and people count."""

    calendar: str = Field(
        default="", description="The calendar whose opening hours count; where it is empty, the usual one."
    )
    first_response: Duration = Field(
        default=timedelta(hours=4),
        description="Within which opening hours somebody answers: `4h` is half of an eight-hour day.",
    )
    resolution: Duration = Field(
        default=timedelta(hours=24),
        description="Within which opening hours a ticket is resolved: `24h` are three eight-hour days.",
    )
    queues: tuple[QueueOptions, ...] = Field(
        default=(), description="Queues with promises of their own; the first entry that fits counts."
    )
    waiting: NameRules = Field(
        default=(), description="Further states, beside `waiting`, in which a ticket waits for who opened it."
    )
    resolved: NameRules = Field(
        default=(), description="Further states, beside `resolved` and `closed`, that end a ticket."
    )
    merged_labels: NameRules = Field(
        default=("duplicate", "merged"),
        description="Labels of a ticket that was merged into another one: it does not count beside that.",
    )
    bot_tickets: bool = Field(default=False, description="Whether tickets that bots opened count.")
    platform_team: bool = Field(
        default=True, description="Whether the tickets and actions of the platform's own teams count."
    )
    users: NameRules = Field(
        default=(), description="The capabilities whose use makes somebody an active user; all where it is empty."
    )

    def of(self, queue: str) -> tuple[str, float, float]:
        """The calendar of a queue, and what is promised there, in business seconds."""
        rule = next((q for q in self.queues if Pattern(q.name).matches(queue)), QueueOptions(name=queue))
        first = self.first_response if rule.first_response is None else rule.first_response
        resolution = self.resolution if rule.resolution is None else rule.resolution
        calendar = self.calendar if rule.calendar is None else rule.calendar
        return calendar, first.total_seconds(), resolution.total_seconds()


# --- what a MEASURE makes of its units -------------------------------------------------------------------


def _open(sample: Sample) -> Mask:
    """Which units tell of a ticket that is open now: one that stays open does not mature, and so is told by that."""
    goes_on = (sample.matures_at > sample.now) | (sample.matures_at < sample.at)
    found: Mask = sample.is_(Outcome.PENDING) & (sample.at <= sample.now) & goes_on
    return found


def open_tickets(sample: Sample) -> Measured:
    """How many tickets are open; n: of how many that there ever were. 0 is a fact where there were any."""
    known = np.unique(sample.unit[sample.at <= sample.now]).size
    return Measured(n=known, stats={"value": float(_open(sample).sum())} if known else {})


def open_ticket_age(sample: Sample) -> Measured:
    """How long ago the tickets that are open were opened, in seconds; n: how many these are."""
    which = _open(sample)
    ages = (sample.now - sample.at[which]) / 1e6 + np.nan_to_num(sample.value[which])
    return Measured(n=int(which.sum()), stats=quantiles(ages, {"p50": 0.5, "p90": 0.9}))


def tickets_per_users(sample: Sample) -> Measured:
    """Tickets opened in the window for each 100 of its active users, for 28 days of it; n: the active users."""
    users = np.unique(sample.unit[sample.inside & sample.named(0, _USERS, 1)]).size
    if users == 0:
        return Measured(n=0)
    tickets = int((sample.inside & sample.named(0, _TICKETS, 1)).sum())
    periods = (sample.until - sample.after) / (_PERIOD_DAYS * _DAY)
    return Measured(n=users, stats={"value": _PER_USERS * tickets / users / periods})


SUPPORT_FIRST_RESPONSE = Indicator(
    name="support_first_response",
    noun="tickets",
    version="1",
    title="Support: first response in time",
    definition=(
        "Share of the tickets to which another human first replied within the promised opening hours of their queue; "
        "an open ticket without a reply is bad at its deadline."
    ),
    shape=Shape.RATIO,
    metric="platform_support_first_response",
    labels=("queue",),
)
SUPPORT_FIRST_RESPONSE_TIME = Indicator(
    name="support_first_response_time",
    noun="tickets",
    version="1",
    title="Support: time to first response",
    definition=(
        "Time from the opening of a ticket to the first reply by another human, in opening hours of the queue, "
        "for the tickets first replied to in the window."
    ),
    shape=Shape.DURATION,
    metric="platform_support_first_response_time",
    labels=("queue",),
)
SUPPORT_RESOLUTION = Indicator(
    name="support_resolution",
    noun="tickets",
    version="1",
    title="Support: resolved in time",
    definition=(
        "Share of the tickets that were resolved within the promised opening hours of their queue, less the time "
        "they waited for who opened them; reopening continues the clock, and a ticket is bad at its deadline."
    ),
    shape=Shape.RATIO,
    metric="platform_support_resolution",
    labels=("queue",),
)
SUPPORT_RESOLUTION_TIME = Indicator(
    name="support_resolution_time",
    noun="tickets",
    version="1",
    title="Support: time to resolution",
    definition=(
        "Time from the opening of a ticket to its last resolution, in opening hours of the queue and less the time "
        "it waited for who opened it or was resolved, for the tickets resolved in the window."
    ),
    shape=Shape.DURATION,
    metric="platform_support_resolution_time",
    labels=("queue",),
)
SUPPORT_OPEN_TICKETS = Indicator(
    name="support_open_tickets",
    noun="tickets",
    version="1",
    title="Support: open tickets",
    definition="Tickets that are open now: opened and not resolved, or reopened.",
    shape=Shape.MEASURE,
    metric="platform_support_open_tickets",
    labels=("queue",),
    measure=open_tickets,
    stats=("value",),
    reach=Reach.ALL,
)
SUPPORT_OPEN_TICKET_AGE = Indicator(
    name="support_open_ticket_age",
    noun="tickets",
    version="1",
    title="Support: age of open tickets",
    definition="Time since the opening of the tickets that are open now, nights and weekends included.",
    shape=Shape.MEASURE,
    metric="platform_support_open_ticket_age",
    labels=("queue",),
    measure=open_ticket_age,
    stats=("p50", "p90"),
    unit=Unit.SECONDS,
    reach=Reach.ALL,
)
SUPPORT_TICKETS_PER_100_USERS = Indicator(
    name="support_tickets_per_100_users",
    noun="people",
    version="1",
    title="Support: tickets per 100 users",
    definition="Tickets opened in the window for each 100 people who used the platform in it, scaled to 28 days.",
    shape=Shape.MEASURE,
    metric="platform_support_tickets_per_100_users",
    labels=("",),
    people=True,
    measure=tickets_per_users,
    stats=("value",),
)


# --- one ticket ------------------------------------------------------------------------------------------


class _Ticket(NamedTuple):
    """A ticket as the arithmetic needs it. Times in microseconds; tuples are JSON text."""

    id: str
    source: str
    queue: str
    state: str
    created_at: int
    updated_at: int | None
    author: str | None
    author_team: str | None
    resolved_at: int | None
    closed_at: int | None
    replies: str
    transitions: str
    labels: str


class _Verdict(NamedTuple):
    """What became of a ticket, and when."""

    at: int
    outcome: Outcome
    reason: str = ""
    value: float | None = None
    rule: str = ""


_UNKNOWN_END = "resolved, nobody knows when"
_REPLIES = msgspec.json.Decoder(list[Reply])
_TRANSITIONS = msgspec.json.Decoder(list[Transition])
_TEXTS = msgspec.json.Decoder(list[str])


class _Queue:
    """What all tickets of a queue are judged by."""

    def __init__(self, name: str, organisation: Organisation) -> None:
        self.name, self.organisation = name, organisation
        self.options = organisation.options_of(SupportOptions)
        calendar, self.first_response, self.resolution = self.options.of(name)
        self.calendar: WorkCalendar = organisation.calendar(calendar)
        self._phases: dict[str, Phase] = {}

    @cached_property
    def _rules(self) -> tuple[tuple[Phase, tuple[Pattern, ...]], ...]:
        return (
            (Phase.ENDED, patterns((TicketState.RESOLVED, TicketState.CLOSED, *self.options.resolved))),
            (Phase.WAITING, patterns((TicketState.WAITING, *self.options.waiting))),
        )

    def phase_of(self, state: str) -> Phase:
        """What a state means. Those that ours and a tracker's rules do not name let the clock run."""
        found = self._phases.get(state)
        if found is None:
            names = (state, state.casefold())
            fitting = (phase for phase, rules in self._rules if any(any_matches(rules, name) for name in names))
            found = self._phases[state] = next(fitting, Phase.RUNNING)
        return found

    def life(self, ticket: _Ticket) -> Life:
        """The ticket's life: closed without a resolution, it was resolved when it was closed."""
        transitions = _TRANSITIONS.decode(ticket.transitions or "[]")
        changes = [(to_micros(t.at), self.phase_of(t.state)) for t in transitions]
        changes += [(at, Phase.ENDED) for at in (ticket.resolved_at, ticket.closed_at) if at is not None]
        return life(ticket.created_at, ticket.state, changes, ticket.updated_at, self.phase_of)

    def replied_at(self, ticket: _Ticket) -> int | None:
        """When another human first replied: no bot, not who opened it under any name, and not before that."""
        identities = self.organisation.identities
        author = identities.person(ticket.author)
        replies = _REPLIES.decode(ticket.replies or "[]")
        return min(
            (
                at
                for reply in replies
                if (at := to_micros(reply.at)) >= ticket.created_at
                and not identities.is_bot(reply.author, reply.bot)
                and (reply.author is None or identities.person(reply.author) != author)
            ),
            default=None,
        )

    def unasked(self, ticket: _Ticket) -> Reason | None:
        """Why nothing is promised for a ticket."""
        options = self.options
        if any(any_matches(self._merged, label) for label in _TEXTS.decode(ticket.labels or "[]")):
            return Reason.SUPERSEDED
        if not options.bot_tickets and self.organisation.identities.is_bot(ticket.author):
            return Reason.BOT
        if not options.platform_team and self.organisation.is_platform(_team(ticket.author_team)):
            return Reason.PLATFORM_TEAM
        return None

    @cached_property
    def _merged(self) -> tuple[Pattern, ...]:
        return patterns(self.options.merged_labels)

    def observations(self, ticket: _Ticket) -> Iterator[Observation]:
        """All that is to say of a ticket."""
        reason = self.unasked(ticket)
        if reason is not None:
            excluded = _Verdict(ticket.created_at, Outcome.EXCLUDED, reason)
            for indicator in _OF_TICKETS:
                yield from _dated(indicator, ticket, excluded)
            return
        found, replied = self.life(ticket), self.replied_at(ticket)
        closed = self._closed_unanswered(ticket, found)
        yield from _dated(SUPPORT_FIRST_RESPONSE, ticket, self._answered(ticket, found, replied, closed))
        yield from _dated(SUPPORT_FIRST_RESPONSE_TIME, ticket, self._answer_took(ticket, replied) or closed)
        yield from _dated(SUPPORT_RESOLUTION, ticket, self._resolved(ticket, found))
        yield from _dated(SUPPORT_RESOLUTION_TIME, ticket, self._resolution_took(ticket, found))
        yield from _opened(ticket, found)
        opened = _Verdict(ticket.created_at, Outcome.MEASURED)
        yield _observation(SUPPORT_TICKETS_PER_100_USERS, ticket, opened, labelled(_TICKETS))

    def _answered(self, ticket: _Ticket, found: Life, replied: int | None, closed: _Verdict | None) -> _Verdict | None:
        """Whether somebody replied in time. While it is resolved nobody waits for a reply."""
        deadline = last_moment(self.calendar, ticket.created_at, self.first_response)
        if replied is not None and replied <= deadline:
            return _Verdict(replied, Outcome.GOOD, rule="replied")
        due = found.open_from(deadline)
        return closed if due is None else _Verdict(due, Outcome.BAD, rule="no reply by the deadline")

    def _answer_took(self, ticket: _Ticket, replied: int | None) -> _Verdict | None:
        if replied is None:
            return None
        took = self.calendar.business_seconds(ticket.created_at, replied)
        return _Verdict(replied, Outcome.MEASURED, value=took)

    def _closed_unanswered(self, ticket: _Ticket, found: Life) -> _Verdict | None:
        """Resolved before anybody replied: there is nothing left to reply to. None while it is open."""
        if found.undated:
            return _Verdict(ticket.created_at, Outcome.EXCLUDED, Reason.MISSING_TIME, rule=_UNKNOWN_END)
        if found.resolved_at is None:
            return None
        return _Verdict(found.resolved_at, Outcome.EXCLUDED, Reason.CANCELLED, rule="resolved before a reply")

    def _resolved(self, ticket: _Ticket, found: Life) -> _Verdict | None:
        """Whether it was resolved in time; None while it waits, for then nobody knows its deadline."""
        if found.undated:
            return _Verdict(ticket.created_at, Outcome.EXCLUDED, Reason.MISSING_TIME, rule=_UNKNOWN_END)
        deadline = found.lapse(self.calendar, self.resolution)
        if deadline is not None:
            return _Verdict(deadline, Outcome.BAD, rule="not resolved by the deadline")
        return None if found.resolved_at is None else _Verdict(found.resolved_at, Outcome.GOOD, rule="resolved")

    def _resolution_took(self, ticket: _Ticket, found: Life) -> _Verdict | None:
        if found.undated:
            return _Verdict(ticket.created_at, Outcome.EXCLUDED, Reason.MISSING_TIME, rule=_UNKNOWN_END)
        if found.resolved_at is None:
            return None
        return _Verdict(found.resolved_at, Outcome.MEASURED, value=found.elapsed(self.calendar))


_OF_TICKETS = (
    *(SUPPORT_FIRST_RESPONSE, SUPPORT_FIRST_RESPONSE_TIME),
    *(SUPPORT_RESOLUTION, SUPPORT_RESOLUTION_TIME),
)


def _dated(indicator: Indicator, ticket: _Ticket, verdict: _Verdict | None) -> Iterator[Observation]:
    """A ticket's verdict, and that it was pending until then; it still is where there is none."""
    until = None if verdict is None else verdict.at
    if until is None or until > ticket.created_at:
        yield _observation(indicator, ticket, _Verdict(ticket.created_at, Outcome.PENDING), matures_at=until)
    if verdict is not None:
        yield _observation(indicator, ticket, verdict)


def _opened(ticket: _Ticket, found: Life) -> Iterator[Observation]:
    """When a ticket was open: pending until it was resolved, and that it was. The value is how old it was by then."""
    for start, end in found.open:
        began = _Verdict(start, Outcome.PENDING, value=(start - ticket.created_at) / 1e6)
        yield _observation(SUPPORT_OPEN_TICKETS, ticket, began, matures_at=end)
        yield _observation(SUPPORT_OPEN_TICKET_AGE, ticket, began, matures_at=end)
        if end is not None:
            ended = _Verdict(end, Outcome.MEASURED, value=(end - ticket.created_at) / 1e6)
            yield _observation(SUPPORT_OPEN_TICKETS, ticket, ended)


def _observation(
    indicator: Indicator,
    ticket: _Ticket,
    verdict: _Verdict,
    dimension: str | None = None,
    matures_at: int | None = None,
) -> Observation:
    return Observation(
        indicator=indicator.name,
        unit=ticket.id,
        at=from_micros(verdict.at),
        subject=Subject(team=_team(ticket.author_team)),
        source=ticket.source,
        outcome=verdict.outcome,
        value=verdict.value,
        reason=verdict.reason,
        dimension=labelled(ticket.queue) if dimension is None else dimension,
        matures_at=None if matures_at is None else from_micros(matures_at),
        rule=verdict.rule,
    )


def _team(name: str | None) -> str:
    """A team's path with one slash before it; "" where it is unknown."""
    path = (name or "").strip("/")
    return f"/{path}" if path else ""


# --- who used the platform -------------------------------------------------------------------------------


class _Use(NamedTuple):
    """Somebody's use of a capability. Time in microseconds; ordered by time, then by id."""

    at: int
    id: str
    source: str
    person: str | None
    team: str | None
    bot: bool


def _users(uses: Iterable[_Use], organisation: Organisation) -> Iterator[Observation]:
    """Who used a capability on which UTC day: one observation of each person, team and source, at the first use."""
    identities, own = organisation.identities, organisation.options_of(SupportOptions).platform_team
    seen: set[tuple[str, str, str, int]] = set()
    for use in sorted(uses, key=lambda u: (u.at, u.id)):
        person, team = identities.person(use.person), _team(use.team)
        if (
            person is None
            or identities.is_bot(use.person, bool(use.bot))
            or not (own or not organisation.is_platform(team))
        ):
            continue
        key = (person, team, use.source, use.at // _DAY)
        if key not in seen:
            seen.add(key)
            yield Observation(
                indicator=SUPPORT_TICKETS_PER_100_USERS.name,
                unit=person,
                at=from_micros(use.at),
                subject=Subject(team=team),
                source=use.source,
                outcome=Outcome.MEASURED,
                dimension=labelled(_USERS),
                evidence=(use.id,),
            )


# --- the family ------------------------------------------------------------------------------------------

_QUEUE, _CAPABILITY = "queue:", "capability:"


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The observations of all tickets and of all who used the platform."""
    for piece in pieces(events, organisation, Asked()):
        yield from piece.observations  # type: ignore[misc] # none of these pieces has rows


def scopes(events: Events, organisation: Organisation) -> list[str]:
    """The months of the queues that have tickets, and the capabilities that somebody used."""
    del organisation
    queues = {_piece_of(*row) for row in events.columns(Ticket, "queue", "created_at")}
    return [*sorted(queues), *(_CAPABILITY + name for name in events.distinct(UsageEvent, "capability"))]


def pieces(events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
    """The months of queues in which a new ticket was opened or was before, and the capabilities with new uses."""
    if asked.only is not None:
        touched = set(asked.only)
    elif asked.since is None:
        touched = {*scopes(events, organisation), *asked.known}
    else:
        touched = _with_tickets(events, asked, asked.since["ticket"]) | _used(events, asked, asked.since["usage_event"])
    touched -= set(asked.derived)
    yield from _of_queues(events, organisation, {scope for scope in touched if scope.startswith(_QUEUE)})
    yield from _of_capabilities(events, organisation, asked, {s for s in touched if s.startswith(_CAPABILITY)})


# A ticket is judged by itself: of a queue the UTC months in which tickets were opened are derived apart, so that a new
# one costs its month. The state of a month is the marks of its tickets: they tell which month a changed one was in.


def _piece_of(queue: str, created_at: int) -> str:
    """The piece that a ticket is in."""
    return f"{_QUEUE}{queue}:{from_micros(created_at).isoformat()[:7]}"


def _queue_of(scope: str) -> str:
    return scope.removeprefix(_QUEUE).rpartition(":")[0]


def _with_tickets(events: Events, asked: Asked, since: int) -> set[str]:
    """The months of queues that the tickets written after a revision are in now, or were before."""
    new = events.columns(Ticket, "id", "queue", "created_at", revision=Above(since))
    queues, ids = {*(queue for _, queue, _ in new), *events.moved(Ticket, since)}, [mark(i) for i, _, _ in new]
    before = (scope for scope in asked.known if scope.startswith(_QUEUE) and _queue_of(scope) in queues)
    left = {scope for scope in before if Marks(asked.state(scope) or b"").among(ids)}
    return left | {_piece_of(queue, created_at) for _, queue, created_at in new}


def _of_queues(events: Events, organisation: Organisation, wanted: set[str]) -> Iterator[Piece]:
    """Months of queues, each as a whole, one queue after the other."""
    for name, own in groupby(sorted(wanted, key=lambda s: (_queue_of(s), s)), key=_queue_of):
        queue, months = _Queue(name, organisation), {scope: list[str]() for scope in own}
        first = datetime.fromisoformat(f"{min(months).rpartition(':')[2]}-01T00:00+00:00")
        later = Above(to_micros(first) - 1)
        for identity, created_at in events.columns(Ticket, "id", "created_at", queue=name, created_at=later):
            if (ids := months.get(_piece_of(name, created_at))) is not None:
                ids.append(identity)
        for scope, ids in months.items():
            tickets = map(_Ticket._make, events.columns(Ticket, *_Ticket._fields, id=ids))
            found = chain.from_iterable(map(queue.observations, tickets))
            yield Piece(scope, found, state=Marks().joined(marks(ids)))


def _used(events: Events, asked: Asked, since: int) -> set[str]:
    """The capabilities with new uses, and those that a use left."""
    new = events.distinct(UsageEvent, "capability", since)
    return {_CAPABILITY + name for name in new} | _left(events, asked, since)


def _left(events: Events, asked: Asked, since: int) -> set[str]:
    """The known capabilities that a use left, or was dated anew in."""
    return {_CAPABILITY + name for name in events.moved(UsageEvent, since)} & set(asked.known)


def _of_capabilities(
    events: Events, organisation: Organisation, asked: Asked, wanted: Iterable[str]
) -> Iterator[Piece]:
    """Who used capabilities, from the day of the first new use on; all of one that was not known, or that one left."""
    since = None if asked.since is None else asked.since["usage_event"]
    left = set() if since is None else _left(events, asked, since)
    rules = patterns(organisation.options_of(SupportOptions).users)
    for scope in sorted(wanted):
        name, later = scope.removeprefix(_CAPABILITY), scope in asked.known and scope not in left
        after = _day_before(events, name, since) if later and since is not None else None
        found: Iterable[Observation] = ()
        if not rules or any_matches(rules, name):
            new: dict[str, Where] = {} if after is None else {"at": Above(after)}
            rows = events.columns(UsageEvent, *_Use._fields, capability=name, **new)
            found = _users(map(_Use._make, rows), organisation)
        yield Piece(scope, found, after=after, same_state=after is not None)


def _day_before(events: Events, name: str, since: int) -> int | None:
    """The last moment before the UTC day of a capability's first new use: days do not depend on each other."""
    new = events.columns(UsageEvent, "at", capability=name, revision=Above(since))
    return min((at // _DAY * _DAY - 1 for (at,) in new), default=None)


def _forgets(scope: str, before: int, _organisation: Organisation) -> int | None:
    """Whole days of those who used something. Tickets are judged by themselves."""
    return None if scope.startswith(_QUEUE) else -(-before // _DAY) * _DAY - 1


FAMILY = Family(
    name="support",
    inputs=(Ticket, UsageEvent),
    indicators=(
        SUPPORT_FIRST_RESPONSE,
        SUPPORT_FIRST_RESPONSE_TIME,
        SUPPORT_RESOLUTION,
        SUPPORT_RESOLUTION_TIME,
        SUPPORT_OPEN_TICKETS,
        SUPPORT_OPEN_TICKET_AGE,
        SUPPORT_TICKETS_PER_100_USERS,
    ),
    observe=observe,
    pieces=pieces,
    scopes=scopes,
    options=SupportOptions,
    forgets={UsageEvent: _forgets},
)
