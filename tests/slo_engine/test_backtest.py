"""Backtests: when alerts would have fired, against counting events minute by minute; incidents, budgets, targets."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.errors import ContractError
from collector.store import Database, DerivationStore, ObservationStore, Replacement, Series
from slo_engine.alert_windows import load_tiers
from slo_engine.backtest import Backtest, Incident, as_json, backtest, incident_of, lines
from slo_engine.burn import Tier, tiers_for
from slo_engine.exclusions import Exclusion, ExclusionReason
from slo_engine.history import measured, observed
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import MOST_PARTS, from_micros, to_micros
from slo_engine.promql import CounterRatio
from slo_engine.proof import Oracle
from slo_engine.replay import Fired, History, replay
from slo_engine.slo import AlertPolicy, Composite, IndicatorSli, Operator, Part, Slo
from slo_engine.synthetic import Minute
from slo_engine.windows import CalendarWindow, parse_window

SHIPPED = Path(__file__).parents[2] / "config" / "alert-windows" / "sre-workbook.yaml"
TIERS = load_tiers(SHIPPED)
START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
Event = tuple[float, bool]
"""Minutes since START, and whether it was good."""


def slo(target: str = "0.99", window: str | CalendarWindow = "30d", **more: Any) -> Slo:
    return Slo(
        **{
            "name": "checkout",
            "title": "Checkout",
            "description": "",
            "owner_service": "shop",
            "target": Decimal(target),
            "window": parse_window(window) if isinstance(window, str) else window,
            "sli": IndicatorSli(indicator="wait"),
            "alert_class": "rate",
            "minimum_events": 1,
            "minimum_coverage": 0.0,
            **more,
        }
    )


def tier(name: str, severity: Any, share: str, long: str, short: str, minimum: int = 2) -> Tier:
    return Tier(
        name=name,
        severity=severity,
        budget_share=Decimal(share),
        long=parse_window(long),
        short=parse_window(short),
        minimum_bad_events=minimum,
    )


SMALL = (
    tier("Quick", "page", "0.2", "20m", "5m", 3),
    tier("Late", "page", "0.3", "1h", "10m"),
    tier("Slack", "ticket", "0.5", "2h", "20m"),
)


def history(events: Iterable[Event], until: timedelta, after: timedelta = timedelta()) -> History:
    """The history of single events."""
    known = list(events)
    at = np.array([to_micros(START + m * MINUTE) for m, _ in known], dtype=np.int64)
    good = np.array([g for _, g in known], dtype=np.float64)
    return History.of(at, good, 1 - good, to_micros(START + after), to_micros(START + until))


def steady(minutes: float, bad: Sequence[tuple[float, float]] = (), per_minute: int = 2) -> list[Event]:
    """Traffic every minute that fails wholly in some stretches of minutes."""
    return [
        (m + (k + 1) / per_minute, not any(first <= m < last for first, last in bad))
        for m in range(int(minutes))
        for k in range(per_minute)
    ]


def minutes_of(fired: Iterable[Fired], until: int) -> dict[int, set[str]]:
    """The alerts that fire at each minute since START."""
    found: dict[int, set[str]] = {}
    for one in fired:
        first = int((one.start - START) / MINUTE)
        last = until + 1 if one.lasting else int((one.end - START) / MINUTE)
        for minute in range(first, last):
            found.setdefault(minute, set()).add(one.alert)
    return found


def counted(events: Sequence[Event], minute: int, window: float) -> tuple[int, int]:
    """Total and bad events in the minutes before a minute: one by one."""
    inside = [good for at, good in events if minute - window < at <= minute]
    return len(inside), inside.count(False)


def oracle(asked: Slo, events: Sequence[Event], tiers: Sequence[Tier], until: int) -> dict[int, set[str]]:
    """The tiers that fire at each minute: events are counted in plain Python."""
    found: dict[int, set[str]] = {}
    for minute in range(1, until + 1):
        for one in tiers:
            factor = Fraction(one.budget_share) * int(asked.window.seconds) / int(one.long.seconds)
            limit = factor * (1 - Fraction(asked.target))
            long, short = (counted(events, minute, w.seconds / 60) for w in (one.long, one.short))
            burns = all(total and Fraction(bad, total) > limit for total, bad in (long, short))
            if burns and long[1] >= one.minimum_bad_events:
                found.setdefault(minute, set()).add(one.name)
    return found


LENGTH = 180
events = st.lists(st.tuples(st.integers(0, LENGTH * 4).map(lambda quarter: quarter / 4), st.booleans()), max_size=60)
targets = st.sampled_from(["0.5", "0.8", "0.9", "0.95", "0.99"])


# ---- laws


@given(events, targets)
@settings(deadline=None)
def test_alerts_are_those_of_counting_each_minute(known: list[Event], target: str) -> None:
    """Both windows, the factor and the minimum of bad events at every minute: the same as a slow count says."""
    asked = slo(target, "3h")
    usable = [t for t in SMALL if t.factor(asked.window) < 1 / (1 - asked.target)]

    said = replay(asked, history(known, LENGTH * MINUTE), SMALL)

    assert minutes_of(said.fired, LENGTH) == oracle(asked, known, usable, LENGTH)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=LENGTH),
    targets,
    st.sampled_from(["rate", "count"]),
)
def test_notifications_are_those_that_the_rules_are_proven_by(
    counts: list[tuple[int, int]], target: str, alert_class: str
) -> None:
    """Page, ticket and budget alerts fire in the minutes in which the counted truth of the rules' tests says so."""
    asked = slo(target, "7d", alert_class=alert_class)
    timeline = [Minute(good + bad, bad) for good, bad in counts]
    at = np.array([to_micros(START + (m + 1) * MINUTE) for m in range(len(counts))], dtype=np.int64)
    good, bad = (np.array([c[i] for c in counts], dtype=np.float64) for i in (0, 1))
    known = History.of(at, good, bad, to_micros(START), to_micros(START + len(counts) * MINUTE))

    said = minutes_of(replay(asked, known, TIERS).notified, len(counts))

    truth = Oracle(asked, tiers_for(asked, TIERS)[0], timeline).firing()
    assert [said.get(m, set()) for m in range(1, len(counts) + 1)] == [set(names) for names in truth[1:]]


