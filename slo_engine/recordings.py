"""Recording rules: two for each SLO that Prometheus measures, and the same few for all SLOs of every kind.

All that follows is sums of bad over sums of total events, never a mean of ratios, divided only by more than 0.
Recorded series carry `slo`, and `group` where the SLO is grouped; nothing descriptive, so that a new owner or target
forks no series.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from collector.durations import parse_duration
from slo_engine import catalog
from slo_engine.burn import Tier, plain
from slo_engine.rule import INTERVAL_SECONDS, Rule, bracketed, either, known
from slo_engine.slo import Composite, IndicatorSli, Slo
from slo_engine.windows import BURN_WINDOWS, CalendarWindow, Window, parse_window

RATE = "5m"
TOTAL_RATE, BAD_RATE = f"slo:sli_total:rate{RATE}", f"slo:sli_bad:rate{RATE}"
TOTAL, BAD, ERROR = "slo:sli_total:events", "slo:sli_bad:events", "slo:sli_error:ratio_rate"
OBJECTIVE, BUDGET, PERIOD_DAYS = "slo:objective:ratio", "slo:error_budget:ratio", "slo:time_period:days"
CURRENT_BURN, PERIOD_BURN = "slo:current_burn_rate:ratio", "slo:period_burn_rate:ratio"
LEFT_RATIO, LEFT_EVENTS = "slo:period_error_budget_remaining:ratio", "slo:period_error_budget_remaining:events"
COVERAGE = "slo:period_coverage:ratio"
GROUP = "group"
"""The label that holds the values of an SLO's `group_by`, joined with `/`."""

_RATE_SECONDS = int(parse_duration(RATE).total_seconds())
_DAY_SECONDS = 86_400
_COUNTED_BY_PACELINE = f"max by (slo) ({catalog.SLO_STATUS.name})"
"""Only SLOs that Paceline counts have a status."""


@dataclass(frozen=True)
class Scope:
    """The SLOs of a rule file, sorted by name, and what follows from their kinds.

    `interval_seconds` is how often the rules are evaluated: event counts are sums of rates times the interval.
    """

    slos: tuple[Slo, ...]
    interval_seconds: int = INTERVAL_SECONDS

    @classmethod
    def of(cls, slos: Sequence[Slo], interval_seconds: int = INTERVAL_SECONDS) -> Scope:
        """The scope of SLOs in any order."""
        return cls(tuple(sorted(slos, key=lambda slo: slo.name)), interval_seconds)

    @cached_property
    def counted(self) -> tuple[Slo, ...]:
        """Those that Paceline counts itself and exports."""
        return tuple(slo for slo in self.slos if isinstance(slo.sli, IndicatorSli))

    @cached_property
    def measured(self) -> tuple[Slo, ...]:
        """Those that Prometheus measures."""
        return tuple(slo for slo in self.slos if slo.promql is not None)

    @cached_property
    def composites(self) -> tuple[Slo, ...]:
        """Those that consist of others."""
        return tuple(slo for slo in self.slos if isinstance(slo.sli, Composite))

    @cached_property
    def evaluated(self) -> tuple[Slo, ...]:
        """Those whose budget Prometheus works out."""
        return tuple(slo for slo in self.slos if not isinstance(slo.sli, IndicatorSli))

    @cached_property
    def periods(self) -> dict[str, Window]:
        """The rolling windows of budgets by label: those of the SLOs, and what stands in for a calendar's."""
        found = {w.label: w for w in map(rolling, self.evaluated)}
        own = (slo.window for slo in self.counted)
        return found | {w.label: w for w in own if isinstance(w, Window)}

    def short_windows(self) -> tuple[Window, ...]:
        """The windows of burn rates, with those that alert policies look back over."""
        wanted = [p.lookback for slo in self.slos for p in slo.alert_policies]
        return tuple(({w.label: w for w in BURN_WINDOWS} | {w.label: w for w in wanted}).values())


def rolling(slo: Slo) -> Window:
    """The rolling window in which Prometheus works out an SLO's budget.

    A range cannot follow the calendar: the nominal length stands in for it (30 days for a month).
    """
    if isinstance(slo.window, CalendarWindow):
        return Window(slo.window.length, f"{slo.window.length.days}d")
    return slo.window


def sli_recordings(slo: Slo) -> tuple[Rule, Rule]:
    """The two recordings of an SLO that Prometheus measures: total and bad events per second."""
    sli = slo.promql
    if sli is None:
        raise ValueError(f"{slo.name} is not measured by Prometheus")
    total, bad = (_recorded(slo, made(RATE, slo.group_by)) for made in (sli.total, sli.bad))
    labels = {"slo": slo.name}
    return Rule(record=TOTAL_RATE, expr=total, labels=labels), Rule(record=BAD_RATE, expr=bad, labels=labels)


