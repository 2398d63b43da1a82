"""The generated rules: as text, and as a real Prometheus evaluates them on what Paceline exports."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from source_states import source_state

from slo_engine import budget, catalog
from slo_engine.alert_windows import load_tiers
from slo_engine.exposition import Sample, self_samples, slo_samples, source_samples
from slo_engine.recordings import ERROR, rolling
from slo_engine.rule_files import render_rules
from slo_engine.rules import rules
from slo_engine.slo import EventCounts, IndicatorSli, Slo, SloStatus
from slo_engine.snapshot import SloState, Snapshot, SourceState
from slo_engine.windows import BURN_WINDOWS, parse_window

GOLDEN = Path(__file__).parent / "golden" / "rules.yml"
TIERS = load_tiers(Path(__file__).parents[2] / "config" / "alert-windows" / "sre-workbook.yaml")
IDENTITY = {"slo", "service", "team", "tier", "severity", "source"}
LATE = (90, 120, 180, 240, 300, 360, 420, 480, 540, 590)
"""Minutes long after an incident: what fires then started too late."""


def slo(name: str = "checkout", target: str = "0.99", period: str = "28d", **more: Any) -> Slo:
    return Slo(
        name=name,
        title=name.title(),
        description="",
        owner_service="shop",
        sli=IndicatorSli(indicator="wait"),
        target=Decimal(target),
        window=parse_window(period),
        team="payments",
        tier="1",
        **({"alert_class": "rate"} | more),
    )


CHECKOUT = slo(runbook="https://example.com/runbooks/checkout")
REVIEWS = slo("reviews", "0.9", "30d")
ONBOARDING = slo("onboarding", "0.9", "90d", alert_class="count", runbook="https://example.com/runbooks/onboarding")
THREE = (CHECKOUT, REVIEWS, ONBOARDING)


# ---- the text


def test_the_rules_of_three_slos_are_the_golden_ones(golden: Callable[[Path, str], None]) -> None:
    """A busy SLO, one whose fast tier cannot fire, and one of people and process give exactly these rules."""
    golden(GOLDEN, render_rules(THREE, TIERS))


def test_the_same_slos_in_any_order_give_the_same_text() -> None:
    """The file changes only when an SLO does."""
    assert render_rules(THREE[::-1], TIERS) == render_rules(THREE, TIERS)


def test_a_tier_that_cannot_fire_is_named_with_its_reason() -> None:
    """14.4 is dead below 93.06 %: the tier is left out, and the file says so."""
    text = render_rules([REVIEWS], TIERS)

    assert (
        "# reviews: tier Fast of PlatformSloBurnPage cannot fire: a burn rate above 14.4 is out of reach: with a "
        "target of 0.9 total failure burns at 10.\n"
    ) in text
    assert f"{ERROR}1h >" not in text
    assert f"{ERROR}6h >" in text


@pytest.mark.parametrize("slos", [THREE, (CHECKOUT,), (ONBOARDING,), ()], ids=["three", "rate", "count", "none"])
def test_promtool_accepts_the_rules(slos: Sequence[Slo], tmp_path: Path, requires_tool: Callable[[str], str]) -> None:
    """The rules of any SLOs are valid, also those of none."""
    path = tmp_path / "rules.yml"
    path.write_text(render_rules(slos, TIERS), encoding="utf-8")

    done = subprocess.run(
        [requires_tool("promtool"), "check", "rules", str(path)], check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert f"{len(rules(slos, TIERS))} rules found" in done.stdout


def test_every_expression_and_every_query_of_an_annotation_parses() -> None:
    """Expressions and the queries inside templates are PromQL."""
    made = rules(THREE, TIERS)
    templates = " ".join(text for rule in made for text in rule.annotations.values())
    literal = r'"((?:[^"\\]|\\.)+)"'
    queries = chain.from_iterable(re.findall(rf"with printf {literal}[^|]* \| query|with query {literal}", templates))
    asked = {q.replace('\\"', '"').replace("%q", '"checkout"') for q in queries if q}

    assert len(asked) > 5
    assert [promql_parser.parse(text) for text in (*(rule.expr for rule in made), *asked)]


def test_alerts_carry_identity_in_labels_and_numbers_in_annotations() -> None:
    """Numbers in alert labels → forbidden, since each evaluation would be a new alert."""
    made = [rule for rule in rules(THREE, TIERS) if rule.alert]

    assert {key for rule in made for key in rule.labels} <= IDENTITY
    assert {rule.labels["severity"] for rule in made} == {"page", "ticket"}
    assert not [rule for rule in made if "{{" in "".join(rule.labels.values())]


def test_more_slos_do_not_make_more_rules() -> None:
    """Generic rules serve every SLO at once."""
    many = [replace(s, name=f"{s.name}-{i}") for i in range(34) for s in THREE]

    assert len(rules([*THREE, *many], TIERS)) == len(rules(THREE, TIERS))


def test_without_an_slo_paceline_itself_is_still_watched() -> None:
    """No SLO at all gives a file with the alerts on freshness."""
    assert [rule.alert for rule in rules((), TIERS)] == [
        "PlatformDataOld",
        "PlatformNoEvaluator",
        "PlatformMetricsIncomplete",
        "PlatformMetricsNotSent",
        "PlatformStoreNotWritable",
        "PlatformDataDiskFull",
        "PlatformClockSkew",
        "PlatformInboxBacklog",
        "PlatformEvaluationFails",
        "PlatformReportNotDelivered",
        "PlatformSourceRefused",
        "PlatformSourceStale",
    ]


def test_recordings_stand_before_the_alerts_in_one_group_with_an_interval() -> None:
    """Alerts stand in the same group as the recordings they read."""
    text = render_rules(THREE, TIERS)

    assert text.count("- name: ") == 1
    assert "    interval: 1m\n" in text
    assert text.rindex("- record:") < text.index("- alert:")


def test_no_burn_alert_waits() -> None:
    """Ten-minute outage, all over → no alert starts long after recovery: no `for` on a multi-window pair."""
    assert {rule.wait for rule in rules(THREE, TIERS) if rule.alert.startswith("PlatformSloB")} == {""}


# ---- what Prometheus makes of them


def state(slo: Slo, counts: Mapping[str, EventCounts], status: SloStatus | None = None) -> SloState:
    """The state that an SLO with these counts has."""
    whole = counts.get(slo.window.label, EventCounts())
    burns = {label: budget.burn_rate(c, slo.target) for label, c in counts.items()}
    rates = {label: rate for label, rate in burns.items() if rate is not None}
    left = budget.remaining_ratio(whole, slo.target)
    found, why = budget.status(slo, whole, alerting=False)
    return SloState(
        slo=slo,
        status=status or found,
        why=why,
        counts=counts,
        attainment=budget.attainment(whole),
        budget_remaining=left,
        budget_remaining_events=budget.remaining_events(whole, slo.target),
        burn_rates=rates,
        time_to_exhaustion_seconds=budget.time_to_exhaustion(left, rolling(slo), rates.get("3d")),
        coverage=1.0,
        totals=whole,
    )


def source(*, fresh: bool) -> SourceState:
    return source_state("ci", fresh=fresh, staleness_seconds=None, last_succeeded=None, events_total=0)


def snapshot(minute: int, *states: SloState, sources: Sequence[SourceState] = ()) -> Snapshot:
    return Snapshot(at=datetime.fromtimestamp(minute * 60, UTC), slos=states, sources=tuple(sources))


Minute = tuple[int, int]
"""Good and bad events of a minute."""


def history(slo: Slo, minutes: Sequence[Minute], before: Minute = (10, 0)) -> list[Snapshot]:
    """A snapshot each minute: exact counts of all windows, after an endless past of minutes like `before`."""
    sums = [(0, 0)]
    for good, bad in minutes:
        sums.append((sums[-1][0] + good, sums[-1][1] + bad))
    windows = {w.label: int(w.seconds) // 60 for w in (*BURN_WINDOWS, slo.window)}

    def counts(end: int, length: int) -> EventCounts:
        start, past = max(0, end - length), max(0, length - end)
        good, bad = (sums[end][i] - sums[start][i] + before[i] * past for i in (0, 1))
        return EventCounts(good, bad)

    return [
        snapshot(m, state(slo, {label: counts(m, length) for label, length in windows.items()}))
        for m in range(len(minutes) + 1)
    ]


def samples(snapshot: Snapshot | None) -> Iterable[Sample]:
    """What a scrape of a snapshot returns; nothing where Paceline is gone."""
    if snapshot is None:
        return ()
    failed: Sample = (catalog.EXPOSITION_FAILED, ("slo",), 0.0)
    return chain(slo_samples(snapshot), source_samples(snapshot), self_samples(snapshot, {}, "1"), (failed,))


def series(snapshots: Sequence[Snapshot | None], extra_labels: str = "") -> dict[str, list[str]]:
    """The series of scraping one snapshot after the other; one that ends gets a stale marker, as in Prometheus."""
    found: dict[str, list[str]] = {}
    for minute, one in enumerate(snapshots):
        for metric, labels, value in samples(one):
            pairs = [f'{k}="{v}"' for k, v in zip(metric.labels, labels, strict=True)]
            name = f"{metric.name}{{{','.join([*pairs, *([extra_labels] if extra_labels else [])])}}}"
            values = found.setdefault(name, [])
            values += ["stale"] * (minute - len(values))
            values.append(repr(value))
    return {name: [*values, *["stale"] * (len(snapshots) - len(values))] for name, values in found.items()}


@dataclass(frozen=True)
class Prometheus:
    """Evaluates the rules of some SLOs with `promtool test rules`, once a minute."""

    promtool: str
    folder: Path

    def says(
        self,
        slos: Sequence[Slo],
        given: Mapping[str, Sequence[str]],
        *,
        firing: Mapping[int, Sequence[str]] | None = None,
        values: Mapping[tuple[int, str], Mapping[str, float]] | None = None,
        alert: Mapping[str, Any] | None = None,
    ) -> None:
        """Fails unless exactly these alerts fire at these minutes, and these queries give these values."""
        query = 'sum by (alertname, slo, source) (ALERTS{alertstate="firing"})'
        expected = {(minute, query): dict.fromkeys(map(_alert, names), 1.0) for minute, names in (firing or {}).items()}
        test = {
            "interval": "1m",
            "input_series": [{"series": name, "values": " ".join(v)} for name, v in given.items()],
            "promql_expr_test": [
                {
                    "expr": expr,
                    "eval_time": f"{minute}m",
                    "exp_samples": [{"labels": labels, "value": value} for labels, value in found.items()],
                }
                for (minute, expr), found in (expected | dict(values or {})).items()
            ],
            "alert_rule_test": [alert] if alert else [],
        }
        (self.folder / "rules.yml").write_text(render_rules(slos, TIERS), encoding="utf-8")
        content = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
        (self.folder / "test.yml").write_text(json.dumps(content), encoding="utf-8")
        done = subprocess.run(
            [self.promtool, "test", "rules", "test.yml"], cwd=self.folder, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def _alert(text: str) -> str:
    """`Name of-slo` as the labels of an alert; what has no SLO is `Name`, or `Name source=ci`."""
    name, _, of = text.partition(" ")
    key, _, value = of.rpartition("=")
    return f'{{alertname="Platform{name}"' + (f', {key or "slo"}="{value}"' if of else "") + "}"


@pytest.fixture
def prometheus(tmp_path: Path, requires_tool: Callable[[str], str]) -> Prometheus:
    """Rules are evaluated by Prometheus' own code."""
    return Prometheus(requires_tool("promtool"), tmp_path)


