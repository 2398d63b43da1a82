"""Lint: what is well formed in SLO and rule files and still will not do what its author wants. Pure.

What only a server can tell is `slo_engine/lint_server.py`'s. Targets of 0 % and 100 % never come here: the loader
refuses them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import ROUND_UP, Decimal
from typing import Any, Literal

from slo_engine.alerts import policy_alert_name, policy_refusal
from slo_engine.backtest import Backtest
from slo_engine.burn import Tier, highest_burn, plain, tiers_for
from slo_engine.promql import CounterRatio, PromqlSli, Selected, TimeSlices, bound, selectors
from slo_engine.recordings import Scope
from slo_engine.replay import limit
from slo_engine.rule import Rule
from slo_engine.slo import AlertPolicy, Composite, Slo
from slo_engine.snapshot import SloState
from slo_engine.windows import parse_window
from slo_engine.words import so_many

Severity = Literal["error", "warning", "info"]

FEWEST_EVENTS = 30
"""Fewer events in a normal 6 hours are no traffic for burn rates: definitions.md §6."""
_SIX_HOURS = parse_window("6h").seconds
_USUAL = tuple(parse_window(w) for w in ("28d", "7d", "1d"))
_ENOUGH_WINDOWS = 3
_WORKED_OUT = re.compile(r"\{\{[^}]*(\$value|\.Value\b|\bquery\b|\bhumanize|\bprintf\b|\bwith\b)")
_NUMBER = re.compile(r"\s*[-+]?[0-9]+([.][0-9]+)?\s*%?\s*")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something an author should know: of which SLO, where it was read, what the matter is, and what to write.

    `slo` is empty where it is about a server or a rule. `code` is a short name that stays the same.
    """

    slo: str
    file: str
    line: int
    code: str
    severity: Severity
    problem: str
    write: str

    def __str__(self) -> str:
        """`file:line: severity: slo: problem; write … [code]`, the form editors can jump to."""
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        about = f"{self.slo}: " if self.slo else ""
        return f"{where}{self.severity}: {about}{self.problem}; write {self.write} [{self.code}]"


def of(slo: Slo, code: str, severity: Severity, problem: str, write: str) -> Finding:
    """A finding about an SLO."""
    return Finding(
        slo=slo.name, file=slo.file, line=slo.line, code=code, severity=severity, problem=problem, write=write
    )


def lint(
    slos: Sequence[Slo], tiers: Sequence[Tier], at: date, usual: Mapping[str, float] | None = None
) -> list[Finding]:
    """What the files alone tell on a day. `usual`: by SLO, its events per second in normal traffic, where known."""
    scope, known = Scope.of(slos), usual or {}
    found: list[Finding] = []
    for slo in slos:
        found += _dead_tiers(slo, tiers, slos)
        found += (_dead_policy(slo, p, reason) for p in slo.alert_policies if (reason := policy_refusal(slo, p, scope)))
        found += _spelling(slo)
        found += _review(slo, at)
        if slo.name in known:
            found += lint_traffic(slo, tiers, known[slo.name])
    return ordered([*found, *_same_query(slos)])


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in the order of files and lines, each once; the worst of an SLO first."""
    worst = ("error", "warning", "info")
    return sorted(
        dict.fromkeys(findings), key=lambda f: (f.file, f.line, f.slo, worst.index(f.severity), f.code, f.problem)
    )


def as_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings as programs read them."""
    return [asdict(finding) for finding in findings]


# ---- alerts


def _dead_tiers(slo: Slo, tiers: Sequence[Tier], slos: Sequence[Slo]) -> Iterator[Finding]:
    """Tiers that cannot fire, and an SLO that nobody is paged for."""
    if slo.alert_class != "rate":
        return
    usable, dropped = tiers_for(slo, tiers, slos)
    replaced = {tier.instead_of for tier in usable}
    for one in dropped:
        severity: Severity = "info" if one.tier.name in replaced else "warning"
        problem = f"tier {one.tier.name} ({one.tier.severity}) cannot fire: {one.reason}"
        yield of(slo, "tier-cannot-fire", severity, problem, _reachable(slo, one.tier, slos))
    if any(t.severity == "page" for t in tiers) and not any(t.severity == "page" for t in usable):
        yield of(
            slo,
            "no-page",
            "error",
            f"no tier can page for a target of {plain(slo.target)} in {slo.window.label}",
            "a higher target or a longer window, or paceline.dev/alert-class: count where nobody is to be paged",
        )


