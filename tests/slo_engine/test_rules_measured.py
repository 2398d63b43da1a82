"""Rules of SLOs that Prometheus measures, of composites and of alert policies; and the files they come in."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from collector.document import read_documents
from collector.durations import parse_duration
from slo_engine.alert_windows import load_tiers
from slo_engine.annotations import Links
from slo_engine.comparison import Operator
from slo_engine.promql import CounterRatio
from slo_engine.recordings import sli_recordings
from slo_engine.rule_files import render_alertmanager, render_mimir, render_prometheus_rule, render_rules
from slo_engine.rules import groups, rules
from slo_engine.slo import AlertPolicy, Composite, IndicatorSli, Part, Sli, Slo
from slo_engine.windows import CalendarWindow, parse_window

GOLDEN = Path(__file__).parent / "golden"
TIERS = load_tiers(Path(__file__).parents[2] / "config" / "alert-windows" / "sre-workbook.yaml")
ERRORS = CounterRatio(total_query="asked_total", bad_query='asked_total{code="500"}')


def slo(name: str = "checkout", sli: Sli = ERRORS, target: str = "0.99", **more: Any) -> Slo:
    given: dict[str, Any] = {"alert_class": "rate", "window": parse_window("30d")} | more
    return Slo(name=name, title=name, description="", owner_service="shop", target=Decimal(target), sli=sli, **given)


CHECKOUT = slo(group_by=("cluster", "route"), runbook="https://example.com/checkout")
PIPELINES = slo("pipelines", IndicatorSli(indicator="pipeline_success", service="shop"), "0.9")
SHOP = slo("shop", Composite(parts=(Part(slo="checkout", weight=Decimal(3)), Part(slo="pipelines"))))
POLICY = AlertPolicy(name="burns for hours", severity="ticket", factor=Decimal(2), lookback=parse_window("4h"))
EVERY = (CHECKOUT, PIPELINES, SHOP, slo("returns", alert_policies=(POLICY,), alert_class="count"))
LINKS = Links(paceline="https://paceline.example", dashboard="https://boards.example/d/slo")


def series(slos: Sequence[Slo], steps: int) -> dict[str, str]:
    """What Paceline exports of SLOs that others count."""
    found = {"platform_snapshot_timestamp_seconds": f"0+60x{steps}"}
    for s in slos:
        found[f'platform_slo_info{{slo="{s.name}",service="shop",team="",tier="",kind="{s.alert_class}"}}'] = (
            f"1x{steps}"
        )
        found[f'platform_slo_objective_ratio{{slo="{s.name}"}}'] = f"{s.target}x{steps}"
        found[f'platform_slo_period_seconds{{slo="{s.name}"}}'] = f"{s.window.seconds}x{steps}"
    return found


Says = Callable[..., None]


@pytest.fixture
def says(tmp_path: Path, requires_tool: Callable[[str], str]) -> Says:
    """Fails unless promtool finds these values for the rules of some SLOs: by minute and expression, by labels."""
    tool = requires_tool("promtool")

    def check(
        slos: Sequence[Slo],
        given: Mapping[str, str],
        values: Mapping[tuple[int, str], Mapping[str, float]],
        alerts: Sequence[Mapping[str, Any]] = (),
        links: Links | None = None,
    ) -> None:
        (tmp_path / "rules.yml").write_text(render_rules(slos, TIERS, links), encoding="utf-8")
        test = {
            "interval": "1m",
            "input_series": [{"series": name, "values": v} for name, v in given.items()],
            "promql_expr_test": [
                {
                    "expr": expr,
                    "eval_time": f"{minute}m",
                    "exp_samples": [{"labels": labels, "value": value} for labels, value in found.items()],
                }
                for (minute, expr), found in values.items()
            ],
            "alert_rule_test": list(alerts),
        }
        order = [group.name for group in groups(slos, TIERS)]
        content = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "group_eval_order": order, "tests": [test]}
        (tmp_path / "test.yml").write_text(json.dumps(content), encoding="utf-8")
        done = subprocess.run(
            [tool, "test", "rules", "test.yml"], cwd=tmp_path, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return check


# ---- which rules there are


def test_the_rules_of_every_kind_are_the_golden_ones(golden: Callable[[Path, str], None]) -> None:
    """A grouped, a counted, a composite SLO and one with an alert policy give exactly these rules."""
    golden(GOLDEN / "rules-measured.yml", render_rules(EVERY, TIERS, LINKS))


def test_a_measured_slo_has_two_recordings_with_its_name_alone() -> None:
    """Total and bad events per second; zero-filled, and without NaN."""
    total, bad = sli_recordings(slo())

    assert (total.record, total.expr) == ("slo:sli_total:rate5m", "(sum(rate(asked_total[5m]))) >= -Inf")
    assert bad.record == "slo:sli_bad:rate5m"
    assert bad.labels == total.labels == {"slo": "checkout"}


@pytest.mark.parametrize("count", [1, 10, 500])
def test_the_number_of_rules_is_a_constant_and_two_for_each_measured_slo(count: int) -> None:
    """500 SLOs have 998 rules more than one."""
    many = [slo(f"slo-{n}") for n in range(count)]

    assert len(rules(many, TIERS)) == len(rules([slo()], TIERS)) + 2 * (count - 1)


def test_sums_over_the_period_are_taken_less_often_and_read_where_they_are_recorded() -> None:
    """The windows of the SLOs, and the alerts that read them, stand in a group of their own."""
    slow = groups([slo(alert_class="count")], TIERS)[1]

    assert (slow.name, slow.interval) == ("paceline-period", "4m")
    assert [rule.record or rule.alert for rule in slow.rules][:3] == [
        "slo:sli_total:events30d",
        "slo:sli_bad:events30d",
        "slo:sli_error:ratio_rate30d",
    ]
    assert "PlatformSloBudgetExhausted" in [rule.alert for rule in slow.rules]


def test_only_slos_of_a_period_are_summed_over_it() -> None:
    """Where periods differ, nobody sums 90 days for an SLO of 28."""
    made = {
        r.record: r.expr
        for r in rules([slo("a", window=parse_window("28d")), slo("b", window=parse_window("90d"))], TIERS)
    }

    assert 'slo:sli_total:rate5m{slo=~"a"}[2419170s]' in made["slo:sli_total:events28d"]
    assert 'slo:sli_total:rate5m{slo=~"b"}[7775970s]' in made["slo:sli_total:events90d"]


def test_every_expression_is_promql() -> None:
    """Every kind together parses."""
    assert [promql_parser.parse(rule.expr) for rule in rules(EVERY, TIERS, LINKS)]


def test_a_calendar_is_replaced_by_its_length_and_that_is_said() -> None:
    """No range follows the calendar: the last 30 days stand in for a month, and the file says so."""
    text = render_rules([slo(window=CalendarWindow("month"))], TIERS)

    assert (
        "# checkout: its window is the calendar's month, which no range of Prometheus follows; its budget here is"
        in text
    )
    assert "record: slo:sli_error:ratio_rate30d" in text


def test_a_policy_that_cannot_be_honoured_is_refused_by_name() -> None:
    """A burn rate out of reach, a window that nobody records, one that Paceline does not count."""
    far = replace(POLICY, name="far", factor=Decimal(500))
    short = replace(POLICY, name="short", lookback=parse_window("1m"))
    text = render_rules([slo(alert_policies=(far, short)), replace(PIPELINES, alert_policies=(POLICY,))], TIERS)

    assert "# checkout: PlatformSloPolicyFar cannot fire: a burn rate of 500 is out of reach: total failure" in text
    assert "# checkout: PlatformSloPolicyShort cannot fire: it looks back over 1m; the shortest window" in text
    assert "# pipelines: PlatformSloPolicyBurnsForHours cannot fire: it looks back over 4h; Paceline counts 5m" in text
    assert "alert: PlatformSloPolicy" not in text


@pytest.mark.parametrize(("seconds", "fast", "slow"), [(60, "1m", "4m"), (15, "15s", "1m"), (1, "1s", "4s")])
def test_another_interval_counts_events_by_it(seconds: int, fast: str, slow: str) -> None:
    """Events are sums of rates times the interval, from as many samples as the window has intervals."""
    made = groups([slo()], TIERS, interval_seconds=seconds)
    [expr] = [rule.expr for rule in made[0].rules if rule.record == "slo:sli_total:events1h"]

    assert [group.interval for group in made] == [fast, slow]
    assert f"]) * {seconds} or" in expr
    assert promql_parser.parse(expr)


def test_an_interval_that_loses_events_is_refused() -> None:
    """Ten minutes between 5-minute rates: half of the events would be in none."""
    with pytest.raises(ValueError, match="600 s is no interval for rules; expected 1 to 240 s"):
        groups([slo()], TIERS, interval_seconds=600)


# ---- what Prometheus makes of them


def test_groups_are_alerted_one_by_one(says: Says) -> None:
    """One route of one cluster fails: its group pages, with its name, and the others do not."""
    given = series([CHECKOUT], 60) | {
        'asked_total{cluster="a",route="x",code="200"}': "0+100x60",
        'asked_total{cluster="a",route="y",code="500"}': "0+100x60",
    }

    says(
        [CHECKOUT],
        given,
        {
            (60, 'count by (slo, group, alertname) (ALERTS{severity="page"})'): {
                '{alertname="PlatformSloBurnPage", slo="checkout", group="a/y"}': 1
            }
        },
    )


def test_a_page_has_links_and_numbers(says: Says) -> None:
    """Burn, events, budget, since when, how much of the window was seen, and where to look.

    Of the last four minutes a part is still to come: a recorded 5-minute rate holds only a fifth of the newest minute.
    """
    given = series([CHECKOUT], 120) | {
        'asked_total{cluster="a",route="y",code="200"}': "0+100x60 6000+0x60",
        'asked_total{cluster="a",route="y",code="500"}': "0x60 0+100x60",
    }
    labels = {"slo": "checkout", "group": "a/y", "service": "shop", "severity": "page"}
    text = (
        "5m: 100.0 times, 500 bad of 500 events; 30m: 100.0 times, 3000 bad of 3000 events; 1h: 96.6 times, 5700 bad "
        "of 5900 events; 6h: 48.7 times, 5700 bad of 11700 events. Within the allowed rate until 1970-01-01 01:00:00 "
        "+0000 UTC. Error budget left: -4772% (-5583.0 bad events). Only 0.2755% of its window was observed. "
        "Data age: 0s. "
        "The events behind it: `paceline explain`, or the status page."
    )

    says(
        [CHECKOUT],
        given,
        {},
        [
            {
                "eval_time": "120m",
                "alertname": "PlatformSloBurnPage",
                "exp_alerts": [
                    {
                        "exp_labels": labels,
                        "exp_annotations": {
                            "summary": "checkout (a/y) burns its error budget 96.6 times as fast as allowed over 1h",
                            "description": text,
                            "runbook_url": "https://example.com/checkout",
                            "dashboard_url": "https://boards.example/d/slo?var-slo=checkout",
                        },
                    }
                ],
            }
        ],
        LINKS,
    )


def test_a_fault_is_counted_as_soon_as_it_is_seen(says: Says) -> None:
    """All requests of one minute fail: a minute later they are in every window, and in what is left of the budget."""
    given = series([CHECKOUT], 61) | {
        'asked_total{cluster="a",route="y",code="200"}': "0+150x60 9000",
        'asked_total{cluster="a",route="y",code="500"}': "0x60 150",
    }
    windows = ("5m", "30m", "1h", "6h", "3d", "30d")

    says(
        [CHECKOUT],
        given,
        {
            (61, f"slo:sli_bad:events{w}"): {f'slo:sli_bad:events{w}{{slo="checkout", group="a/y"}}': 150}
            for w in windows
        },
    )


def test_a_group_that_falls_silent_is_missed(says: Says) -> None:
    """A cluster's series end while others go on: its group has no data, and the SLO as a whole does."""
    given = series([CHECKOUT], 60) | {
        'asked_total{cluster="a",route="x",code="200"}': "0+100x60",
        'asked_total{cluster="b",route="x",code="200"}': "0+100x20 stale",
    }

    says(
        [CHECKOUT],
        given,
        {
            (34, 'ALERTS{alertstate="firing"}'): {},
            (45, 'count by (group) (ALERTS{alertstate="firing",alertname="PlatformSloNoData"})'): {'{group="b/x"}': 1},
        },
    )