def test_quiet_traffic_alerts_nobody(prometheus: Prometheus) -> None:
    """Nothing bad, nothing fires."""
    prometheus.says([CHECKOUT], series(history(CHECKOUT, [(10, 0)] * 60)), firing={0: [], 10: [], 60: []})


OUTAGE = [(10, 0)] * 30 + [(0, 10)] * 30 + [(10, 0)] * 540
"""Half an hour without a good event from minute 30 on, then nine good hours."""


def test_an_outage_pages_at_once_and_ends_soon_after_recovery(prometheus: Prometheus) -> None:
    """Fast burn → the page tiers while it lasts; nothing starts after the recovery."""
    prometheus.says(
        [CHECKOUT],
        series(history(CHECKOUT, OUTAGE)),
        firing={
            30: [],
            38: [],  # 80 of 600 are 13.33 %, the limit is 13.44 %
            39: ["SloBurnPage checkout"],
            51: ["SloBurnPage checkout"],
            60: ["SloBurnPage checkout"],
            65: ["SloBurnPage checkout"],
            **dict.fromkeys(LATE, ()),
        },
    )


def test_a_page_says_how_bad_it_is(prometheus: Prometheus) -> None:
    """The annotations hold the numbers: burn, bad and total events, budget, exhaustion, age; labels hold none."""
    prometheus.says(
        [CHECKOUT],
        series(history(CHECKOUT, OUTAGE)),
        alert={
            "eval_time": "45m",
            "alertname": "PlatformSloBurnPage",
            "exp_alerts": [
                {
                    "exp_labels": {
                        "severity": "page",
                        "slo": "checkout",
                        "service": "shop",
                        "team": "payments",
                        "tier": "1",
                    },
                    "exp_annotations": {
                        "summary": "checkout burns its error budget 25.0 times as fast as allowed over 1h",
                        "description": "5m: 100.0 times, 50 bad of 50 events; 30m: 50.0 times, 150 bad of 300 events; "
                        "1h: 25.0 times, 150 bad of 600 events; 6h: 4.2 times, 150 bad of 3600 events. "
                        "Within the allowed rate until 1970-01-01 00:30:00 +0000 UTC. "
                        "Error budget left: 96.28% (3882.0 bad events). "
                        "At the rate of the last 3 days it is used up in 77d 15h 21m 36s. Data age: 0s. "
                        "The events behind it: `paceline explain`, or the status page.",
                        "runbook_url": "https://example.com/runbooks/checkout",
                    },
                }
            ],
        },
    )


