"""What an SLO and its alerts would have done over a past: alerts, incidents found and missed, budget, attainment. Pure.

Where the past comes from is `slo_engine/history.py`'s to say; when alerts fire `slo_engine/replay.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from slo_engine.achievable import Suggestion, suggestion
from slo_engine.burn import Tier, plain, tiers_for
from slo_engine.observation import from_micros, to_micros
from slo_engine.replay import Fired, Floats, History, Ints, budget_of, replay, window_starts
from slo_engine.slo import Slo
from slo_engine.windows import CalendarWindow
from slo_engine.words import duration_text, share_text

_MICROSECOND = timedelta(microseconds=1)
_MONTH = timedelta(days=30)
_EVERY = timedelta(days=1)
_SHOWN = 20
"""As many alerts and windows are listed as text; the JSON form has all."""


@dataclass(frozen=True, kw_only=True)
class Incident:
    """Something that users felt, by a name, from `start` to `end` (aware)."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class Detection:
    """An incident and when alerts saw it: seconds from its start to the first minute of each alert that fired for it.

    0 where an alert was already firing. Nothing for an incident that was missed.
    """

    incident: Incident
    seconds_by_alert: Mapping[str, float]

    @property
    def seconds(self) -> float | None:
        """The time to detect: of the first alert; None for a missed incident."""
        return min(self.seconds_by_alert.values(), default=None)


@dataclass(frozen=True, kw_only=True)
class Attained:
    """A finished window of the SLO: from `start` up to `end`, its events, and whether the target was met."""

    start: datetime
    end: datetime
    total: float
    bad: float
    met: bool

    @property
    def attainment(self) -> float:
        """The share of good events."""
        return 1 - self.bad / self.total


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """What an SLO and its alerts would have done between two times.

    `fired` are the alerts of tiers, budgets and policies, `notified` what people would have got: one alert for each
    severity. `curve` is the share of the budget that is left at some times, None without events. `refused` are tiers
    that cannot fire, with the reason. Without a `suggestion`, `why_none` says why.
    """

    slo: Slo
    group: str
    start: datetime
    end: datetime
    known_from: datetime
    total: float
    bad: float
    fired: tuple[Fired, ...]
    notified: tuple[Fired, ...]
    refused: tuple[str, ...]
    detections: tuple[Detection, ...]
    without_incident: tuple[Fired, ...]
    curve: tuple[tuple[datetime, float | None], ...]
    windows: tuple[Attained, ...]
    suggestion: Suggestion | None
    why_none: str = ""

    @property
    def per_month(self) -> dict[str, float]:
        """Alerts in 30 days, by alert, and by notification."""
        months = (self.end - self.start) / _MONTH
        counts: dict[str, int] = {}
        for one in dict.fromkeys((*self.fired, *self.notified)):
            counts[one.alert] = counts.get(one.alert, 0) + 1
        return {alert: n / months for alert, n in counts.items()}

    @property
    def missed(self) -> tuple[Incident, ...]:
        """The incidents that no alert saw."""
        return tuple(d.incident for d in self.detections if d.seconds is None)


def backtest(
    slo: Slo,
    history: History,
    tiers: Sequence[Tier],
    incidents: Iterable[Incident] = (),
    *,
    group: str = "",
    every: timedelta = _EVERY,
) -> Backtest:
    """What an SLO and its alerts would have done over a history; the budget is told `every` so often.

    Alerts without an incident are listed where incidents were named. Raises ValueError for a composite, and for a
    history that ends before it begins.
    """
    if history.until <= history.after:
        raise ValueError(f"the range ends at {from_micros(history.until)}, before it begins; expected a later end")
    said = replay(slo, history, tiers)
    named = sorted(incidents, key=lambda incident: (incident.start, incident.name))
    total, bad = (float(one[0]) for one in history.count(np.array([history.after]), np.array([history.until])))
    found, why_none = suggestion(slo, history)
    dropped = tiers_for(slo, tiers)[1] if slo.alert_class == "rate" else ()
    return Backtest(
        slo=slo,
        group=group,
        start=from_micros(history.after),
        end=from_micros(history.until),
        known_from=from_micros(history.known_from),
        total=total,
        bad=bad,
        fired=said.fired,
        notified=said.notified,
        refused=tuple(f"{d.tier.name}: {d.reason}" for d in dropped),
        detections=tuple(_detection(incident, (*said.fired, *said.notified)) for incident in named),
        without_incident=tuple(f for f in said.notified if not any(_meets(f, i) for i in named)) if named else (),
        curve=tuple(_curve(slo, history, every)),
        windows=tuple(finished(slo, history)),
        suggestion=found,
        why_none=why_none,
    )


# ---- incidents