def _recorded(slo: Slo, expr: str) -> str:
    """Only `group` stays of the labels; a NaN is no sample, as one alone would make a month of sums NaN."""
    if slo.group_by:
        names = ", ".join(f'"{name}"' for name in slo.group_by)
        expr = f'sum by ({GROUP}) (label_join(({expr}), "{GROUP}", "/", {names}))'
    return f"({expr}) >= -Inf"


def basics() -> Iterator[Rule]:
    """What is known of each SLO without counting: objective, budget, period."""
    yield Rule(record=OBJECTIVE, expr=known(catalog.SLO_OBJECTIVE.name))
    # In floats 1 - 0.9 is a little less than 0.1, and a burn rate of exactly 1 would be above 1.
    yield Rule(record=BUDGET, expr=f"round(1 - {OBJECTIVE}, 1e-12)")
    yield Rule(record=PERIOD_DAYS, expr=f"{known(catalog.SLO_PERIOD.name)} / {_DAY_SECONDS}")


def events(scope: Scope, window: Window) -> Iterator[Rule]:
    """Total and bad events of a window, and their ratio."""
    for name, rate, exported in (
        (TOTAL, TOTAL_RATE, _exported_total(window)),
        (BAD, BAD_RATE, _exported_bad(window)),
    ):
        measured = _summed(scope, rate, window) if _asked_for(scope, window) else ""
        yield Rule(record=f"{name}{window.label}", expr=either(measured, exported if scope.counted else ""))
    own = f"clamp({BAD}{window.label} / ({TOTAL}{window.label} > 0), 0, 1)"
    yield Rule(record=f"{ERROR}{window.label}", expr=either(own, _of_parts(window) if scope.composites else ""))


def _exported_bad(window: Window) -> str:
    """Bad events that Paceline counted. `max`, because two replicas export the same count."""
    return f'max by (slo) ({catalog.SLO_EVENTS.name}{{window="{window.label}",outcome="bad"}})'


def _exported_total(window: Window) -> str:
    return f'sum by (slo) (max by (slo, outcome) ({catalog.SLO_EVENTS.name}{{window="{window.label}"}}))'


def _summed(scope: Scope, rate: str, window: Window, matcher: str | None = None) -> str:
    """Events of a window from recorded rates per second: each rate stands for one interval.

    A rate holds 5 minutes, so the sum counts an event of just now only little by little. What it still lacks of the
    last 5 minutes is added: never more than happened, and a fault is counted as soon as it is seen.
    """
    own = rate + (_of_this_period(scope, window) if matcher is None else matcher)
    if window.label == RATE:
        return f"{own} * {_RATE_SECONDS}"
    counted, of_newest = (
        f"sum_over_time({own}[{_range(scope, w)}]) * {scope.interval_seconds}" for w in (window, parse_window(RATE))
    )
    lacking = f"clamp_min({own} * {_RATE_SECONDS} - {of_newest}, 0)"
    # A label of its own makes it a second term of the sum; where there is no rate now, the first one is left.
    return f'sum by (slo, {GROUP}) ({counted} or label_replace({lacking}, "part", "newest", "", ""))'


def _range(scope: Scope, window: Window) -> str:
    """The window less half an interval: then it holds length / interval samples, whether ranges are open or closed."""
    return f"{int(window.seconds * 1000) - scope.interval_seconds * 500}ms".replace("000ms", "s")


def _asked_for(scope: Scope, window: Window) -> tuple[str, ...]:
    """The SLOs that Prometheus measures and that have a use for a window."""
    everybody = window in scope.short_windows()
    return tuple(slo.name for slo in scope.measured if everybody or rolling(slo) == window)


def _of_this_period(scope: Scope, window: Window) -> str:
    """A matcher on the SLOs with this period, where some have another: nobody sums a month that no one asks for."""
    names = _asked_for(scope, window)
    return "" if len(names) == len(scope.measured) else f'{{slo=~"{"|".join(names)}"}}'


def _weights() -> str:
    return known(catalog.SLO_PART_WEIGHT.name, "slo, part")


def _of_parts(window: Window) -> str:
    """Error ratio of composites: the mean of their parts' burn rates by weight, times their own budget.

    A part without events in the window has no burn rate and no weight.
    """
    pooled = f"sum by (slo) ({BAD}{window.label}) / (sum by (slo) ({TOTAL}{window.label}) > 0)"
    burn = f'label_replace(({pooled}) / on (slo) {BUDGET}, "part", "$1", "slo", "(.*)")'
    weighted = f"sum by (slo) ({_weights()} * on (part) group_left () {burn})"
    weight = f"sum by (slo) ({_weights()} and on (part) {burn})"
    return f"{bracketed(f'{weighted} / {weight}')} * on (slo) {BUDGET}"