def test_a_slow_burn_is_a_ticket(prometheus: Prometheus) -> None:
    """Twice the allowed errors for days is nothing to wake anybody for."""
    prometheus.says(
        [CHECKOUT],
        series(history(CHECKOUT, [(98, 2)] * 10, before=(98, 2))),
        firing={0: ["SloBurnTicket checkout"], 10: ["SloBurnTicket checkout"]},
    )


def test_one_failure_after_two_hundred_good_events_alerts_nobody(prometheus: Prometheus) -> None:
    """200 good requests, then one failure → nobody is paged."""
    strict = slo(target="0.999")
    minutes = [(20, 0)] * 10 + [(0, 0)] * 60 + [(0, 1)] + [(0, 0)] * 60

    prometheus.says([strict], series(history(strict, minutes, before=(0, 0))), firing={71: [], 75: [], 131: []})


def test_a_page_needs_a_minimum_of_bad_events(prometheus: Prometheus) -> None:
    """Two failures of a sparse SLO are a ticket, the third is a page."""
    minutes = [(15, 0), (0, 1), (0, 1), (0, 1)]

    prometheus.says(
        [CHECKOUT],
        series(history(CHECKOUT, minutes, before=(0, 0))),
        firing={
            2: [],
            3: ["SloBurnTicket checkout"],
            4: ["SloBurnPage checkout", "SloBurnTicket checkout"],
        },
    )


