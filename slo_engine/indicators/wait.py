"""How long developers wait for the platform: for runners, approvals, environments and answers. Pure. definitions.md §5.

Each repository, journey and queue is read by itself; the roster says how many could wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, get_args

import msgspec
import numpy as np
from pydantic import Field

from collector.conditions import Above, Where
from collector.events import Commit, Member, PipelineRun, SelfServiceAttempt, Ticket, TicketState, Transition, kind_of
from collector.patterns import any_matches, patterns
from slo_engine.ci_waits import DAY, MOST_EVIDENCE, NEVER, CiWaits, Job, State, Terms, carried_on, ci_waits, union
from slo_engine.distinct import distinct
from slo_engine.headcount import WEEK, Roster, changed_people, next_monday, read_roster, team_path
from slo_engine.indicator import Asked, Events, Family, Indicator, Piece, Shape, Unit
from slo_engine.measure import Floats, Measured, Sample
from slo_engine.name_rules import NameRules
from slo_engine.observation import (
    NO_PARTS,
    Observation,
    Outcome,
    Reason,
    Row,
    Subject,
    as_observations,
    from_micros,
    label_values,
    labelled,
    to_micros,
)
from slo_engine.options import Options
from slo_engine.organisation import Organisation
from slo_engine.requests_attempts import Attempt, read_attempts
from slo_engine.settled import Marks, mark, marks
from slo_engine.tickets import Phase, life
from slo_engine.weekly_acts import Acts, Who, settled, weekly
from slo_engine.weekly_acts import carried_on as acts_carried_on

Kind = Literal["ci", "approval", "provisioning", "ticket"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_LABELS = 2
_COUNTED, _DEVELOPERS, _ACTIVE = "counted", "developers", "active"
"""What a unit is that is no wait: how many jobs a sum stands for, how many developers there were, or one of them."""
_EVERYBODY = "/"
"""The whole organisation: whose waits are that nobody's team is known for."""
_ANY = ""
"""The kind of a unit that is no wait and stands beside those of each kind."""
_LAST_MONDAYS = 53 * WEEK
"""A roster that nobody touched for a year says nothing of the present."""


def developer_wait(sample: Sample) -> Measured:
    """The seconds waited in the window per 100 developers; nothing without waits, or without anybody who could wait.

    n is how many developers there were: the mean over the window's Mondays, or how many people were active. What
    was waited has one unit for each wait, or one for a day's jobs; the coverage counts each job.
    """
    waited = sample.inside & sample.is_(Outcome.MEASURED) & sample.named(1, "", _LABELS)
    counted = sample.inside & sample.named(1, _COUNTED, _LABELS)
    jobs = waited & sample.named(0, "ci", _LABELS)
    used = int(np.count_nonzero(waited & ~jobs) + sample.value[counted].sum())
    reasons = _reasons(sample)
    unknown = reasons[Reason.MISSING_TIME]
    coverage = used / (used + unknown) if used + unknown else None
    pending = _how_many(sample.value[sample.inside & sample.is_(Outcome.PENDING)])
    developers = _developers(sample) if waited.any() else 0
    if not developers:
        return Measured(0, {}, pending, reasons, coverage)
    value = float(sample.value[waited].sum()) / developers * 100
    return Measured(round(developers), {"value": value}, pending, reasons, coverage)


def _reasons(sample: Sample) -> Counter[str]:
    """How many waits were left out, by reason."""
    found: Counter[str] = Counter()
    left_out = sample.inside & sample.is_(Outcome.EXCLUDED)
    for number in np.unique(sample.dimension[left_out]):
        reason = label_values(sample.dimensions[number], _LABELS)[1]
        found[reason] += _how_many(sample.value[left_out & (sample.dimension == number)])
    return found


def _how_many(values: Floats) -> int:
    """How many waits some units stand for: one each where they do not say."""
    return int(np.where(np.isnan(values), 1, values).sum())


