"""What a weekly summary says, in the order in which it says it: every rendering but JSON draws these blocks. Pure.

Texts are plain: each rendering escapes all of them in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import TypeAlias
from zoneinfo import ZoneInfo

from slo_engine.slo import SloStatus
from slo_engine.weekly.model import (
    Audience,
    Changes,
    Contributor,
    Delivery,
    Excluded,
    Industry,
    Loss,
    Metric,
    OwnNumber,
    Restated,
    SloLine,
    SourceCover,
    StatusCount,
    WeeklySummary,
)
from slo_engine.words import duration_text, share_text

NO_VALUE = "no value"
_STATUS = {
    SloStatus.EXHAUSTED: "out of budget",
    SloStatus.AT_RISK: "at risk",
    SloStatus.INSUFFICIENT_DATA: "without enough data",
    SloStatus.HEALTHY: "healthy",
}
_ADDRESS = re.compile(r"[\s,]*\bhttps?://\S+")
_BARS = "▁▂▃▄▅▆▇█"
_UNKNOWN = "·"
_NAMED = 5
_MANY = 100


@dataclass(frozen=True)
class Notice:
    """A sentence that stands above everything."""

    text: str


@dataclass(frozen=True)
class Heading:
    """The title of the page (level 1) or of a section (level 2)."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Some sentences; `strong` ones are what a reader must not miss."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Items:
    """Lines of a list."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """A cell of a table. `bar` is the share that is left of something, `spark` a chart that `text` says in words."""

    text: str
    bar: float | None = None
    spark: str = ""


@dataclass(frozen=True)
class Column:
    """The head of a column; numbers stand to the right."""

    title: str
    number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of as many cells as there are columns."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


Block: TypeAlias = Notice | Heading | Paragraph | Items | Table


def page_of(summary: WeeklySummary) -> tuple[Block, ...]:
    """The blocks of a summary."""
    return tuple(_blocks(summary))


def _blocks(summary: WeeklySummary) -> Iterator[Block]:
    zone = ZoneInfo(summary.zone)
    if summary.notice:
        yield Notice(summary.notice)
    of = f" of {summary.team}" if summary.team else ""
    yield Heading(f"Platform summary{of}, week {summary.week}", 1)
    yield Paragraph(f"{summary.monday:%d %B %Y} to {summary.sunday:%d %B %Y}, {summary.zone}.")
    yield from _data(summary, zone)
    yield Paragraph(_verdict(summary))
    yield from _slos(summary)
    yield from _losses(summary)
    yield from _delivery(summary)
    yield from _own(summary)
    yield from _changes(summary, zone)
    yield from _decisions(summary, zone)
    yield from _quality(summary, zone)


# --- what is known ---------------------------------------------------------------------------------------


def _data(summary: WeeklySummary, zone: ZoneInfo) -> Iterator[Block]:
    """How far the data reach, before any number."""
    data = summary.data
    if data.complete is None:
        yield Paragraph("No source is configured: nothing was observed.", strong=True)
        return
    if not data.over:
        yield Paragraph(f"The week is not over: told as of {_time(data.told_until, zone)}.", strong=True)
    if data.behind:
        said = f"Data complete {_floor(data.complete)}"
        behind = "; ".join(_behind(s, zone) for s in data.behind[:_NAMED])
        more = _and_more(len(data.behind) - _NAMED)
        whole = len(data.sources) - len(data.behind)
        yield Paragraph(
            f"{said}: {whole} of {len(data.sources)} sources cover the whole week ({behind}{more}).", strong=True
        )
    if data.empty:
        yield Paragraph("Nothing was observed in this week.", strong=True)


def _behind(source: SourceCover, zone: ZoneInfo) -> str:
    last = source.last_success_at
    return f"{source.name} was last collected {'never' if last is None else 'on ' + _time(last, zone)}"


def _verdict(summary: WeeklySummary) -> str:
    verdict = summary.verdict
    if not verdict.slos:
        return "No SLO is this team's." if summary.team else "No SLO is defined."
    kept = f"{verdict.kept} of {verdict.slos} promises {_are(verdict.kept)} kept"
    known = {c.status: c.slos for c in verdict.counts}
    if at_risk := known.get(SloStatus.AT_RISK):
        kept = f"{kept}, {at_risk} of them at risk"
    lost = [s for s in (SloStatus.EXHAUSTED, SloStatus.INSUFFICIENT_DATA) if s in known]
    sentences = ["; ".join([kept, *(f"{known[s]} {_are(known[s])} {_STATUS[s]}" for s in lost)]) + "."]
    if verdict.spent_share is not None:
        spent = _percent(verdict.spent_share)
        sentences.append(f"Most was spent by {verdict.spent_most}: {spent} of its error budget in this week.")
    if verdict.decisions:
        due = "decision is" if verdict.decisions == 1 else "decisions are"
        sentences.append(f"{verdict.decisions} {due} needed.")
    else:
        sentences.append("No decision is needed.")
    return " ".join(sentences)


# --- SLOs ------------------------------------------------------------------------------------------------


def _slos(summary: WeeklySummary) -> Iterator[Block]:
    if not summary.slos:
        return
    heads = ("SLO", "Target", "Attained", "n", "Budget left", "Since last week", "Last 12 weeks", "Status")
    numbers = {"Target", "Attained", "n"}
    yield Heading("SLOs")
    yield Table(tuple(Column(h, h in numbers) for h in heads), tuple(_slo_row(s) for s in summary.slos))
    if summary.more_slos:
        yield Paragraph(f"And {_statuses(summary.more_slos)}.")


def _statuses(counts: Iterable[StatusCount]) -> str:
    return ", ".join(
        f"{c.slos} more {_STATUS[c.status]}" if n == 0 else f"{c.slos} {_STATUS[c.status]}"
        for n, c in enumerate(counts)
    )


def _slo_row(slo: SloLine) -> tuple[Cell, ...]:
    attained = NO_VALUE if slo.attained is None else share_text(slo.attained)
    raw = "" if slo.attained_raw is None else f" (raw {share_text(slo.attained_raw)})"
    status = slo.status.value.replace("_", " ") + (f": {slo.why}" if slo.why else "")
    texts = (f"{share_text(slo.target)} in {slo.window}", f"{attained}{raw}", _amount(slo.events))
    return (
        Cell(slo.title),
        *map(Cell, texts),
        Cell(_left(slo), bar=None if slo.budget_left is None else min(max(slo.budget_left, 0.0), 1.0)),
        Cell(_change(slo)),
        Cell(_history_words(slo.history), spark=spark_of(slo.history)),
        Cell(status),
    )


def _left(slo: SloLine) -> str:
    """`30%: 12 of 40 minutes left`, `-20%: 8 minutes too many of 40`."""
    if slo.budget_left is None:
        return NO_VALUE
    share = _tenths(slo.budget_left)
    if slo.units_left is None or slo.units_allowed is None:
        return share
    allowed = _amount(slo.units_allowed)
    if slo.units_left < 0:
        return f"{share}: {_amount(-slo.units_left)} {slo.noun} over the {allowed} allowed"
    return f"{share}: {_amount(slo.units_left)} of {allowed} {slo.noun} left"


def _change(slo: SloLine) -> str:
    if slo.change is None:
        return slo.change_word or NO_VALUE
    points = round(slo.change * _MANY)
    return f"{points:+d} points" if points else "as before"


def spark_of(values: Sequence[float | None]) -> str:
    """A small chart of shares as text: a block for each value from 0 to 1, a dot where there is none."""
    return "".join(_UNKNOWN if v is None else _BARS[min(int(min(max(v, 0.0), 1.0) * len(_BARS)), 7)] for v in values)


def _history_words(values: Sequence[float | None]) -> str:
    known = [v for v in values if v is not None]
    if not known:
        return NO_VALUE if values else "not told"
    return f"{_tenths(known[0])} to {_tenths(known[-1])}, least {_tenths(min(known))}"


# --- where the budget went -------------------------------------------------------------------------------


def _losses(summary: WeeklySummary) -> Iterator[Block]:
    if not summary.losses:
        return
    yield Heading("Where the budget went")
    columns = (Column("SLO"), Column("Spent in the week", number=True), Column("By"))
    yield Table(columns, tuple(_loss_row(loss) for loss in summary.losses))
    if summary.more_losses:
        yield Paragraph(f"And {_counted(summary.more_losses, 'more SLO')} that lost something.")


def _loss_row(loss: Loss) -> tuple[Cell, ...]:
    spent = f"{_percent(loss.lost)}: {_amount(loss.units)} {loss.noun}"
    return Cell(loss.title), Cell(spent), Cell("; ".join(map(_contributed, loss.contributors)) or "not known")


def _contributed(one: Contributor) -> str:
    return f"{one.kind} {one.name} ({_percent(one.share)}, {_amount(one.units)})"


# --- delivery --------------------------------------------------------------------------------------------


def _delivery(summary: WeeklySummary) -> Iterator[Block]:
    if not summary.delivery:
        return
    yield Heading("Delivery")
    first, *others = summary.delivery
    yield Paragraph(f"{whom(first)}:")
    yield _metrics_table(first, summary.industry)
    yield from _check(first, summary.industry)
    if others:
        titles = {m.indicator: m.title for d in summary.delivery for m in d.metrics}
        heads = (Column("For"), *map(Column, titles.values()), Column("Quick Check", number=True))
        yield Table(heads, tuple(_level_row(d, tuple(titles)) for d in others))
    if summary.more_delivery:
        yield Paragraph(f"And {summary.more_delivery} more.")


def whom(delivery: Delivery) -> str:
    """For whom metrics are: a service, a level of teams or the organisation, and the environment."""
    name = delivery.service or ("Organisation" if delivery.team == "/" else delivery.team)
    return f"{name}, {delivery.environment}" if delivery.environment else name


def _metrics_table(delivery: Delivery, industry: Industry | None) -> Table:
    scored = any(m.score is not None for m in delivery.metrics)
    heads = ["Metric", "This week", "95 % interval", "n", "Week before", "Change"]
    heads += ["Score"] * scored + ([f"Industry {industry.year}"] * scored if industry else [])
    rows = []
    for metric in delivery.metrics:
        row = [
            metric.title,
            _value(metric, metric.value),
            _interval(metric),
            str(metric.n),
            _before(metric),
            metric.change,
        ]
        row += [", ".join([_score(metric.score), *metric.tiers])] * scored
        row += [_score(industry.scores.get(metric.indicator))] * scored if industry else []
        rows.append(tuple(map(Cell, row)))
    numbers = {"This week", "n", "Week before", "Score"}
    return Table(tuple(Column(h, h in numbers) for h in heads), tuple(rows))


def _check(delivery: Delivery, industry: Industry | None) -> Iterator[Block]:
    """The means of the Quick Check beside the industry's."""
    means = {"throughput": delivery.throughput, "stability": delivery.stability, "overall": delivery.overall}
    known = {kind: mean for kind, mean in means.items() if mean is not None}
    if not known:
        return
    theirs = industry.scores if industry else {}
    said = [f"{kind} {_score(mean)}{_beside(theirs, kind)}" for kind, mean in known.items()]
    source = f" Benchmark: {industry.source}." if industry else ""
    yield Paragraph(
        f"Quick Check, DORA's scores from 0 (worst) to 10 (best), means of what has a value: {', '.join(said)}.{source}"
    )