def test_half_a_day_of_total_failure_pages_at_a_low_target(prometheus: Prometheus) -> None:
    """Target 80 %, twelve hours of total failure → some alert fires, though the usual tiers are out of reach."""
    lax = slo(target="0.8")

    prometheus.says(
        [lax],
        series(history(lax, [(0, 10)] * 720)),
        firing={360: [], 420: ["SloBurnPage checkout"], 720: ["SloBurnPage checkout"]},
    )


def test_a_burn_rate_of_exactly_one_is_what_the_target_allows(prometheus: Prometheus) -> None:
    """In floats 1 - 0.9 is less than 0.1: the rules do not see a budget overspent that is just used."""
    prometheus.says(
        [REVIEWS],
        series(history(REVIEWS, [(9, 1)] * 5, before=(9, 1))),
        firing={5: []},
        values={(5, "slo:current_burn_rate:ratio"): {'slo:current_burn_rate:ratio{slo="reviews"}': 1.0}},
    )


def test_slos_of_different_targets_and_periods_share_one_rule(prometheus: Prometheus) -> None:
    """The same error ratio is a page for one SLO and nothing for another, each by its own target and period."""
    given = series(history(CHECKOUT, [(80, 20)] * 5, before=(80, 20)))
    given |= series(history(slo("lax", "0.7"), [(80, 20)] * 5, before=(80, 20)))

    prometheus.says(
        [CHECKOUT, slo("lax", "0.7")],
        given,
        firing={5: ["SloBurnPage checkout", "SloBurnTicket checkout"]},
    )


