"""Burn-rate tiers: their factors, which of them can fire, when they do, and mistakes in their file."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import ConfigError
from slo_engine.alert_windows import load_tiers
from slo_engine.budget import burn_rate
from slo_engine.burn import Tier, active, highest_burn, plain, thresholds, tiers_for
from slo_engine.slo import AlertClass, Composite, EventCounts, IndicatorSli, Part, Slo
from slo_engine.windows import CalendarWindow, parse_window

SHIPPED = Path(__file__).parents[2] / "config" / "alert-windows" / "sre-workbook.yaml"
TIERS = load_tiers(SHIPPED)


def slo(target: str, period: str = "30d", alert_class: AlertClass = "rate") -> Slo:
    return Slo(
        name="s",
        title="s",
        description="",
        owner_service="platform",
        sli=IndicatorSli(indicator="wait"),
        target=Decimal(target),
        window=parse_window(period),
        alert_class=alert_class,
    )


def tier(share: str, long: str, short: str) -> Tier:
    return Tier(
        name="Some",
        severity="page",
        budget_share=Decimal(share),
        long=parse_window(long),
        short=parse_window(short),
        minimum_bad_events=2,
    )


# ---- factors


@pytest.mark.parametrize(
    ("period", "factors"),
    [
        ("28d", {"Fast": "13.44", "Slow": "5.6", "Daily": "1.4", "Steady": "0.933333333"}),
        ("30d", {"Fast": "14.4", "Slow": "6", "Daily": "1.5", "Steady": "1"}),
        ("90d", {"Fast": "43.2", "Slow": "18", "Daily": "4.5", "Steady": "3"}),
    ],
)
def test_factors_are_those_of_the_published_table(period: str, factors: dict[str, str]) -> None:
    """Factor = budget share · period / long window: 14.4, 6 and 1 at 30 days; a factor 5.6 prints as 5.6."""
    assert {t.name: plain(t.factor(parse_window(period))) for t in TIERS} == factors


@pytest.mark.parametrize(
    ("period", "thresholds"),
    [
        ("28d", {"Fast": "0.01344", "Slow": "0.0056", "Steady": "0.000933333"}),
        ("30d", {"Fast": "0.0144", "Slow": "0.006", "Steady": "0.001"}),
        ("90d", {"Fast": "0.0432", "Slow": "0.018", "Steady": "0.003"}),
    ],
)
def test_thresholds_are_those_of_the_published_table(period: str, thresholds: dict[str, str]) -> None:
    """At 99.9 % a tier fires above its factor times 0.1 %: 1.44 %, 0.6 % and 0.1 % at 30 days."""
    some = slo("0.999", period)

    assert {t.name: plain(t.factor(some.window) * (1 - some.target)) for t in tiers_for(some, TIERS)[0]} == thresholds


@pytest.mark.parametrize("period", ["28d", "30d", "90d"])
def test_each_tier_spends_its_share_of_the_budget(period: str) -> None:
    """Two percent in an hour, five in six hours, ten in three days, whatever the window of the SLO."""
    window = parse_window(period)
    spent = {t.name: t.factor(window) * int(t.long.seconds) / int(window.seconds) for t in TIERS if not t.instead_of}

    assert {name: round(share, 12) for name, share in spent.items()} == {
        "Fast": Decimal("0.02"),
        "Slow": Decimal("0.05"),
        "Steady": Decimal("0.1"),
    }


def test_the_shipped_tiers_have_short_windows_of_a_twelfth_and_need_several_bad_events() -> None:
    """The short window is a twelfth of the long one, and a single bad event never pages."""
    assert all(t.short.length * 12 == t.long.length for t in TIERS)
    assert all(t.minimum_bad_events >= 2 for t in TIERS)


@pytest.mark.parametrize(
    ("number", "text"), [("10", "10"), ("1E+1", "10"), ("5.60", "5.6"), ("0", "0"), ("0.933333333333", "0.933333333")]
)
def test_numbers_are_written_as_people_write_them(number: str, text: str) -> None:
    """No exponents, no trailing zeros."""
    assert plain(Decimal(number)) == text


# ---- which tiers can fire


@pytest.mark.parametrize(
    ("alert", "reachable", "dead"),
    [
        (tier("0.02", "1h", "5m"), "0.9306", "0.9305"),  # 14.4 below 93.06 %
        (tier("0.05", "6h", "30m"), "0.8334", "0.8333"),  # 6 below 83.3 %
        (tier("0.10", "1d", "2h"), "0.6667", "0.6666"),  # 3 below 66.7 %
        (tier("0.10", "3d", "6h"), "0.0001", "0"),  # 1 is always reached
    ],
)
def test_a_tier_is_dropped_exactly_where_total_failure_does_not_reach_it(
    alert: Tier, reachable: str, dead: str
) -> None:
    """At 30 days 14.4 is dead below 93.06 %, 6 below 83.3 %, 3 below 66.7 %."""
    assert tiers_for(slo(reachable), [alert]) == ((alert,), ())
    assert [d.tier for d in tiers_for(slo(dead), [alert])[1]] == [alert]


def test_a_factor_that_total_failure_only_equals_is_dropped() -> None:
    """The rule asks for more than the factor: at 90 % a factor of exactly 10 is never exceeded."""
    ten = tier("0.10", "3h", "15m")

    usable, [dropped] = tiers_for(slo("0.9", "300h"), [ten])

    assert usable == ()
    assert dropped.reason == ("a burn rate above 10 is out of reach: with a target of 0.9 total failure burns at 10")


def test_a_dropped_tier_says_why_and_what_stands_in() -> None:
    """At 80 % the tiers of an hour and of six are dropped with the reason, and a slower one stands in."""
    usable, dropped = tiers_for(slo("0.8"), TIERS)

    assert [t.name for t in usable] == ["Daily", "Steady"]
    assert [d.reason for d in dropped] == [
        "a burn rate above 14.4 is out of reach: with a target of 0.8 total failure burns at 5",
        "a burn rate above 6 is out of reach: with a target of 0.8 total failure burns at 5; Daily stands in for it",
    ]


def test_a_tier_that_stands_in_serves_nobody_else() -> None:
    """Where the faster tier can fire, the one that would stand in for it is silent, and that is no loss to report."""
    usable, dropped = tiers_for(slo("0.99"), TIERS)

    assert [t.name for t in usable] == ["Fast", "Slow", "Steady"]
    assert dropped == ()


def test_a_tier_longer_than_the_slos_window_is_dropped() -> None:
    """What lies before the SLO's window is no longer in its budget: three days are too long for one of a day."""
    dropped = tiers_for(slo("0.99", "1d"), TIERS)[1]

    assert [(d.tier.name, d.reason) for d in dropped] == [
        ("Steady", "it looks back over 3d, further than the SLO's window of 1d")
    ]


