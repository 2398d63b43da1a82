"""The laws of the error budget, and the numbers at its boundaries. definitions.md §6."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo_engine import budget
from slo_engine.slo import EventCounts, IndicatorSli, Slo, SloStatus
from slo_engine.windows import parse_window

WINDOW = parse_window("28d")
TARGETS = st.decimals(min_value="0.0001", max_value="0.9999", places=4)
COUNTS = st.builds(EventCounts, good=st.integers(0, 10**9), bad=st.integers(0, 10**9))
EVENTS = COUNTS.filter(lambda counts: counts.total > 0)


def slo(target: str) -> Slo:
    return Slo(
        name="s",
        title="s",
        description="",
        owner_service="platform",
        sli=IndicatorSli(indicator="wait"),
        target=Decimal(target),
        window=WINDOW,
    )


# ---- laws


@given(counts=EVENTS, target=TARGETS)
def test_used_and_left_make_the_whole_budget(counts: EventCounts, target: Decimal) -> None:
    """Budget used plus budget left is 1, and bad events plus those still allowed are the budget."""
    left_ratio, left_events = budget.remaining_ratio(counts, target), budget.remaining_events(counts, target)

    assert left_ratio is not None
    assert left_events is not None
    assert float(counts.bad / budget.allowed(counts, target)) + left_ratio == pytest.approx(1, abs=1e-9)
    assert float(counts.bad) + left_events == pytest.approx(float(budget.allowed(counts, target)))


@given(first=COUNTS, second=COUNTS, target=TARGETS)
def test_a_split_window_adds_up(first: EventCounts, second: EventCounts, target: Decimal) -> None:
    """The budgets of two halves of a window add up to the budget of the whole, exactly."""
    whole = EventCounts(first.good + second.good, first.bad + second.bad)

    assert budget.allowed(first, target) + budget.allowed(second, target) == budget.allowed(whole, target)


@given(counts=EVENTS, target=TARGETS, times=st.integers(2, 1000))
def test_ratios_do_not_depend_on_the_amount(counts: EventCounts, target: Decimal, times: int) -> None:
    """Many times the same traffic leaves the same share of the budget, and that many times the events."""
    more = EventCounts(counts.good * times, counts.bad * times)

    assert budget.remaining_ratio(more, target) == budget.remaining_ratio(counts, target)
    assert budget.burn_rate(more, target) == budget.burn_rate(counts, target)
    assert budget.attainment(more) == pytest.approx(budget.attainment(counts))
    assert budget.allowed(more, target) == times * budget.allowed(counts, target)


@given(counts=EVENTS, target=TARGETS)
def test_the_burn_rate_of_the_whole_window_is_the_share_of_the_budget_that_is_used(
    counts: EventCounts, target: Decimal
) -> None:
    """Burn 1 over the whole window uses up exactly the budget; half of it, half the budget."""
    burn, left = budget.burn_rate(counts, target), budget.remaining_ratio(counts, target)

    assert burn is not None
    assert left is not None
    assert burn == pytest.approx(1 - left, abs=1e-9)


@given(counts=EVENTS, target=TARGETS)
def test_overspent_is_negative_and_exhausted(counts: EventCounts, target: Decimal) -> None:
    """The budget left is negative just where fewer events were good than the target asks for."""
    left = budget.remaining_ratio(counts, target)
    found, _ = budget.status(slo(str(target)), counts, alerting=False)

    assert left is not None
    assert (left < 0) == (counts.good < target * counts.total)
    assert (found is SloStatus.EXHAUSTED) == (counts.bad >= budget.allowed(counts, target))


@given(counts=EVENTS, target=TARGETS)
def test_time_to_exhaustion_at_the_average_burn_ends_with_the_budget(counts: EventCounts, target: Decimal) -> None:
    """Burning on at the rate of the whole window for that long uses exactly what is left."""
    left, burn = budget.remaining_ratio(counts, target), budget.burn_rate(counts, target)
    seconds = budget.time_to_exhaustion(left, WINDOW, burn)

    assert left is not None
    assert burn is not None
    assert (seconds is None) == (left <= 0 or burn == 0)
    assert (seconds or 0) * burn == pytest.approx(max(left, 0) * WINDOW.seconds if burn else 0)


# ---- numbers


@pytest.mark.parametrize(
    ("target", "days", "minutes"),
    [("0.999", 28, "40.32"), ("0.999", 30, "43.2"), ("0.99", 30, "432"), ("0.9995", 28, "20.16")],
)
def test_a_budget_of_minutes_is_exact(target: str, days: int, minutes: str) -> None:
    """99.9 % is 40.32 min in 28 d, 43.2 in 30 d."""
    assert budget.allowed(EventCounts(good=days * 1440), Decimal(target)) == Decimal(minutes)


def test_a_day_without_errors_and_a_night_with_some_is_a_sum_of_events() -> None:
    """100 rps by day without errors, 1 rps by night with 10 % → 0.0498 %, never the mean of ratios."""
    day, night = 57_600, 28_800
    counts = EventCounts(good=100 * day + night * 9 // 10, bad=night // 10)

    assert budget.attainment(counts) == pytest.approx(1 - 0.000498, abs=1e-6)
    assert budget.remaining_ratio(counts, Decimal("0.999")) == pytest.approx(0.5025, abs=1e-4)


def test_without_events_there_is_no_number() -> None:
    """An empty window has no attainment, no budget left and no burn rate: None, never 0 and never 100 %."""
    nothing, target = EventCounts(), Decimal("0.99")

    assert budget.attainment(nothing) is None
    assert budget.remaining_ratio(nothing, target) is None
    assert budget.remaining_events(nothing, target) is None
    assert budget.burn_rate(nothing, target) is None
    assert budget.status(slo("0.99"), nothing, alerting=True) == (SloStatus.INSUFFICIENT_DATA, "no events in 28d")


def test_an_overspent_budget_is_negative() -> None:
    """Budget overspent → negative remaining, not 0, as ratio and in events."""
    counts = EventCounts(good=70, bad=30)

    assert budget.remaining_ratio(counts, Decimal("0.9")) == -2.0
    assert budget.remaining_events(counts, Decimal("0.9")) == -20.0


@pytest.mark.parametrize(
    ("target", "good", "bad", "status", "why"),
    [
        ("0.9", 100, 0, SloStatus.HEALTHY, ""),
        ("0.9", 370, 30, SloStatus.HEALTHY, ""),  # 25 % are left exactly
        ("0.9", 3699, 301, SloStatus.AT_RISK, "24.7% of the error budget is left"),
        ("0.999", 399_700, 300, SloStatus.HEALTHY, ""),
        ("0.999", 399_699, 300, SloStatus.AT_RISK, "24.9% of the error budget is left"),
        ("0.9", 9001, 999, SloStatus.AT_RISK, "0.1% of the error budget is left"),
        ("0.9", 900_001, 99_999, SloStatus.AT_RISK, "less than 0.1% of the error budget is left"),
        ("0.9", 90, 10, SloStatus.EXHAUSTED, "10 bad of 100 events, 10.0 allowed"),  # 0 is left exactly
        ("0.999", 999, 1, SloStatus.EXHAUSTED, "1 bad of 1000 events, 1.0 allowed"),
        ("0.9", 89, 11, SloStatus.EXHAUSTED, "11 bad of 100 events, 10.0 allowed"),
        ("0.9", 0, 1, SloStatus.EXHAUSTED, "1 bad of 1 event, 0.1 allowed"),
    ],
)
def test_status_changes_exactly_at_its_boundaries(
    target: str, good: int, bad: int, status: SloStatus, why: str
) -> None:
    """Exactly 25 % left is healthy, less is at risk, exactly 0 is exhausted; no decision uses rounded numbers."""
    assert budget.status(slo(target), EventCounts(good, bad), alerting=False) == (status, why)


def test_a_burn_alert_puts_a_full_budget_at_risk_but_does_not_hide_an_empty_one() -> None:
    """At risk is: less than 25 % left or a burn alert active; exhausted stays exhausted."""
    assert budget.status(slo("0.9"), EventCounts(good=100), alerting=True) == (
        SloStatus.AT_RISK,
        "a burn-rate alert is active",
    )
    assert budget.status(slo("0.9"), EventCounts(bad=100), alerting=True)[0] is SloStatus.EXHAUSTED


@pytest.mark.parametrize(
    ("left", "burn", "seconds"),
    [
        (0.5, 1.0, 14 * 86_400.0),
        (1.0, 14.0, 2 * 86_400.0),
        (1.0, 0.0, None),
        (0.5, -1.0, None),
        (0.0, 2.0, None),
        (-0.5, 2.0, None),
        (None, 2.0, None),
        (0.5, None, None),
    ],
)
def test_time_to_exhaustion_is_absent_where_nothing_burns_or_nothing_is_left(
    left: float | None, burn: float | None, seconds: float | None
) -> None:
    """Remaining · window / burn; burn ≤ 0 → absent."""
    assert budget.time_to_exhaustion(left, WINDOW, burn) == seconds
