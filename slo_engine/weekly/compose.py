"""Composes the summary of a week from what the store knows. Asks no clock: the same events give the same summary."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from collector.bulk import seldom_collecting
from collector.store import to_micros
from slo_engine.benchmarks import QUICK_CHECK
from slo_engine.indicator import named_of, widths_of
from slo_engine.reading import Reader
from slo_engine.weekly.changes import changes_of
from slo_engine.weekly.counting import SloUnits
from slo_engine.weekly.decisions import decisions, undecided
from slo_engine.weekly.delivery import MOST, Delivering, industry
from slo_engine.weekly.known import Asked, Known, clean
from slo_engine.weekly.losses import MOST_LOSSES, Charging, losses
from slo_engine.weekly.model import Audience, Quality, SourceCover, Verdict, WeeklySummary
from slo_engine.weekly.observed import data_of, unmatched_in
from slo_engine.weekly.own import own_numbers
from slo_engine.weekly.slos import STATUS_ORDER as _ORDER
from slo_engine.weekly.slos import WORST, Before, counted, line, states_at_end
from slo_engine.weekly.week import Week

_KEPT = _ORDER[-1], _ORDER[1]
"""Healthy, and at risk: something is left of the budget."""
_LEADERS_LOSSES = 5


def weekly(
    week: Week, known: Known, now: datetime, *, audience: Audience = Audience.LEADER, team: str = ""
) -> WeeklySummary:
    """The summary of a week for an audience, that of a team for the path of its team.

    `now` matters only while the week is not over. Raises StoreError.
    """
    as_of = min(max(now, week.start + timedelta(microseconds=1)), week.end)
    asked = Asked(week=week, known=known, as_of=as_of, team=team)
    with seldom_collecting():  # of what is read hardly anything is held in cycles
        found = _whole(asked, audience)
    return _for_leaders(found) if audience is Audience.LEADER else found


def _whole(asked: Asked, audience: Audience) -> WeeklySummary:
    known, week = asked.known, asked.week
    # Services may be put together where nothing has a team: then, too, it matters which units they share.
    named = named_of(known.indicators) | {i.observed_as for i in known.indicators.values() if i.name in QUICK_CHECK}
    # What came since is not read: on a Monday that is little, of a week that is long past it is most of what there is.
    then = known.observations.up_to(to_micros(asked.at))
    reader = Reader(then, asked.at, known.organisation, widths_of(known.indicators), named)
    units = SloUnits(then, known.slos, known.indicators, reader)
    states = states_at_end(asked, units)
    before = Before.of([s.slo for s in states[:WORST]], asked, units)
    lost, charging = losses(states, asked, units), Charging(asked)
    due = tuple(decisions(states, asked, units, charging))
    changes = changes_of(asked, units)
    own, delivery = tuple(own_numbers(asked, reader)), Delivering(asked, reader).rows()
    counts = counted(states)
    return WeeklySummary(
        week=week.label,
        monday=week.monday,
        sunday=week.monday + timedelta(days=6),
        zone=week.zone.key,
        starts_at=week.start,
        ends_at=week.end,
        audience=audience,
        team=clean(asked.team),
        notice=known.notice,
        data=data_of(asked, own, delivery),
        verdict=Verdict(
            slos=len(states),
            kept=sum(c.slos for c in counts if c.status in _KEPT),
            counts=counts,
            spent_most=clean(lost[0][0].slo.title or lost[0][0].slo.name) if lost else "",
            spent_share=lost[0][2] if lost else None,
            decisions=len(due),
        ),
        slos=tuple(line(s, asked, before) for s in states[:WORST]),
        more_slos=counted(states[WORST:]),
        losses=tuple(charging.loss(*one) for one in lost[:MOST_LOSSES]),
        more_losses=max(len(lost) - MOST_LOSSES, 0),
        delivery=tuple(delivery[:MOST]),
        more_delivery=max(len(delivery) - MOST, 0),
        industry=industry(known.benchmarks) if delivery else None,
        own=own,
        changes=changes,
        decisions=due,
        undecided=tuple(undecided(states, asked)),
        policy=clean(known.policy.source),
        quality=Quality(
            unmatched=unmatched_in(asked),
            withheld=sum(o.withheld for o in own),
            smallest_group=known.organisation.smallest_group,
        ),
    )


def _for_leaders(found: WeeklySummary) -> WeeklySummary:
    """What fits one page: of delivery only the organisation, or the one service that there is."""
    organisation = tuple(d for d in found.delivery if not d.service and d.team == "/")
    return replace(
        found,
        losses=found.losses[:_LEADERS_LOSSES],
        more_losses=found.more_losses + max(len(found.losses) - _LEADERS_LOSSES, 0),
        delivery=organisation,
        more_delivery=0,
        own=(),
        changes=None,
        data=replace(found.data, sources=tuple(_briefly(s) for s in found.data.sources)),
    )


def _briefly(source: SourceCover) -> SourceCover:
    return replace(source, truncations=())
