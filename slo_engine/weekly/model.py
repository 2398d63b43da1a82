"""The weekly summary as data: what every rendering says. Pure data; docs/weekly.md describes it.

Shares and ratios are 0 to 1, durations seconds, times UTC. What has no value is None. Text from outside stands on one
line, cut; each rendering escapes it in its own way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from slo_engine.slo import SloStatus

SCHEMA_VERSION = 1
"""Grows when a key of the summary goes or means something else; new keys may come without."""


class Audience(StrEnum):
    """Who reads a summary, which decides how much of it there is."""

    LEADER = "leader"
    """One page: verdict, SLOs, where the budget went, delivery, decisions, data quality in one line."""
    SRE = "sre"
    """Everything."""
    TEAM = "team"
    """The SLOs and services of a team and of the teams below it, and nobody else's."""


@dataclass(frozen=True, kw_only=True)
class SourceCover:
    """A source: the share of the week that it was collected for, and what of its records could be used.

    `rejected` of `records` in the week could not; both are None where no run of it is known.
    """

    name: str
    covered: float
    last_success_at: datetime | None
    records: int | None = None
    rejected: int | None = None
    truncations: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Data:
    """How far the week is known. `complete` is the share of sources-time covered, None without a source.

    `told_until`: the end of the week, or the time of asking while it is not over. `empty`: nothing is known of it.
    """

    complete: float | None
    over: bool
    told_until: datetime
    empty: bool
    sources: tuple[SourceCover, ...]

    @property
    def behind(self) -> tuple[SourceCover, ...]:
        """The sources that do not cover the whole week."""
        return tuple(s for s in self.sources if s.covered < 1)


@dataclass(frozen=True, kw_only=True)
class StatusCount:
    """How many SLOs have a status."""

    status: SloStatus
    slos: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How many promises are kept, what spent most, how many decisions are due. `counts`: worst status first."""

    slos: int
    kept: int
    counts: tuple[StatusCount, ...]
    spent_most: str
    spent_share: float | None
    decisions: int


Change = Literal["", "new", "no value before", "week incomplete", "not compared"]


@dataclass(frozen=True, kw_only=True)
class SloLine:
    """An SLO at the week's end. `events`, `units_left` and `units_allowed` are in units called `noun`.

    `attained_raw`: with what exclusions leave out, where they leave out anything. `change`: of `budget_left` since the
    end of the week before, as a difference of shares; `change_word` where there is none. `history`: the budget left at
    the end of each of the last weeks, this one last; None where it is not known. Of people neither is told: two
    weeks differ by a few of them.
    """

    name: str
    title: str
    service: str
    team: str
    status: SloStatus
    why: str
    target: float
    window: str
    noun: str
    attained: float | None
    attained_raw: float | None
    events: float
    budget_left: float | None
    units_left: float | None
    units_allowed: float | None
    change: float | None
    change_word: Change
    history: tuple[float | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Contributor:
    """What bad units have in common: an incident, a deployment, the value of a label, or a service."""

    kind: str
    name: str
    units: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What an SLO lost of its error budget in the week: a share of all of it, and so many bad units."""

    slo: str
    title: str
    lost: float
    units: float
    noun: str
    contributors: tuple[Contributor, ...]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of the week beside that of the week before. `unit`: seconds, ratio or count (`value` then is n).

    `score` is the Quick Check's, from 0 to 10.
    """

    indicator: str
    title: str
    unit: Literal["seconds", "ratio", "count"]
    n: int
    value: float | None
    low: float | None
    high: float | None
    before: float | None
    before_n: int | None
    change: str
    score: float | None = None
    tiers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The metrics of delivery of a level of teams or a service, in one environment, with the means of their scores."""

    service: str
    team: str
    environment: str
    metrics: tuple[Metric, ...]
    throughput: float | None
    stability: float | None
    overall: float | None


@dataclass(frozen=True, kw_only=True)
class Industry:
    """The industry's mean scores of a year, by indicator and mean, and where they are from."""

    year: int
    source: str
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class OwnNumber:
    """One of the platform's own numbers. `text`, `interval` and `left_out` are as people read them.

    Where it is `withheld` because it, or what it reveals, is about too few people there is nothing but its name.
    """

    indicator: str
    title: str
    about: str
    over: str
    withheld: bool
    n: int | None = None
    stats: Mapping[str, float] = field(default_factory=dict)
    text: str = ""
    interval: str = ""
    used: float | None = None
    pending: int = 0
    excluded: Mapping[str, int] = field(default_factory=dict)
    change: str = ""


@dataclass(frozen=True, kw_only=True)
class SloChange:
    """An SLO that came, went or changed in the settings: `what` in words."""

    slo: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """An exclusion of the week: for which SLOs, how long, and which role answers for it under which ticket."""

    slos: tuple[str, ...]
    reason: str
    author: str
    ticket: str
    seconds: float
    units: float


@dataclass(frozen=True, kw_only=True)
class RestatedUnit:
    """A published judgement that changed."""

    at: datetime
    indicator: str
    title: str
    whom: str
    unit: str
    change: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Restated:
    """How many judgements changed (`at_least` where the log was cut), why, and the newest of them."""

    units: int
    at_least: bool
    reasons: Mapping[str, int]
    newest: tuple[RestatedUnit, ...]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What changed. `slos` is None where nothing knows.

    `restated`: in this week, of any time. `since`: of this week, after it was over.
    """

    slos: tuple[SloChange, ...] | None
    excluded: tuple[Excluded, ...]
    restated: Restated
    since: Restated


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the error-budget policy asks for. `until`: when at the earliest the rule no longer says so."""

    kind: Literal["freeze", "review"]
    slo: str
    whose: str
    why: str
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class UnmatchedKind:
    """Names of a kind that the catalogue does not know."""

    kind: str
    total: int
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How good the data of the week are, beside `Data`."""

    unmatched: tuple[UnmatchedKind, ...]
    withheld: int
    smallest_group: int


@dataclass(frozen=True, kw_only=True)
class WeeklySummary:
    """One calendar week. A part that an audience does not read is None or empty.

    `slos`: the worst; `more_slos` counts the others. `team` is the path of whose summary it is, empty for the whole.
    """

    schema_version: int = SCHEMA_VERSION
    week: str
    monday: date
    sunday: date
    zone: str
    starts_at: datetime
    ends_at: datetime
    audience: Audience
    team: str
    notice: str
    data: Data
    verdict: Verdict
    slos: tuple[SloLine, ...]
    more_slos: tuple[StatusCount, ...]
    losses: tuple[Loss, ...]
    more_losses: int
    delivery: tuple[Delivery, ...]
    more_delivery: int
    industry: Industry | None
    own: tuple[OwnNumber, ...]
    changes: Changes | None
    decisions: tuple[Decision, ...]
    undecided: tuple[str, ...]
    policy: str
    quality: Quality