def _reachable(slo: Slo, tier: Tier, slos: Sequence[Slo]) -> str:
    if tier.long.seconds > slo.window.seconds:
        return f"a window of {tier.long.label} or more"
    factor = tier.factor(slo.window)
    if isinstance(slo.sli, Composite):
        burn = plain(highest_burn(slo, slos).quantize(Decimal("0.01")))
        return f"higher targets of its parts: they burn at {burn} at most, and {plain(factor)} must be exceeded"
    lowest = (1 - 1 / factor).quantize(Decimal("0.0001"), ROUND_UP) if factor > 1 else Decimal("0.0001")
    return f"a target above {plain(lowest)}, or leave it to the other tiers"


def _dead_policy(slo: Slo, policy: AlertPolicy, reason: str) -> Finding:
    problem = f"alert policy {policy.name} becomes no alert {policy_alert_name(policy)}: {reason}"
    return of(slo, "policy-cannot-fire", "error", problem, "a threshold and lookbackWindow within these bounds")


def lint_traffic(slo: Slo, tiers: Sequence[Tier], per_second: float, group: str = "") -> Iterator[Finding]:
    """Whether a `rate` SLO has the events that burn rates need, in its usual traffic (events per second)."""
    if slo.alert_class != "rate" or isinstance(slo.sli, Composite):
        return
    whose = f"group {group} has" if group else "it has"
    count = "paceline.dev/alert-class: count"
    if per_second * _SIX_HOURS < FEWEST_EVENTS:
        problem = f"{whose} {per_second * _SIX_HOURS:.3g} events in a normal 6 h; burn rates need {FEWEST_EVENTS}"
        yield of(slo, "few-events", "warning", problem, f"{count}, or an SLI with more events")
    for tier in tiers_for(slo, tiers)[0]:
        if tier.severity == "page" and _one_fires(slo, tier, per_second):
            events = f"{whose} {per_second * tier.long.seconds:.3g} events in a normal {tier.long.label}"
            problem = f"{events}: one bad event burns faster than tier {tier.name} allows"
            if tier.minimum_bad_events > 1:
                problem += f", and only its minimum of {tier.minimum_bad_events} bad events keeps it from paging"
            severity: Severity = "warning" if tier.minimum_bad_events > 1 else "error"
            yield of(slo, "one-event-pages", severity, problem, f"{count}, or a higher minimum_bad_events of the tier")
            return


def _one_fires(slo: Slo, tier: Tier, per_second: float) -> bool:
    """Whether one bad event among the usual ones is above a tier's limit in both of its windows."""
    return all(1 / max(1.0, per_second * w.seconds) > limit(slo, tier) for w in (tier.long, tier.short))


def usual(states: Iterable[SloState]) -> dict[str, float]:
    """Events per second of the SLOs that Paceline counts, over the longest window of theirs that is wholly known."""
    found: dict[str, float] = {}
    for state in states:
        known = state.coverage * state.slo.window.seconds
        for window in _USUAL:
            if window.label in state.counts and window.seconds <= known:
                found[state.slo.name] = float(state.counts[window.label].total) / window.seconds
                break
    return found


# ---- files


def _review(slo: Slo, at: date) -> Iterator[Finding]:
    if slo.review_at is not None and slo.review_at < at:
        days = (at - slo.review_at).days
        problem = f"its review was due on {slo.review_at}, {so_many(days, 'day')} ago"
        yield of(slo, "review-overdue", "warning", problem, "the day of the next review, once it was reviewed")


def _same_query(slos: Sequence[Slo]) -> Iterator[Finding]:
    """SLOs that count the same events in the same way."""
    first: dict[Any, Slo] = {}
    for slo in slos:
        if isinstance(slo.sli, Composite):
            continue
        other = first.setdefault((slo.sli, slo.budgeting, slo.slice, slo.slice_target, frozenset(slo.group_by)), slo)
        if other is not slo:
            where = f" ({other.file}:{other.line})" if other.line else ""
            problem = f"it counts the same events as {other.name}{where}: one incident alerts for both"
            write = "one of them; what was promised to others is its annotation paceline.dev/sla-target"
            yield of(slo, "same-query", "warning", problem, write)


