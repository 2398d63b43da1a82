"""What changed in a week: SLOs, exclusions, and judgements that were published before."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from collector.store import Restatement, to_micros
from slo_engine.exclusions import Exclusion, counted, merged
from slo_engine.restated import RestatedLine, restated_lines, units_in
from slo_engine.slo import Slo
from slo_engine.slo_states import is_counted, judged
from slo_engine.weekly.counting import SloUnits
from slo_engine.weekly.known import MOST_RESTATED, Asked, clean
from slo_engine.weekly.model import Changes, Excluded, Restated, RestatedUnit, SloChange
from slo_engine.words import share_text

_NEWEST = 5
_DATED = re.compile(r"\[(-?\d+)")


def changes_of(asked: Asked, units: SloUnits) -> Changes:
    """What changed in the week, and what of the week changed after it."""
    records = [r for r in asked.known.restated if _is_told(r, asked)]
    first, after = to_micros(asked.week.start), to_micros(asked.week.end)
    return Changes(
        slos=_of_slos(asked),
        excluded=tuple(_excluded(asked, units)),
        restated=_restated([r for r in records if first <= r.restated_at < after], asked),
        since=_restated([r for r in records if r.restated_at >= after and _is_of(r, first, after)], asked),
    )


# --- SLOs ------------------------------------------------------------------------------------------------


def _of_slos(asked: Asked) -> tuple[SloChange, ...] | None:
    """The SLOs that came, went, or promise something else; None where nothing knows."""
    if asked.known.slos_then is None:
        return None
    before, after = ({s.name: s for s in slos if asked.concerns(s)} for slos in asked.known.slos_then)
    found = ((name, before.get(name), after.get(name)) for name in sorted({*before, *after}))
    titles = {name: slo.title or name for name, slo in (before | after).items()}
    return tuple(SloChange(slo=clean(titles[name]), what=what) for name, old, new in found if (what := _what(old, new)))


def _what(old: Slo | None, new: Slo | None) -> str:
    """What became of an SLO in words; empty where it promises the same."""
    if old is None or new is None:
        return "removed" if new is None else f"new, {share_text(float(new.target))} in {new.window.label}"
    said = []
    if old.target != new.target:
        said.append(f"target from {share_text(float(old.target))} to {share_text(float(new.target))}")
    if old.window != new.window:
        said.append(f"window from {old.window.label} to {new.window.label}")
    if (old.sli, old.budgeting, old.slice, old.slice_target) != (new.sli, new.budgeting, new.slice, new.slice_target):
        said.append("what it measures")
    return f"changed: {', '.join(said)}" if said else ""


# --- exclusions ------------------------------------------------------------------------------------------


def _excluded(asked: Asked, units: SloUnits) -> Iterable[Excluded]:
    """The exclusions that held in the week, in one order whatever that of the files."""
    found = (_one(e, asked, units) for e in asked.known.exclusions)
    return sorted((e for e in found if e is not None), key=lambda e: (e.ticket, e.author, e.reason, e.slos, e.seconds))


def _one(exclusion: Exclusion, asked: Asked, units: SloUnits) -> Excluded | None:
    slots = merged(exclusion.slots(to_micros(asked.week.start) - 1, to_micros(asked.at)))
    slos = [s for s in asked.known.slos if exclusion.concerns(s) and asked.concerns(s)]
    if not slots or not slos:
        return None
    return Excluded(
        slos=tuple(clean(s.title or s.name) for s in slos),
        reason=exclusion.reason.value,
        author=clean(exclusion.author),
        ticket=clean(exclusion.ticket),
        seconds=sum(slot.end - slot.start for slot in slots) / 1e6,
        units=float(sum(_inside(s, asked, units, slots) for s in slos)),
    )


def _inside(slo: Slo, asked: Asked, units: SloUnits, slots: Sequence[tuple[int, int]]) -> int:
    """How many units of an SLO lie in some slots; of people that is not told."""
    if not is_counted(slo) or asked.known.indicators[slo.indicator].people:
        return 0
    now = to_micros(asked.at)
    times, _ = judged(slo, units.units(slo, now))
    times = times[times <= now]
    return int(np.count_nonzero(~counted(times, slots)))  # type: ignore[arg-type]  # slots are pairs


# --- judgements ------------------------------------------------------------------------------------------


def _is_told(record: Restatement, asked: Asked) -> bool:
    """Whether a record is the business of whoever is told; a person's judgement is no team's."""
    if not asked.team:
        return True
    indicator = asked.known.indicators.get(record.indicator)
    if indicator is None or indicator.people:
        return False
    return asked.concerns_team(record.team or asked.known.organisation.team(record.service))


def _is_of(record: Restatement, first: int, after: int) -> bool:
    """Whether a judgement is, or was, dated in a week; one line for many units tells no date."""
    dates = (_DATED.match(text) for text in (record.was, record.now))
    return any(match is not None and first <= int(match[1]) < after for match in dates)


def _restated(records: Sequence[Restatement], asked: Asked) -> Restated:
    known = asked.known
    newest = sorted(records, key=lambda r: (-r.restated_at, *r[1:]))[:_NEWEST]
    events = known.events.find([r.unit for r in newest if r.unit])
    lines = restated_lines(newest, known.indicators, events, asked.week.zone)
    reasons: Counter[str] = Counter()
    for record in records:
        reasons[clean(record.why)] += units_in([record])
    return Restated(
        units=units_in(records),
        at_least=len(known.restated) >= MOST_RESTATED,
        reasons=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        newest=tuple(_unit(line, asked) for line in lines),
    )


def _unit(line: RestatedLine, asked: Asked) -> RestatedUnit:
    about = asked.known.indicators.get(line.indicator)
    return RestatedUnit(
        at=line.at,
        indicator=line.indicator,
        title=about.title if about else clean(line.indicator),
        whom=clean("/".join(filter(None, line.subject[:2])) or line.subject.team or "all"),
        unit=clean(f"{line.unit.kind} {line.unit.label}") if line.unit else "several",
        change=clean(line.change),
        why=clean(line.why),
    )
