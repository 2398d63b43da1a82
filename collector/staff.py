"""Who is on a roster, as it was told last time and as it is told now: what a whole list says of joiners and leavers.

Knows no system. A source keeps what is known in its cursor: when a line was first seen, and who is listed no more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, UTC, datetime, time, timedelta
from typing import Literal, NamedTuple

import msgspec
from pydantic import BaseModel, Field

from collector.errors import SourceError
from collector.events import Member, MemberKind
from collector.local_times import ISO, LocalTimes, TimeForm, ZoneName
from collector.name_rules import NameRules
from collector.patterns import Pattern, any_matches, patterns
from collector.source import Complete

_BEFORE_ALL = datetime(1800, 1, 1, tzinfo=UTC)
_MIDNIGHT = time()
_NEVER = (MINYEAR, MAXYEAR)
"""The years of the first and the last time that systems can write: they stand for none."""
_FEW = 3
"""So many may always be gone: of four people, one is a quarter."""
_EXPRESSION = 2
"""The rank of a rule that is one."""
_OPENING = (MemberKind.REHIRE, MemberKind.TRANSFER)
_KINDS = {**{kind.value: kind for kind in MemberKind}, "employee": MemberKind.HIRE}
_YES = frozenset({"yes", "y", "true", "1", "x"})
_NO = frozenset({"no", "n", "false", "0", "-"})


class StaffSettings(BaseModel):
    """What the settings of all rosters have in common: how their words and dates are read, and who is gone."""

    dates: TimeForm = Field(
        default=ISO,
        description="The form of dates: `iso`, `serial` (a spreadsheet's days), or strptime's, such as `%d.%m.%Y`.",
    )
    zone: ZoneName | None = Field(
        default=None, description="The zone of times without an offset, and of the days on which people left."
    )
    kinds: dict[MemberKind, NameRules] = Field(
        default_factory=dict, description="What the kinds of joining are called: names, globs, expressions."
    )
    coding: NameRules = Field(
        default_factory=list, description="Values of `codes` of those who are expected to write code."
    )
    missing: Literal["left", "ignore"] = Field(
        default="left", description="What it means that somebody is not listed any more: they left, or nothing."
    )
    broken_share: float = Field(
        default=0.25, gt=0, le=1, description="So large a share of the people gone at once: the export broke."
    )


class UnreadableError(Exception):
    """Why a line is no stay: the field and what was expected, never the value."""


def _caseless(rule: str) -> str:
    """A rule for words in small letters. In an expression a letter may mean the opposite of the small one."""
    return f"/(?i:{rule[1:-1]})/" if Pattern(rule).rank == _EXPRESSION else rule.casefold()


class Words:
    """Reads the words of a roster by its settings. `said` counts what they do not know."""

    def __init__(self, settings: StaffSettings) -> None:
        self._form = settings.dates
        self._times = LocalTimes(settings.dates, settings.zone)
        self._ends = LocalTimes(zone=settings.zone or "UTC")
        self._kinds = [(kind, patterns(map(_caseless, texts))) for kind, texts in settings.kinds.items()]
        self._coding = patterns(map(_caseless, settings.coding))
        self.said: Counter[str] = Counter()

    @property
    def told(self) -> list[str]:
        """What was said, each thing once."""
        return [f"{what} ({n} times)" if n > 1 else what for what, n in self.said.items()]

    def start(self, text: str) -> datetime:
        """When a stay begins. Raises UnreadableError where that is missing or no date."""
        found = self.day("start", text)
        if found is None:
            raise UnreadableError(f"`start` is empty; expected {self._expected}")
        return found

    def left(self, text: str, started_at: datetime) -> datetime | None:
        """When somebody left, by their last day. Raises UnreadableError where they had not come by then."""
        found = self.day("left", text, ends=True)
        if found is not None and found < started_at:
            raise UnreadableError("`left` lies before `start`; expected the last day")
        return found

    def day(self, name: str, text: str, *, ends: bool = False) -> datetime | None:
        """The time that a text tells; None for an empty one, and for never. Raises UnreadableError.

        A date is kept as midnight UTC, which a site's calendar takes for that day there; systems that know no dates
        write it so, too. `ends`: the day is over.
        """
        if not text:
            return None
        day = self._times.date(text)
        found = self._times.at(text) if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)
        if found is None:
            raise UnreadableError(f"`{name}`: expected {self._expected}, or a time with an offset")
        if found.year in _NEVER:
            return None
        return self._ends.at(f"{found + timedelta(days=1):%Y-%m-%d}") if ends and found.time() == _MIDNIGHT else found

    @property
    def _expected(self) -> str:
        return "a date, for example 2026-03-02" if self._form == ISO else f"a date in the form {self._form}"

    def kind(self, text: str) -> MemberKind:
        """The kind that a word means; a hire where nothing says."""
        plain = text.casefold()
        mapped = next((kind for kind, rules in self._kinds if any_matches(rules, plain)), _KINDS.get(plain))
        if mapped is None and plain:
            self.said["a kind that `kinds` does not map is taken as hire"] += 1
        return mapped or MemberKind.HIRE

    def codes(self, text: str) -> bool:
        """Whether somebody is expected to write code."""
        plain = text.casefold()
        if self._coding:
            return any_matches(self._coding, plain)
        if plain and plain not in _YES | _NO:
            self.said["`codes` is neither yes nor no, and taken as yes"] += 1
        return plain not in _NO


class Stay(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stay on a roster. `gone`: it is listed no more."""

    person: str
    kind: MemberKind
    started_at: datetime
    entered_at: datetime | None = None
    left_at: datetime | None = None
    team: str | None = None
    site: str | None = None
    codes: bool = True
    bot: bool = False
    gone: bool = False

    def event(self, source: str, native_id: str, updated_at: datetime) -> Member:
        """What is reported of it."""
        return Member(
            source=source,
            native_id=native_id,
            updated_at=updated_at,
            person=self.person,
            member_kind=self.kind,
            started_at=self.started_at,
            entered_at=self.entered_at,
            left_at=self.left_at,
            team=self.team,
            site=self.site,
            codes=self.codes,
            bot=self.bot,
        )

    def dropped(self, at: datetime, *, leaves: bool) -> Stay:
        """It is listed no more, which was noticed then. Who had left already left when that was told."""
        left_at = at if leaves and not self.has_left(at) else self.left_at
        return msgspec.structs.replace(self, gone=True, left_at=left_at)

    def ended_before(self, start: datetime) -> bool:
        """Whether somebody had come, and left again, when a stay began: that is another one, not this one moved."""
        return self.left_at is not None and self.started_at < self.left_at <= start

    def has_left(self, at: datetime) -> bool:
        """Whether it had ended by then."""
        return self.left_at is not None and self.left_at <= at