def test_the_objective_survives_an_absent_exporter(says: Says) -> None:
    """Paceline is gone: what Prometheus measures itself goes on paging for an hour, and Paceline's absence is said."""
    given = {name: f"{v.replace('x120', 'x10')} stale" for name, v in series([slo()], 120).items()}
    given["platform_snapshot_timestamp_seconds"] = "0+60x10 stale"
    given |= {'asked_total{code="200"}': "0+100x40 4000+0x80", 'asked_total{code="500"}': "0x40 0+100x80"}
    firing = 'count by (alertname, service) (ALERTS{alertstate="firing",alertname!="PlatformSloBurnTicket"})'

    says(
        [slo()],
        given,
        {
            (60, firing): {
                '{alertname="PlatformSloBurnPage", service="shop"}': 1,
                '{alertname="PlatformDataOld"}': 1,
            },
            (90, firing): {'{alertname="PlatformDataOld"}': 1},
        },
    )


def test_replicas_without_an_evaluator_are_an_alert(says: Says) -> None:
    """No replica leads for two minutes: a ticket. A change of leader is none, nor a store without replicas."""
    leader = "platform_evaluator_leader"
    given = series([slo()], 30) | {
        f'{leader}{{instance="a"}}': "1x9 0x10 1x10",
        f'{leader}{{instance="b"}}': "0x9 1x2 0x7 0x10",
    }
    firing = 'count(ALERTS{alertstate="firing",alertname="PlatformNoEvaluator"})'

    says([slo()], given, {(9, firing): {}, (13, firing): {}, (16, firing): {"{}": 1}, (23, firing): {}})
    says([slo()], series([slo()], 30), {(29, firing): {}})


