"""What an alert tells whoever it wakes: how bad, how long, what is left, how sure, where to look.

Numbers are queried when the alert is rendered and stand in annotations alone: in a label each value would be a new
alert.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from slo_engine import catalog
from slo_engine.burn import Severity, Tier
from slo_engine.recordings import (
    BAD,
    BUDGET,
    COVERAGE,
    ERROR,
    GROUP,
    LEFT_EVENTS,
    LEFT_RATIO,
    PERIOD_DAYS,
    TOTAL,
    TOTAL_RATE,
    Scope,
    bad_events,
    left_now,
)
from slo_engine.rule import INTERVAL_SECONDS, literals
from slo_engine.slo import Slo
from slo_engine.windows import Window, parse_window

_WHOLE, _ONE_PLACE = 'printf "%.0f"', 'printf "%.1f"'
_OUTLOOK = parse_window("3d")
"""The burn rate that says how long a budget lasts."""
_STEPS = 72
WHO = "{{ $labels.slo }}{{ with $labels.group }} ({{ . }}){{ end }}"
_WHERE_TO_LOOK = "The events behind it: `paceline explain`, or the status page."


@dataclass(frozen=True, kw_only=True)
class Links:
    """Where alerts point to, without a slash at the end; what is empty is left out.

    `paceline` is the address of the service, `dashboard` that of the SLO's dashboard, which takes `var-slo`.
    """

    paceline: str = ""
    dashboard: str = ""


def annotated(summary: str, description: str, slos: Sequence[Slo], links: Links) -> dict[str, str]:
    """The annotations of an alert that any of some SLOs may fire."""
    found = {
        "summary": summary,
        "description": description,
        "runbook_url": _chosen((slo.name, slo.runbook) for slo in slos),
        "dashboard_url": f"{links.dashboard}?var-slo={{{{ $labels.slo | urlquery }}}}" if links.dashboard else "",
        "explain_url": _chosen((slo.name, _explained(slo, links.paceline)) for slo in slos),
    }
    return {name: text for name, text in found.items() if text}


def _explained(slo: Slo, base: str) -> str:
    """The page that lists the units behind an SLO on an indicator."""
    if not base or not slo.indicator:
        return ""
    chosen = {"service": slo.service, "environment": slo.environment, "dimension": slo.dimension}
    asked = urlencode({key: value for key, value in chosen.items() if value})
    return f"{base}/explain/{slo.indicator}" + (f"?{asked}" if asked else "")


def _chosen(pairs: Iterable[tuple[str, str]]) -> str:
    """A template that shows each SLO its own text; texts that several share stand once."""
    names: dict[str, list[str]] = {}
    for slo, text in pairs:
        if text:
            names.setdefault(text, []).append(slo)
    return "".join(
        f"{{{{ if eq $labels.slo {literals(of)} }}}}{text}{{{{ end }}}}" for text, of in sorted(names.items())
    )


def burn_texts(scope: Scope, severity: Severity, tiers: Sequence[Tier]) -> tuple[str, str]:
    """Summary and description of the burn alert of a severity, whose tiers these are."""
    first = tiers[0].long
    summary = f"{WHO} burns its error budget {burn(first)} times as fast as allowed over {first.label}"
    windows = {w.label: w for tier in tiers for w in (tier.short, tier.long)}
    each = "; ".join(
        f"{w.label}: {burn(w)} times, {events(scope, w)}"
        for w in sorted(windows.values(), reverse=severity == "ticket")
    )
    shortest = min(tier.short for tier in tiers)
    longest = max(tier.long for tier in tiers)
    # A ticket burns for days, and what is left changes slowly.
    left = left_now(scope, _OWN) if severity == "page" else RECORDED
    return summary, f"{each}. {since(shortest, longest)} {budget(left)}"


def burn(window: Window) -> str:
    """The burn rate of a window."""
    return _queried(f"{ERROR}{window.label}{_OWN} / on (slo) group_left () {BUDGET}{_SLO}", _ONE_PLACE)


def events(scope: Scope, window: Window) -> str:
    """How many events of a window were bad, of how many."""
    # The bad events of a composite are those of its parts; their sum has no group.
    own = bad_events(scope, window)
    bad = f"{BAD}{window.label}{_OWN}" if own == f"{BAD}{window.label}" else f"{own} and on (slo) {BUDGET}{_SLO}"
    return f"{_queried(bad, _WHOLE)} bad of {_queried(f'{TOTAL}{window.label}{_OWN}', _WHOLE)} events"


def since(short: Window, long: Window) -> str:
    """Since when more is spent than allowed: the last time within the long window when it was not."""
    step = max(INTERVAL_SECONDS, int(long.seconds) // _STEPS // INTERVAL_SECONDS * INTERVAL_SECONDS)
    within = f"{ERROR}{short.label}{_OWN} <= on (slo) group_left () {BUDGET}{_SLO}"
    return _queried(
        f"max_over_time(timestamp({within})[{long.label}:{step}s])",
        "humanizeTimestamp",
        before="Within the allowed rate until ",
        after=".",
        otherwise=f"Never seen within the allowed rate in the last {long.label}.",
    )


def budget(left: tuple[str, str]) -> str:
    """What is left, how long it lasts, how old the numbers are. `left`: how a ratio and a count of it are queried."""
    ratio = _queried(left[0], "humanizePercentage")
    in_events = _queried(left[1], _ONE_PLACE, before=" (", after=" bad events)", otherwise="")
    spent = f"({ERROR}{_OUTLOOK.label}{_OWN} > 0) / on (slo) group_left () {BUDGET}{_SLO}"
    lasts = _queried(
        f"(({left[0]}) > 0) * on (slo) group_left () {PERIOD_DAYS}{_SLO} * 86400 / ({spent})",
        "humanizeDuration",
        before=" At the rate of the last 3 days it is used up in ",
        after=".",
        otherwise="",
    )
    covered = _queried(
        f"{COVERAGE}{_OWN} < 0.995",
        "humanizePercentage",
        before=" Only ",
        after=" of its window was observed.",
        otherwise="",
    )
    return f"Error budget left: {ratio}{in_events}.{lasts}{covered} {age()} {_WHERE_TO_LOOK}"


def age() -> str:
    """How old the numbers are: the last recorded rate, or else what Paceline computed last."""
    newest = f"max(timestamp({TOTAL_RATE}{_SLO})) or max({catalog.SNAPSHOT_TIMESTAMP.name})"
    return f"Data age: {_queried(f'time() - ({newest})', 'humanizeDuration')}."


_SLO = "{slo=%q}"
_OWN = f"{{slo=%q,{GROUP}=%q}}"
RECORDED = f"{LEFT_RATIO}{_OWN}", f"{LEFT_EVENTS}{_OWN}"
"""What is left of a budget as it was recorded last."""


def _queried(query: str, form: str, *, before: str = "", after: str = "", otherwise: str = "no value") -> str:
    """A template that shows a query's first value; `%q` stands for the SLO, or for its group."""
    arguments = _arguments(query)
    escaped = query.replace('"', '\\"')
    asked = f'printf "{escaped}"{arguments} | query' if arguments else f'query "{escaped}"'
    shown = f"{before}{{{{ . | first | value | {form} }}}}{after}"
    return f"{{{{ with {asked} }}}}{shown}{{{{ else }}}}{otherwise}{{{{ end }}}}"


def _arguments(query: str) -> str:
    """What each `%q` of a query stands for, in order."""
    befores = query.split("%q")[:-1]
    return "".join(f" $labels.{GROUP if before.endswith(f'{GROUP}=') else 'slo'}" for before in befores)
