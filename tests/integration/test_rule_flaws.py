"""What generators of SLO rules got wrong, each with real Prometheus code and beside the truth: counted events.

`pytest -s` shows a table of the truth and of what our rules say.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from slo_engine.alert_windows import load_tiers
from slo_engine.alerts import PAGE, TICKET, refused
from slo_engine.promql import CounterRatio, Histogram
from slo_engine.recordings import Scope
from slo_engine.rule_files import render_groups
from slo_engine.rules import groups
from slo_engine.slo import IndicatorSli, Sli, Slo
from slo_engine.windows import parse_window

pytestmark = [pytest.mark.integration, pytest.mark.long]

ROOT = Path(__file__).parents[2]
TIERS = load_tiers(ROOT / "config" / "alert-windows" / "sre-workbook.yaml")
ERRORS = CounterRatio(total_query="asked_total", bad_query='asked_total{code="500"}')
_SAMPLE = re.compile(r"(\{[^}]*\}|\S+\{[^}]*\}) (\S+?)(?:, |$)")
_HOUR = 60
Value = float | None


def slo(name: str = "checkout", sli: Sli = ERRORS, target: str = "0.999", **more: Any) -> Slo:
    return Slo(
        name=name,
        title=name,
        description="",
        owner_service="shop",
        target=Decimal(target),
        window=parse_window("30d"),
        sli=sli,
        **({"alert_class": "rate", "owner": "guild"} | more),
    )


def counter(events: Iterable[float], scale: float = 1.0) -> list[str]:
    """A counter that starts at 0, from the events of each step."""
    return [f"{v * scale:.15g}" for v in accumulate(events, initial=0.0)]


def asked(good: Sequence[float], bad: Sequence[float]) -> dict[str, list[str]]:
    return {'asked_total{code="200"}': counter(good), 'asked_total{code="500"}': counter(bad)}


def about(slos: Sequence[Slo], steps: int, *, owners: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """What Paceline exports of SLOs, with a change of the owner halfway for some."""
    found = {"platform_snapshot_timestamp_seconds": [f"0+60x{steps}"]}
    for s in slos:
        info = 'platform_slo_info{{slo="{}",service="shop",team="",tier="",owner="{}",kind="{}"}}'
        new = (owners or {}).get(s.name)
        half = steps // 2
        found[info.format(s.name, s.owner, s.alert_class)] = [f"1x{half}", "stale"] if new else [f"1x{steps}"]
        if new:
            found[info.format(s.name, new, s.alert_class)] = [f"_x{half}", f"1x{steps - half}"]
        found[f'platform_slo_objective_ratio{{slo="{s.name}"}}'] = [f"{s.target}x{steps}"]
        found[f'platform_slo_period_seconds{{slo="{s.name}"}}'] = [f"{s.window.seconds}x{steps}"]
    return found


@dataclass(frozen=True)
class Rules:
    """Asks rules that promtool evaluates, and tells what they said beside the truth."""

    promtool: str
    folder: Path

    def say(  # one question has as many sides
        self,
        slos: Sequence[Slo],
        given: Mapping[str, Sequence[str]],
        questions: Sequence[tuple[str, int]],
        *,
        only: str = "",
        step_minutes: int = 1,
    ) -> list[dict[str, float]]:
        """The series, with their values, that each expression gives at its minute; `only`: rules by name.

        A recording that is left out stands in expressions as what it records: summing a month up is only worth it then.
        """
        made = groups(slos, TIERS)
        kept = [replace(g, rules=tuple(r for r in g.rules if re.search(only, r.record or r.alert))) for g in made]
        left_out = {r.record: r.expr for g in made for r in g.rules if r.record and not re.search(only, r.record)}

        def paced(text: str) -> str:
            # promtool cannot hold a month of minutes; counts depend on the interval, and this one is not offered.
            return text.replace("]) * 60", f"]) * {60 * step_minutes}")

        def spelled_out(expr: str) -> str:
            return re.sub(
                r"slo:[\w:]+", lambda m: f"({spelled_out(left_out[m[0]])})" if m[0] in left_out else m[0], expr
            )

        (self.folder / "rules.yml").write_text(paced(render_groups(kept)), encoding="utf-8")
        test = {
            "interval": f"{step_minutes}m",
            "input_series": [{"series": n, "values": " ".join(v)} for n, v in given.items()],
            # Nobody expects this value: promtool prints what it got instead.
            "promql_expr_test": [
                {
                    "expr": paced(spelled_out(e)),
                    "eval_time": f"{m}m",
                    "exp_samples": [{"labels": "{none='x'}", "value": 0}],
                }
                for e, m in questions
            ],
        }
        content = {
            "rule_files": ["rules.yml"],
            "evaluation_interval": f"{step_minutes}m",
            "group_eval_order": [g.name for g in made],
            "tests": [test],
        }
        (self.folder / "test.yml").write_text(json.dumps(content), encoding="utf-8")
        done = subprocess.run(
            [self.promtool, "test", "rules", "test.yml"], cwd=self.folder, check=False, capture_output=True, text=True
        )
        got = re.findall(r"^ +got: (.*)$", done.stdout + done.stderr, re.MULTILINE)
        assert len(got) == len(questions), done.stdout + done.stderr
        return [{k: float(v) for k, v in _SAMPLE.findall(line)} for line in got]

    def value(self, *arguments: Any, **options: Any) -> Value:
        """The only value of one question; None where there is none."""
        [found] = self.say(*arguments, **options)
        assert len(found) < 2, found
        return next(iter(found.values()), None)


@pytest.fixture
def ask(tmp_path: Path, requires_tool: Callable[[str], str]) -> Rules:
    return Rules(requires_tool("promtool"), tmp_path)


@pytest.fixture(scope="module")
def table() -> Iterable[Callable[..., None]]:
    """Collects rows, and shows them together."""
    rows: list[tuple[str, str, str]] = []

    def row(case: str, truth: object, ours: object) -> None:
        rows.append((case, str(truth), str(ours)))

    yield row
    print(f"\n{'case':<62} {'truth':<34} ours")  # noqa: T201 - the table is what -s is for
    for case, truth, ours in rows:
        print(f"{case:<62} {truth:<34} {ours}")  # noqa: T201 - likewise


_PERIOD = "rate5m$|slo:.*(30d|error_budget|objective|time_period)|slo:period"
_RATES = r":rate5m$"
RATIO_30D, LEFT = "slo:sli_error:ratio_rate30d", "slo:period_error_budget_remaining:ratio"


def test_day_and_night(ask: Rules, table: Callable[..., None]) -> None:
    """100 rps at 0 % by day, 1 rps at 10 % for eight hours of the night, 30 d: 0.0498 %, half of the budget left."""
    day = [(300 * 100.0, 0.0)] * (16 * 12) + [(300 * 0.9, 300 * 0.1)] * (8 * 12)
    steps = day * 30
    truth = sum(b for _, b in steps) / sum(g + b for g, b in steps)

    given = asked([g for g, _ in steps], [b for _, b in steps]) | about([slo()], len(steps))
    questions = [(RATIO_30D, 30 * 24 * _HOUR), (LEFT, 30 * 24 * _HOUR)]
    [ratio], [left] = (list(f.values()) for f in ask.say([slo()], given, questions, only=_RATES, step_minutes=5))

    table("errors: busy good days, idle bad nights, 30 d", f"{truth:.4%}", f"{ratio:.4%}")
    table("  budget left", f"{1 - truth / 0.001:+.1%}", f"{left:+.1%}")
    assert truth == pytest.approx(0.000498, rel=1e-2)
    assert ratio == pytest.approx(truth, rel=1e-3)
    assert left == pytest.approx(1 - truth / 0.001, abs=1e-3)


def test_idle_minutes(ask: Rules, table: Callable[..., None]) -> None:
    """Fifteen idle minutes once: no ratio for 5 minutes of nothing, and the 30-day figure stays what it is."""
    busy, idle = [(1999.0, 1.0)] * 120, [(0.0, 0.0)] * 15
    steps = [*busy, *idle, *busy]

    given = asked([g for g, _ in steps], [b for _, b in steps]) | about([slo()], len(steps))
    questions = [("slo:sli_error:ratio_rate5m", 134), (RATIO_30D, 134), (RATIO_30D, 255)]
    in_5m, during, after = ask.say([slo()], given, questions, only=r"rate5m|events5m|30d|slo:[^s]")

    table(
        "15 idle minutes: in 5 m, in 30 d then and later",
        "none, 0.05 %, 0.05 %",
        [in_5m, *during.values(), *after.values()],
    )
    assert in_5m == {}
    assert [*during.values(), *after.values()] == pytest.approx([0.0005, 0.0005], rel=1e-9)


def test_errors_that_appear_late(ask: Rules, table: Callable[..., None]) -> None:
    """No error series for 25 h, then an hour at 10 %: 0, and then 0.385 % of all."""
    late = 25 * _HOUR
    quiet = 5  # then the last events are in every recorded rate that will hold them
    given = {
        'asked_total{code="200"}': counter([100.0] * late + [90.0] * _HOUR + [0.0] * quiet),
        'asked_total{code="500"}': [f"_x{late}", *counter([10.0] * _HOUR + [0.0] * quiet)],
    }
    given |= about([slo()], late + _HOUR + quiet)
    questions = [(RATIO_30D, late), (RATIO_30D, late + _HOUR + quiet)]
    before, after = (next(iter(f.values())) for f in ask.say([slo()], given, questions, only=_PERIOD))

    truth = 600 / 156_000
    table("no error series for 25 h, then 1 h at 10 %", f"0, then {truth:.3%}", f"{before:g}, then {after:.3%}")
    assert before == 0
    assert after == pytest.approx(truth, rel=1e-6)


def test_a_label_changes(ask: Rules, table: Callable[..., None]) -> None:
    """The owner changes: every rule goes on, on one series, and no alert is lost."""
    steps = 120
    given = asked([80.0] * steps, [20.0] * steps) | about([slo()], steps, owners={"checkout": "another guild"})
    page = f'ALERTS{{alertname="{PAGE}",alertstate="firing"}}'
    questions = [
        ("count(count_over_time(slo:sli_error:ratio_rate1h[100m]) >= 100)", steps),
        ('count({__name__=~"slo:.+"}) by (owner)', steps),
        (page, 59),
        (page, 62),
    ]
    whole, owners, before, after = ask.say([slo()], given, questions)

    table(
        "the owner changes: series of a ratio without a gap; pages",
        "1; 1 and 1",
        [*whole.values(), len(before), len(after)],
    )
    assert [list(whole.values()), len(owners), len(before), len(after)] == [[1.0], 1, 1, 1]


def test_a_total_outage_of_ten_minutes(ask: Rules, table: Callable[..., None]) -> None:
    """One incident: a page that starts within minutes, ends within 35 after recovery, and nothing starts after it."""
    before, after = 6 * _HOUR, 10 * _HOUR
    good = [600.0] * before + [0.0] * 10 + [600.0] * after
    bad = [0.0] * before + [600.0] * 10 + [0.0] * after
    end = before + 10
    given = asked(good, bad) | about([slo()], len(good))
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    minutes = range(before, before + 10 + after, 2)
    found = ask.say([slo()], given, [(firing, m) for m in minutes])

    seen: dict[str, list[int]] = {}
    for minute, alerts in zip(minutes, found, strict=True):
        for name in re.findall(r'alertname="(\w+)"', " ".join(alerts)):
            seen.setdefault(name, []).append(minute - end)
    table(
        "10-min outage: alerts, from and to (minutes after recovery)",
        "page, none starts later",
        {n: (m[0], m[-1]) for n, m in seen.items()},
    )
    assert set(seen) == {PAGE, TICKET}
    assert max(m[0] for m in seen.values()) < 0
    assert max(m[-1] for m in seen.values()) <= 35
    assert all(len(m) == (m[-1] - m[0]) // 2 + 1 for m in seen.values())  # none comes back


def test_first_samples_of_new_series(ask: Rules, table: Callable[..., None]) -> None:
    """Twenty failures in twenty series that begin with them: 20, as Paceline counts its own events itself.

    Of a query's counters the same is true where they are exported at zero before their first event.
    """
    counted = slo("counted", IndicatorSli(indicator="pipeline_success"))
    steps = 30
    events = {
        f'platform_slo_events{{slo="counted",window="1h",outcome="{o}"}}': v for o, v in (("good", 0), ("bad", 20))
    }
    given = {name: ["0x9", f"{value}x{steps - 10}"] for name, value in events.items()}
    given |= {f'asked_total{{code="500",pod="{i}"}}': ["_x9", "0", f"1x{steps - 10}"] for i in range(20)}
    given |= about([slo(), counted], steps)
    [found] = ask.say([slo(), counted], given, [("slo:sli_bad:events1h", steps)])

    table("20 failures, each the first of a series", 20, list(found.values()))
    assert list(found.values()) == pytest.approx([20.0, 20.0])


def test_two_slos_on_one_histogram(ask: Rules, table: Callable[..., None]) -> None:
    """Two thresholds of one histogram: each has its own share, 5 % and 1 %; nothing is counted twice."""
    steps = _HOUR
    given = {
        f"wait_seconds_{name}": counter([count] * steps)
        for name, count in (
            ('bucket{le="0.1"}', 950.0),
            ('bucket{le="1"}', 990.0),
            ('bucket{le="+Inf"}', 1000.0),
            ("count{}", 1000.0),
        )
    }
    slos = [
        slo(name, Histogram(metric="wait_seconds", threshold=t), "0.9") for name, t in (("fast", 0.1), ("slow", 1.0))
    ]
    [found] = ask.say(slos, given | about(slos, steps), [("slo:sli_error:ratio_rate1h", steps)])

    ours = {re.findall(r'slo="(\w+)"', k)[0]: v for k, v in found.items()}
    table("two SLOs on one histogram", "5 % and 1 %", ours)
    assert ours == {"fast": pytest.approx(0.05), "slow": pytest.approx(0.01)}


def test_a_target_of_ninety_percent(ask: Rules, table: Callable[..., None]) -> None:
    """At 90 % a 14.4x tier cannot fire: that is said with the reason, and a total outage still pages."""
    lax = slo(target="0.9")
    said = [r.reason for r in refused(Scope.of([lax]), TIERS)]
    given = asked([100.0] * 60 + [0.0] * 180, [0.0] * 60 + [100.0] * 180) | about([lax], 240)
    [found] = ask.say([lax], given, [(f'ALERTS{{alertname="{PAGE}",alertstate="firing"}}', 240)])

    table("target 90 %: the 14.4x tier; a total outage", "dead, and said; pages", (said[0], f"{len(found)} page"))
    assert [s.partition(" is out of reach")[0] for s in said] == ["a burn rate above 14.4"]
    assert len(found) == 1


def test_one_failure_after_two_hundred_good_ones(ask: Rules, table: Callable[..., None]) -> None:
    """A sparse SLI: 200 good ones, an hour of nothing, one failure: nobody is paged, then or later."""
    good = [20.0] * 10 + [0.0] * 180
    bad = [0.0] * 70 + [1.0] + [0.0] * 119
    given = asked(good, bad) | about([slo()], 190)
    firing = 'ALERTS{alertstate="firing"}'
    found = ask.say([slo()], given, [(firing, m) for m in range(70, 190, 5)])

    table("one failure after 200 good ones", "no page", f"{sum(map(len, found))} alerts")
    assert found == [{}] * len(found)


def test_the_cost_of_an_slo(tmp_path: Path, table: Callable[..., None], requires_tool: Callable[[str], str]) -> None:
    """40 series, scrapes of 60 s, 30 d of history: at most 1000 samples a second, as Prometheus itself counts."""
    requires_tool("prometheus")
    requires_tool("promtool")
    spec = importlib.util.spec_from_file_location("bench_rules", ROOT / "bench" / "rules.py")
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)

    cost = bench.cost(tmp_path)

    table("cost of an SLO: samples per second", "<= 1000", round(cost))
    assert 100 < cost <= 1000
