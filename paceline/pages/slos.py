"""The pages of SLOs: the list of all, the worst first, and of each one what became of its error budget, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from operator import itemgetter
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse

from collector.errors import StoreError
from collector.events import Deployment, Event, Incident
from paceline.explanations import STARTING, explain_slo_path, unit_anchor
from paceline.pages.charts import Chart, Mark
from paceline.pages.look import Look
from paceline.pages.remembered import Remembered, seen_in
from paceline.service import Published, Service
from paceline.status import left_of, pace_of, worst_first
from slo_engine.budget import allowed, shown
from slo_engine.burn import Dropped, Tier, plain, tiers_for
from slo_engine.burn_down import BurnDown, Left, burn_down, untold
from slo_engine.event_lines import EventLine, line_of, web_link
from slo_engine.exclusions import Exclusion
from slo_engine.indicator import Indicator, widths_of
from slo_engine.observation import from_micros, to_micros
from slo_engine.organisation import levels
from slo_engine.reading import Reader
from slo_engine.sli_words import measured_by
from slo_engine.slo import Composite, EventCounts, Slo, SloStatus
from slo_engine.slo_states import Conditions, Finished, finished
from slo_engine.snapshot import SloState, Snapshot
from slo_engine.spending import BadUnit, Ledger, bad_units
from slo_engine.windows import CalendarWindow
from slo_engine.words import share_text

_REMEMBERED = 64
_WINDOWS = 13
"""A year and a month of calendar months."""
_CHARGED = 1_000
"""Of so many bad events, the newest, it is told which incidents and deployments they belong to."""
_MOST = 10
"""So many of each are listed."""
_Name = Annotated[str, Path(max_length=63, description="The name of the SLO.")]
_Text = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True, kw_only=True)
class Past:
    """What the store knows of an SLO. `no_chart` says why its budget is not drawn, empty text where it is."""

    burn_down: BurnDown | None
    no_chart: str
    finished: Sequence[Finished]
    charged: Sequence[tuple[str, EventLine, int]]
    """What bad events belong to, the most and then the newest first: an incident or a deployment, and how many."""
    newest: Sequence[tuple[datetime, str, EventLine, str]]
    """The newest bad events: when, of which service, in a line, and the week that explains it."""


_NOTHING: Sequence[Any] = ()


@dataclass(frozen=True, kw_only=True)
class Burn:
    """How fast a budget burns in the long and the short window of an alert, beside the rate that it fires above."""

    tier: Tier
    long: float | None
    short: float | None
    above: float
    bad: str
    fires: bool


def slo_routes(service: Service, look: Look) -> APIRouter:
    """The routes of the pages. They are plain functions: what reads the store runs beside the event loop."""
    router = APIRouter()
    remembered: Remembered[Past] = Remembered(_REMEMBERED)
    over = Over(service)

    @router.head("/slos", include_in_schema=False)
    @router.get("/slos", response_class=HTMLResponse, include_in_schema=False)
    def slos(status: _Text = "", team: _Text = "", owner: Annotated[str, Query(alias="service")] = "") -> HTMLResponse:
        published = service.published
        if published is None:
            return look.message(STARTING, 503)
        return look.page("slos.html", here="/slos", **_listed(published, service, status, team, owner))

    @router.head("/slos/{name}", include_in_schema=False)
    @router.get("/slos/{name}", response_class=HTMLResponse, include_in_schema=False)
    def slo(name: _Name) -> HTMLResponse:
        published = service.published
        if published is None:
            return look.message(STARTING, 503)
        state = next((s for s in published.snapshot.slos if s.slo.name == name), None)
        if state is None:
            return look.message("There is no SLO of this name.", 404)
        try:
            past = remembered(
                (seen_in(published.snapshot, service), state.slo), lambda: _past(state, service, published, over)
            )
        except StoreError:
            return look.message("The store cannot be read.", 503)
        return look.page("slo.html", here="/slos", **_told(state, past, service, published))

    return router


# ---- the list


def team_of(slo: Slo, service: Service) -> str:
    """The team that an SLO is of: its own, else that of the service that owns it."""
    return slo.team or service.configuration.organisation.team(slo.owner_service)


def _listed(published: Published, service: Service, status: str, team: str, owner: str) -> dict[str, Any]:
    every = published.snapshot.slos
    teams = {s.slo.name: team_of(s.slo, service) for s in every}
    wanted = "/" + team.strip("/") if team else ""
    found = [
        state
        for state in every
        if status in ("", state.status)
        and (not wanted or wanted in levels(teams[state.slo.name]))
        and owner in ("", state.slo.owner_service)
    ]
    return {
        "at": published.snapshot.at,
        "slos": [(state, teams[state.slo.name], left_of(state), pace_of(state)) for state in worst_first(found)],
        "total": len(every),
        "statuses": list(SloStatus),
        "teams": sorted({level for one in teams.values() for level in levels(one)}),
        "services": sorted({s.slo.owner_service for s in every}),
        "chosen": {"status": status, "team": wanted, "service": owner},
    }


# ---- one SLO


def _told(state: SloState, past: Past, service: Service, published: Published) -> dict[str, Any]:
    slo, counts = state.slo, state.counts.get(state.slo.window.label)
    indicator = service.indicators.get(slo.indicator)
    raw = state.raw.get(slo.window.label)
    tiers, dropped = _tiers(state, service)
    return {
        "at": published.snapshot.at,
        "state": state,
        "slo": slo,
        "counts": counts,
        "raw": raw if raw is not None and raw != counts else None,
        "allowed": allowed(counts, slo.target) if counts and counts.total else None,
        "left": left_of(state),
        "pace": pace_of(state),
        "team": team_of(slo, service),
        "measured": measured_by(slo.sli),
        "indicator": indicator,
        "parts": slo.sli.parts if isinstance(slo.sli, Composite) else (),
        "runbook": web_link(slo.runbook or None),
        "explain": explain_slo_path(slo),
        "exclusions": [(e, _when(e)) for e in service.configuration.exclusions if e.concerns(slo)],
        "tiers": tiers,
        "dropped": dropped,
        "past": past,
        "chart": _chart(state, past.burn_down, service) if past.burn_down else None,
        "plain": plain,
        "explain_slo_path": explain_slo_path,
        "unit_anchor": unit_anchor,
    }


def _when(exclusion: Exclusion) -> str:
    """When an exclusion holds, in words."""
    first = f"{exclusion.starts_at:%Y-%m-%d %H:%M} to {exclusion.ends_at:%Y-%m-%d %H:%M %Z}"
    return f"{first}, again by {exclusion.recurrence}" if exclusion.recurrence else first


def _tiers(state: SloState, service: Service) -> tuple[list[Burn], tuple[Dropped, ...]]:
    """The burn-rate alerts of an SLO as they stand, and those that it cannot have; none of an SLO of few events."""
    slo, rates = state.slo, state.burn_rates
    if slo.alert_class != "rate":
        return [], ()
    usable, dropped = tiers_for(slo, service.tiers, service.configuration.slos)
    found = []
    for tier in usable:
        above, bad = float(tier.factor(slo.window)), state.counts.get(tier.long.label, EventCounts()).bad
        long, short = rates.get(tier.long.label), rates.get(tier.short.label)
        fires = bad >= tier.minimum_bad_events and min(long or 0.0, short or 0.0) > above
        found.append(Burn(tier=tier, long=long, short=short, above=above, bad=shown(bad), fires=fires))
    return found, dropped


def _past(state: SloState, service: Service, published: Published, over: Over) -> Past:
    """What the store knows of an SLO at the time of a snapshot. Raises StoreError."""
    slo, at = state.slo, published.snapshot.at
    indicator = service.indicators.get(slo.indicator)
    stale = sorted({s.name for s in published.snapshot.sources if not s.fresh} & state.sources)
    why = untold(slo, indicator) or (stale and f"There was no recent success of {', '.join(stale)}.") or ""
    if indicator is None:
        return Past(burn_down=None, no_chart=why, finished=_NOTHING, charged=_NOTHING, newest=_NOTHING)
    told = not (indicator.people or stale) and slo.budgeting == "occurrences"
    bad = _newest(bad_units(slo, _ledger(service), at)) if told else []
    return Past(
        burn_down=None if why else _burn_down(slo, indicator, service, at),
        no_chart=why,
        finished=over(slo, indicator, published.snapshot),
        **_charged(bad, service),
    )


def _burn_down(slo: Slo, indicator: Indicator, service: Service, at: datetime) -> BurnDown:
    configuration = service.configuration
    return burn_down(
        slo,
        indicator,
        service.observations,
        at,
        zone=service.zone.key,
        organisation=configuration.organisation,
        exclusions=configuration.exclusions,
    )


class Over:
    """The windows of SLOs that are over, remembered while nothing changed before the end of the last. Safe to share."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._settled: Remembered[tuple[Sequence[Finished], bool]] = Remembered(_REMEMBERED, itemgetter(1))

    def __call__(self, slo: Slo, indicator: Indicator, snapshot: Snapshot) -> Sequence[Finished]:
        """Those at the time of a snapshot, from the first with events on, the newest first. Raises StoreError."""
        end = (slo.window if isinstance(slo.window, CalendarWindow) else self._month).bounds(snapshot.at)[0]
        fresh = frozenset(s.name for s in snapshot.sources if s.fresh)
        key = slo, end, fresh, self._service.changes.last(to_micros(end), indicator.observed_as)
        return self._settled(key, lambda: self._told(slo, indicator, snapshot.at, fresh))[0]

    @property
    def _month(self) -> CalendarWindow:
        return CalendarWindow("month", zone=self._service.zone.key)

    def _told(
        self, slo: Slo, indicator: Indicator, at: datetime, fresh: frozenset[str]
    ) -> tuple[Sequence[Finished], bool]:
        """The windows, and whether time alone changes nothing of them: no unit is still to mature."""
        configuration = self._service.configuration
        conditions = Conditions(fresh=fresh, exclusions=configuration.exclusions)
        store = self._service.observations.only(indicator.observed_as)
        reader = Reader(store, at, configuration.organisation, widths_of({indicator.name: indicator}))
        found = finished(slo, indicator, reader, conditions, self._service.zone.key, _WINDOWS)
        # Of people a window may say nothing although there is something in it.
        while found and not (indicator.people or (found[-1].raw or found[-1].counts).total):
            found.pop()
        own = reader.pool(indicator, slo.counted).series
        return found, all(reader.columns.rows(n).ripe_at <= reader.now for n in own)