@given(events, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_events_changes_nothing(known: list[Event], random: Any) -> None:
    """Events in any order give the same backtest."""
    shuffled = list(known)
    random.shuffle(shuffled)

    first, second = (backtest(slo("0.9", "3h"), history(k, LENGTH * MINUTE), SMALL) for k in (known, shuffled))

    assert as_json(first) == as_json(second)


@given(events.map(lambda known: [(at, True) for at, _ in known]), targets, st.sampled_from(["rate", "count"]))
@settings(deadline=None)
def test_without_a_bad_event_nothing_fires(known: list[Event], target: str, alert_class: str) -> None:
    """Good events alone never alert anybody, and never cost budget."""
    found = backtest(slo(target, "3h", alert_class=alert_class), history(known, LENGTH * MINUTE), SMALL)

    assert (found.fired, found.notified) == ((), ())
    assert {left for _, left in found.curve} <= {None, 1.0}


@given(events, st.tuples(targets, targets).map(sorted))
@settings(deadline=None)
def test_a_tighter_target_fires_at_least_as_long(known: list[Event], pair: list[str]) -> None:
    """Each tier fires in every minute of a looser target for a tighter one too."""
    loose, tight = (
        minutes_of(replay(slo(t, "3h"), history(known, LENGTH * MINUTE), SMALL).fired, LENGTH) for t in pair
    )

    assert all(names <= tight.get(minute, set()) for minute, names in loose.items())


@given(events, targets)
@settings(deadline=None)
def test_windows_and_their_events_add_up(known: list[Event], target: str) -> None:
    """Windows that follow each other hold every event once."""
    found = backtest(slo(target, "1h", minimum_events=0), history(known, LENGTH * MINUTE), SMALL)

    inside = sum(window.total for window in found.windows)
    assert inside == sum(1 for at, _ in known if 0 < at <= LENGTH)
    assert sum(window.bad for window in found.windows) == found.bad


# ---- alerts


def test_an_outage_pages_within_minutes_and_ends_after_it() -> None:
    """Ten minutes of total failure in steady traffic at 99.9 %: one page, soon, over when its short window is."""
    quiet, outage = 6 * 60, 10
    known = steady(quiet + 120, [(quiet, quiet + outage)])

    said = replay(slo("0.999"), history(known, (quiet + 120) * MINUTE), TIERS)

    [page] = [f for f in said.notified if f.severity == "page"]
    assert page.start - START == timedelta(minutes=quiet + 2)
    assert timedelta(minutes=quiet + outage) < page.end - START <= timedelta(minutes=quiet + outage + 30)
    assert not page.lasting


def test_a_ticket_does_not_outlive_the_page_of_its_incident() -> None:
    """What was paged for stays in the windows of a ticket for six hours, and is no news after the page."""
    known = steady(12 * 60, [(360, 400)])

    said = replay(slo("0.999"), history(known, 12 * HOUR), TIERS)

    page = max(f.end for f in said.notified if f.severity == "page")
    assert [f for f in said.notified if f.severity == "ticket" and f.end > page] == []
    assert [f for f in said.fired if f.alert == "Steady" and f.end > page]


def test_one_failure_after_two_hundred_good_ones_alerts_nobody() -> None:
    """200 good requests, then one failure → nobody is paged."""
    known = [*((m, True) for m in range(200)), (200.0, False)]

    assert replay(slo("0.999"), history(known, 12 * HOUR), TIERS).notified == ()


def test_an_alert_that_still_fires_at_the_end_says_so() -> None:
    """The end of the history is not the end of the alert."""
    said = replay(slo("0.999"), history(steady(120, [(60, 120)]), 2 * HOUR), TIERS)

    assert {f.lasting for f in said.notified if f.severity == "page"} == {True}
    assert {f.end for f in said.notified if f.severity == "page"} == {START + 2 * HOUR}


def test_events_before_the_range_count_for_its_first_minute() -> None:
    """What an alert sees in the first minute reaches back before it."""
    known = history(steady(120, [(50, 70)]), 2 * HOUR, after=HOUR)

    said = replay(slo("0.999"), known, TIERS)

    assert min(f.start for f in said.notified) == START + HOUR + MINUTE


def test_a_policy_fires_after_its_wait() -> None:
    """An alert policy asks for its own factor and window, for as long as it waits, and for two bad events."""
    policy = AlertPolicy(
        name="own",
        severity="page",
        factor=Decimal(2),
        lookback=parse_window("5m"),
        after=timedelta(minutes=10),
        operator=Operator.GTE,
    )
    known = steady(240, [(100, 160)])

    said = replay(slo("0.9", alert_policies=(policy,)), history(known, 4 * HOUR), ())

    assert [(f.alert, f.start - START, f.end - START) for f in said.notified] == [
        ("PlatformSloPolicyOwn", 111 * MINUTE, 165 * MINUTE)
    ]


def test_a_calendar_budget_begins_anew_with_the_month() -> None:
    """The budget that March used up is whole again in April, on the clocks of the zone."""
    month = CalendarWindow("month", zone="Europe/Berlin")
    april = datetime(2026, 3, 31, 22, tzinfo=UTC)
    known = [(float(m), m > 600) for m in range(100, 40 * 24 * 60, 100)]

    said = replay(slo("0.99", alert_class="count", window=month), history(known, 40 * DAY), TIERS)

    assert [(f.alert, f.end) for f in said.notified][-1] == ("PlatformSloBudgetExhausted", april)


def test_a_composite_is_refused_with_its_parts() -> None:
    """A composite has no events of its own."""
    whole = slo(sli=Composite(parts=(Part(slo="a"), Part(slo="b"))))

    with pytest.raises(ValueError, match=r"checkout consists of other SLOs; expected one of its parts: a, b"):
        replay(whole, history([], HOUR), TIERS)


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    """A backtest of no time says so."""
    with pytest.raises(ValueError, match="expected a later end"):
        backtest(slo(), history([], HOUR, after=2 * HOUR), TIERS)


# ---- incidents


@pytest.fixture(scope="module")
def outage() -> Backtest:
    """A day with one outage, of which two incidents are told: the outage, and one that nobody noticed."""
    known = steady(24 * 60, [(720, 740)])
    told = [
        Incident(name="unseen", start=START + 4 * HOUR, end=START + 5 * HOUR),
        Incident(name="outage", start=START + 12 * HOUR, end=START + 12 * HOUR + 20 * MINUTE),
    ]
    return backtest(slo("0.999"), history(known, DAY), TIERS, told)


def test_an_incident_is_detected_by_the_first_alert_in_it(outage: Backtest) -> None:
    """The time to detect runs from the start of the incident to the first minute of an alert."""
    [_, found] = outage.detections

    assert found.incident.name == "outage"
    assert (found.seconds, found.seconds_by_alert["Fast"]) == (60, 120)
    assert set(found.seconds_by_alert) == {
        "Fast", "Slow", "Steady", "PlatformSloBurnPage", "PlatformSloBurnTicket",
    }  # fmt: skip


def test_an_incident_that_nothing_saw_is_missed(outage: Backtest) -> None:
    """An incident without an alert has no time to detect."""
    assert [incident.name for incident in outage.missed] == ["unseen"]
    assert outage.detections[0].seconds is None


def test_an_alert_that_belongs_to_an_incident_is_not_without_one(outage: Backtest) -> None:
    """All alerts of the day belong to the outage."""
    assert outage.without_incident == ()


def test_an_alert_that_fires_for_nothing_told_is_without_an_incident() -> None:
    """An alert far from every incident is listed."""
    known = steady(24 * 60, [(720, 740)])
    told = [Incident(name="other", start=START + HOUR, end=START + 2 * HOUR)]

    found = backtest(slo("0.999"), history(known, DAY), TIERS, told)

    assert {f.alert for f in found.without_incident} == {"PlatformSloBurnPage", "PlatformSloBurnTicket"}


def test_an_incident_within_a_longer_alert_is_seen_at_once() -> None:
    """Where an alert already fires the time to detect is 0."""
    known = steady(240, [(60, 180)])
    told = [Incident(name="worse", start=START + 2 * HOUR, end=START + 2.5 * HOUR)]

    [found] = backtest(slo("0.999"), history(known, 4 * HOUR), TIERS, told).detections

    assert found.seconds == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "'' is no incident"),
        ("down", "'down' is no incident"),
        ("=2026-03-01T10:00Z/2026-03-01T11:00Z", "is no incident"),
        ("down=2026-03-01T10:00Z", "is no incident"),
        ("down=yesterday/today", "has a time that is none"),
        ("down=2026-03-01T10:00/2026-03-01T11:00", "has a time without an offset"),
        ("down=2026-03-01T11:00Z/2026-03-01T11:00Z", "down ends before it begins"),
    ],
)
def test_an_incident_that_is_none_says_what_to_write(text: str, problem: str) -> None:
    """Each mistake names itself and shows an example."""
    with pytest.raises(ValueError, match=problem) as caught:
        incident_of(text)

    assert "expected a name and two times, such as checkout-down=" in str(caught.value)


