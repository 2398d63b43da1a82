"""Reliability: uptime in one-minute slots, from checks. Pure.

definitions.md §6. Slots are judged by their own checks alone, so new checks replace only what comes after them: what
stood a few hours ago is kept as the state from which a service is continued.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import Annotated, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from collector.conditions import Above
from collector.durations import Duration
from collector.events import Probe
from collector.patterns import Pattern
from slo_engine.indicator import Asked, Events, Family, Indicator, Piece, Shape
from slo_engine.observation import NO_PARTS, Observation, Outcome, Reason, Row, as_observation
from slo_engine.options import Options
from slo_engine.organisation import Organisation

UPTIME = Indicator(
    name="uptime",
    noun="minutes",
    version="1",
    title="Uptime",
    definition=(
        "Share of the one-minute slots in the window that were up: enough of the checks in them passed. "
        "A slot without checks is unknown: neither up nor down."
    ),
    shape=Shape.RATIO,
    tallied=True,
    metric="platform_uptime",
)

SLOT = 60_000_000
"""A slot in microseconds. Slots begin at whole minutes UTC."""
_LONGEST_PROBE = 1_440
"""A report over more slots is no measurement of each of them: it is set aside."""
_OPEN_SLOTS = 360
"""So many of the latest slots stay open: reports that are less late than this cost no whole derivation."""
_EVIDENCE = 5

_Share = Annotated[float, Field(gt=0, le=1)]


class ServiceUptime(BaseModel):
    """What counts as up for some services."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: Annotated[str, Field(min_length=1, description="A rule for the names of services.")]
    pass_share: _Share = Field(description="What share of a slot's checks must pass.")


class ReliabilityOptions(Options):
    """Which slots are up, and how long unknown ones are counted."""

    pass_share: _Share = Field(default=0.5, description="What share of a slot's checks must pass for it to be up.")
    services: tuple[ServiceUptime, ...] = Field(
        default=(), description="Services with another `pass_share`; the first whose `service` fits counts."
    )
    ahead: Duration = Field(
        default=timedelta(days=1),
        description="For this long after the last check slots are counted as unknown while no check comes.",
    )
    longest_gap: Duration = Field(
        default=timedelta(days=28),
        description="Of a longer time without checks only this much is counted as unknown slots.",
    )

    def share(self, service: str) -> Fraction:
        """What share of a slot's checks must pass for a service, exactly as it was written."""
        own = (s.pass_share for s in self.services if Pattern(s.service).matches(service))
        return Fraction(str(next(own, self.pass_share)))


class _Probe(NamedTuple):
    """A report of checks. Time in microseconds."""

    at: int
    id: str
    source: str
    environment: str | None
    passed: int
    checks: int
    duration_seconds: float

    @property
    def slots(self) -> int:
        """How many slots it speaks of: whole minutes, at least one."""
        return max(1, int(min(self.duration_seconds / 60, 2.0 * _LONGEST_PROBE) + 0.5))

    @property
    def end(self) -> int:
        """The first slot after those it speaks of."""
        return self.at // SLOT + self.slots

    @property
    def possible(self) -> bool:
        """Whether what it says can be."""
        return 0 <= self.passed <= self.checks and self.checks > 0 and self.slots <= _LONGEST_PROBE


COLUMNS = _Probe._fields
"""The columns of a probe that are read, in its order."""


