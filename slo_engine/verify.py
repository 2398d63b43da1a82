"""Proves the rules of each SLO with `promtool test rules`: what Prometheus makes of them is what events say.

Expected alerts and ratios come from `slo_engine/proof.py`, which counts events in Python and knows no PromQL.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slo_engine import budget, catalog
from slo_engine.alerts import health_alerts
from slo_engine.burn import Tier
from slo_engine.proof import Oracle, Scenario, scenarios
from slo_engine.recordings import BAD, BAD_RATE, ERROR, GROUP, LEFT_RATIO, RATE, TOTAL_RATE, rolling
from slo_engine.rule import Group, Rule
from slo_engine.rule_files import render_groups
from slo_engine.rules import groups
from slo_engine.slo import Composite, EventCounts, Slo, SloStatus
from slo_engine.synthetic import MINUTES_OF_A_RATE, CannotMakeUp, Series, Stream, Timeline, stream_of
from slo_engine.windows import BURN_WINDOWS, parse_window

Run = Callable[[Sequence[str], Path], tuple[int, str]]
"""Runs `promtool` with arguments in a folder: its exit code, and what it said."""

_PER_MINUTE = 10_000
_CLOSE = 1e-6
_TIMEOUT_SECONDS = 600
_RULES = "rules.yml"
_MOST_TOGETHER = 20


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A scenario in which Prometheus and the events disagree, in promtool's words."""

    scenario: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was tried of an SLO; `untried` says what was not, and why."""

    slo: str
    scenarios: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    untried: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """True where something was tried and nothing failed."""
        return bool(self.scenarios) and not self.failures


def promtool(program: str = "promtool") -> Run:
    """Runs the real promtool. Raises FileNotFoundError where there is none."""

    def run(arguments: Sequence[str], folder: Path) -> tuple[int, str]:
        done = subprocess.run(
            [program, *arguments],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def verify(slos: Sequence[Slo], tiers: Sequence[Tier], run: Run) -> list[Verified]:
    """Tries the rules of SLOs, in the order given: together, as they are deployed, if none reads another's series."""
    made = {slo.name: unit_test(slo, tiers) for slo in slos}
    failures: dict[str, list[Failure]] = {slo.name: [] for slo in slos}
    with tempfile.TemporaryDirectory() as name:
        for some in _together(slos, made):
            for slo, failure in _tried(some, made, tiers, run, Path(name)):
                failures[slo].append(failure)
    return [
        Verified(slo=name, scenarios=tuple(one.tests), failures=tuple(failures[name]), untried=one.untried)
        for name, one in made.items()
    ]


@dataclass(frozen=True, kw_only=True)
class UnitTest:
    """The files of one SLO's proof: its rules, and a promtool test for each scenario.

    `reads`: the metrics of its made-up series, which are scraped so often a minute. `stands_in`: whether its own query
    is left out, and its recordings are given instead.
    """

    rules: str
    tests: Mapping[str, Mapping[str, Any]]
    untried: tuple[str, ...]
    reads: frozenset[str] = frozenset()
    scrapes_per_minute: int = 1
    stands_in: bool = False


def unit_test(slo: Slo, tiers: Sequence[Tier]) -> UnitTest:
    """The proof of an SLO. A composite has none of its own: its parts have theirs."""
    if isinstance(slo.sli, Composite):
        return UnitTest(rules="", tests={}, untried=("it is made of other SLOs",))
    stream, why_not = _stream(slo)
    per_minute = stream.per_minute if stream else _PER_MINUTE
    every, spread = (stream.every_minutes, stream.spread) if stream else (1, MINUTES_OF_A_RATE if slo.promql else 1)
    made, untried = scenarios(slo, tiers, per_minute=per_minute, every=every, spread=spread)
    stands_in = slo.promql is not None and stream is None
    found = _tried_of([slo], tiers, {slo.name} if stands_in else ())
    order = [group.name for group in found]
    return UnitTest(
        rules=render_groups(found),
        tests={scenario.name: _test(slo, tiers, scenario, stream, order) for scenario in made},
        untried=(*([f"its own query: {why_not}"] if stands_in else []), *untried),
        reads=frozenset(name.partition("{")[0] for name in stream.series(made[0].timeline)) if stream else frozenset(),
        scrapes_per_minute=stream.scrapes_per_minute if stream else 1,
        stands_in=stands_in,
    )


def _tried_of(slos: Sequence[Slo], tiers: Sequence[Tier], stand_ins: Collection[str]) -> list[Group]:
    """What can make a scenario fail: neither the words of alerts, which query much, nor alerts on Paceline itself."""
    of_itself = {rule.alert for rule in health_alerts()}

    def tried(rule: Rule) -> bool:
        given = rule.record in {TOTAL_RATE, BAD_RATE} and rule.labels["slo"] in stand_ins
        return not given and rule.alert not in of_itself

    return [
        replace(group, rules=tuple(replace(rule, annotations={}) for rule in group.rules if tried(rule)))
        for group in groups(slos, tiers)
    ]