def test_an_incident_is_read_with_its_times() -> None:
    """`name=start/end` with offsets."""
    found = incident_of("down=2026-03-01T10:00Z/2026-03-01T12:00+01:00")

    assert (found.name, found.end - found.start) == ("down", HOUR)


# ---- budget, attainment, target


def test_the_budget_curve_is_exact_and_may_be_negative() -> None:
    """One bad of a hundred at 99 % uses the budget up; a second one overspends it; before the first event is none."""
    known = [(60.0 + m, m not in {30, 95}) for m in range(100)]

    found = backtest(slo("0.99", "1d"), history(known, 3 * HOUR), SMALL, every=HOUR)

    assert [left for _, left in found.curve] == [1.0, pytest.approx(1 - 1 / 0.61), pytest.approx(-1)]
    assert [at - START for at, _ in found.curve] == [HOUR, 2 * HOUR, 3 * HOUR]


def test_finished_windows_tell_what_was_attained() -> None:
    """Rolling windows follow each other back from the end; one that only just meets the target meets it."""
    known = [(m + 0.5, m not in {3, 130, 131}) for m in range(180)]

    found = backtest(slo("0.9833333333333333333333", "1h", minimum_events=60), history(known, 3 * HOUR), SMALL)

    assert [(w.total, w.bad, w.met) for w in found.windows] == [(60, 1, True), (60, 0, True), (60, 2, False)]


