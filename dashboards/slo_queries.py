"""What boards ask about SLOs, whoever measures them: Paceline, whose numbers are exported, or Prometheus by its rules.

Each query has one series for each SLO, with the label `slo` alone unless it says otherwise. What Paceline counts comes
first; the recordings stand in for SLOs that Prometheus measures, and for composites. Of an SLO that is grouped its
worst group stands for it. `where` are matchers of the label `slo`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dashboards.making import by, matching
from slo_engine import catalog
from slo_engine.alerts import PAGE, TICKET
from slo_engine.budget import LOW_BUDGET as _LOW_BUDGET
from slo_engine.recordings import BAD, BUDGET, COVERAGE, ERROR, LEFT_EVENTS, LEFT_RATIO, PERIOD_BURN, TOTAL
from slo_engine.slo import SloStatus
from slo_engine.windows import BURN_WINDOWS

_DAY_SECONDS = 86_400
UNKNOWN = "unknown"
"""Of an SLO that has neither a status of Paceline's nor a recorded budget."""
BURN_WINDOWS_SHOWN = ("1h", "6h", "3d")
"""The windows of the alert tiers: 2 % of the budget in 1 h, 5 % in 6 h, 10 % in 3 d."""
_RECORDED_WINDOWS = frozenset(w.label for w in BURN_WINDOWS)
LOW_BUDGET = float(_LOW_BUDGET)
"""The share of its budget below which an SLO is at risk."""
ALERTS_SHOWN = "Platform(Slo|Source|Data|Metrics).*"
"""A pattern of the names of the alerts that Paceline's rules have."""


def info(about: str = "", *labels: str) -> str:
    """The SLOs of which something is known; `about` are matchers of their service and team."""
    return by(catalog.SLO_INFO, "slo", *labels, where=about)


def among(expr: str, about: str) -> str:
    """Of a query by SLO the SLOs of some services and teams."""
    return f"({expr}) and on (slo) {_selector(catalog.SLO_INFO.name, about)}"


def left(where: str = "", only: str = "") -> str:
    """The share of the error budget that is left; negative when overspent. `only` keeps some: `and on (slo) …`."""
    own = _by_slo("max", catalog.SLO_BUDGET_RATIO.name, where, only)
    return f"{own} or {_by_slo('min', LEFT_RATIO, where, only)}"


def left_events(where: str = "") -> str:
    """The bad events that the window still allows."""
    return f"{by(catalog.SLO_BUDGET_EVENTS, 'slo', where=where)} or {_by_slo('min', LEFT_EVENTS, where)}"


def covered(where: str = "") -> str:
    """The share of the window in which events were observed."""
    return f"{by(catalog.SLO_COVERAGE, 'slo', where=where)} or {_by_slo('min', COVERAGE, where)}"


def attained(where: str = "") -> str:
    """Good events over all in the SLO's window. A recorded burn rate times the budget is the share of bad ones."""
    bad = f"{_by_slo('max', PERIOD_BURN, where)} * on (slo) {_by_slo('max', BUDGET, where)}"
    return f"{by(catalog.SLO_ATTAINMENT, 'slo', where=where)} or 1 - {bad}"


def period_days(where: str = "") -> str:
    """The length of the SLO's window in days, as it was written: Grafana would make three months of 90."""
    return f"{by(catalog.SLO_PERIOD, 'slo', where=where)} / {_DAY_SECONDS}"


def burn(window: str, where: str = "", only: str = "") -> str:
    """The burn rate over a window: the error ratio over the allowed one. `only` as for `left`."""
    own = _by_slo("max", catalog.SLO_BURN_RATE.name, matching(where, f'window="{window}"'), only)
    return f"{own} or {_by_slo('max', ERROR + window, where, only)} / on (slo) {_by_slo('max', BUDGET, where, only)}"


def burns(where: str = "", windows: Sequence[str] = BURN_WINDOWS_SHOWN) -> str:
    """The burn rates over windows, by SLO and `window`; of what Prometheus measures over those of BURN_WINDOWS."""
    own = by(catalog.SLO_BURN_RATE, "slo", "window", where=matching(where, f'window=~"{"|".join(windows)}"'))
    budget = _by_slo("max", BUDGET, where)
    errors = {w: _by_slo("max", ERROR + w, where) for w in windows if w in _RECORDED_WINDOWS}
    recorded = (_labelled(f"{error} / on (slo) {budget}", "window", w) for w, error in errors.items())
    return " or ".join((own, *recorded))