def _developers(sample: Sample) -> float:
    """How many developers there were: on the roster where there is one, else who was active."""
    on_roster = sample.inside & sample.named(1, _DEVELOPERS, _LABELS)
    if on_roster.any():
        # An older store has the whole roster once for each kind of wait: one of them is enough.
        one = on_roster & (sample.dimension == sample.dimension[on_roster].min())
        mondays = (next_monday(sample.until + 1) - next_monday(sample.after + 1)) // WEEK
        return float(sample.value[one].sum()) / mondays
    active = sample.inside & sample.named(1, _ACTIVE, _LABELS)
    return float(distinct(sample.unit[active]).size)


DEVELOPER_WAIT = Indicator(
    name="developer_wait_time",
    noun="developers",
    version="1",
    title="Developer wait time",
    definition=(
        "Time waited in the window for jobs to start, for approvals, for self-service to be done and for tickets to be "
        "resolved, per 100 developers."
    ),
    shape=Shape.MEASURE,
    metric="platform_developer_wait",
    labels=("kind", ""),
    values={"kind": KINDS},
    shared=("kind",),
    people=True,
    measure=developer_wait,
    stats=("value",),
    unit=Unit.SECONDS,
)


class WaitOptions(Options):
    """What counts as waiting."""

    queues: NameRules = Field(
        default=(), description="The queues in which the platform's team is asked; all where none is named."
    )
    bots: bool = Field(
        default=False, description="Whether jobs count that a bot started: mostly nobody waits for them."
    )
    business_hours: tuple[Kind, ...] = Field(
        default=("approval", "ticket"),
        description="Kinds of waits of which only opening hours count: `ci`, `approval`, `provisioning`, `ticket`.",
    )
    calendar: str = Field(
        default="", description="The calendar whose opening hours these are; the usual one where none is named."
    )


_JOB_COLUMNS = Job._fields
_TRANSITIONS = msgspec.json.Decoder(tuple[Transition, ...])
_TICKET_COLUMNS = (
    *("id", "source", "created_at", "state", "author", "author_team", "resolved_at", "closed_at", "updated_at"),
    "transitions",
)
_PHASES = {
    TicketState.WAITING.value: Phase.WAITING,
    TicketState.RESOLVED.value: Phase.ENDED,
    TicketState.CLOSED.value: Phase.ENDED,
}
_ROSTER = "roster"


class _Queue(msgspec.Struct, array_like=True, frozen=True):
    """A queue: its tickets that wait, with when they were said to, and the marks of all others."""

    waiting: dict[str, int]
    done: bytes


class _Repository(msgspec.Struct, array_like=True, frozen=True):
    """A repository: what its jobs can be carried on from, and the units of what may yet change, with their times."""

    jobs: State
    open: set[tuple[int, str]]