def test_finished_months_are_those_of_the_calendar() -> None:
    """March in Berlin is a finished window of 743 hours; what began before the history is none."""
    month = CalendarWindow("month", zone="Europe/Berlin")
    known = [(float(m), True) for m in range(-120, 40 * 24 * 60, 60)]

    [march] = backtest(slo(window=month, minimum_coverage=0.9), history(known, 40 * DAY), TIERS).windows

    assert march.end - march.start == 743 * HOUR
    assert march.total == 743


def test_few_events_and_short_coverage_are_no_window() -> None:
    """A window that says nothing is left out."""
    known = [(m + 0.5, True) for m in range(100, 180)]

    found = backtest(slo("0.9", "1h", minimum_events=5, minimum_coverage=0.9), history(known, 3 * HOUR), SMALL)

    assert len(found.windows) == 1


def test_alerts_per_month_count_thirty_days() -> None:
    """Two outages in ten days are six pages in a month."""
    known = steady(10 * 24 * 60, [(1000, 1030), (9000, 9030)], per_minute=1)

    found = backtest(slo("0.999"), history(known, 10 * DAY), TIERS)

    assert found.per_month["PlatformSloBurnPage"] == pytest.approx(6)


def test_the_suggested_target_is_kept_by_most_windows_of_the_past() -> None:
    """Days with clustered failures: the target is below the mean attainment, and reached by most past weeks."""
    random = np.random.default_rng(7)
    days = 140
    bad_days = random.random(days) < 0.1
    known = [(24 * 60 * d + 10.0 * k, not (bad_days[d] and k < 20)) for d in range(days) for k in range(1, 144)]

    made = backtest(slo("0.9", "7d"), history(known, days * DAY), TIERS).suggestion

    assert made is not None
    mean = sum(good for _, good in known) / len(known)
    assert made.low < mean < made.high
    assert float(made.target) <= made.low
    weeks = backtest(slo(str(made.target), "7d"), history(known, days * DAY), TIERS).windows
    assert sum(week.met for week in weeks) >= 0.9 * len(weeks)


