"""Exports: what is written as OpenSLO v1 is read back as the same SLO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo_engine.indicator import indicators
from slo_engine.openslo import load_slos
from slo_engine.openslo_export import exported, exported_text
from slo_engine.promql import BooleanGauge, CounterRatio, Histogram, NativeHistogram, PromqlSli, TimeSlices
from slo_engine.slo import AlertPolicy, Budgeting, Composite, IndicatorSli, Operator, Part, Slo
from slo_engine.windows import BURN_WINDOWS, CalendarWindow, parse_window

OCCURRENCES: Budgeting = "occurrences"
TIMESLICES: Budgeting = "timeslices"
RATIO_TIMESLICES: Budgeting = "ratio_timeslices"
SHIPPED = Path(__file__).parents[2] / "config" / "slos"
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="@"), max_size=30)
NAMES = st.from_regex("[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
TARGETS = st.decimals(min_value="0.5", max_value="0.999999999", places=9)
THRESHOLDS = st.floats(min_value=0.001, max_value=1e9)
LABELS = st.lists(st.from_regex("[a-z_][a-z0-9_]{0,8}", fullmatch=True), unique=True, max_size=3)

COUNTERS = st.builds(
    CounterRatio,
    total_query=st.sampled_from(["requests_total", 'requests_total{job="a"}', "rate(requests_total[$__window])"]),
    bad_query=st.sampled_from(['requests_total{code=~"5.."}', "sum(rate(errors_total[$__window])) or vector(0)"]),
) | st.builds(CounterRatio, total_query=st.just("requests_total"), good_query=st.just('requests_total{code="200"}'))
MATCHERS = st.sampled_from(["", 'job="a"', 'job="a\\\\b\\"c", code!~"5.."'])
HISTOGRAMS = st.builds(
    Histogram,
    metric=st.just("request_seconds"),
    matchers=MATCHERS,
    threshold=THRESHOLDS,
    operator=st.sampled_from([Operator.LTE, Operator.GT]),
)
NATIVE = st.builds(
    NativeHistogram,
    metric=st.just("request_seconds"),
    matchers=MATCHERS,
    threshold=THRESHOLDS,
    operator=st.sampled_from(Operator),
)
GAUGES = st.builds(BooleanGauge, selector=st.sampled_from(["up", 'probe_success{job="login"}']))
EVENTS = COUNTERS | HISTOGRAMS | NATIVE | GAUGES
SLICED = st.builds(
    TimeSlices, sli=EVENTS, slice=st.sampled_from(["30s", "1m", "5m"]), target=st.decimals("0.5", "1", places=4)
)
RATIO_SLICED = st.builds(TimeSlices, sli=EVENTS, slice=st.just("1m"), target=st.none())
DURATIONS = st.builds(
    IndicatorSli,
    indicator=st.just("change_lead_time"),
    operator=st.sampled_from(Operator),
    threshold=THRESHOLDS,
    service=st.sampled_from(["", "api"]),
    environment=st.sampled_from(["", "production"]),
)
RATIOS = st.builds(IndicatorSli, indicator=st.just("change_fail_rate"), environment=st.sampled_from(["", "production"]))
WINDOWS = st.sampled_from([parse_window(w) for w in ("28d", "4w", "30d", "36h", "90d")]) | st.sampled_from(
    [
        CalendarWindow("month", 1, "Europe/Berlin"),
        CalendarWindow("quarter", 1, "UTC"),
        CalendarWindow("year", 1, "America/New_York"),
        CalendarWindow("week", 2, "Asia/Tokyo", date(2026, 1, 5)),
        CalendarWindow("day", 3, "UTC", date(2026, 1, 3)),
    ]
)
POLICIES = st.builds(
    AlertPolicy,
    name=NAMES,
    title=WORDS,
    description=WORDS,
    severity=st.sampled_from(["page", "ticket"]),
    operator=st.sampled_from([Operator.GTE, Operator.GT]),
    factor=st.decimals("0.5", "1.9", places=3),
    lookback=st.sampled_from(BURN_WINDOWS),
    after=st.integers(0, 100_000).map(lambda seconds: timedelta(seconds=seconds)),
    targets=st.lists(NAMES, unique=True, max_size=2).map(tuple),
)


def an_slo(sli: IndicatorSli | PromqlSli | Composite, *, name: str = "an-slo", window: str = "28d") -> Slo:
    """An SLO with every default."""
    return Slo(
        name=name,
        title=name,
        description="",
        owner_service="platform",
        target=Decimal("0.99"),
        window=parse_window(window),
        sli=sli,
    )


def read_back(folder: Path, slos: Sequence[Slo]) -> list[Slo]:
    """The SLOs after they were written and read."""
    path = folder / "slos.yaml"
    path.write_text(exported_text(slos), encoding="utf-8")
    return load_slos(path, indicators())


@st.composite
def slos(draw: st.DrawFn) -> Slo:
    """An SLO on one SLI with any settings that a file can say."""
    sli, budgeting = draw(
        st.tuples(EVENTS | DURATIONS | RATIOS, st.just(OCCURRENCES))
        | st.tuples(SLICED, st.just(TIMESLICES))
        | st.tuples(RATIO_SLICED, st.just(RATIO_TIMESLICES))
    )
    name = draw(NAMES)
    return replace(
        an_slo(sli, name=name),
        title=draw(WORDS) or name,
        description=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=60)),
        owner_service=draw(WORDS.filter(bool)),
        target=draw(TARGETS),
        window=draw(WINDOWS),
        budgeting=budgeting,
        sla_target=draw(st.none() | TARGETS),
        group_by=() if isinstance(sli, IndicatorSli) else tuple(draw(LABELS)),
        alert_policies=tuple(draw(st.lists(POLICIES, unique_by=lambda policy: policy.name, max_size=2))),
        team=draw(WORDS),
        owner=draw(WORDS),
        tier=draw(WORDS),
        runbook=draw(st.sampled_from(["", "https://example.com/runbook"])),
        review_at=draw(st.none() | st.dates(min_value=date(1900, 1, 1))),
        alert_class=draw(st.sampled_from(["rate", "count"])),
        minimum_events=draw(st.integers(1, 999_999_999)),
    )


@given(slo=slos())
def test_an_exported_slo_is_read_back_as_the_same(tmp_path_factory: pytest.TempPathFactory, slo: Slo) -> None:
    """Export and load are inverse for SLOs of every kind, window and setting."""
    assert read_back(tmp_path_factory.getbasetemp(), [slo]) == [slo]


@given(slice_window=st.sampled_from(["1m", "90m", "1h", "1d"]), target=st.decimals("0.5", "1", places=3), sli=DURATIONS)
def test_time_slices_of_an_indicator_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, slice_window: str, target: Decimal, sli: IndicatorSli
) -> None:
    """Slices of what Paceline counts keep their length and target."""
    length = parse_window(slice_window).length
    slo = replace(an_slo(sli), budgeting="timeslices", slice=length, slice_target=target)

    assert read_back(tmp_path_factory.getbasetemp(), [slo]) == [slo]


def test_a_composite_is_read_back_with_its_parts(tmp_path: Path) -> None:
    """The parts are SLOs of their own, named with their weights; the composite's target is their mean."""
    first = replace(an_slo(BooleanGauge(selector="up"), name="first"), target=Decimal("0.99"))
    second = replace(an_slo(CounterRatio(total_query="a", bad_query="b"), name="second"), target=Decimal("0.96"))
    parts = Composite(parts=(Part(slo="first", weight=Decimal("0.5")), Part(slo="second", weight=Decimal(1))))
    whole = replace(an_slo(parts, name="whole"), target=Decimal("0.97"))

    assert read_back(tmp_path, [first, second, whole]) == [first, second, whole]