def bad_events(where: str = "", windows: Sequence[str] = BURN_WINDOWS_SHOWN) -> str:
    """Bad events, by SLO and `window`: every window that Paceline counts, and these of what Prometheus measures."""
    return _events("bad", {w: _by_slo("sum", BAD + w, where) for w in windows}, where)


def good_events(where: str = "", windows: Sequence[str] = BURN_WINDOWS_SHOWN) -> str:
    """Good events, as `bad_events`."""
    good = {w: f"{_by_slo('sum', TOTAL + w, where)} - {_by_slo('sum', BAD + w, where)}" for w in windows}
    return _events("good", good, where)


def _events(outcome: str, recorded: Mapping[str, str], where: str) -> str:
    own = by(catalog.SLO_EVENTS, "slo", "window", where=matching(where, f'outcome="{outcome}"'))
    return " or ".join((own, *(_labelled(expr, "window", w) for w, expr in recorded.items())))


def statuses(where: str = "") -> str:
    """A series for each SLO, by its `status`.

    Of what Prometheus measures it follows from the recorded budget and the burn-rate alerts that fire, by the rule by
    which Paceline judges its own.
    """
    own = f"{by(catalog.SLO_STATUS, 'slo', 'status', where=where)} == 1"
    judged = (_labelled(expr, "status", status) for status, expr in _judged(where).items())
    return " or ".join((own, *judged))


def with_status(*names: str, about: str = "") -> str:
    """How many SLOs have one of these statuses, in one series: 0 where there are SLOs, and none has it."""
    own = f"""{by(catalog.SLO_STATUS, "slo", where=f'status=~"{"|".join(names)}"')} == 1"""
    judged = _judged("")
    found = " or ".join((own, *(judged[name] for name in names if name in judged)))
    return f"count({among(found, about)}) or 0 * count({info(about)})"


def worst(operator: str, most: int, ask: Callable[[str], str], about: str) -> str:
    """Over time what is asked, of the SLOs alone that are worst at the end; `operator` is `topk` or `bottomk`.

    `ask` makes the query, given what keeps only some SLOs: asked of all of them at each step, hundreds take seconds.
    Without an end, others would be worst at each step, and a chart would have far more lines.
    """
    picked = f"{operator}({most}, last_over_time(({among(ask(''), about)})[1m:1m] @ end()))"
    return ask(f" and on (slo) {picked}")


def stale_sources() -> str:
    """How many sources are not fresh, in one series: 0 where there are sources, and all are."""
    fresh = by(catalog.SOURCE_FRESH, "source")
    return f"count({fresh} == 0) or 0 * count({fresh})"


def counted(where: str) -> str:
    """The events of an SLO's own window, by `outcome`, where its attainment is known."""
    own = f"on (slo, window) {_selector(catalog.SLO_ATTAINMENT.name, where)}"
    return f"max by (outcome) ({_selector(catalog.SLO_EVENTS.name, where)} and {own})"


def as_parts(expr: str, weights: str, *labels: str) -> str:
    """Of a query by SLO what is a part that has a weight: by `part`, and these labels, instead of `slo`."""
    renamed = f'label_join({expr}, "part", "", "slo")'
    return f"max by ({', '.join(('part', *labels))}) ({renamed}) and on (part) {weights}"


def _judged(where: str) -> Mapping[str, str]:
    """By status the SLOs that have it, of those without a status of Paceline's."""
    of_others = f"unless on (slo) {catalog.SLO_STATUS.name}"
    budget = f"({_by_slo('min', LEFT_RATIO, where)} {of_others})"
    firing = "ALERTS{" + matching(where, f'alertname=~"{PAGE}|{TICKET}",alertstate="firing"') + "}"
    return {
        SloStatus.EXHAUSTED: f"({budget} <= 0)",
        SloStatus.AT_RISK: f"({budget} > 0 < {LOW_BUDGET} or {budget} >= {LOW_BUDGET} and on (slo) {firing})",
        SloStatus.HEALTHY: f"({budget} >= {LOW_BUDGET} unless on (slo) {firing})",
        UNKNOWN: f"({by(catalog.SLO_INFO, 'slo', where=where)} {of_others} unless on (slo) {LEFT_RATIO})",
    }


def _by_slo(operator: str, name: str, where: str, only: str = "") -> str:
    """A metric by SLO; of a recording `operator` picks the worst of its groups, or adds them up."""
    return f"{operator} by (slo) ({_selector(name, where)}{only})"


def _selector(name: str, where: str) -> str:
    return f"{name}{{{where}}}" if where else name


def _labelled(expr: str, label: str, value: str) -> str:
    return f'label_replace({expr}, "{label}", "{value}", "", "")'