def test_a_past_without_failures_suggests_no_perfection() -> None:
    """1 344 good events a week and no bad one are Wilson's 99.7 %, not 100 %."""
    known = [(7.5 * k, True) for k in range(1, 28 * 192 + 1)]

    made = backtest(slo("0.9", "7d"), history(known, 28 * DAY), TIERS).suggestion

    assert made is not None
    assert made.target == Decimal("0.9971")
    assert made.method == "Wilson's interval of 1344 events, as many as a window has"


def test_a_past_that_always_fails_suggests_nothing() -> None:
    """There is no target of 0 %."""
    found = backtest(slo("0.9", "1h"), history([(m + 0.5, False) for m in range(180)], 3 * HOUR), SMALL)

    assert (found.suggestion, found.why_none) == (None, "at 0.0% no target can be kept")


def test_less_than_a_window_suggests_nothing() -> None:
    """Two days say nothing about a month."""
    found = backtest(slo(minimum_coverage=0.9), history(steady(2 * 24 * 60), 2 * DAY), TIERS)

    assert (found.suggestion, found.why_none) == (None, "events are known for 7% of 30d only")


@given(events)
@settings(deadline=None)
def test_a_suggested_target_is_a_target_within_its_interval(known: list[Event]) -> None:
    """Between 0 and 1, both excluded, and not above the lower end of the interval."""
    made = backtest(slo("0.9", "1h"), history(known, LENGTH * MINUTE), SMALL).suggestion

    assert made is None or 0 < made.target < 1
    assert made is None or float(made.target) <= made.low <= made.high


# ---- text and JSON


def test_the_text_tells_alerts_incidents_budget_and_target(outage: Backtest) -> None:
    """What people read, line by line."""
    assert lines(outage) == [
        "checkout, target 99.9% in 30d",
        "2026-03-01 00:00Z to 2026-03-02 00:00Z, 1.0 days; events known from 2026-03-01 00:00Z",
        "40 bad of 2880 events",
        "alerts: Fast 30.0, Slow 30.0, Steady 30.0, PlatformSloBurnPage 30.0, PlatformSloBurnTicket 30.0 per 30 days",
        "  PlatformSloBurnPage (page) 2026-03-01 12:02Z to 2026-03-01 12:50Z, 48 min",
        "  PlatformSloBurnTicket (ticket) 2026-03-01 12:01Z to 2026-03-01 12:50Z, 49 min",
        "incidents: 2, missed 1",
        "  unseen, 2026-03-01 04:00Z: missed",
        (
            "  outage, 2026-03-01 12:00Z: PlatformSloBurnTicket after 60 s, Steady after 60 s, "
            "Fast after 2 min, PlatformSloBurnPage after 2 min, Slow after 3 min"
        ),
        "alerts without an incident: 0",
        "budget left: -1288.9% at the end, -1288.9% at least",
        "finished windows: 1, 0 met the target",
        "  2026-01-31 00:00Z to 2026-03-02 00:00Z: 98.6%, missed",
        "no target is suggested: events are known for 3% of 30d only",
    ]