def queries_of(sli: PromqlSli) -> tuple[str, ...]:
    """What an author wrote as queries; nothing for SLIs that are no queries."""
    if isinstance(sli, TimeSlices):
        return queries_of(sli.sli)
    if isinstance(sli, CounterRatio):
        return tuple(filter(None, (sli.total_query, sli.good_query, sli.bad_query)))
    return ()


def written_bounds(sli: PromqlSli) -> Iterator[tuple[Selected, str]]:
    """The selectors of an author's queries that ask for a bucket in one way of writing, and how `le` is written."""
    for selected in selectors(*queries_of(sli)):
        for label, sign, value in selected.matchers:
            if label == "le" and sign == "=" and value != "+Inf" and number(value) is not None:
                yield selected, value


def number(text: str) -> float | None:
    """A bound as a number; None for what is none."""
    try:
        return float(text)
    except ValueError:
        return None


def _spelling(slo: Slo) -> Iterator[Finding]:
    """`le="1"` and `le="1.0"` are one bucket, written by different clients and versions."""
    if slo.promql is None:
        return
    for selected, value in written_bounds(slo.promql):
        matcher = bound(float(value))
        if matcher != f'le="{value}"':
            problem = f'{selected.text} finds le="{value}" in this way of writing alone'
            yield of(slo, "bucket-spelling", "warning", problem, f"{matcher}, or thresholdMetric with histogram")


# ---- rules


def lint_rules(rules: Iterable[Rule], file: str = "") -> list[Finding]:
    """Numbers in labels of alert rules: each new value would be a new alert, and a new notification."""
    return ordered(
        Finding(
            slo="",
            file=file,
            line=0,
            code="number-in-label",
            severity="error" if _WORKED_OUT.search(value) else "warning",
            problem=f"alert {rule.alert} has a number in its label {label}: {value[:60]!r}",
            write="it as an annotation: labels say which alert it is, and stay the same while it fires",
        )
        for rule in rules
        if rule.alert
        for label, value in rule.labels.items()
        if _WORKED_OUT.search(value) or _NUMBER.fullmatch(value)
    )


def rules_in(content: Mapping[str, Any]) -> list[Rule]:
    """The rules of a rule file or of a PrometheusRule that was read as YAML. Raises ValueError for what is none."""
    spec = content.get("spec", content)
    groups = spec.get("groups") if isinstance(spec, Mapping) else None
    if not isinstance(groups, list) or not all(isinstance(g, Mapping) for g in groups):
        raise ValueError("there are no groups of rules; expected a rule file or a PrometheusRule")
    found = [rule for group in groups for rule in group.get("rules") or ()]
    return [
        Rule(
            expr=str(rule.get("expr", "")),
            record=str(rule.get("record", "")),
            alert=str(rule.get("alert", "")),
            labels={str(k): str(v) for k, v in (rule.get("labels") or {}).items()},
        )
        for rule in found
        if isinstance(rule, Mapping)
    ]


# ---- the past


def lint_past(found: Backtest) -> list[Finding]:
    """A target that was never met in its finished windows, or that says nothing because it was never missed."""
    windows, slo, made = found.windows, found.slo, found.suggestion
    if len(windows) < _ENOUGH_WINDOWS:
        return []
    if not any(window.met for window in windows):
        write = f"a target of {plain(made.target)}, which the past could keep" if made else "a target that can be kept"
        problem = f"its target was missed in each of the last {len(windows)} windows of {slo.window.label}"
        return [of(slo, "never-met", "info", problem, write)]
    if all(window.met for window in windows) and made is not None and made.target > slo.target:
        problem = f"its target was never missed in the last {len(windows)} windows of {slo.window.label}"
        write = f"a target up to {plain(made.target)}, where users would notice the difference"
        return [of(slo, "never-missed", "info", problem, write)]
    return []