def test_a_nan_does_not_poison_the_sums(says: Says) -> None:
    """One NaN of an exporter is no sample: the sums of the period go on."""
    given = series([slo()], 30) | {
        'asked_total{code="200"}': "0+90x10 NaN 990+90x18",
        'asked_total{code="500"}': "0+10x29",
    }

    says(
        [slo()],
        given,
        {(29, "count(slo:sli_total:events30d > 1000 and slo:sli_error:ratio_rate30d > 0)"): {"{}": 1}},
    )


def test_counts_that_cannot_be_are_an_alert_and_are_clamped(says: Says) -> None:
    """More good than all: a ticket of its own; the ratio is held at 0 for alerts, the recorded events are raw."""
    odd = slo(sli=CounterRatio(total_query="all_total", good_query="good_total"))
    given = series([odd], 60) | {"all_total": "0+100x60", "good_total": "0+200x60"}

    says(
        [odd],
        given,
        {
            (30, "slo:sli_error:ratio_rate1h"): {'slo:sli_error:ratio_rate1h{slo="checkout"}': 0},
            (30, "slo:sli_bad:events5m"): {'slo:sli_bad:events5m{slo="checkout"}': -500},
            (30, 'count by (alertname) (ALERTS{alertstate="firing"})'): {
                '{alertname="PlatformSloImpossibleCounts"}': 1
            },
        },
    )