def test_the_json_form_is_json(outage: Backtest) -> None:
    """Programs read the same numbers, with times in ISO form and shares from 0 to 1."""
    made = json.loads(json.dumps(as_json(outage), allow_nan=False))

    assert made["incidents"][1]["seconds_to_detect"] == 60
    assert made["notifications"][0]["start"] == "2026-03-01T12:02:00+00:00"
    assert made["budget_remaining"][-1]["ratio"] == pytest.approx(1 - 40 / 2.88)


def test_tiers_that_cannot_fire_are_said() -> None:
    """A backtest without a page says why there is none."""
    found = backtest(slo("0.8"), history(steady(60), HOUR), TIERS)

    assert [reason.partition(":")[0] for reason in found.refused] == ["Fast", "Slow"]


# ---- where the past comes from

WAIT = Indicator(
    name="wait",
    version="1",
    title="Wait",
    definition="Time waited.",
    shape=Shape.DURATION,
    metric="platform_wait",
    dimension="stage",
    dimensions=("queue",),
)
WAITING = IndicatorSli(indicator="wait", operator=Operator.LTE, threshold=60.0, service="api")


Stored = Callable[..., ObservationStore]


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    """Makes a store with measured units of an indicator."""
    with contextlib.closing(Database.open(tmp_path)) as database:

        def make(values: Mapping[datetime, float], service: str = "api") -> ObservationStore:
            rows = [
                (to_micros(at), f"unit {n}", value, *(None,) * MOST_PARTS, "measured", "", None, "", "[]")
                for n, (at, value) in enumerate(values.items())
            ]
            series = Series("test", "wait", "", service, "production", "", "ci")
            new = Replacement(family="test", scope="", rows={series: rows}, definitions="", reads=(), state=None)
            DerivationStore(database).replace(new, 0, "")
            return ObservationStore(database)

        yield make


def test_stored_units_are_judged_by_the_threshold(stored: Stored) -> None:
    """Each unit is one event: good up to the threshold; one window before the range is read too."""
    store = stored({START - 40 * DAY: 70.0, START - DAY: 61.0, START + HOUR: 60.0, START + 9 * DAY: 99.0})

    found = observed(slo(sli=WAITING), WAIT, store, START, START + DAY)

    assert [from_micros(at) for at in found.at.tolist()] == [START - DAY, START + HOUR]
    assert (found.good.tolist(), found.bad.tolist()) == ([0, 1], [1, 0])


def test_units_of_others_do_not_count(stored: Stored) -> None:
    """An SLO on one service has none of another's events."""
    store = stored({START + HOUR: 60.0}, service="web")

    assert observed(slo(sli=WAITING), WAIT, store, START, START + DAY).at.size == 0


def test_excluded_units_are_on_neither_side(stored: Stored) -> None:
    """Maintenance drops its events, good and bad."""
    store = stored({START + HOUR: 99.0, START + 2 * HOUR: 99.0})
    maintenance = Exclusion(
        reason=ExclusionReason.MAINTENANCE,
        author="operations",
        ticket="OPS-1",
        slo="checkout",
        starts_at=START + 2 * HOUR,
        ends_at=START + 3 * HOUR,
    )

    found = observed(slo(sli=WAITING), WAIT, store, START, START + DAY, [maintenance])

    assert [from_micros(at) for at in found.at.tolist()] == [START + HOUR]