def test_a_calendar_month_counts_as_thirty_days() -> None:
    """Factors of a calendar window follow from its nominal length, the same every month."""
    assert plain(tier("0.02", "1h", "5m").factor(CalendarWindow("month"))) == "14.4"


def test_total_failure_of_a_composite_burns_as_the_mean_of_its_parts() -> None:
    """Parts of 99 % (weight 3) and 90 % burn at most at 100 and 10: together at 77.5, whatever its own target."""
    parts = [replace(slo("0.99"), name="a"), replace(slo("0.9"), name="b")]
    whole = replace(slo("0.5"), sli=Composite(parts=(Part(slo="a", weight=Decimal(3)), Part(slo="b"))))

    assert highest_burn(whole, parts) == Decimal("77.5")
    assert [t.name for t in tiers_for(whole, TIERS, parts)[0]] == ["Fast", "Slow", "Steady"]


# ---- above which burn rates an SLO alerts


@pytest.mark.parametrize(
    ("target", "period", "expected"),
    [
        ("0.99", "30d", {("1h", "page"): "14.4", ("6h", "page"): "6", ("3d", "ticket"): "1"}),
        ("0.99", "28d", {("1h", "page"): "13.44", ("6h", "page"): "5.6", ("3d", "ticket"): "0.933333333"}),
        ("0.8", "30d", {("1d", "page"): "1.5", ("3d", "ticket"): "1"}),
        ("0.99", "1d", {("1h", "page"): "0.48", ("6h", "page"): "0.2"}),
    ],
)
def test_an_slo_alerts_above_the_factors_of_the_tiers_that_can_fire(
    target: str, period: str, expected: dict[tuple[str, str], str]
) -> None:
    """By long window and severity; a tier that is out of reach, or longer than the SLO's window, has no threshold."""
    assert {key: plain(factor) for key, factor in thresholds(slo(target, period), TIERS).items()} == expected


def test_an_slo_that_counts_few_events_has_no_thresholds() -> None:
    """Its alerts are about its budget, whatever it burns at."""
    assert thresholds(slo("0.99", alert_class="count"), TIERS) == {}


def test_of_tiers_that_share_window_and_severity_the_lowest_threshold_counts() -> None:
    """Two tiers of an hour that page: the SLO alerts from the lower burn rate on, in whichever order they stand."""
    several = [tier("0.02", "1h", "5m"), replace(tier("0.01", "1h", "10m"), name="Other"), tier("0.03", "1h", "2m")]

    assert thresholds(slo("0.99"), several) == {("1h", "page"): Decimal("7.2")}


def test_the_thresholds_of_a_composite_follow_from_its_parts() -> None:
    """Its own target of 50 % would put 14.4 out of reach; its part of 99 % burns at up to 100."""
    whole = replace(slo("0.5"), name="whole", sli=Composite(parts=(Part(slo="s"),)))

    assert ("1h", "page") in thresholds(whole, TIERS, [slo("0.99"), whole])
    assert ("1h", "page") not in thresholds(whole, TIERS)


@given(st.decimals(min_value="0.001", max_value="0.9999", places=4), st.sampled_from(["7d", "28d", "30d", "90d"]))
def test_every_usable_tier_fires_on_total_failure(target: Decimal, period: str) -> None:
    """A tier is kept just where total failure burns faster than its factor."""
    some = slo(str(target), period)
    total = burn_rate(EventCounts(bad=100), some.target)
    usable, dropped = tiers_for(some, TIERS)

    assert total is not None
    assert all(total > t.factor(some.window) for t in usable)
    assert all(total <= float(d.tier.factor(some.window)) for d in dropped)