def _ledger(service: Service) -> Ledger:
    return Ledger(
        indicators=service.indicators,
        observations=service.observations,
        events=service.events,
        exclusions=service.configuration.exclusions,
        organisation=service.configuration.organisation,
    )


def _newest(bad: Iterable[BadUnit]) -> list[BadUnit]:
    return sorted(bad, key=lambda unit: (unit.at, unit.ids), reverse=True)[:_CHARGED]


def _charged(bad: Sequence[BadUnit], service: Service) -> dict[str, Any]:
    """What bad units belong to, and the newest of them."""
    known = service.events.find(sorted({event_id for unit in bad for event_id in unit.ids}))
    found: Counter[tuple[str, str]] = Counter()
    for unit in bad:
        found.update(("incident", i) for i in set(unit.ids) if isinstance(known.get(i), Incident))
        # A deployment that only ended what went wrong spent nothing.
        found.update(("deployment", i) for i in unit.ids[:1] if isinstance(known.get(i), Deployment))
    charged = [(kind, line_of(known[event_id]), n) for (kind, event_id), n in sorted(found.items())]
    charged.sort(key=lambda one: (one[2], "" if one[1].at is None else one[1].at.isoformat()), reverse=True)
    newest = (unit for unit in bad if unit.ids[0] in known)
    return {
        "charged": charged[:_MOST],
        "newest": [_line(unit, known, service) for unit in islice(newest, _MOST)],
    }