def test_a_composite_burns_as_its_parts_do_by_weight(says: Says) -> None:
    """Burn 40 with weight 3 and burn 0 with weight 1 are a burn of 30, and a page of the composite."""
    parts = (slo("a"), slo("b", CounterRatio(total_query="b_total", bad_query="b_bad_total")))
    whole = slo("whole", Composite(parts=(Part(slo="a", weight=Decimal(3)), Part(slo="b"))))
    given = series([*parts, whole], 60) | {
        'asked_total{code="200"}': "0+60x60",
        'asked_total{code="500"}': "0+40x60",
        "b_total": "0+100x60",
        "b_bad_total": "0x60",
        'platform_slo_part_weight{slo="whole",part="a"}': "3x60",
        'platform_slo_part_weight{slo="whole",part="b"}': "1x60",
    }

    says(
        [*parts, whole],
        given,
        {
            (60, "round(slo:current_burn_rate:ratio, 0.001)"): {
                '{slo="a"}': 40,
                '{slo="b"}': 0,
                '{slo="whole"}': 30,
            },
            (60, "round(slo:period_error_budget_remaining:ratio{slo='whole'}, 0.001)"): {'{slo="whole"}': -29},
            (60, 'count by (slo, alertname) (ALERTS{alertstate="firing",severity="page"})'): {
                '{alertname="PlatformSloBurnPage", slo="a"}': 1,
                '{alertname="PlatformSloBurnPage", slo="whole"}': 1,
            },
        },
    )