def incident_of(text: str) -> Incident:
    """The incident of `name=start/end` with ISO times. Raises ValueError saying what was expected."""
    name, equals, times = text.partition("=")
    first, slash, last = times.partition("/")
    expected = "a name and two times, such as checkout-down=2026-03-01T10:00Z/2026-03-01T10:40Z"
    if not (name.strip() and equals and slash):
        raise ValueError(f"{text[:80]!r} is no incident; expected {expected}")
    try:
        start, end = datetime.fromisoformat(first.strip()), datetime.fromisoformat(last.strip())
    except ValueError as error:
        raise ValueError(f"{times[:80]!r} has a time that is none; expected {expected}") from error
    if start.tzinfo is None or end.tzinfo is None:
        raise ValueError(f"{times[:80]!r} has a time without an offset; expected {expected}")
    if end <= start:
        raise ValueError(f"{name.strip()} ends before it begins; expected {expected}")
    return Incident(name=name.strip(), start=start, end=end)


def _meets(fired: Fired, incident: Incident) -> bool:
    """Whether an alert belongs to an incident: it fires during it, or while its short window still holds some of it."""
    latest = incident.end + timedelta(seconds=fired.grace_seconds)
    return fired.start <= latest and (fired.end > incident.start or fired.lasting)


def _detection(incident: Incident, fired: Iterable[Fired]) -> Detection:
    seconds: dict[str, float] = {}
    for one in fired:
        if _meets(one, incident):
            late = max(0.0, (one.start - incident.start).total_seconds())
            seconds[one.alert] = min(late, seconds.get(one.alert, late))
    return Detection(incident=incident, seconds_by_alert=seconds)


# ---- budget and attainment


def _curve(slo: Slo, history: History, every: timedelta) -> Iterator[tuple[datetime, float | None]]:
    """The share of the budget that is left, at steps back from the end of the history."""
    step = every // _MICROSECOND
    times: Ints = np.arange(history.until, history.after, -step, dtype=np.int64)[::-1]
    left = _left(slo, *history.count(window_starts(slo, times), times))
    for at, share in zip(times.tolist(), left.tolist(), strict=True):
        yield from_micros(at), None if np.isnan(share) else share


def _left(slo: Slo, total: Floats, bad: Floats) -> Floats:
    budget = budget_of(slo)
    allowed, spent = total * budget.numerator, bad * budget.denominator
    share: Floats = 1 - np.divide(spent, allowed, out=np.full(total.size, np.nan), where=total > 0)
    return share


def finished(slo: Slo, history: History) -> Iterator[Attained]:
    """The finished windows that end within a history, from the oldest on: rolling ones follow each other.

    A window with too few events, or that is covered too little, is left out: it says nothing.
    """
    bounds = np.array(sorted(_bounds(slo, history)), dtype=np.int64).reshape(-1, 2)
    total, bad = history.count(bounds[:, 0], bounds[:, 1])
    left = _left(slo, total, bad)
    covered = (bounds[:, 1] - np.maximum(bounds[:, 0], history.known_from)) / np.maximum(bounds[:, 1] - bounds[:, 0], 1)
    sure = (covered >= slo.minimum_coverage) & (total >= slo.minimum_events) & (total > 0)
    for place in np.flatnonzero(sure):
        start, end = bounds[place].tolist()
        calendar = isinstance(slo.window, CalendarWindow)
        yield Attained(
            start=from_micros(start + calendar),
            end=from_micros(end + calendar),
            total=float(total[place]),
            bad=float(bad[place]),
            met=bool(left[place] >= 0),
        )


def _bounds(slo: Slo, history: History) -> Iterator[tuple[int, int]]:
    """The windows (start, end], in microseconds, that end within a history, from the newest on."""
    if not isinstance(slo.window, CalendarWindow):
        length = slo.window.length // _MICROSECOND
        yield from ((end - length, end) for end in range(history.until, history.after, -length))
        return
    start, end = slo.window.before(slo.window.bounds(from_micros(history.until + 1))[0])
    while to_micros(end) - 1 > history.after:
        yield to_micros(start) - 1, to_micros(end) - 1  # a calendar's window holds its first time, not its last
        start, end = slo.window.before(start)


# ---- text and JSON


def lines(found: Backtest) -> list[str]:
    """The result as people read it."""
    name = f"{found.slo.name} ({found.group})" if found.group else found.slo.name
    days = (found.end - found.start) / timedelta(days=1)
    head = f"{name}, target {share_text(float(found.slo.target))} in {found.slo.window.label}"
    return [
        head,
        f"{_at(found.start)} to {_at(found.end)}, {days:.1f} days; events known from {_at(found.known_from)}",
        f"{found.bad:.10g} bad of {found.total:.10g} events",
        *_of_alerts(found),
        *_of_incidents(found),
        *_of_windows(found),
        *_of_target(found),
    ]


