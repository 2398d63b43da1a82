"""Who joined when: stays on the roster, and the episodes of onboarding that they make. Pure. definitions.md §3.

Times are integer microseconds since 1970 UTC.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from collector.events import Member, MemberKind, Milestone, MilestoneKind
from slo_engine.calendars import WorkCalendar
from slo_engine.indicator import Events
from slo_engine.observation import from_micros
from slo_engine.organisation import Organisation

MICROSECOND = timedelta(microseconds=1)
_HALF_A_DAY = timedelta(hours=12) // MICROSECOND
_COLUMNS = (
    *("person", "id", "source", "member_kind", "started_at", "entered_at"),
    *("left_at", "team", "site", "codes", "bot"),
)


class Stay(NamedTuple):
    """A person's stay as the roster tells it; `start` is 00:00 of its first day at its site."""

    start: int
    id: str
    source: str
    kind: str
    entered_at: int | None = None
    left_at: int | None = None
    team: str | None = None
    site: str | None = None
    codes: bool = True


class Episode(NamedTuple):
    """An onboarding: a person, a start, and what is known of both.

    `since`: the first time at which what prepares it can happen: the end of the episode before. `imported`: the
    roster learnt of it together with too many others. `unsure`: nobody can say whether the person is new.
    """

    person: str
    start: int
    kind: str
    method: str = "roster"
    team: str = ""
    site: str = ""
    entered_at: int | None = None
    left_at: int | None = None
    codes: bool = True
    source: str = ""
    evidence: tuple[str, ...] = ()
    since: int | None = None
    imported: bool = False
    unsure: bool = False


def first_day(calendar: WorkCalendar, started_at: int) -> int:
    """00:00 of a start's day at its site.

    Midnight UTC is how rosters write a date: west of Greenwich it is still the day before, and nobody starts then.
    """
    at = from_micros(started_at)
    a_date = at.time().isoformat() == "00:00:00" and calendar.local_date(started_at) < at.date()
    return calendar.day_start(started_at + _HALF_A_DAY if a_date else started_at)


def read_roster(events: Events, organisation: Organisation) -> dict[str, list[Stay]]:
    """Everybody's stays by person, bots left out. A start that is reported for somebody not on the roster is one."""
    identities, bots = organisation.identities, set()
    found: dict[str, list[Stay]] = defaultdict(list)
    for account, id_, source, kind, started_at, entered_at, left_at, team, site, codes, bot in events.columns(
        Member, *_COLUMNS
    ):
        person = identities.person(account) or account
        if identities.is_bot(account, bool(bot)):
            bots.add(person)
        else:
            start = first_day(organisation.calendar(site), started_at)
            found[person].append(Stay(start, id_, source, kind, entered_at, left_at, team, site, bool(codes)))
    reported = events.columns(Milestone, "person", "id", "source", "at", milestone=MilestoneKind.ROSTER_START.value)
    on_roster = {*found, *bots}
    for account, id_, source, at in reported:
        person = identities.person(account) or account
        if person not in on_roster and not identities.is_bot(account):
            start = first_day(organisation.calendar(None), at)
            found[person].append(Stay(start, id_, source, MemberKind.HIRE.value))
    return {person: stays for person, stays in found.items() if person not in bots}


def episodes(person: str, stays: Iterable[Stay], rehire_gap: int) -> list[Episode]:
    """The episodes of a person's stays, in order. A return sooner than the gap after leaving is the same episode."""
    runs: list[list[Stay]] = []
    for stay in sorted(stays, key=lambda s: (s.start, s.id)):
        if runs and not _opens(runs[-1], stay, rehire_gap):
            runs[-1].append(stay)
        else:
            runs.append([stay])
    found: list[Episode] = []
    for run in runs:
        since = None if not found else found[-1].left_at or found[-1].start
        found.append(_episode(person, run, since))
    return found


def _opens(run: Sequence[Stay], stay: Stay, rehire_gap: int) -> bool:
    """Whether a stay begins an episode of its own after some others."""
    if stay.start == run[0].start:
        return False
    if stay.kind == MemberKind.TRANSFER:
        return True
    left_at = _left(run)
    if left_at is None:  # they never left; only a rehire says that they did
        return stay.kind == MemberKind.REHIRE and stay.start - run[-1].start >= rehire_gap
    return stay.start - left_at >= rehire_gap


def _left(run: Sequence[Stay]) -> int | None:
    """When somebody left: the latest stay says, by whichever source knows."""
    return max((s.left_at for s in run if s.start == run[-1].start and s.left_at is not None), default=None)


def _episode(person: str, run: Sequence[Stay], since: int | None) -> Episode:
    opening = [s for s in run if s.start == run[0].start]
    team = next((s.team for s in opening if s.team and s.team.strip("/")), "")
    return Episode(
        person=person,
        start=run[0].start,
        kind=run[0].kind,
        team="/" + team.strip("/") if team else "",
        site=next((s.site for s in opening if s.site), ""),
        entered_at=min((s.entered_at for s in opening if s.entered_at is not None), default=None),
        left_at=_left(run),
        codes=any(s.codes for s in run),
        source="+".join(sorted({s.source for s in run})),
        evidence=tuple(s.id for s in run),
        since=since,
    )


def with_imports(by_person: Mapping[str, Sequence[Episode]], share: float, span: int) -> dict[str, list[Episode]]:
    """The episodes, those marked of which the roster learnt in a bulk import.

    An import: within `span` more than `share` of the roster of that time were entered. The first load is one.
    """
    all_ = [e for found in by_person.values() for e in found]
    entered = sorted((e.entered_at, e.person, e.start) for e in all_ if e.entered_at is not None)
    times = [at for at, _, _ in entered]
    arrivals = sorted(_arrival(e) for e in all_)
    departures = sorted(
        max(end, _arrival(e)) for found in by_person.values() for e, end in _ends(found) if end is not None
    )
    marked: set[tuple[str, int]] = set()
    done = 0
    for at in dict.fromkeys(times):
        first, after = bisect_left(times, at - span), bisect_right(times, at)
        roster = bisect_right(arrivals, at) - bisect_right(departures, at)
        if after - first > share * roster:
            marked.update((person, start) for _, person, start in entered[max(first, done) : after])
            done = after
    return {
        person: [e._replace(imported=(person, e.start) in marked) for e in found] for person, found in by_person.items()
    }


def _arrival(episode: Episode) -> int:
    return episode.start if episode.entered_at is None else episode.entered_at


def _ends(found: Sequence[Episode]) -> Iterable[tuple[Episode, int | None]]:
    """Each episode with the time from which it is no longer a place on the roster of its own."""
    following = [_arrival(e) for e in found[1:]]
    for episode, after in zip(found, [*following, None], strict=True):
        ends = [t for t in (episode.left_at, after) if t is not None]
        yield episode, min(ends, default=None)