def _beside(theirs: Mapping[str, float], kind: str) -> str:
    return f" (industry {_score(theirs[kind])})" if kind in theirs else ""


def _level_row(delivery: Delivery, names: Sequence[str]) -> tuple[Cell, ...]:
    known = {m.indicator: m for m in delivery.metrics}
    cells = (_brief(known[n]) if n in known else NO_VALUE for n in names)
    return Cell(whom(delivery)), *map(Cell, cells), Cell(_score(delivery.overall))


def _brief(metric: Metric) -> str:
    if metric.value is None:
        return NO_VALUE
    n = "" if metric.unit == "count" else f" (n {metric.n})"
    return f"{_value(metric, metric.value)}{n}, {metric.change}"


def _value(metric: Metric, value: float | None) -> str:
    if value is None:
        return NO_VALUE
    if metric.unit == "count":
        return f"{value:.0f}"
    return f"median {duration_text(value)}" if metric.unit == "seconds" else share_text(value)


def _before(metric: Metric) -> str:
    return _value(metric, metric.before)


def _interval(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return "none"
    show = duration_text if metric.unit == "seconds" else share_text
    return f"{show(metric.low)} to {show(metric.high)}"


def _score(score: float | None) -> str:
    return NO_VALUE if score is None else f"{score:.3g}"


# --- the platform's own ----------------------------------------------------------------------------------


def _own(summary: WeeklySummary) -> Iterator[Block]:
    if not summary.own:
        return
    heads = ("Promise", "Over", "Value", "95 % interval", "n", "Change", "Used", "Pending, left out")
    numbers = {"Value", "n", "Used"}
    yield Heading("The platform's own numbers")
    yield Table(tuple(Column(h, h in numbers) for h in heads), tuple(_own_row(o) for o in summary.own))
    if withheld := summary.quality.withheld:
        smallest = summary.quality.smallest_group
        yield Paragraph(
            f"Numbers about fewer than {smallest} people, and what would reveal them, are withheld: {withheld} here."
        )


def _own_row(own: OwnNumber) -> tuple[Cell, ...]:
    title = f"{own.title}: {own.about}" if own.about else own.title
    if own.withheld:
        return Cell(title), Cell(own.over), Cell("withheld"), *[Cell("")] * 5
    waits = [f"{own.pending} pending"] if own.pending else []
    left = [f"{n} {reason.replace('_', ' ')}" for reason, n in own.excluded.items()]
    used = NO_VALUE if own.used is None else share_text(own.used)
    change = own.change or "not compared"
    texts = (title, own.over, own.text, own.interval, str(own.n), change, used, ", ".join([*waits, *left]) or "none")
    return tuple(map(Cell, texts))


# --- changes ---------------------------------------------------------------------------------------------


def _changes(summary: WeeklySummary, zone: ZoneInfo) -> Iterator[Block]:
    changes = summary.changes
    if changes is None:
        return
    found = list(_changed(changes, zone))
    if found:
        yield Heading("Notable changes")
        yield from found


def _changed(changes: Changes, zone: ZoneInfo) -> Iterator[Block]:
    lines = [f"{c.slo}: {c.what}" for c in changes.slos or ()]
    lines += [_exclusion(e) for e in changes.excluded]
    if lines:
        yield Items(tuple(lines))
    yield from _restated(changes.restated, "restated in this week", zone)
    yield from _restated(changes.since, "of this week restated after it was over", zone)


def _exclusion(excluded: Excluded) -> str:
    named = ", ".join(excluded.slos[:_NAMED]) + _and_more(len(excluded.slos) - _NAMED)
    units = f", {_amount(excluded.units)} events" if excluded.units else ""
    reason = excluded.reason.replace("_", " ")
    long, whose = duration_text(excluded.seconds), f"{excluded.author} ({excluded.ticket})"
    return f"Excluded {long}{units} of {named}: {reason}, by {whose}"


def _restated(restated: Restated, what: str, zone: ZoneInfo) -> Iterator[Block]:
    if not restated.units:
        return
    judgements = f"{restated.units} published judgement{'s were' if restated.units > 1 else ' was'}"
    reasons = list(restated.reasons.items())
    why = "; ".join(f"{n} by {reason}" for reason, n in reasons[:_NAMED]) + _and_more(len(reasons) - _NAMED)
    yield Paragraph(f"{'At least ' if restated.at_least else ''}{judgements} {what}: {why}.")
    heads = map(Column, ("When", "Indicator", "For", "Event", "Change", "Why"))
    rows = ((_time(u.at, zone), u.title, u.whom, u.unit, u.change, u.why) for u in restated.newest)
    yield Table(tuple(heads), tuple(tuple(map(Cell, row)) for row in rows))
    if restated.units > len(restated.newest):
        yield Paragraph("The newest are shown; `paceline restatements` lists all of them.")


# --- decisions -------------------------------------------------------------------------------------------


def _decisions(summary: WeeklySummary, zone: ZoneInfo) -> Iterator[Block]:
    if not (summary.decisions or summary.undecided):
        return
    yield Heading("Decisions needed")
    lines = []
    for decision in summary.decisions:
        if decision.kind == "freeze":
            until = (
                "its budget is back"
                if decision.until is None
                else f"{decision.until.astimezone(zone):%d %B %Y} at the earliest"
            )
            lines.append(f"Freeze features of {decision.whose} until {until}. {decision.slo}: {decision.why}.")
        else:
            lines.append(f"Review {decision.whose}. {decision.slo}: {decision.why}.")
    if lines:
        yield Items(tuple(lines))
    if summary.undecided:
        named = ", ".join(summary.undecided[:_NAMED]) + _and_more(len(summary.undecided) - _NAMED)
        yield Paragraph(f"Not known for {named}: without enough data the policy never reads as allowed.")
    yield Paragraph(f"Policy: {_ADDRESS.sub('', summary.policy)}.")


# --- data quality ----------------------------------------------------------------------------------------


def _quality(summary: WeeklySummary, zone: ZoneInfo) -> Iterator[Block]:
    if summary.data.complete is None:
        return
    yield Heading("Data quality")
    yield Paragraph(_quality_line(summary))
    if summary.audience is Audience.LEADER:
        return
    heads = (
        Column("Source"),
        Column("Covered", number=True),
        Column("Last collected"),
        Column("Records", number=True),
        Column("Set aside", number=True),
    )
    yield Table(heads, tuple(_source_row(s, zone) for s in summary.data.sources))
    lines = [f"{s.name} holds more than it handed out: {what}" for s in summary.data.sources for what in s.truncations]
    for kind in summary.quality.unmatched:
        named = ", ".join(kind.names[:_NAMED]) + _and_more(kind.total - _NAMED)
        lines.append(f"Unmatched {kind.kind} names: {named}")
    if lines:
        yield Items(tuple(lines))


def _quality_line(summary: WeeklySummary) -> str:
    data, quality = summary.data, summary.quality
    rejected = sum(s.rejected or 0 for s in data.sources)
    unmatched = sum(kind.total for kind in quality.unmatched)
    said = [
        f"data complete {_floor(data.complete or 0.0)}",
        f"{len(data.sources) - len(data.behind)} of {len(data.sources)} sources cover the whole week",
        f"{_counted(rejected, 'record')} set aside",
        f"{_counted(unmatched, 'unmatched name')}",
        f"{_counted(quality.withheld, 'number')} withheld",
    ]
    return ", ".join(said).capitalize() + "."


def _source_row(source: SourceCover, zone: ZoneInfo) -> tuple[Cell, ...]:
    last = "never" if source.last_success_at is None else _time(source.last_success_at, zone)
    records = ("not known" if n is None else str(n) for n in (source.records, source.rejected))
    return Cell(source.name), Cell(_floor(source.covered)), Cell(last), *map(Cell, records)


# --- words -----------------------------------------------------------------------------------------------


def _time(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _and_more(n: int) -> str:
    return f" and {n} more" if n > 0 else ""


def _floor(share: float) -> str:
    """A share in whole percent, rounded down: 24.99 % is not 25 %, and never all of it where a little is missing."""
    return f"{int(share * _MANY // 1)}%"


def _tenths(share: float) -> str:
    """A share in tenths of a percent, rounded down as the gate does; whole percents without a decimal."""
    exact = Decimal(repr(share)).scaleb(2).quantize(Decimal("0.1"), ROUND_FLOOR)
    return f"{exact:f}%".replace(".0%", "%")


def _percent(share: float) -> str:
    """A share in whole percent; a little is no nothing."""
    return "less than 1%" if 0 < share < 0.005 else f"{share:.0%}"  # noqa: PLR2004 - what would read as 0 %


def _amount(n: float) -> str:
    """A number of units: whole ones as they are, few with a decimal."""
    if float(n).is_integer():
        return f"{n:.0f}"
    return f"{n:.1f}" if abs(n) < _MANY else f"{n:.0f}"