_CI, _JOURNEY, _QUEUE, _COMMITS = "ci:", "journey:", "queue:", "commits:"
"""What a piece is about: its scope begins so, and the name of a repository, journey or queue follows."""


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The observations of all pieces, one after the other."""
    known = _Known(events, organisation)
    for scope in known.scopes():
        yield from as_observations(known.piece(scope).observations)


def pieces(events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
    """The repositories, journeys and queues that new events touch, each as a whole, and the roster.

    Each reads the people whose team it asked for. Of runs, commits and tickets only what is new is looked at.
    """
    known = _Known(events, organisation, asked.revisions.get(kind_of(PipelineRun), NEVER))
    touched, whole = known.touched(asked) if asked.only is None else (asked.only, asked.only)
    for scope in sorted(touched - set(asked.derived)):
        yield (None if scope in whole else known.carried_on(scope, asked)) or known.piece(scope)


def scopes(events: Events, organisation: Organisation) -> list[str]:
    """All pieces."""
    return sorted(_Known(events, organisation).scopes())


@dataclass(frozen=True)
class _Known:
    """The events of all pieces; the roster is read once. `until`: the revision up to which all runs are known."""

    events: Events
    organisation: Organisation
    until: int = NEVER

    @cached_property
    def options(self) -> WaitOptions:
        return self.organisation.options_of(WaitOptions)

    @cached_property
    def roster(self) -> Roster:
        return read_roster(self.events, self.organisation)

    @property
    def _kinds(self) -> list[tuple[str, Any, str]]:
        """What pieces are about: how their scopes begin, of which kind of events, and which column names them."""
        found: list[tuple[str, Any, str]] = [
            (_CI, PipelineRun, "repository"),
            (_JOURNEY, SelfServiceAttempt, "journey"),
            (_QUEUE, Ticket, "queue"),
        ]
        # Who was active is asked only where no roster tells who was there.
        return found if self.roster.stays else [*found, (_COMMITS, Commit, "repository")]

    def scopes(self) -> list[str]:
        """All pieces there are."""
        found = [start + name for start, kind, column in self._kinds for name in self.events.distinct(kind, column)]
        return [_ROSTER, *found]

    def touched(self, asked: Asked) -> tuple[set[str], set[str]]:
        """The pieces that events after some revisions may change, and those of them that more than new events do."""
        known_roster = bool(asked.known.get(_ROSTER))
        if asked.since is None or known_roster != bool(self.roster.stays):
            every = {*self.scopes(), *asked.known}
            return every, every
        new: set[str] = set()
        whole: set[str] = set()
        for start, kind, column in self._kinds:
            revision = asked.since[kind_of(kind)]
            new.update(start + name for name in self.events.distinct(kind, column, revision))
            whole |= {start + name for name in self.events.moved(kind, revision)} & set(asked.known)
        people = changed_people(self.events, self.organisation, asked.since["member"])
        if people:
            whole |= {s for s, reads in asked.known.items() if s == _ROSTER or not people.isdisjoint(reads)}
        return new | whole, whole

    def piece(self, scope: str) -> Piece:
        """A piece, derived."""
        if scope == _ROSTER:
            return Piece(scope, list(self._developers()), reads=(_ROSTER,) if self.roster.stays else ())
        if scope.startswith(_COMMITS):
            return self._commits(scope)
        if scope.startswith(_QUEUE):
            return self._asked_in(scope, None) or Piece(scope, ())
        if scope.startswith(_CI):
            return self._waited(scope, None) or Piece(scope, ())
        people = _Teams(self.roster)
        found = list(self._attempts(scope.removeprefix(_JOURNEY), people))
        return Piece(scope, found, reads=tuple(sorted(people.asked)))

    # ---- who could wait

    def _developers(self) -> Iterator[Observation]:
        """How many developers each team had, at the beginning of each week."""
        source = "+".join(sorted({s.source for stays in self.roster.stays.values() for s in stays}))
        for monday, teams in self.roster.developers(self.roster.known_at + _LAST_MONDAYS):
            for team, people in sorted(teams.items()):
                yield _observation(
                    " ".join((_date(monday), team or _EVERYBODY)),
                    monday,
                    (_ANY, team or _EVERYBODY, source),
                    what=_DEVELOPERS,
                    value=float(len(people)),
                )

    def _commits(self, scope: str) -> Piece:
        """Who committed in which week, where no roster tells who was there."""
        if self.roster.stays:
            return Piece(scope, ())
        acts = self._committed(scope)
        first = weekly(acts)
        return Piece(scope, list(_active(first)), state=settled(acts, first))

    def carried_on(self, scope: str, asked: Asked) -> Piece | None:
        """What new runs, commits or tickets change; None for other pieces, and where all must be looked at."""
        if asked.since is None or not scope.startswith((_CI, _COMMITS, _QUEUE)):
            return None
        packed = asked.state(scope)
        if packed is None:
            return None
        if scope.startswith(_CI):
            revision = Above(asked.since[kind_of(PipelineRun)])
            return self._waited(scope, packed, asked.known.get(scope, ()), revision=revision)
        if scope.startswith(_QUEUE):
            return self._asked_in(scope, packed, asked.known.get(scope, ()), revision=Above(asked.since["ticket"]))
        found = acts_carried_on(packed, self._committed(scope, revision=Above(asked.since["commit"])))
        if found is None:
            return None
        rows = list(_active(found.first))
        return Piece(scope, rows, state=found.state, after=NEVER, reopened=found.reopened)

    def _committed(self, scope: str, **where: Where) -> Acts:
        """The commits of a repository; those of bots are nobody's."""
        columns = ("id", "author", "bot", "committed_at", "source")
        rows = self.events.columns(Commit, *columns, repository=scope.removeprefix(_COMMITS), **where)
        ids, authors, bots, at, sources = zip(*rows, strict=True) if rows else ((),) * len(columns)
        return Acts.of(ids, list(map(self._who, authors, bots)), at, sources)

    @cached_property
    def _who(self) -> Callable[[str | None, bool], str]:
        """Who an author is, empty for nobody who counts: few have made all the commits."""
        identities = self.organisation.identities
        return lru_cache(maxsize=1 << 16)(
            lambda author, bot: "" if identities.is_bot(author, bool(bot)) else identities.person(author) or ""
        )

    # ---- who waited

    def _waited(self, scope: str, packed: bytes | None, reads: Iterable[str] = (), **where: Where) -> Piece | None:
        """What the jobs of a repository waited, or what those that are new to a state change; None where all must be.

        By day and team: dated at the day's end, when the sum is complete.
        """
        repository, people = scope.removeprefix(_CI), _Teams(self.roster)
        terms = Terms(people.of, self.options.bots, self.until)
        before = _Repository(State(), set()) if packed is None else msgspec.msgpack.decode(packed, type=_Repository)
        jobs = self._jobs(repository=repository, **where)
        if packed is None:
            carried = ci_waits(jobs, terms)
        else:
            later = carried_on(before.jobs, jobs, lambda ids: self._jobs(id=ids), terms)
            if later is None:
                return None
            carried = later
        found = _summed(carried.found, repository)
        kept = _Repository(carried.state, _named(_summed(carried.open, repository)))
        return Piece(
            scope,
            found,
            reads=tuple(sorted(people.asked.union(reads))),
            state=msgspec.msgpack.encode(kept),
            after=None if packed is None else NEVER,
            reopened=frozenset(before.open | _named(found)),
        )

    def _jobs(self, **where: Where) -> list[Job]:
        return [self._job(row) for row in self.events.columns(PipelineRun, *_JOB_COLUMNS, **where)]

    def _job(self, row: tuple[Any, ...]) -> Job:
        *values, actor, bot = row
        identities = self.organisation.identities
        return Job._make((*values, identities.person(actor), identities.is_bot(actor, flagged=bool(bot))))

    def _attempts(self, journey: str, people: _Teams) -> Iterator[Observation | Row]:
        """What attempts at self-service and their approvals took."""
        real = [a for a in read_attempts(self.events, self.organisation, [journey]) if not (a.dry_run or a.load_test)]
        for attempt in real:
            team = people.of(attempt.requester, attempt.started_at, attempt.team)
            yield self._provisioned(attempt, team)
            if attempt.approvals:
                yield self._approved(attempt, team)
        if not self.roster.stays:
            who = ["" if a.bot else a.requester or "" for a in real]
            acts = Acts.of([a.id for a in real], who, [a.started_at for a in real], [a.source for a in real])
            yield from _active(weekly(acts))

    def _provisioned(self, attempt: Attempt, team: str) -> Observation:
        """An attempt from start to finish, without its approvals and without what its requester let it wait."""
        whose: _Whose = "provisioning", team, attempt.source
        if attempt.bot:
            return _set_aside(attempt.id, attempt.end, whose, Reason.BOT)
        if attempt.finished_at is None:
            if attempt.result is None and attempt.ended is None:
                return _observation(attempt.id, attempt.started_at, whose, outcome=Outcome.PENDING)
            return _set_aside(attempt.id, attempt.end, whose, Reason.MISSING_TIME)
        if attempt.finished_at < attempt.started_at:
            return _set_aside(attempt.id, attempt.end, whose, Reason.MISSING_TIME)
        clipped = _approvals(attempt, attempt.started_at, attempt.finished_at)
        working = _without((attempt.started_at, attempt.finished_at), union(clipped))
        seconds = max(self._seconds("provisioning", working) - attempt.waited, 0.0)
        return _observation(attempt.id, attempt.finished_at, whose, value=seconds)

    def _approved(self, attempt: Attempt, team: str) -> Observation:
        """The approvals of an attempt: those side by side make its requester wait once."""
        whose: _Whose = "approval", team, attempt.source
        asked = min(to_micros(a.requested_at) for a in attempt.approvals)
        if attempt.bot:
            return _set_aside(attempt.id, asked, whose, Reason.BOT)
        if any(a.decided_at is not None and a.decided_at < a.requested_at for a in attempt.approvals):
            return _set_aside(attempt.id, asked, whose, Reason.MISSING_TIME)
        if attempt.finished_at is None and any(a.decided_at is None for a in attempt.approvals):
            return _observation(attempt.id, asked, whose, outcome=Outcome.PENDING)
        waits = _approvals(attempt, asked, None)
        return _observation(attempt.id, max(e for _, e in waits), whose, value=self._seconds("approval", union(waits)))

    def _asked_in(self, scope: str, packed: bytes | None, reads: Iterable[str] = (), **where: Where) -> Piece | None:
        """The tickets of a queue, or those that are new to a state; None where one of them was done with before."""
        queue, ours, people = scope.removeprefix(_QUEUE), patterns(self.options.queues), _Teams(self.roster)
        if ours and not any_matches(ours, queue):
            return Piece(scope, ())
        state = _Queue({}, b"") if packed is None else msgspec.msgpack.decode(packed, type=_Queue)
        rows = self.events.columns(Ticket, *_TICKET_COLUMNS, queue=queue, **where)
        done = Marks(state.done)
        if done.among(mark(row[0]) for row in rows if row[0] not in state.waiting):
            return None
        found = [self._ticket(row, people) for row in rows]
        waiting = state.waiting | {o.unit: to_micros(o.at) for o in found}
        ended = {o.unit for o in found if o.outcome is not Outcome.PENDING}
        kept = _Queue({i: at for i, at in waiting.items() if i not in ended}, done.joined(marks(ended)))
        return Piece(
            scope,
            found,
            reads=tuple(sorted(people.asked.union(reads))),
            state=msgspec.msgpack.encode(kept),
            after=None if packed is None else NEVER,
            reopened=frozenset((state.waiting[o.unit], o.unit) for o in found if o.unit in state.waiting),
        )

    def _ticket(self, row: tuple[Any, ...], people: _Teams) -> Observation:
        """What a ticket took, without the time it waited for who wrote it."""
        identities = self.organisation.identities
        key, source, created, state, author, told, resolved, closed, updated, transitions = row
        whose: _Whose = "ticket", people.of(identities.person(author), created, told), source
        changes = [(to_micros(t.at), _phase(t.state)) for t in _TRANSITIONS.decode(transitions or "[]")]
        changes += [(t, Phase.ENDED) for t in (resolved, closed) if t is not None]
        lived = life(created, state, changes, updated, _phase)
        if identities.is_bot(author):
            return _set_aside(key, created, whose, Reason.BOT)
        if lived.undated:
            return _set_aside(key, created, whose, Reason.MISSING_TIME)
        if lived.resolved_at is None:
            return _observation(key, created, whose, outcome=Outcome.PENDING)
        running = [(start, end) for start, end in lived.running if end is not None]
        return _observation(key, lived.resolved_at, whose, value=self._seconds("ticket", running))

    def _seconds(self, kind: Kind, stretches: Iterable[tuple[int, int]]) -> float:
        """How long stretches of time are, in opening hours where only these count."""
        if kind in self.options.business_hours:
            calendar = self.organisation.calendar(self.options.calendar)
            return sum(calendar.business_seconds(start, end) for start, end in stretches)
        return sum(end - start for start, end in stretches) / 1e6