def people(name: str, good: int, bad: int, status: SloStatus | None = None) -> SloState:
    """A count SLO at 90 % with these events in its period."""
    of = replace(ONBOARDING, name=name)
    counts = dict.fromkeys((w.label for w in BURN_WINDOWS), EventCounts())
    return state(of, counts | {"90d": EventCounts(good, bad)}, status)


def test_a_budget_gives_exactly_one_ticket_at_a_time(prometheus: Prometheus) -> None:
    """Count SLOs: tickets at 50 / 75 / 100 % used and where the next failure breaches; no paging."""
    states = [
        people("used-0", 100, 0),
        people("used-49", 191, 9),  # of 20.0: 45 %
        people("used-50", 190, 10),
        people("used-70", 186, 14),
        people("used-75", 185, 15),
        people("used-95", 181, 19),  # exactly one more is allowed
        people("used-96", 171, 18),  # 0.9 more are allowed
        people("used-100", 180, 20),
        people("used-150", 170, 30),
        people("too-small-for-one", 5, 0, SloStatus.HEALTHY),
        people("idle", 0, 0, SloStatus.INSUFFICIENT_DATA),
    ]

    prometheus.says(
        [s.slo for s in states],
        series([snapshot(0, *states), snapshot(1, *states)]),
        firing={
            1: [
                "SloBudgetHalfUsed used-50",
                "SloBudgetHalfUsed used-70",
                "SloBudgetMostlyUsed used-75",
                "SloBudgetMostlyUsed used-95",
                "SloBudgetNextBreaches used-96",
                "SloBudgetExhausted used-100",
                "SloBudgetExhausted used-150",
            ]
        },
    )


def test_a_ticket_says_what_is_left(prometheus: Prometheus) -> None:
    """A budget's ticket has its share and its events; where nothing burns, no time to exhaustion is invented."""
    one = people("onboarding", 170, 30)

    prometheus.says(
        [ONBOARDING],
        series([snapshot(0, one)]),
        alert={
            "eval_time": "0m",
            "alertname": "PlatformSloBudgetExhausted",
            "exp_alerts": [
                {
                    "exp_labels": {
                        "severity": "ticket",
                        "slo": "onboarding",
                        "service": "shop",
                        "team": "payments",
                        "tier": "1",
                    },
                    "exp_annotations": {
                        "summary": "onboarding: the error budget is used up",
                        "description": "Error budget left: -50% (-10.0 bad events). Data age: 0s. "
                        "The events behind it: `paceline explain`, or the status page.",
                        "runbook_url": "https://example.com/runbooks/onboarding",
                    },
                }
            ],
        },
    )


def test_too_little_data_gives_no_budget_ticket(prometheus: Prometheus) -> None:
    """Small n is said, not alarmed: the status insufficient_data silences tickets."""
    one = people("few", 1, 3, SloStatus.INSUFFICIENT_DATA)

    prometheus.says([one.slo], series([snapshot(0, one)] * 2), firing={1: []})


def test_an_idle_slo_is_no_missing_one(prometheus: Prometheus) -> None:
    """An idle service does not trip the alert on missing data: it counts zero events."""
    idle = series(history(CHECKOUT, [(0, 0)] * 30, before=(0, 0)))

    prometheus.says([CHECKOUT], idle, firing={15: [], 20: [], 30: []})


def test_idle_minutes_have_no_ratio_and_leave_the_period_unharmed(prometheus: Prometheus) -> None:
    """Fifteen idle minutes (0/0) → no ratio in 5 m, neither 0 nor NaN; the 28-day figure is unharmed."""
    idle = series(history(CHECKOUT, [(0, 0)] * 15, before=(999, 1)))

    prometheus.says(
        [CHECKOUT],
        idle,
        values={
            (15, "slo:sli_total:events5m"): {'slo:sli_total:events5m{slo="checkout"}': 0.0},
            (15, "slo:sli_error:ratio_rate5m or slo:current_burn_rate:ratio"): {},
            (15, "slo:sli_error:ratio_rate28d"): {'slo:sli_error:ratio_rate28d{slo="checkout"}': 0.001},
        },
    )


def test_withheld_counts_are_an_alert_of_their_own(prometheus: Prometheus) -> None:
    """Counts absent while the SLO is there → an alert after a quarter of an hour, and it ends with the data."""
    withheld = [snapshot(m, state(CHECKOUT, {}, SloStatus.INSUFFICIENT_DATA)) for m in range(40)]
    back = history(CHECKOUT, [(10, 0)] * 45)[40:]

    prometheus.says(
        [CHECKOUT],
        series([*withheld, *back]),
        firing={14: [], 15: ["SloNoData checkout"], 39: ["SloNoData checkout"], 41: []},
    )


