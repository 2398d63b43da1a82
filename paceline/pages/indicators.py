"""The pages of indicators: what there is, and of each one the numbers of whoever is chosen, now and week by week."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse

from collector.errors import StoreError
from paceline.explanations import STARTING, explain_path
from paceline.pages.charts import Chart, Mark, Scale
from paceline.pages.look import Look, counted_text
from paceline.pages.remembered import Remembered, seen_in
from paceline.service import Published, Service
from slo_engine.benchmarks import QUICK_CHECK
from slo_engine.explain import subject_text
from slo_engine.indicator import Family, Indicator, Shape, Unit, families
from slo_engine.number_words import cell_text, interval_text, labels_of, leading, value_text
from slo_engine.observation import Subject, label_values, labelled, to_micros
from slo_engine.organisation import levels
from slo_engine.sampling import NOW
from slo_engine.slo import Slo
from slo_engine.snapshot import Accounting, Number, Part, Snapshot
from slo_engine.suppression import Cell
from slo_engine.weekly import Week
from slo_engine.weeks_of import WeekNumber, beside_windows, weeks_before, weeks_of
from slo_engine.windows import INDICATOR_WINDOWS

WEEKS = 26
"""Half a year of calendar weeks is drawn."""
FEW = Slo.minimum_events
"""A share or duration of fewer units than an SLO usually needs is marked."""
_REMEMBERED = 256
_SHAPES: Mapping[Shape, Scale] = {Shape.DURATION: "seconds", Shape.RATIO: "share", Shape.FREQUENCY: "number"}
_UNITS: Mapping[Unit, Scale] = {Unit.SECONDS: "seconds", Unit.RATIO: "share", Unit.COUNT: "number"}
_Text = Annotated[str, Query(max_length=200)]
_Labels = Annotated[list[str], Query(max_length=10, description="A value of a label, like journey=provision-db.")]
_Named = Annotated[str, Path(max_length=100, description="The name of the indicator.")]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Whose number is shown: a subject, and the values of the published labels, see `labelled`."""

    subject: Subject
    cell: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """A number in a window, with what stands beside it; `withheld` where it is not told."""

    window: str
    number: Number | None
    beside: Accounting | None
    withheld: bool
    score: float | None
    tiers: Sequence[str]


Index = Mapping[str, Mapping[Subject, Part]]
Listed = tuple[Family, Sequence[tuple[Indicator, Number | None, str]]]
"""A family with its indicators: each with the number of the organisation, or why there is none."""


def indicator_routes(service: Service, look: Look) -> APIRouter:
    """The routes of the pages. They are plain functions: what reads the store runs beside the event loop."""
    router = APIRouter()
    indexed: Remembered[Index] = Remembered(1)
    listed: Remembered[Sequence[Listed]] = Remembered(1)
    weeks = KnownWeeks(service)

    def index_of(published: Published) -> Index:
        return indexed(seen_in(published.snapshot, service), lambda: _index(published.snapshot))

    @router.head("/indicators", include_in_schema=False)
    @router.get("/indicators", response_class=HTMLResponse, include_in_schema=False)
    def indicators() -> HTMLResponse:
        published = service.published
        if published is None:
            return look.message(STARTING, 503)
        snapshot, index = published.snapshot, index_of(published)
        found = listed(seen_in(snapshot, service), lambda: list(_families(snapshot, index, service)))
        return look.page("indicators.html", here="/indicators", at=published.snapshot.at, families=found, whose=whose)

    @router.head("/indicators/{name}", include_in_schema=False)
    @router.get("/indicators/{name}", response_class=HTMLResponse, include_in_schema=False)
    def indicator(
        name: _Named,
        owner: Annotated[str, Query(alias="service", max_length=200)] = "",
        team: _Text = "",
        environment: _Text = "",
        label: _Labels = [],  # noqa: B006 - FastAPI copies it
    ) -> HTMLResponse:
        published = service.published
        if published is None:
            return look.message(STARTING, 503)
        about = service.indicators.get(name)
        if about is None:
            return look.message("There is no indicator of this name.", 404)
        parts = index_of(published).get(name, {})
        wanted = _Wanted(owner, "/" + team.strip("/") if team else "", environment, tuple(label))
        chosen = _chosen(about, parts, wanted, service)
        try:
            found = weeks(about, chosen, Week.last_before(published.snapshot.at, service.zone)) if chosen else ()
        except StoreError:
            return look.message("The store cannot be read.", 503)
        if about.people and chosen:
            smallest = service.configuration.organisation.smallest_group
            found = beside_windows(found, _shown_in(parts[chosen.subject], chosen, published.snapshot.at), smallest)
        values = _told(about, parts, chosen, found, service, published)
        return look.page(
            "indicator.html", here="/indicators", status=200 if chosen or not any(wanted) else 404, **values
        )

    return router