def bad_events(scope: Scope, window: Window) -> str:
    """Bad events of a window; those of a composite are its parts'."""
    own = f"{BAD}{window.label}"
    if not scope.composites:
        return own
    pooled = f'label_replace(sum by (slo) ({own}), "part", "$1", "slo", "(.*)")'
    return f"({own} or sum by (slo) (({_weights()} * 0 + 1) * on (part) group_left () {pooled}))"


def budgets(scope: Scope) -> Iterator[Rule]:
    """What is left of each SLO's budget: exported where Paceline counts, else from the sums of its period."""
    left, events_left, coverage = _worked_out(scope) if scope.evaluated else ("", "", "")
    counted = scope.counted
    exported = (catalog.SLO_BUDGET_RATIO, catalog.SLO_BUDGET_EVENTS, catalog.SLO_COVERAGE)
    known_of = [f"max by (slo) ({metric.name})" if counted else "" for metric in exported]
    for name, known_value, made in zip(
        (LEFT_RATIO, LEFT_EVENTS, COVERAGE), known_of, (left, events_left, coverage), strict=True
    ):
        if known_value or made:
            yield Rule(record=name, expr=either(known_value, made))
    yield Rule(record=PERIOD_BURN, expr=f"1 - {LEFT_RATIO}")


def _worked_out(scope: Scope) -> tuple[str, str, str]:
    """Budget left as a ratio and in events, and the covered share of the period, as PromQL."""
    burn = f"{_of_period(scope, ERROR)} / on (slo) group_left () {BUDGET}"
    ratio = _but_counted(scope, f"1 - {burn}")
    if not scope.measured:
        return ratio, "", ""
    allowed = f"{_of_period(scope, TOTAL)} * on (slo) group_left () {BUDGET}"
    left = _but_counted(scope, f"{allowed} - {_of_period(scope, BAD)}")
    return ratio, left, f"clamp_max({_seen(scope)}, 1)"


def left_now(scope: Scope, matcher: str) -> tuple[str, str]:
    """Budget left of the series that a matcher picks, as a ratio and in events, as PromQL.

    The recordings of whole periods are minutes old: this is what an alert can say that has just begun.
    """
    exported = [f"max by (slo) ({m.name}{{slo=%q}})" for m in (catalog.SLO_BUDGET_RATIO, catalog.SLO_BUDGET_EVENTS)]
    now = [[e] if scope.counted else [] for e in exported]
    for window in {w.label: w for w in map(rolling, scope.measured)}.values():
        total, bad = (_summed(scope, rate, window, matcher) for rate in (TOTAL_RATE, BAD_RATE))
        budget = f"on (slo) group_left () ({BUDGET} and {_lasts(window)})"
        now[0].append(f"1 - clamp({bad} / ({total} > 0), 0, 1) / {budget}")
        now[1].append(f"{total} * {budget} - {bad}")
    ratio, events_left = (
        " or ".join([*branches, recorded + matcher])
        for branches, recorded in zip(now, (LEFT_RATIO, LEFT_EVENTS), strict=True)
    )
    return ratio, events_left


def _but_counted(scope: Scope, expr: str) -> str:
    """What Paceline withholds is not worked out behind its back."""
    return f"{bracketed(expr)} unless on (slo) {_COUNTED_BY_PACELINE}" if scope.counted else expr


def _of_period(scope: Scope, name: str) -> str:
    """A recording of each SLO's own period."""
    windows = {w.label: w for w in map(rolling, scope.evaluated)}.values()
    return bracketed(either(*(f"({name}{w.label} and on (slo) {_lasts(w)})" for w in windows)))


def _lasts(window: Window) -> str:
    return f"(round({PERIOD_DAYS} * {_DAY_SECONDS}) == {int(window.seconds)})"


def _seen(scope: Scope) -> str:
    """The share of each period in which there was a recorded rate."""
    windows = {w.label: w for w in map(rolling, scope.measured)}.values()
    return bracketed(
        either(
            *(
                f"(count_over_time({TOTAL_RATE}{_of_this_period(scope, w)}[{_range(scope, w)}])"
                f" * {scope.interval_seconds} / {int(w.seconds)} and on (slo) {_lasts(w)})"
                for w in windows
            )
        )
    )


def current_burn() -> Rule:
    """The burn rate of the last 5 minutes."""
    return Rule(record=CURRENT_BURN, expr=f"{ERROR}{RATE} / on (slo) group_left () {BUDGET}")


def limit(tier: Tier) -> str:
    """The share of bad events above which a tier fires: its factor times the error budget of each SLO."""
    return f"{plain(tier.budget_share)} * {PERIOD_DAYS} * {_DAY_SECONDS} / {int(tier.long.seconds)} * {BUDGET}"