def test_a_page_does_not_survive_the_loss_of_its_data(prometheus: Prometheus) -> None:
    """A gap is no evidence: what is missing neither burns nor is fine, it is missing."""
    burning = history(CHECKOUT, [(0, 10)] * 20)
    withheld = [snapshot(m, state(CHECKOUT, {}, SloStatus.INSUFFICIENT_DATA)) for m in range(21, 45)]

    prometheus.says(
        [CHECKOUT],
        series([*burning, *withheld]),
        firing={20: ["SloBurnPage checkout"], 22: [], 37: ["SloNoData checkout"]},
    )


def test_paceline_gone_is_an_alert(prometheus: Prometheus) -> None:
    """Without Paceline every SLO is blind, and that is said within minutes."""
    gone: list[Snapshot | None] = [None] * 20

    prometheus.says(
        [CHECKOUT],
        series([*history(CHECKOUT, [(10, 0)] * 9), *gone]),
        firing={9: [], 14: [], 15: ["DataOld"], 29: ["DataOld"]},
    )


def test_numbers_that_stand_still_are_an_alert(prometheus: Prometheus) -> None:
    """Paceline answers but computes nothing new → as blind as when it is gone."""
    frozen = history(CHECKOUT, [])[0]

    prometheus.says([CHECKOUT], series([frozen] * 40), firing={15: [], 20: [], 21: ["DataOld"], 39: ["DataOld"]})


def test_metrics_that_could_not_be_made_are_an_alert(prometheus: Prometheus) -> None:
    """A failed part takes the SLOs' own series with it, so that only this alert can tell."""
    given = series([snapshot(m) for m in range(10)])
    given['platform_exposition_failed{kind="slo"}'] = ["1"] * 10

    prometheus.says([CHECKOUT], given, firing={4: [], 5: ["MetricsIncomplete"]})


def test_metrics_that_a_receiver_does_not_take_are_an_alert(prometheus: Prometheus) -> None:
    """A single failure is none; a receiver that refuses for a quarter of an hour is named by its kind."""
    given = series([snapshot(m) for m in range(30)])
    given['platform_telemetry_last_push_success{kind="otlp"}'] = ["0", "1"] * 15
    given['platform_telemetry_last_push_success{kind="remote_write"}'] = ["0"] * 30

    prometheus.says(
        [CHECKOUT],
        given,
        firing={14: [], 15: ["MetricsNotSent"]},
        values={(15, 'sum by (kind) (ALERTS{alertstate="firing"})'): {'{kind="remote_write"}': 1.0}},
    )


def test_a_stale_source_is_an_alert(prometheus: Prometheus) -> None:
    """A source that is not collected any more is named; a fresh one is not."""
    minutes = [snapshot(m, sources=[source(fresh=False), replace(source(fresh=True), name="git")]) for m in range(20)]

    prometheus.says([CHECKOUT], series(minutes), firing={14: [], 15: ["SourceStale source=ci"]})


WELL = {
    "platform_store_writable": "1",
    "platform_data_free_bytes": "536870912",
    "platform_store_clock_ahead_seconds": "-9.9",
    "platform_inbox_oldest_delivery_seconds": "300",
    "platform_evaluation_last_success": "1",
    'platform_report_delivery_status{kind="mail",status="sent"}': "1",
    'platform_report_delivery_status{kind="mail",status="failed"}': "0",
    'platform_collector_last_run_failure{source="ci",kind="unavailable"}': "1",
}
"""A process to which nothing must be done, each value as near to trouble as it may be."""
TROUBLES = {
    "platform_store_writable": ("0", 5, "StoreNotWritable"),
    "platform_data_free_bytes": ("520093696", 5, "DataDiskFull"),
    "platform_store_clock_ahead_seconds": ("-10.1", 5, "ClockSkew"),
    "platform_inbox_oldest_delivery_seconds": ("301", 5, "InboxBacklog"),
    "platform_evaluation_last_success": ("0", 10, "EvaluationFails"),
    'platform_report_delivery_status{kind="mail",status="failed"}': ("1", 60, "ReportNotDelivered"),
    'platform_report_delivery_status{kind="chat",status="retrying"}': ("1", 60, "ReportNotDelivered"),
    'platform_collector_last_run_failure{source="ci",kind="credentials"}': ("1", 15, "SourceRefused source=ci"),
}
"""Of a series the value that a person must look at, after how many minutes, and the alert."""