def test_the_shipped_slos_are_read_back(tmp_path: Path) -> None:
    """The files that come with Paceline survive their own export."""
    shipped = load_slos(SHIPPED, indicators())

    assert read_back(tmp_path, shipped) == shipped


def test_an_export_is_the_same_text_for_the_same_slos() -> None:
    """Keys have one order, so that two exports can be compared line by line."""
    one = an_slo(Histogram(metric="request_seconds", matchers='job="a"', threshold=0.25))

    assert exported_text([one]).splitlines()[:9] == [
        "apiVersion: openslo/v1",
        "kind: SLO",
        "metadata:",
        "  name: an-slo",
        "spec:",
        "  service: platform",
        "  indicator:",
        "    metadata:",
        "      name: an-slo",
    ]


def test_numbers_are_written_as_they_are() -> None:
    """No exponent and no float: 1e-7 seconds and 99.99 % stand in the file as people write them."""
    one = replace(an_slo(Histogram(metric="x", threshold=1e-7)), target=Decimal("0.99990"))

    assert "value: 0.0000001\n    target: 0.9999\n" in exported_text([one])


def test_what_no_file_can_say_is_refused() -> None:
    """A coverage of its own would be lost: the export says so instead."""
    one = replace(an_slo(BooleanGauge(selector="up")), minimum_coverage=0.5)

    with pytest.raises(ValueError, match="no place in OpenSLO"):
        exported(one)