# ---- when they fire


def burning(target: str, counts: dict[str, EventCounts]) -> dict[str, float]:
    return {label: burn_rate(c, Decimal(target)) or 0.0 for label, c in counts.items()}


@pytest.mark.parametrize(
    ("counts", "fires"),
    [
        ({"1h": EventCounts(850, 150), "5m": EventCounts(80, 20)}, True),
        ({"1h": EventCounts(856, 144), "5m": EventCounts(80, 20)}, False),  # exactly 14.4
        ({"1h": EventCounts(850, 150), "5m": EventCounts(100, 0)}, False),  # over since five minutes
        ({"1h": EventCounts(850, 150)}, False),  # nothing in the last five minutes
        ({"1h": EventCounts(3, 2), "5m": EventCounts(3, 2)}, False),  # too few bad events
        ({"1h": EventCounts(3, 3), "5m": EventCounts(3, 3)}, True),
        ({}, False),
    ],
)
def test_a_tier_fires_while_both_windows_burn_and_enough_events_are_bad(
    counts: dict[str, EventCounts],
    fires: bool,  # noqa: FBT001 - an expected value
) -> None:
    """Both windows above the factor and the minimum of bad events: anything less is no alert."""
    assert active(slo("0.99"), counts, burning("0.99", counts), TIERS) is fires


def test_one_failure_after_two_hundred_good_ones_alerts_nobody() -> None:
    """200 good requests, then one failure → nobody is paged."""
    counts = dict.fromkeys(("6h", "3d"), EventCounts(200, 1)) | dict.fromkeys(("5m", "30m", "1h"), EventCounts(0, 1))

    assert not active(slo("0.999"), counts, burning("0.999", counts), TIERS)


def test_slos_of_people_and_process_have_no_burn_alert() -> None:
    """A count SLO speaks through its budget: no burn rate puts it at risk."""
    counts = dict.fromkeys(("5m", "30m", "1h", "6h", "3d"), EventCounts(0, 100))

    assert not active(slo("0.99", alert_class="count"), counts, burning("0.99", counts), TIERS)


# ---- the file

FILE = """\
source: somewhere
tiers:
  - name: Fast
    severity: page
    budget_share: "0.02"
    long: 1h
    short: 5m
    minimum_bad_events: 3
"""


def test_a_share_is_exact_with_and_without_quotes(tmp_path: Path) -> None:
    """0.02 is 2 %, not the float next to it."""
    path = tmp_path / "tiers.yaml"
    path.write_text(FILE.replace('"0.02"', "0.02"), encoding="utf-8")

    assert load_tiers(path)[0].budget_share == Decimal("0.02")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("short: 5m", "short: 10m", "tiers.yaml:7: tiers[0].short: '10m' is not counted; expected one of 5m,"),
        ("short: 5m", "short: soon", "tiers.yaml:7: tiers[0].short: 'soon' is no duration; expected a number and"),
        ("short: 5m", "short: 6h", "tiers.yaml:7: tiers[0].short: 6h is not shorter than 1h; expected a short window"),
        ("severity: page", "severity: pager", "tiers.yaml:4: tiers[0].severity: 'pager' is not valid; expected 'page'"),
        ('"0.02"', '"2"', "tiers.yaml:5: tiers[0].budget_share: '2' is not valid; expected less than or equal to 1"),
        ('"0.02"', "0", "tiers.yaml:5: tiers[0].budget_share: 0 is not valid; expected greater than 0"),
        ("events: 3", "events: 1", "tiers.yaml:8: tiers[0].minimum_bad_events: 1 is not valid; expected greater"),
        ("Fast", "fast burn", "tiers.yaml:3: tiers[0].name: 'fast burn' is not valid; expected"),
        ("    long: 1h\n", "", "tiers.yaml:3: tiers[0].long: is missing; expected"),
        ("    long: 1h\n", "    lon: 1h\n    long: 1h\n", "tiers.yaml:6: tiers[0].lon: unknown key; expected long"),
        ("source: somewhere\n", "", "tiers.yaml:1: source: is missing; expected where the numbers come from"),
        ("events: 3\n", "events: 3\n    instead_of: Slow\n", "tiers.yaml:9: tiers[0].instead_of: there is no tier"),
        (FILE[FILE.index("  -") :], FILE[FILE.index("  -") :] * 2, "tiers.yaml:9: tiers[1].name: 'Fast' is already"),
        ("source", "---\nsource: x\ntiers: []\n---\nsource", "tiers.yaml:5: a second document; expected one"),
    ],
)
def test_a_mistake_in_the_file_is_answered_with_its_line(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    """A mistake in the tiers is refused with file, line, path and what was expected."""
    path = tmp_path / "tiers.yaml"
    path.write_text(FILE.replace(old, new), encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        load_tiers(path)

    assert [str(m).removeprefix(f"{tmp_path}/")[: len(sentence)] for m in caught.value.mistakes] == [sentence]