def test_a_composite_has_parts_of_every_kind(says: Says) -> None:
    """A grouped part is pooled over its groups; one that Paceline counts burns by its exported events."""
    given = series([CHECKOUT, PIPELINES, SHOP], 60) | {
        'asked_total{cluster="a",route="x",code="200"}': "0+50x60",
        'asked_total{cluster="a",route="y",code="200"}': "0+10x60",
        'asked_total{cluster="a",route="y",code="500"}': "0+40x60",
        'platform_slo_status{slo="pipelines",status="healthy"}': "1x60",
        'platform_slo_events{slo="pipelines",window="1h",outcome="good"}': "95x60",
        'platform_slo_events{slo="pipelines",window="1h",outcome="bad"}': "5x60",
        'platform_slo_part_weight{slo="shop",part="checkout"}': "3x60",
        'platform_slo_part_weight{slo="shop",part="pipelines"}': "1x60",
    }
    burn = "round(slo:sli_error:ratio_rate1h / on (slo) group_left () slo:error_budget:ratio, 0.001)"

    says(
        [CHECKOUT, PIPELINES, SHOP],
        given,
        {
            (60, burn): {
                '{slo="checkout", group="a/x"}': 0,
                '{slo="checkout", group="a/y"}': 80,
                '{slo="pipelines"}': 0.5,
                '{slo="shop"}': 30.125,  # (3 * 40 + 0.5) / 4
            },
            (60, "slo:period_error_budget_remaining:ratio{slo='pipelines'}"): {},  # withheld, so not worked out either
        },
    )


def test_a_policy_fires_as_it_says(says: Says) -> None:
    """At least twice the allowed rate over 4 hours, for 10 minutes."""
    policy = replace(POLICY, after=timedelta(minutes=10), targets=("team",))
    some = slo(alert_policies=(policy,), alert_class="count")
    given = series([some], 60) | {'asked_total{code="200"}': "0+975x60", 'asked_total{code="500"}': "0+25x60"}
    firing = 'ALERTS{alertname="PlatformSloPolicyBurnsForHours",alertstate="firing"}'

    says([some], given, {(5, firing): {}, (30, f"count by (severity) ({firing})"): {'{severity="ticket"}': 1}})


def test_a_policy_below_its_burn_rate_is_silent(says: Says) -> None:
    """1.5 is less than 2."""
    some = slo(alert_policies=(replace(POLICY, operator=Operator.GT),), alert_class="count")
    given = series([some], 60) | {'asked_total{code="200"}': "0+985x60", 'asked_total{code="500"}': "0+15x60"}

    says([some], given, {(60, 'ALERTS{alertname=~"PlatformSloPolicy.*"}'): {}})