class Roster(NamedTuple):
    """The stays by their native ids, and how many are gone since the last look."""

    stays: dict[str, Stay]
    newly_gone: int

    def events(self, source: str, before: Mapping[str, Stay], updated_at: datetime) -> list[Member]:
        """What is new of it, or another than before."""
        told = {i: s.event(source, i, updated_at) for i, s in before.items()}
        found = {i: s.event(source, i, updated_at) for i, s in self.stays.items()}
        return [event for i, event in found.items() if told.get(i) != event]


def whole(native_ids: Iterable[str]) -> Complete:
    """The stays that there are: a source has no others."""
    return Complete(kind=Member, where={}, dated="started_at", since=_BEFORE_ALL, native_ids=frozenset(native_ids))


def check_share(known: Iterable[Stay], gone: int, share: float, at: datetime) -> None:
    """Raise SourceError where a share of those on the roster, and more than a few, are gone at once: it broke."""
    present = sum(not s.gone and not s.has_left(at) for s in known)
    if gone > _FEW and gone >= share * present:
        said = f"{gone} of {present} people are gone from the roster at once"
        raise SourceError(f"{said}; restore it, or raise `broken_share` for one run if they have left")


def continued(
    known: Mapping[str, Stay] | None,
    listed: Iterable[Stay],
    seen: Iterable[str],
    at: datetime,
    *,
    leaves: bool,
    corrected: bool = False,
) -> Roster:
    """The roster after a whole list of it. Native ids are a person and the number of the stay.

    `known`: what was told before, None at the first look, when nobody can say since when a line is there. `seen`:
    people whose line is there and could not be read. `leaves`: who is not listed has left. `corrected`: the list is the
    one of before, read by other settings: nobody joined or left by that.
    """
    before: dict[str, list[Stay]] = defaultdict(list)
    for stay in (known or {}).values():
        before[stay.person].append(stay)
    now: dict[str, dict[datetime, Stay]] = defaultdict(dict)
    for stay in listed:
        now[stay.person][stay.started_at] = stay
    found: dict[str, Stay] = {}
    newly_gone, unread = 0, set(seen)
    for person in sorted({*before, *now}):
        listed_now = list(now.get(person, {}).values())
        stays = _of_person(before.get(person, ()), listed_now, None if known is None or corrected else at)
        if not listed_now and corrected and person not in unread:
            stays = [s for s in stays if s.gone]
        elif not listed_now and person not in unread:
            newly_gone += sum(not s.gone and not s.has_left(at) for s in stays)
            stays = [s if s.gone else s.dropped(at, leaves=leaves) for s in stays]
        for number, stay in enumerate(sorted(stays, key=lambda s: s.started_at), start=1):
            found[f"{person.rpartition(':')[2]}/{number}"] = stay
    return Roster(found, newly_gone)


def _of_person(before: Sequence[Stay], listed: Sequence[Stay], at: datetime | None) -> list[Stay]:
    """A person's stays: those listed, and those before that a list of the present does not name any more.

    A line whose start was moved stays the line that it was; one that opens a new stay leaves the one before alone, as
    does one of somebody who had left.
    """
    if not listed:
        return list(before)
    known = {s.started_at: s for s in before}
    rest = [s for s in before if s.started_at not in {one.started_at for one in listed}]
    found: list[Stay] = []
    for stay in sorted(listed, key=lambda s: s.started_at):
        was = known.get(stay.started_at) or next((s for s in rest if _is_moved(s, stay)), None)
        if was in rest:
            rest.remove(was)
        first_seen = at if was is None else was.entered_at
        found.append(msgspec.structs.replace(stay, entered_at=stay.entered_at or first_seen))
    opened = max((s.started_at for s in found if s.kind in _OPENING), default=_BEFORE_ALL)
    last = max(s.started_at for s in found)
    return found + [s for s in rest if s.gone or s.started_at < opened or s.ended_before(last)]


def _is_moved(was: Stay, now: Stay) -> bool:
    """Whether a line of before may be one of now, whose start was moved."""
    placed = not was.gone or was.left_at is not None
    return placed and not was.ended_before(now.started_at) and (now.kind not in _OPENING or was.kind is now.kind)