def _line(unit: BadUnit, known: Mapping[str, Event], service: Service) -> tuple[datetime, str, EventLine, str]:
    at = from_micros(unit.at)
    year, week, _ = at.astimezone(service.zone).isocalendar()
    where = "/".join(filter(None, (unit.series.service, unit.series.environment))) or unit.series.team
    return at, where, line_of(known[unit.ids[0]]), f"{year}-W{week:02}"


# ---- the chart


def _chart(state: SloState, found: BurnDown, service: Service) -> Chart:
    slo = state.slo
    return Chart(
        name="burn-down",
        about=_about(found, slo, service.zone),
        zone=service.zone.key,
        scale="share",
        marks=[
            Mark(at=one.at, value=one.remaining, few=_is_few(one, slo), text=left_text(one, state))
            for one in found.left
        ],
        limit=0.0,
        top=1.0,
    )


def _is_few(one: Left, slo: Slo) -> bool:
    return one.counts.total < slo.minimum_events


def left_text(one: Left, state: SloState) -> str:
    """What was left at a time, in words, with the events that say so."""
    if one.remaining is None:
        return f"no {state.noun}"
    said = f"{share_text(one.remaining)} left: {shown(one.counts.bad)} of {shown(one.counts.total)} {state.noun} bad"
    return f"{said}, few" if _is_few(one, state.slo) else said


def _about(found: BurnDown, slo: Slo, zone: ZoneInfo) -> str:
    """The chart in a sentence, with the days of a zone as it draws them."""
    known = [one for one in found.left if one.remaining is not None]
    if not known:
        return "Error budget left: no events are known."
    lowest = min(known, key=lambda one: one.remaining or 0.0)
    return (
        f"Error budget left in {slo.window.label}, from {known[0].at.astimezone(zone):%Y-%m-%d} to "
        f"{known[-1].at.astimezone(zone):%Y-%m-%d}: {share_text(known[0].remaining or 0.0)} at the start, "
        f"{share_text(known[-1].remaining or 0.0)} at the end, at the lowest {share_text(lowest.remaining or 0.0)} on "
        f"{lowest.at.astimezone(zone):%Y-%m-%d}."
    )