def test_too_little_of_the_period_gives_no_budget_ticket(says: Says) -> None:
    """An SLO that was observed for an hour of its 30 days is not judged by them."""
    some = slo(alert_class="count")
    given = series([some], 60) | {'asked_total{code="500"}': "0+100x60"}
    given['platform_slo_minimum_coverage_ratio{slo="checkout"}'] = "0.9x60"

    says([some], given, {(60, 'ALERTS{alertstate="firing"}'): {}})


# ---- files


@pytest.mark.parametrize(
    "slos", [EVERY, (CHECKOUT,), (SHOP, CHECKOUT, PIPELINES), ()], ids=["all", "one", "composite", "none"]
)
def test_promtool_accepts_the_rules_with_its_lint(
    slos: Sequence[Slo], tmp_path: Path, requires_tool: Callable[[str], str]
) -> None:
    """`promtool check rules` finds nothing, duplicates included."""
    (tmp_path / "rules.yml").write_text(render_rules(slos, TIERS, LINKS), encoding="utf-8")

    command = [requires_tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(tmp_path / "rules.yml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def test_all_files_hold_the_same_groups(tmp_path: Path) -> None:
    """The plain file, the object of the operator and the namespace of the Mimir ruler say the same."""
    texts = {
        "plain": render_rules(EVERY, TIERS),
        "object": render_prometheus_rule(EVERY, TIERS, labels={"release": "prometheus"}),
        "mimir": render_mimir(EVERY, TIERS, namespace="slo"),
    }
    found = {}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        [document] = read_documents(tmp_path / name)
        found[name] = document.value

    assert found["object"]["apiVersion"] == "monitoring.coreos.com/v1"
    assert found["object"]["metadata"] == {"name": "paceline", "labels": {"release": "prometheus"}}
    assert found["mimir"]["namespace"] == "slo"
    assert found["plain"]["groups"] == found["mimir"]["groups"] == found["object"]["spec"]["groups"]


@pytest.mark.parametrize("interval_seconds", [10, 15, 30, 60, 120, 240])
def test_a_ticket_is_not_looked_at_while_rules_are_evaluated(interval_seconds: int) -> None:
    """Between the end of a page and that of its ticket are milliseconds, at a multiple of the interval."""
    [wait] = set(re.findall(r"group_wait: (\S+)", render_alertmanager([slo()])))

    phase = parse_duration(wait).total_seconds() % interval_seconds

    assert 2 < phase < interval_seconds - 2


@pytest.fixture
def alertmanager(tmp_path: Path) -> Path:
    """A configuration with the snippet and the receivers it names."""
    policy = replace(POLICY, targets=("team", "archive"))
    text = render_alertmanager([slo(alert_policies=(policy,))])
    receivers = "receivers: [{name: page}, {name: ticket}, {name: team}, {name: archive}]\n"
    path = tmp_path / "alertmanager.yml"
    path.write_text(text + receivers, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("alertname=PlatformSloBurnPage severity=page", "page"),
        ("alertname=PlatformSloBurnTicket severity=ticket", "ticket"),
        ("alertname=PlatformSloNoData severity=ticket", "ticket"),
        ("alertname=PlatformSloPolicyBurnsForHours severity=ticket", "team,archive"),
        ("alertname=PlatformDataOld severity=ticket", "ticket"),
    ],
)
def test_alerts_go_where_they_belong(
    alertmanager: Path, labels: str, receivers: str, requires_tool: Callable[[str], str]
) -> None:
    """Alertmanager's own tool accepts the snippet and routes pages, tickets and the targets of policies."""
    command = [requires_tool("amtool"), "config", "routes", "test", f"--config.file={alertmanager}", *labels.split()]

    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert (done.stdout.strip(), done.returncode) == (receivers, 0), done.stderr