class _State(msgspec.Struct, array_like=True, frozen=True):
    """A service as it stood before a slot.

    `reach`: when the first report that speaks of this slot too was made (microseconds). `last`: by environment the last
    covered slot before it, with its sources.
    """

    slot: int
    reach: int
    last: dict[str, tuple[int, str]]


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The slots of all services."""
    for piece in pieces(events, organisation, Asked()):
        yield from (as_observation(o) for o in piece.observations if isinstance(o, Row))


def pieces(events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
    """The services with new checks, each from its first new slot on where its state allows that."""
    named: dict[str, list[str]] = {}
    for raw in events.distinct(Probe, "service"):
        named.setdefault(_service(raw, organisation), []).append(raw)
    touched, left = _touched(events, organisation, asked, named)
    for scope in sorted(touched - set(asked.derived)):
        raw_names = named.get(scope, [])
        later = None
        if asked.since is not None and scope not in left:
            later = _later(events, scope, raw_names, organisation, asked)
        yield later or _whole(events, scope, raw_names, organisation)


def scopes(events: Events, organisation: Organisation) -> set[str]:
    """The services that are checked."""
    return {_service(raw, organisation) for raw in events.distinct(Probe, "service")}


def _service(raw: str, organisation: Organisation) -> str:
    return organisation.component(raw) or raw


def _touched(
    events: Events, organisation: Organisation, asked: Asked, named: dict[str, list[str]]
) -> tuple[set[str], set[str]]:
    """The services to derive, and those of them that a report left or was dated anew in."""
    if asked.only is not None:
        return set(asked.only), set(asked.only)
    if asked.since is None:
        return {*named, *asked.known}, set()
    revision = asked.since["probe"]
    left = {_service(raw, organisation) for raw in events.moved(Probe, revision)}
    return {_service(raw, organisation) for raw in events.distinct(Probe, "service", revision)} | left, left


def _whole(events: Events, scope: str, names: Sequence[str], organisation: Organisation) -> Piece:
    probes = _read(events, names)
    slots = _Slots(scope, organisation)
    rows = list(slots.rows(probes))
    return Piece(scope, rows, state=slots.state(probes))


def _later(events: Events, scope: str, names: Sequence[str], organisation: Organisation, asked: Asked) -> Piece | None:
    """A service from its first new slot on; None where that lies before its state."""
    packed = asked.state(scope)
    if packed is None or asked.since is None:
        return None
    state = msgspec.msgpack.decode(packed, type=_State)
    new = _read(events, names, revision=Above(asked.since["probe"]))
    if not new or min(p.at for p in new) // SLOT < state.slot:
        return None
    probes = _read(events, names, at=Above(state.reach - 1))
    slots = _Slots(scope, organisation, state)
    first = slots.first_changed(new, probes)
    if first < state.slot:
        return None
    rows = [r for r in slots.rows(probes) if r.values[0] >= first * SLOT]
    settled = slots.state(probes)
    return Piece(scope, rows, state=settled or packed, after=first * SLOT - 1, same_state=settled is None)


def _read(events: Events, names: Sequence[str], **where: Above) -> list[_Probe]:
    """The reports of a service, in the order of time."""
    if not names:
        return []
    return sorted(map(_Probe._make, events.columns(Probe, *COLUMNS, service=list(names), **where)))


@dataclass(frozen=True, slots=True)
class _Run:
    """Slots one after the other of which the same reports speak, in the order of time."""

    slots: range
    reports: Sequence[_Probe]

    @property
    def place(self) -> int:
        """How many slots of the first report lie before these."""
        return self.slots.start - self.reports[0].at // SLOT

    def passed(self, share: Fraction) -> bool:
        """Whether enough of the checks passed. A report over several slots brings each its part of the checks."""
        first, *others = self.reports
        if all(p.slots == first.slots for p in others):
            passed = sum((p.passed for p in others), first.passed)
            return passed * share.denominator >= sum((p.checks for p in others), first.checks) * share.numerator
        part = sum((Fraction(p.passed, p.slots) for p in self.reports), Fraction())
        return part >= share * sum((Fraction(p.checks, p.slots) for p in self.reports), Fraction())

    @property
    def source(self) -> str:
        """The sources of the reports: the slots count while all of them are fresh."""
        first, *others = self.reports
        return "+".join(sorted({p.source for p in self.reports})) if others else first.source

    def evidence(self, *, up: bool) -> tuple[list[str], list[str]]:
        """The reports that say more than a unit's own id does: at the first report's first slot, and at later ones.

        Those that failed, or the first where a slot is not the first that it speaks of.
        """
        first = self.reports[0].id
        if up:
            return [], [first]
        failed = [p.id for p in self.reports if p.passed < p.checks]
        return [] if failed == [first] else failed[:_EVIDENCE], failed[:_EVIDENCE]


class _Slots:
    """Makes the slots of one service."""

    def __init__(self, service: str, organisation: Organisation, state: _State | None = None) -> None:
        options = organisation.options_of(ReliabilityOptions)
        self._service, self._share = service, options.share(service)
        self._environment = organisation.default_environment
        self._ahead, self._gap = (d // timedelta(minutes=1) for d in (options.ahead, options.longest_gap))
        self._state = state or _State(-(2**62), 0, {})

    def rows(self, probes: Iterable[_Probe]) -> Iterator[Row]:
        """The slots of reports, which are in the order of time, from the state on."""
        by_environment: dict[str, list[_Probe]] = {e: [] for e in self._state.last}
        for probe in probes:
            by_environment.setdefault(self._whose(probe), []).append(probe)
        for environment, own in sorted(by_environment.items()):
            yield from self._judged(environment, own)

    def first_changed(self, new: Sequence[_Probe], probes: Sequence[_Probe]) -> int:
        """The first slot that new reports may change: their first, or what is unknown before it since the last one."""
        firsts: dict[str, int] = {}
        for probe in new:
            slot = min(probe.at // SLOT, firsts.get(self._whose(probe), 2**62))
            firsts[self._whose(probe)] = slot
        found = []
        for environment, slot in firsts.items():
            last = self._last(environment, slot, probes)
            found.append(slot if last is None else last[0] + 1)
        return min(found)

    def state(self, probes: Sequence[_Probe]) -> bytes | None:
        """What stood some hours before the last report, packed; None where that is hardly later than the state."""
        usable = [p for p in probes if p.possible]
        if not usable:
            return None
        slot = max(p.at // SLOT + p.slots for p in usable) - _OPEN_SLOTS
        if slot < self._state.slot + _OPEN_SLOTS:
            return None
        over = (p.at for p in usable if p.at // SLOT < slot < p.at // SLOT + p.slots)
        environments = sorted({*self._state.last, *map(self._whose, usable)})
        last = {e: self._last(e, slot, probes) for e in environments}
        known = {e: found for e, found in last.items() if found is not None}
        return msgspec.msgpack.encode(_State(slot, min(over, default=slot * SLOT), known))

    def _whose(self, probe: _Probe) -> str:
        return probe.environment or self._environment

    def _last(self, environment: str, before: int, probes: Iterable[_Probe]) -> tuple[int, str] | None:
        """The last covered slot of an environment before another slot, with its sources."""
        own = [p for p in probes if p.possible and p.at // SLOT < before and self._whose(p) == environment]
        if not own:
            return self._state.last.get(environment)
        slot = max(min(p.at // SLOT + p.slots, before) for p in own) - 1
        covering = [p for p in own if p.at // SLOT + p.slots > slot]
        return slot, _Run(range(slot, slot + 1), covering).source

    def _judged(self, environment: str, probes: Sequence[_Probe]) -> Iterator[Row]:
        """The slots of one environment, with those that are unknown between and after them."""
        for probe in probes:
            slot = probe.at // SLOT
            if not probe.possible and slot >= self._state.slot:
                yield self._excluded(environment, probe.source, slot, probe.id, Reason.IMPOSSIBLE)
        last = self._state.last.get(environment)
        for run in self._covered(probes):
            if last is not None and run.slots.start > last[0] + 1:
                yield from self._unknown(environment, last, min(run.slots.start, last[0] + 1 + self._gap))
            last = run.slots[-1], run.source
            yield from self._of(environment, run)
        if last is not None:
            yield from self._unknown(environment, last, last[0] + 1 + min(self._ahead, self._gap))

    def _of(self, environment: str, run: _Run) -> Iterator[Row]:
        """The slots of a run, which are judged alike."""
        up = run.passed(self._share)
        outcome = (Outcome.GOOD if up else Outcome.BAD).value
        rule = "" if len(run.reports) == 1 else f"{len(run.reports)} reports"
        alike = (None, *NO_PARTS, outcome, "", None, rule)
        at_first, later = ((*alike, _as_list(evidence)) for evidence in run.evidence(up=up))
        key, first = self._key(environment, run.source), run.reports[0].id
        # A unit is the first report's id; with a place where that speaks of slots before, so that each has its own.
        begins = f"{first[:16]}+"
        for place, slot in enumerate(run.slots, run.place):
            own = (f"{begins}{place}", *later) if place else (first, *at_first)
            yield Row(key, (_dated(slot), *own))

    def _covered(self, probes: Iterable[_Probe]) -> Iterator[_Run]:
        """The slots with a check, in the order of time."""
        speaking: list[_Probe] = []
        low = self._state.slot
        for probe in (p for p in probes if p.possible):
            # Reports come in the order of time: none that follows speaks of a slot before this one's first.
            first = max(probe.at // SLOT, self._state.slot)
            yield from _until(first, low, speaking)
            low = first
            speaking = [p for p in (*speaking, probe) if p.end > low]
        yield from _until(2**62, low, speaking)

    def _unknown(self, environment: str, last: tuple[int, str], until: int) -> Iterator[Row]:
        """Slots without a check, after the last one that was covered and before another."""
        # By what they are about: the same slot is the same unit, whatever comes before it.
        name = hashlib.blake2b(f"{self._service}\0{environment}".encode(), digest_size=6).hexdigest()
        for slot in range(last[0] + 1, until):
            yield self._excluded(environment, last[1], slot, f"{name}-{slot}", Reason.UNKNOWN)

    def _excluded(self, environment: str, source: str, slot: int, unit: str, reason: Reason) -> Row:
        values = (_dated(slot), unit, None, *NO_PARTS, Outcome.EXCLUDED.value, str(reason), None, "", "[]")
        return Row(self._key(environment, source), values)

    def _key(self, environment: str, source: str) -> tuple[str, str, str, str, str, str]:
        return (UPTIME.name, "", self._service, environment, "", source)


def _until(slot: int, low: int, speaking: Sequence[_Probe]) -> Iterator[_Run]:
    """What reports say of the slots from one on and before another, as long as one of them speaks."""
    while speaking and low < slot:
        ends = min(slot, *(p.end for p in speaking))
        yield _Run(range(low, ends), speaking)
        low = ends
        speaking = [p for p in speaking if p.end > low]


def _dated(slot: int) -> int:
    """Its last microsecond: it is judged when it is over, and inside an excluded time that holds it."""
    return (slot + 1) * SLOT - 1


def _as_list(evidence: Sequence[str]) -> str:
    return msgspec.json.encode(evidence).decode()


def _forgets(_scope: str, before: int, organisation: Organisation) -> int:
    """A slot looks as far back as a report may speak, and an unknown one as far as unknown ones are counted."""
    options = organisation.options_of(ReliabilityOptions)
    back = max(options.ahead, options.longest_gap) // timedelta(microseconds=1)
    return before + _LONGEST_PROBE * SLOT + back


FAMILY = Family(
    name="reliability",
    inputs=(Probe,),
    indicators=(UPTIME,),
    observe=observe,
    pieces=pieces,
    scopes=scopes,
    options=ReliabilityOptions,
    forgets={Probe: _forgets},
)