_Weeks = dict[tuple[Week, Hashable], WeekNumber]


class KnownWeeks:
    """The numbers of weeks that are over, each as long as nothing changed that lies before its end.

    Whoever asks for some, of which most are known, waits for the others alone. Safe to ask from several threads.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._asked: Remembered[Sequence[WeekNumber]] = Remembered(_REMEMBERED)
        self._kept: Remembered[_Weeks] = Remembered(_REMEMBERED)
        self._looking = threading.Lock()

    def __call__(self, indicator: Indicator, chosen: Chosen, last: Week) -> Sequence[WeekNumber]:
        """The numbers of the weeks up to and with one, the oldest first. Raises StoreError."""
        wanted = tuple((week, self._made_from(indicator, week)) for week in weeks_before(last, WEEKS))
        return self._asked((indicator.name, chosen, wanted), lambda: self._told(indicator, chosen, wanted))

    def _told(
        self, indicator: Indicator, chosen: Chosen, wanted: Sequence[tuple[Week, Hashable]]
    ) -> Sequence[WeekNumber]:
        kept = self._kept((indicator.name, chosen), dict)
        with self._looking:
            found = {one: kept[one] for one in wanted if one in kept}
        missing = [one for one in wanted if one not in found]
        organisation, store = self._service.configuration.organisation, self._service.observations
        weeks = [week for week, _ in missing]
        made = weeks_of(indicator, chosen.subject, chosen.cell, weeks, store, organisation)
        found |= zip(missing, made, strict=True)
        with self._looking:
            kept.clear()
            kept.update(found)
        return [found[one] for one in wanted]

    def _made_from(self, indicator: Indicator, week: Week) -> Hashable:
        """What changes when the number of a week may."""
        changes, organisation = self._service.changes, self._service.configuration.organisation
        # Without teams in the catalogue those that any observation names decide whether there are levels.
        others = 0 if any(s.team for s in organisation.services) else changes.comings
        return changes.last(week.span.until, indicator.observed_as), others, id(organisation)


def _index(snapshot: Snapshot) -> Index:
    found: dict[str, dict[Subject, Part]] = {}
    for part in snapshot.parts:
        if part.numbers or part.accounting:
            found.setdefault(part.indicator, {})[part.subject] = part
    return found


# ---- who is chosen


@dataclass(frozen=True)
class _Wanted:
    """What the address asks for; empty text for what it leaves open. `team` is a path."""

    service: str
    team: str
    environment: str
    labels: tuple[str, ...]

    def __iter__(self) -> Iterator[str]:
        return iter((self.service, self.team, self.environment, *self.labels))


def _chosen(about: Indicator, parts: Mapping[Subject, Part], wanted: _Wanted, service: Service) -> Chosen | None:
    """The subject and label values that are shown; None where nothing is known of what is asked for."""
    subject = min((s for s in parts if _fits(s, wanted)), key=lambda s: _farness(s, service), default=None)
    if subject is None:
        return None
    named = [label for label in about.labels if label]
    values = dict(one.split("=", 1) for one in wanted.labels if "=" in one)
    known = [label_values(a.dimension, len(named)) for a in parts[subject].accounting] if named else []
    cell = []
    for place, label in enumerate(named):
        there = sorted({row[place] for row in known})
        value = values.get(label, "")
        if value and value not in there:
            return None
        # Of values that are never one number, the first stands for the others until one is chosen.
        cell.append(value or ("" if label not in about.apart else next(iter(there), "")))
    return Chosen(subject=subject, cell=labelled(*cell) if named else "")


def _fits(subject: Subject, wanted: _Wanted) -> bool:
    if wanted.environment not in ("", subject.environment):
        return False
    if wanted.service:
        return subject.service == wanted.service and (not wanted.team or wanted.team in levels(subject.team))
    return not wanted.team or (not subject.service and subject.team == wanted.team)


def _farness(subject: Subject, service: Service) -> tuple[bool, bool, int, Subject]:
    """How far a subject is from the whole organisation in production, which is shown unless told otherwise."""
    other = bool(subject.environment) and not service.configuration.organisation.is_production(
        subject.service, subject.environment
    )
    return bool(subject.service), other, len(levels(subject.team)), subject


def whose(subject: Subject) -> str:
    """For whom a number is, as people read it."""
    if subject.service or subject.team not in ("", "/"):
        return subject_text(subject)
    return ", ".join(filter(None, ("the whole organisation", subject.environment)))


# ---- the index


def _families(snapshot: Snapshot, index: Index, service: Service) -> Iterator[Listed]:
    """The families that this service has."""
    for family in families():
        rows = []
        for indicator in family.indicators:
            if indicator.name not in service.indicators:
                continue
            parts = index.get(indicator.name, {})
            chosen = _chosen(indicator, parts, _Wanted("", "", "", ()), service)
            number = _number(parts[chosen.subject], chosen.cell, _usual(indicator)) if chosen else None
            rows.append((indicator, number, "" if number else _why_none(snapshot, indicator, chosen)))
        if rows:
            yield family, rows


def _usual(indicator: Indicator) -> str:
    """The window that an indicator is told in where there is room for one."""
    return "90d" if indicator.people else "28d"


def _number(part: Part, cell: str, window: str) -> Number | None:
    return next((n for n in part.numbers if n.dimension == cell and n.window in (window, NOW)), None)


def _why_none(snapshot: Snapshot, indicator: Indicator, chosen: Chosen | None) -> str:
    """Why there is no number."""
    cells = snapshot.suppressed.get(indicator.name, ())
    window = _usual(indicator)
    if chosen and any(Cell(chosen.subject, w, chosen.cell) in cells for w in (window, NOW)):
        return "withheld: too few people"
    return "nothing is known, or no source of it is fresh"


# ---- one indicator


def _told(
    about: Indicator,
    parts: Mapping[Subject, Part],
    chosen: Chosen | None,
    weeks: Sequence[WeekNumber],
    service: Service,
    published: Published,
) -> dict[str, Any]:
    part = parts[chosen.subject] if chosen else None
    rows = list(_rows(about, part, chosen, published.snapshot, service)) if part and chosen else []
    return {
        "at": published.snapshot.at,
        "about": about,
        "chosen": chosen,
        "rows": rows,
        "split": [n for n in part.numbers if _is_part(about, n, chosen)] if part and chosen else [],
        "weeks": [(one, _note(about, one)) for one in reversed(weeks)],
        "chart": _chart(about, weeks, chosen, service) if weeks and chosen else None,
        "choices": _choices(about, parts, part),
        "values": labels_of(about, chosen.cell) if chosen else {},
        "benchmarked": about.name in QUICK_CHECK,
        "benchmarks": service.benchmarks,
        "explain_path": explain_path,
        "whose": whose,
        "few": FEW,
        "shapes": Shape,
    }


def _shown_in(part: Part, chosen: Chosen, at: datetime) -> list[tuple[int, int]]:
    """After which time each published window of a number begins, and how many it is about."""
    lengths = {window.label: window.length for window in INDICATOR_WINDOWS}
    own = [n for n in part.numbers if n.dimension == chosen.cell and n.window in lengths]
    return [(to_micros(at - lengths[n.window]), n.n) for n in own]


def _rows(about: Indicator, part: Part, chosen: Chosen, snapshot: Snapshot, service: Service) -> Iterator[Row]:
    """The number in each published window, with the score and the published tiers that hold it."""
    there = {*(n.window for n in part.numbers), *(a.window for a in part.accounting)}
    hidden = snapshot.suppressed.get(about.name, frozenset())
    for window in (w for w in (*(one.label for one in INDICATOR_WINDOWS), NOW) if w in there):
        number = next((n for n in part.numbers if (n.window, n.dimension) == (window, chosen.cell)), None)
        beside = next((a for a in part.accounting if (a.window, a.dimension) == (window, chosen.cell)), None)
        value = number.stats.get(leading(about)) if number else None
        benchmarks = service.benchmarks if about.name in QUICK_CHECK else None
        yield Row(
            window=window,
            number=number,
            beside=beside,
            withheld=Cell(chosen.subject, window, chosen.cell) in hidden,
            score=snapshot.scores.get((chosen.subject, window), {}).get(about.name),
            tiers=benchmarks.tiers_of(about.name, value) if benchmarks else (),
        )


def _is_part(about: Indicator, number: Number, chosen: Chosen) -> bool:
    """Whether a number is a part of the chosen one: a stage of a duration, or one value of its labels."""
    if number.dimension == chosen.cell or number.window not in (_usual(about), NOW):
        return False
    own = labels_of(about, number.dimension)
    taken = labels_of(about, chosen.cell)
    changed = [label for label in own if own[label] != taken[label]]
    return not own or (len(changed) == 1 and bool(own[changed[0]]))


def _choices(about: Indicator, parts: Mapping[Subject, Part], part: Part | None) -> dict[str, Any]:
    """What can be chosen: services, levels of teams, environments, and values of each label."""
    named = [label for label in about.labels if label]
    known = [label_values(a.dimension, len(named)) for a in part.accounting] if named and part else []
    return {
        "services": sorted({s.service for s in parts if s.service}),
        "teams": sorted({s.team for s in parts if s.team and not s.service}),
        "environments": sorted({s.environment for s in parts if s.environment}),
        "labels": {label: sorted({row[n] for row in known if row[n]}) for n, label in enumerate(named)},
    }


# ---- the chart


def _chart(about: Indicator, weeks: Sequence[WeekNumber], chosen: Chosen, service: Service) -> Chart:
    scale = _UNITS[about.unit] if about.shape is Shape.MEASURE else _SHAPES[about.shape]
    return Chart(
        name="weeks",
        about=_about(about, weeks, chosen),
        zone=service.zone.key,
        scale=scale,
        marks=[_mark(about, week) for week in weeks],
        top=1.0 if scale == "share" else None,
    )


def _mark(about: Indicator, week: WeekNumber) -> Mark:
    """A week in the chart; without a value a gap, never zero."""
    stats = week.whole.stats if week.whole else {}
    value, low, high = (stats.get(name) for name in (leading(about), "low", "high"))
    bounded = value is not None and low is not None and high is not None
    return Mark(
        at=week.week.start,
        value=value,
        low=low if bounded else None,
        high=high if bounded else None,
        few=is_few(about, week),
        text=_text(about, week),
    )


def is_few(about: Indicator, week: WeekNumber) -> bool:
    """Whether a share or duration rests on few units."""
    found = week.whole
    return about.shape in (Shape.RATIO, Shape.DURATION) and found is not None and 0 < found.n < FEW


def _text(about: Indicator, week: WeekNumber) -> str:
    """A week in words."""
    found = week.whole
    if found is None or not found.stats:
        return f"{week.week.label}: {_note(about, week)}"
    interval = interval_text(about, found.stats)
    said = f"{week.week.label}: {value_text(about, found.stats)}{f' ({interval})' if interval else ''}, n {found.n}"
    return f"{said}, few" if is_few(about, week) else said


def _note(about: Indicator, week: WeekNumber) -> str:
    """What is to be said of a week beside its numbers."""
    if week.withheld:
        return "withheld: it, or what it would reveal, is about too few people"
    if week.whole is None or not week.whole.stats:
        return "no data"
    return f"few: fewer than {FEW}" if is_few(about, week) else ""


def _about(about: Indicator, weeks: Sequence[WeekNumber], chosen: Chosen) -> str:
    """The chart in a sentence."""
    known = [(week, week.whole) for week in weeks if week.whole and week.whole.stats]
    whom = cell_text(about, chosen.cell) if about.labels else ""
    title = f"{about.title}{f', {whom}' if whom else ''}, in {len(weeks)} calendar weeks"
    if not known:
        return f"{title}: no week has a value."
    (first, then), (last, now) = known[0], known[-1]
    gaps = len(weeks) - len(known)
    beside = f"; {counted_text(gaps, 'week', 'weeks')} without a value" if gaps else ""
    return (
        f"{title}: {value_text(about, then.stats)} in {first.week.label}, {value_text(about, now.stats)} in "
        f"{last.week.label}{beside}."
    )