def test_what_a_process_says_of_itself_alerts_where_a_person_must_act(prometheus: Prometheus) -> None:
    """Each trouble alone becomes its alert after its time, also where another replica is well; nothing else does."""
    well = series([snapshot(m) for m in range(66)]) | {name: [value] * 66 for name, value in WELL.items()}
    prometheus.says([CHECKOUT], well, firing={65: []})

    for name, (value, minutes, alert) in TROUBLES.items():
        labels = f'{name[:-1]},instance="b"}}' if "{" in name else f'{name}{{instance="b"}}'
        given = well | {labels: [value] * 66}
        prometheus.says([CHECKOUT], given, firing={minutes - 1: [], minutes: [alert]})


def test_two_replicas_change_nothing(prometheus: Prometheus) -> None:
    """Two replicas export the same counts: nothing is doubled, nothing alerts twice."""
    exported = history(CHECKOUT, OUTAGE[:61])
    given = series(exported, 'instance="a:9000"') | series(exported, 'instance="b:9000"')

    prometheus.says(
        [CHECKOUT],
        given,
        firing={38: [], 39: ["SloBurnPage checkout"], 60: ["SloBurnPage checkout"]},
        values={
            (60, "slo:sli_total:events1h"): {'slo:sli_total:events1h{slo="checkout"}': 600.0},
            (60, "slo:sli_error:ratio_rate1h"): {'slo:sli_error:ratio_rate1h{slo="checkout"}': 0.5},
        },
    )


def test_replicas_that_disagree_about_a_label_do_not_silence_other_slos(prometheus: Prometheus) -> None:
    """During a rollout two replicas export different teams: each alert still fires, once."""
    old, new = people("onboarding", 170, 30), people("onboarding", 170, 30)
    new = replace(new, slo=replace(new.slo, team="people", owner="someone"))
    other = people("other", 170, 30)
    given = series([snapshot(0, old, other)], 'instance="a:9000"') | series([snapshot(0, new, other)], 'instance="b"')

    prometheus.says(
        [old.slo, other.slo], given, firing={0: ["SloBudgetExhausted onboarding", "SloBudgetExhausted other"]}
    )


def test_a_changed_label_or_target_forks_no_series(prometheus: Prometheus) -> None:
    """The target or a descriptive label changes → series and rules go on, and the alert has the new label."""
    moved = replace(CHECKOUT, owner="another guild", team="people", target=Decimal("0.995"))
    before, after = (history(s, [(80, 20)] * 40, before=(80, 20)) for s in (CHECKOUT, moved))
    recorded = {'slo:sli_error:ratio_rate1h{slo="checkout"}': 0.2}
    firing = ["SloBurnPage checkout", "SloBurnTicket checkout"]

    prometheus.says(
        [moved],
        series([*before[:20], *after[20:]]),
        firing={19: firing, 20: firing, 21: firing},
        values={
            (19, "slo:sli_error:ratio_rate1h"): recorded,
            (20, "slo:sli_error:ratio_rate1h"): recorded,
            (20, "count(count_over_time(slo:sli_error:ratio_rate1h[1170s]) == 20)"): {"{}": 1.0},
            (20, 'count by (team) (ALERTS{alertname="PlatformSloBurnPage"})'): {'{team="people"}': 1.0},
        },
    )


def test_only_the_name_of_the_slo_is_on_recorded_series(prometheus: Prometheus) -> None:
    """Whatever labels the exported series have, the recorded ones have `slo` alone."""
    labels = ", ".join(sorted(catalog.ALLOWED_LABELS | {"tier", "owner", "instance", "job"}))
    recordings = [rule.record for rule in rules([CHECKOUT], TIERS) if rule.record]

    prometheus.says(
        [CHECKOUT],
        series(history(CHECKOUT, [(9, 1)]), 'instance="a:9000",job="paceline"'),
        values={
            (1, f'count by ({labels}) ({{__name__=~"slo:.+"}})'): {'{slo="checkout"}': float(len(recordings))},
        },
    )