def _of_alerts(found: Backtest) -> Iterator[str]:
    rates = found.per_month
    yield f"alerts: {', '.join(f'{a} {r:.1f}' for a, r in rates.items())} per 30 days" if rates else "alerts: none"
    yield from (f"  {reason}" for reason in found.refused)
    yield from _listed([_fired(one) for one in found.notified])


def _fired(one: Fired) -> str:
    lasts = "still firing" if one.lasting else duration_text(one.duration_seconds)
    return f"  {one.alert} ({one.severity}) {_at(one.start)} to {_at(one.end)}, {lasts}"


def _of_incidents(found: Backtest) -> Iterator[str]:
    if not found.detections:
        return
    yield f"incidents: {len(found.detections)}, missed {len(found.missed)}"
    for one in found.detections:
        by = sorted(one.seconds_by_alert.items(), key=lambda item: (item[1], item[0]))
        seen = ", ".join(f"{alert} after {duration_text(seconds)}" for alert, seconds in by)
        yield f"  {one.incident.name}, {_at(one.incident.start)}: {seen or 'missed'}"
    yield f"alerts without an incident: {len(found.without_incident)}"
    yield from _listed([_fired(one) for one in found.without_incident])


def _of_windows(found: Backtest) -> Iterator[str]:
    known = [left for _, left in found.curve if left is not None]
    if known:
        yield f"budget left: {share_text(known[-1])} at the end, {share_text(min(known))} at least"
    met = sum(window.met for window in found.windows)
    yield f"finished windows: {len(found.windows)}, {met} met the target"
    yield from _listed(
        [
            f"  {_at(w.start)} to {_at(w.end)}: {share_text(w.attainment)}, {'met' if w.met else 'missed'}"
            for w in found.windows
        ]
    )


def _of_target(found: Backtest) -> Iterator[str]:
    made = found.suggestion
    if made is None:
        yield f"no target is suggested: {found.why_none}"
        return
    interval = f"{share_text(made.low)} to {share_text(made.high)}"
    yield f"achievable target: {plain(made.target)}; 95% of windows lie in {interval} ({made.method})"


def _listed(texts: Sequence[str]) -> Iterator[str]:
    """The newest of some lines, and how many are left out."""
    if len(texts) > _SHOWN:
        yield f"  {len(texts) - _SHOWN} earlier ones are not shown"
    yield from texts[-_SHOWN:]


def _at(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"


def as_json(found: Backtest) -> dict[str, Any]:
    """The result as programs read it: times in ISO form, durations in seconds, shares from 0 to 1."""
    made = found.suggestion
    return {
        "slo": found.slo.name,
        "group": found.group,
        "target": plain(found.slo.target),
        "window": found.slo.window.label,
        "start": found.start.isoformat(),
        "end": found.end.isoformat(),
        "known_from": found.known_from.isoformat(),
        "total": found.total,
        "bad": found.bad,
        "alerts_per_30_days": found.per_month,
        "alerts": [_fired_json(one) for one in found.fired],
        "notifications": [_fired_json(one) for one in found.notified],
        "refused": list(found.refused),
        "incidents": [_detection_json(one) for one in found.detections],
        "without_incident": [_fired_json(one) for one in found.without_incident],
        "budget_remaining": [{"at": at.isoformat(), "ratio": left} for at, left in found.curve],
        "windows": [_window_json(one) for one in found.windows],
        "suggestion": None if made is None else _suggestion_json(made),
        "why_no_suggestion": found.why_none,
    }


def _fired_json(one: Fired) -> dict[str, Any]:
    return {
        "alert": one.alert,
        "severity": one.severity,
        "start": one.start.isoformat(),
        "end": one.end.isoformat(),
        "duration_seconds": one.duration_seconds,
        "lasting": one.lasting,
    }


def _detection_json(one: Detection) -> dict[str, Any]:
    return {
        "name": one.incident.name,
        "start": one.incident.start.isoformat(),
        "end": one.incident.end.isoformat(),
        "seconds_to_detect": one.seconds,
        "seconds_by_alert": dict(one.seconds_by_alert),
    }


def _window_json(one: Attained) -> dict[str, Any]:
    return {
        "start": one.start.isoformat(),
        "end": one.end.isoformat(),
        "total": one.total,
        "bad": one.bad,
        "attainment": one.attainment,
        "met": one.met,
    }


def _suggestion_json(one: Suggestion) -> dict[str, Any]:
    return {"target": plain(one.target), "low": one.low, "high": one.high, "method": one.method, "blocks": one.blocks}