def _together(slos: Iterable[Slo], made: Mapping[str, UnitTest]) -> list[list[Slo]]:
    """The SLOs in sets of which none reads a metric of another, and whose series are scraped as often."""
    found: list[list[Slo]] = []
    for slo in slos:
        one = made[slo.name]
        if not one.tests:
            continue
        for some in found:
            others = [made[other.name] for other in some]
            alike = one.scrapes_per_minute == others[0].scrapes_per_minute
            if len(some) < _MOST_TOGETHER and alike and all(one.reads.isdisjoint(other.reads) for other in others):
                some.append(slo)
                break
        else:
            found.append([slo])
    return found


def _stream(slo: Slo) -> tuple[Stream | None, str]:
    if slo.promql is None:
        return None, ""
    try:
        stream = stream_of(slo.promql, slo.group_by)
    except CannotMakeUp as error:
        return None, str(error)
    if stream.spread > MINUTES_OF_A_RATE and slo.alert_class == "count":
        # promtool asks at whole minutes, where Prometheus 2 closes a range at both ends.
        return None, "its alerts count events, of which promtool sees six in five minutes"
    return stream, ""


def _tried(
    slos: Sequence[Slo], made: Mapping[str, UnitTest], tiers: Sequence[Tier], run: Run, folder: Path
) -> Iterator[tuple[str, Failure]]:
    """What fails, by SLO. One file after the other, so that what promtool says is about one scenario."""
    for scenario in dict.fromkeys(name for slo in slos for name in made[slo.name].tests):
        own = [slo for slo in slos if scenario in made[slo.name].tests]
        detail = _said(own, scenario, made, tiers, run, folder)
        if not detail:
            continue
        # Which of them it is tells promtool by each alone; what fails only together fails for all of them.
        alone = {slo.name: _said([slo], scenario, made, tiers, run, folder) for slo in own if len(own) > 1}
        for slo in own:
            if said := alone.get(slo.name) or ("" if any(alone.values()) else detail):
                yield slo.name, Failure(scenario=scenario, detail=said)


def _said(
    slos: Sequence[Slo], scenario: str, made: Mapping[str, UnitTest], tiers: Sequence[Tier], run: Run, folder: Path
) -> str:
    """What promtool says against the rules of SLOs in a scenario; empty for nothing."""
    rules, test = made[slos[0].name].rules, made[slos[0].name].tests[scenario]
    if len(slos) > 1:
        found = _tried_of(slos, tiers, [slo.name for slo in slos if made[slo.name].stands_in])
        rules = render_groups(found)
        test = _joined([made[slo.name].tests[scenario] for slo in slos], [group.name for group in found])
    path = folder / "test.yml"
    (folder / _RULES).write_text(rules, encoding="utf-8")
    path.write_text(json.dumps(test), encoding="utf-8")
    code, said = run(["test", "rules", path.name], folder)
    return said.replace(f"Unit Testing:  {path.name}", "").strip() or f"exit code {code}" if code else ""


def _joined(tests: Sequence[Mapping[str, Any]], order: Sequence[str]) -> dict[str, Any]:
    """One promtool test of what several SLOs are given and asked."""
    parts = [test["tests"][0] for test in tests]
    given: dict[str, str] = {}
    for one in (series for part in parts for series in part["input_series"]):
        # What is given for all of them is so for as long as the longest lasts.
        given[one["series"]] = max(given.get(one["series"], ""), one["values"], key=lambda v: (len(v), v))
    asked = [question for part in parts for question in part["promql_expr_test"]]
    whole = parts[0] | {"input_series": _series(given), "promql_expr_test": asked}
    return {**tests[0], "group_eval_order": list(order), "tests": [whole]}


def _series(given: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"series": name, "values": values} for name, values in given.items()]


def _test(
    slo: Slo, tiers: Sequence[Tier], scenario: Scenario, stream: Stream | None, order: Iterable[str]
) -> dict[str, Any]:
    if stream:
        own = stream.series(scenario.timeline)
    elif slo.promql is not None:
        own = _recorded(slo, scenario.timeline)
    else:
        own = _counted(slo, tiers, scenario.timeline)
    scrapes = stream.scrapes_per_minute if stream else 1
    steps = len(scenario.timeline) * scrapes
    given = {**own, **{name: [f"{value}+0x{steps}"] for name, value in _about(slo)}}
    # The clock of a test starts at 0, and numbers are computed at each scrape.
    given[_named(catalog.SNAPSHOT_TIMESTAMP)] = [f"0+{60 // scrapes}x{steps}"]
    return {
        "rule_files": [_RULES],
        "evaluation_interval": "1m",
        # Without it promtool takes groups in any order, and one that reads another is a minute behind or is not.
        "group_eval_order": list(order),
        "tests": [
            {
                "interval": f"{60 // scrapes}s",
                "input_series": _series({name: " ".join(v) for name, v in given.items()}),
                "promql_expr_test": list(_expected(slo, scenario, stream)),
            }
        ],
    }