class _Teams:
    """Who is in which team, and about whom was asked. Without a roster everybody is of the whole organisation."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self.asked: set[str] = set()

    def of(self, person: str | None, at: int, told: str | None = None) -> str:
        """Somebody's team at a time: by the roster, else what an event tells, else the whole organisation."""
        if not self._roster.stays:
            return _EVERYBODY
        if person:
            self.asked.add(person)
        stay = self._roster.stay(person, at)
        return (stay.team if stay else "") or team_path(told) or _EVERYBODY


_Whose = tuple[str, str, str]
"""The kind of a wait, the team that waited, and the source that says so."""


def _phase(state: str) -> Phase:
    return _PHASES.get(state, Phase.RUNNING)


def _approvals(attempt: Attempt, first: int, last: int | None) -> list[tuple[int, int]]:
    """When an attempt waited for approvals, within bounds: one that nobody decided on until its end, if it has one."""
    found: list[tuple[int, int]] = []
    for one in attempt.approvals:
        start = max(to_micros(one.requested_at), first)
        end = max(attempt.end, start) if one.decided_at is None else to_micros(one.decided_at)
        end = end if last is None else min(end, last)
        if last is None or start < end:
            found.append((start, end))
    return found


def _without(whole: tuple[int, int], holes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of a stretch of time without some others that lie in it, in order."""
    edges = [whole[0], *(edge for hole in holes for edge in hole), whole[1]]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _named(found: Iterable[Observation]) -> set[tuple[int, str]]:
    """When what is said of some units is dated, with the units."""
    return {(to_micros(o.at), o.unit) for o in found}


def _summed(found: CiWaits, repository: str) -> list[Observation]:
    """What is said of a repository's jobs."""
    return [*_sums(found, repository), *_left_out(found, repository)]


def _sums(found: CiWaits, repository: str) -> Iterator[Observation]:
    """The sums of days, each with how many jobs it stands for."""
    for whose, day in found.sums.items():
        at, who = (whose.day + 1) * DAY - 1, ("ci", whose.team, whose.source)
        unit = " ".join((_date(at), repository, whose.team, whose.source))
        jobs = day.waits.jobs
        shown = f"{jobs} jobs" + (f", the longest {MOST_EVIDENCE} listed" if jobs > MOST_EVIDENCE else "")
        yield _observation(unit, at, who, value=day.micros / 1e6, rule=shown, evidence=day.waits.ids)
        yield _observation(f"{unit} {_COUNTED}", at, who, what=_COUNTED, value=float(jobs), rule="how many jobs")


def _left_out(found: CiWaits, repository: str) -> Iterator[Observation]:
    """The jobs that do not count by day and reason, and those that still wait."""
    for (whose, reason), jobs in found.excluded.items():
        at, who = (whose.day + 1) * DAY - 1, ("ci", whose.team, whose.source)
        unit = " ".join((_date(at), repository, whose.team, whose.source, reason))
        yield _set_aside(unit, at, who, reason, float(jobs.jobs), jobs.ids)
    for (team, source), waits in found.pending.items():
        earliest = waits.first[0][0]
        yield _observation(
            " ".join((_date(earliest), repository, team, source, "waiting")),
            earliest,
            ("ci", team, source),
            outcome=Outcome.PENDING,
            value=float(waits.jobs),
            evidence=waits.ids,
        )


def _active(first: Mapping[Who, int]) -> Iterator[Row]:
    """The first thing that somebody did in a week, beside each kind of wait: without a roster all are one team."""
    dimension, told = labelled(_ANY, _ACTIVE), (None, *NO_PARTS, Outcome.MEASURED.value, "", None, _ACTIVE, "[]")
    for (person, _, source), at in first.items():
        yield Row((DEVELOPER_WAIT.name, dimension, "", "", _EVERYBODY, source), (at, person, *told))


def _date(at: int) -> str:
    return from_micros(at).date().isoformat()


def _set_aside(
    unit: str, at: int, whose: _Whose, reason: str, value: float | None = None, evidence: tuple[str, ...] = ()
) -> Observation:
    return _observation(
        unit, at, whose, what=reason, outcome=Outcome.EXCLUDED, value=value, reason=reason, evidence=evidence
    )


def _observation(  # noqa: PLR0913 - a judgement's parts
    unit: str,
    at: int,
    whose: _Whose,
    *,
    what: str = "",
    outcome: Outcome = Outcome.MEASURED,
    value: float | None = None,
    reason: str = "",
    rule: str = "",
    evidence: tuple[str, ...] = (),
) -> Observation:
    kind, team, source = whose
    return Observation(
        indicator=DEVELOPER_WAIT.name,
        unit=unit,
        at=from_micros(at),
        subject=Subject(team=team),
        source=source,
        dimension=labelled(kind, what),
        outcome=outcome,
        value=value,
        reason=reason,
        rule=rule or what,
        evidence=evidence,
    )


FAMILY = Family(
    name="wait",
    inputs=(PipelineRun, SelfServiceAttempt, Ticket, Member, Commit),
    indicators=(DEVELOPER_WAIT,),
    observe=observe,
    pieces=pieces,
    scopes=scopes,
    options=WaitOptions,
)