def test_slices_are_the_events_of_an_slo_that_counts_slices(stored: Stored) -> None:
    """Two units in one hour, one of them bad, are one bad slice at the end of the hour."""
    store = stored({START + MINUTE: 99.0, START + 2 * MINUTE: 1.0})
    asked = slo(sli=WAITING, budgeting="timeslices", slice=HOUR, slice_target=Decimal("0.9"))

    found = observed(asked, WAIT, store, START, START + DAY)

    assert [from_micros(at) for at in found.at.tolist()] == [START + HOUR]
    assert found.bad.tolist() == [1]


class Server:
    """Answers range queries as Prometheus does, from functions of time (seconds since 1970), by series."""

    def __init__(self, **series: Any) -> None:
        self.asked: list[dict[str, str]] = []
        self._series = series

    def __call__(self, path: str) -> Any:
        """The answer: expressions with `bad` in them are about bad events."""
        parts = urlsplit(path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append(asked)
        times = range(int(asked["start"]), int(asked["end"]) + 1, int(asked["step"]))
        kind = "bad" if "bad" in asked["query"] else "total"
        result = [
            {"metric": {"route": route}, "values": [[t, str(made(t))] for t in times]}
            for route, made in self._series[kind].items()
        ]
        return {"resultType": "matrix", "result": result}


ERRORS = CounterRatio(total_query="asked_total", bad_query="bad_total")


def test_rates_of_a_server_are_events_of_a_step() -> None:
    """Two a second are 120 a minute, by group; a group without bad events has none."""
    server = Server(total={"a": lambda _: 2, "b": lambda _: 1}, bad={"a": lambda _: 0.5})

    found = measured(slo(sli=ERRORS, group_by=("route",)), server, START, START + HOUR)

    assert {group: one.good[0] + one.bad[0] for group, one in found.items()} == {"a": 120, "b": 60}
    assert {group: one.bad.sum() for group, one in found.items()} == {"a": (73 * 60 + 1) * 30, "b": 0}


def test_a_long_range_is_asked_for_in_parts() -> None:
    """Prometheus answers with 11 000 points at most: a month and its three days before take five for each side."""
    server = Server(total={"": lambda _: 1}, bad={"": lambda _: 0})

    [found] = measured(slo(sli=ERRORS), server, START, START + 30 * DAY).values()

    assert len(server.asked) == 10
    assert found.at.size == 33 * 24 * 60 + 1
    assert np.unique(np.diff(found.at)).tolist() == [60_000_000]


def test_the_short_window_of_a_server_is_one_recorded_rate() -> None:
    """As in the rules: 5 minutes are the recorded rate itself; longer windows are sums, and what they lack of it."""
    outage = START + HOUR
    server = Server(total={"": lambda _: 1}, bad={"": lambda t: 1 if t == outage.timestamp() else 0})
    [found] = measured(slo(sli=ERRORS), server, START, START + 2 * HOUR).values()
    at = np.array([to_micros(outage), to_micros(outage + MINUTE)], dtype=np.int64)

    assert found.window(at, 300)[1].tolist() == [300, 0]
    assert found.window(at, 600)[1].tolist() == [300, 60]


def test_an_answer_without_numbers_is_no_value() -> None:
    """NaN is left out: nothing happened, or nobody looked."""
    server = Server(total={"": lambda t: "NaN" if t % 120 else 1}, bad={"": lambda _: 0})

    [found] = measured(slo(sli=ERRORS), server, START, START + HOUR).values()

    assert found.at.size == 73 * 30 + 1


@pytest.mark.parametrize("data", [None, [], {"resultType": "vector", "result": []}, {"resultType": "matrix"}])
def test_an_answer_of_another_shape_is_refused(data: Any) -> None:
    """What is no matrix is no history."""
    with pytest.raises(ContractError, match="expected a matrix"):
        measured(slo(sli=ERRORS), lambda _: data, START, START + HOUR)


@pytest.mark.parametrize("seconds", [0, 301])
def test_a_step_that_would_lose_events_is_refused(seconds: int) -> None:
    """Steps are at most as long as the rates."""
    with pytest.raises(ValueError, match=f"{seconds} s is no step; expected 1 to 300 s"):
        measured(slo(sli=ERRORS), lambda _: None, START, START + HOUR, seconds)


def test_an_slo_on_an_indicator_is_not_asked_of_a_server() -> None:
    """Its events are in the store."""
    with pytest.raises(ValueError, match="expected an SLO with a query"):
        measured(slo(), lambda _: None, START, START + HOUR)