def _expected(slo: Slo, scenario: Scenario, stream: Stream | None) -> Iterator[dict[str, Any]]:
    """The questions, and what events answer."""
    group = stream.group if stream else ""
    # A range that Prometheus 2 closes on both sides counts the events of a gauge or slice once too often.
    events = {} if stream and stream.spread > MINUTES_OF_A_RATE else scenario.bad
    chosen = f'{{slo="{slo.name}"}}'
    query = f'count by (alertname) (ALERTS{{alertstate="firing",slo="{slo.name}"}})'
    for minute, alerts in scenario.firing.items():
        firing = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(alerts)]
        yield {"expr": query, "eval_time": f"{minute}m", "exp_samples": firing}
    known = {w.label for w in (*BURN_WINDOWS, rolling(slo))}
    values = {(m, f"{ERROR}{label}"): value for (m, label), value in scenario.ratios.items() if label in known}
    values |= {(m, f"{BAD}{label}"): value for (m, label), value in events.items() if label in known}
    values |= {(m, LEFT_RATIO): value for m, value in scenario.left.items()}
    labels = f'{{slo="{slo.name}"' + (f', {GROUP}="{group}"' if group else "") + "}"
    for (minute, name), value in values.items():
        close = _CLOSE * max(1.0, abs(value))
        yield {
            "expr": f"abs({name}{chosen} - ({value!r})) < bool {close!r}",
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": labels, "value": 1}],
        }


# ---- what Paceline exports


def _named(metric: catalog.Metric, *labels: str) -> str:
    pairs = ",".join(f'{k}="{v}"' for k, v in zip(metric.labels, labels, strict=True))
    return f"{metric.name}{{{pairs}}}"


def _about(slo: Slo) -> Iterator[tuple[str, float]]:
    """What is exported of every SLO. Coverage is not asked of a timeline of some hours."""
    about = (slo.name, slo.owner_service, slo.team, slo.tier, slo.owner, slo.alert_class, "events")
    yield _named(catalog.SLO_INFO, *about), 1.0
    yield _named(catalog.SLO_OBJECTIVE, slo.name), float(slo.target)
    yield _named(catalog.SLO_PERIOD, slo.name), slo.window.seconds
    yield _named(catalog.SLO_MINIMUM_EVENTS, slo.name), slo.minimum_events
    yield _named(catalog.SLO_MINIMUM_COVERAGE, slo.name), 0.0


def _counted(slo: Slo, tiers: Sequence[Tier], timeline: Timeline) -> Series:
    """What Paceline exports of an SLO that it counts: exact events of each window, minute by minute."""
    oracle = Oracle(slo, tuple(tiers), timeline)
    found: Series = {}
    for minute in range(len(timeline) + 1):
        missing = minute > 0 and timeline[minute - 1] is None
        for name, value in () if missing else _exported(slo, oracle, minute):
            values = found.setdefault(name, [])
            values += ["_"] * (minute - len(values))
            values.append(f"{value!r}")
    return {name: [*values, *["stale"] * (len(timeline) + 1 - len(values))] for name, values in found.items()}


def _exported(slo: Slo, oracle: Oracle, minute: int) -> Iterator[tuple[str, float]]:
    windows = {w.label: w for w in (*BURN_WINDOWS, rolling(slo))}
    for label, window in windows.items():
        counts = oracle.count(minute, window)
        yield _named(catalog.SLO_EVENTS, slo.name, label, "good"), float(counts.good)
        yield _named(catalog.SLO_EVENTS, slo.name, label, "bad"), float(counts.bad)
    whole: EventCounts = oracle.count(minute, rolling(slo))
    unsure = whole.total < slo.minimum_events
    yield _named(catalog.SLO_STATUS, slo.name, SloStatus.INSUFFICIENT_DATA.value), float(unsure)
    for metric, value in (
        (catalog.SLO_BUDGET_RATIO, budget.remaining_ratio(whole, slo.target)),
        (catalog.SLO_BUDGET_EVENTS, budget.remaining_events(whole, slo.target)),
    ):
        if value is not None:
            yield _named(metric, slo.name), value


def _recorded(slo: Slo, timeline: Timeline) -> Series:
    """The two recordings themselves, where their query cannot be given series."""
    oracle, window = Oracle(slo, (), timeline), parse_window(RATE)
    found: Series = {f'{name}{{slo="{slo.name}"}}': ["_"] for name in (TOTAL_RATE, BAD_RATE)}
    total, bad = found.values()
    for minute in range(1, len(timeline) + 1):
        counts = oracle.count(minute, window)
        there = timeline[minute - 1] is not None
        total.append(f"{float(counts.total) / window.seconds!r}" if there else "stale")
        bad.append(f"{float(counts.bad) / window.seconds!r}" if there else "stale")
    return found


def said(results: Iterable[Verified]) -> str:
    """What was tried and what failed, a line for each SLO."""
    lines = []
    for one in results:
        state = "holds" if one.holds else "FAILS" if one.failures else "not tried"
        lines.append(f"{one.slo}: {state} ({', '.join(one.scenarios) or 'nothing'})")
        lines += [f"  not tried: {text}" for text in one.untried]
        lines += [f"  {f.scenario}: {f.detail}" for f in one.failures]
    return "\n".join(lines) + "\n"
