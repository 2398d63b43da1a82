"""What a weekly summary says: what is known first, then the verdict, SLOs, losses, delivery, changes, decisions."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from weeks import (
    BERLIN,
    DAY,
    FAST,
    HOLD,
    HOUR,
    MAINTENANCE,
    OUTAGE,
    SELF,
    SLOS,
    UP,
    WEEK,
    Small,
    organisation,
    slo,
    source,
    unit,
    whole,
)

from collector.events import Collection, Deployment, Result
from collector.store import Restatement, to_micros
from paceline import resources
from slo_engine.benchmark_files import load_benchmarks
from slo_engine.gate import Policy, Rule
from slo_engine.observation import Observation, Outcome, Subject, labelled
from slo_engine.organisation import Organisation
from slo_engine.slo import SloStatus
from slo_engine.weekly import FORMATS, MOST_RESTATED, Week, WeeklySummary, rendered
from slo_engine.windows import CalendarWindow

YEARS = {b.year: b for b in map(load_benchmarks, resources.benchmarks())}
NOTHING = Organisation(zone=BERLIN)


@pytest.fixture(scope="module")
def summary(settled: Small) -> WeeklySummary:
    """Everything of the small organisation's week."""
    return whole(settled)


def text(summary: WeeklySummary) -> str:
    """The summary as plain text."""
    return rendered(summary, "text")


def section(summary: WeeklySummary, title: str) -> str:
    """A section of the plain text; empty where it is not there."""
    return text(summary).partition(f"\n{title}\n{'-' * len(title)}\n")[2].partition("\n---")[0]


# --- the same events, the same bytes ---------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_a_past_week_is_the_same_whenever_it_is_asked_for(settled: Small, form: Any) -> None:
    """A day or a year later, with sources that went on and SLOs in another order."""
    later = replace(source(until=WEEK.end + timedelta(days=400)), events_total=999, rejected_total=9)
    again = settled.told(*SLOS, exclusions=(MAINTENANCE,), now=WEEK.end + timedelta(days=400), sources=(later,))

    assert rendered(again, form) == rendered(whole(settled), form)


def test_later_weeks_change_nothing(small: Small) -> None:
    """Units and incidents after the week's end leave it as it was."""
    before = rendered(whole(organisation(small)), "json")
    later = [unit("change_fail_rate", f"later{n}", 8 * DAY, outcome=Outcome.BAD) for n in range(50)]
    organisation(small, *later, unit("uptime", "later", 8 * DAY, outcome=Outcome.BAD))
    small.write(replace_incident(OUTAGE, native_id="later", started_at=WEEK.end + DAY, restored_at=None))

    assert rendered(whole(small), "json") == before


def replace_incident(incident: Any, **fields: Any) -> Any:
    """An incident with some other fields."""
    return type(incident)(**{f: getattr(incident, f) for f in incident.__struct_fields__ if f != "id"} | fields)


def test_a_late_event_is_a_restatement_and_no_silent_change(small: Small) -> None:
    """A deployment of the week that turned bad after its end: the number changes, and the page says why."""
    good = unit("change_fail_rate", "d1", outcome=Outcome.GOOD)
    at = to_micros(good.at)
    record = Restatement(
        restated_at=to_micros(WEEK.end + DAY),
        indicator="change_fail_rate",
        service="api",
        environment="production",
        team="",
        unit="d1",
        was=f'[{at},"good","",null]',
        now=f'[{at},"bad","",null]',
        why="new or changed events: incident",
    )
    bad = small.put(replace_struct(good, outcome=Outcome.BAD)).told(restated=(record,))

    assert bad.changes is not None
    assert (bad.changes.since.units, bad.changes.restated.units) == (1, 0)
    assert "1 published judgement was of this week restated after it was over" in text(bad)


def replace_struct(observation: Observation, **fields: Any) -> Observation:
    """An observation with some other fields."""
    return Observation(**{f: getattr(observation, f) for f in observation.__struct_fields__} | fields)


# --- what is known ---------------------------------------------------------------------------------------


def test_a_source_down_since_thursday_is_said_first(small: Small) -> None:
    """Of two sources one stopped on Thursday noon: three quarters of sources-time, and nothing of it is compared."""
    thursday = WEEK.start + 3 * DAY + 12 * HOUR
    found = organisation(small).told(*SLOS, sources=(source(until=thursday), source("other")))

    assert text(found).splitlines()[5] == (
        "Data complete 75%: 1 of 2 sources cover the whole week (ci was last collected on 2026-03-05 12:00)."
    )
    assert {m.change for d in found.delivery for m in d.metrics} == {"week incomplete"}
    assert {s.status for s in found.slos} == {SloStatus.INSUFFICIENT_DATA}
    assert {s.change for s in found.slos} == {None}


def test_a_week_that_goes_on_is_told_as_of_now(small: Small) -> None:
    """On Thursday noon half of the week is known: that is said first, and nothing is compared."""
    now = WEEK.start + 3 * DAY + 12 * HOUR
    found = organisation(small).told(*SLOS, now=now, sources=(source(until=now),))

    assert text(found).splitlines()[5] == "The week is not over: told as of 2026-03-05 12:00."
    assert text(found).splitlines()[7].startswith("Data complete 50%: 0 of 1 sources cover the whole week")
    assert {m.change for d in found.delivery for m in d.metrics} == {"week incomplete"}
    assert {s.change_word for s in found.slos} == {"week incomplete"}


def test_an_empty_week_is_said(small: Small) -> None:
    """Nothing happened although somebody looked: it is said, and no zero stands for a share or a median."""
    found = organisation(small).told(
        *SLOS, week=Week.parse("2026-W40", BERLIN), sources=(source(until=datetime(2027, 1, 1, tzinfo=UTC)),)
    )

    assert text(found).splitlines()[5] == "Nothing was observed in this week."
    assert [m.value for d in found.delivery for m in d.metrics if m.unit != "count"] == [None] * sum(
        m.unit != "count" for d in found.delivery for m in d.metrics
    )


def test_no_source_at_all_is_said(small: Small) -> None:
    """Without a source nothing was observed, and the page begins with that."""
    assert "No source is configured: nothing was observed." in text(small.told(sources=()))


def test_a_source_that_never_ran_is_said(small: Small) -> None:
    """A source without a run was last collected never, and covers nothing."""
    found = small.told(sources=(source(until=None),))

    assert "Data complete 0%: 0 of 1 sources cover the whole week (ci was last collected never)." in text(found)


def test_the_notice_stands_above_everything(small: Small) -> None:
    """What the settings want to be said everywhere is the first line."""
    assert text(small.told(notice="Numbers are invented.")).splitlines()[0] == "Numbers are invented."


@pytest.mark.parametrize(("label", "n"), [("2026-W13", 167), ("2026-W43", 169)])
def test_a_week_across_a_clock_change_has_its_own_hours(small: Small, label: str, n: int) -> None:
    """In Berlin the week to 29 March 2026 has 167 hours, and that to 25 October 169."""
    week = Week.parse(label, BERLIN)
    hours = [unit("uptime", f"{k}", at=week.start + k * HOUR) for k in range(-5, 175)]
    found = small.put(*hours).told(week=week, sources=(source(until=week.end),))

    assert [o.n for o in found.own if o.indicator == "uptime"] == [n]


# --- the verdict -----------------------------------------------------------------------------------------


def test_the_verdict_says_how_many_are_kept_what_spent_most_and_what_is_due(summary: WeeklySummary) -> None:
    """One sentence each."""
    assert "4 of 5 promises are kept; 1 is without enough data." in text(summary)
    assert "Most was spent by A database: 36% of its error budget in this week. 1 decision is needed." in text(summary)


def test_without_an_slo_that_is_said(small: Small) -> None:
    """No verdict where nothing is promised."""
    assert "No SLO is defined." in text(small.told())


# --- SLOs ------------------------------------------------------------------------------------------------


def test_the_budget_is_told_in_units_of_its_own(summary: WeeklySummary) -> None:
    """Two of 5.6 requests that may fail: 3.6 are left, 36 points fewer than a week before."""
    line = next(s for s in summary.slos if s.name == SELF.name)

    assert (line.noun, round(line.units_left or 0, 2), round(line.units_allowed or 0, 2)) == ("requests", 3.6, 5.6)
    assert round(line.change or 0, 3) == -0.357
    assert line.history[-2:] == (1.0, line.budget_left)


def test_what_was_excluded_stands_beside(summary: WeeklySummary) -> None:
    """The raw share counts the bad hour of the maintenance, the adjusted one does not."""
    line = next(s for s in summary.slos if s.name == UP.name)

    assert (line.attained, line.attained_raw) == (668 / 670, 669 / 672)


def test_an_slo_whose_units_begin_this_week_is_new(small: Small) -> None:
    """There is no budget before, and no change of it."""
    found = small.put(*(unit("change_fail_rate", f"{n}", n * HOUR) for n in range(5))).told(HOLD)

    assert [(s.change, s.change_word) for s in found.slos] == [(None, "new")]


def test_an_slo_of_people_is_not_compared(small: Small) -> None:
    """What changed from week to week would be a few people."""
    joined = [
        unit(
            "onboarding_success",
            f"person:{n}",
            n * -DAY,
            dimension=labelled("first_deployed_change", "hire", "roster"),
            subject=Subject(team="/shop"),
        )
        for n in range(20)
    ]
    (line,) = small.put(*joined).told(slo("newcomers", "onboarding_success")).slos

    assert (line.budget_left, line.change, line.change_word, line.history) == (1.0, None, "not compared", ())


def test_a_thousand_slos_fit_and_are_fast(settled: Small) -> None:
    """Twelve have a line, the others are counted; within a minute on a slow machine."""
    many = [
        replace(HOLD, name=f"slo-{n:04}", sli=replace(HOLD.counted, service=("api", "pay")[n % 2]))
        for n in range(1_000)
    ]
    started = time.perf_counter()
    found = settled.told(*many)

    assert time.perf_counter() - started < 60
    assert (len(found.slos), sum(c.slos for c in found.more_slos), found.verdict.slos) == (12, 988, 1_000)
    assert len(found.losses) == 12
    assert found.more_losses == 488


# --- where the budget went -------------------------------------------------------------------------------


def test_a_loss_names_incident_deployments_and_service(summary: WeeklySummary) -> None:
    """All three failed deployments by their incident, each by itself, and all by their service."""
    loss = next(one for one in summary.losses if one.slo == HOLD.name)

    assert [(c.kind, c.name, c.units) for c in loss.contributors] == [
        ("incident", "of api on 04 Mar 10:00, 90 min", 3.0),
        ("deployment", "v102.0 of api", 1.0),
        ("deployment", "v102.1 of api", 1.0),
        ("deployment", "v102.2 of api", 1.0),
        ("service", "api", 3.0),
    ]
    assert (loss.units, round(loss.lost, 3)) == (3.0, round(3 / 16.8, 3))


def test_a_loss_names_the_journey(summary: WeeklySummary) -> None:
    """Units with labels are told by the values of these."""
    loss = next(one for one in summary.losses if one.slo == SELF.name)

    assert [(c.kind, c.name, c.units, c.share) for c in loss.contributors] == [("journey", "db", 2.0, 1.0)]


def test_at_most_three_of_a_kind_are_named(small: Small) -> None:
    """Of five services those with the most bad units, ties by name."""
    bad = [
        unit("change_fail_rate", f"{who}{n}", subject=Subject(who, "production"), outcome=Outcome.BAD)
        for who, many in (("a", 1), ("b", 1), ("c", 3), ("d", 2), ("e", 1))
        for n in range(many)
    ]
    (loss,) = small.put(*bad).told(slo("hold", "change_fail_rate")).losses

    assert [c.name for c in loss.contributors] == ["c", "d", "a"]


def test_minutes_that_slices_lost_are_charged_to_the_incident(small: Small) -> None:
    """Slices know no units of their own: what ended during an incident of the service is its."""
    sliced = replace(UP, budgeting="timeslices", slice=timedelta(hours=1), slice_target=Decimal("0.5"))
    loss = next(iter(organisation(small).told(sliced).losses))

    assert [(c.kind, c.units) for c in loss.contributors] == [("incident", 1.0)]
    assert loss.units == 3.0


def test_people_are_no_contributors(small: Small) -> None:
    """An SLO whose units are people loses budget like others, but nobody is told by whom."""
    late = [
        unit(
            "onboarding_success",
            f"person:{n}",
            outcome=Outcome.BAD,
            dimension=labelled("first_deployed_change", "hire", "roster"),
            subject=Subject(team="/shop"),
        )
        for n in range(9)
    ]
    found = small.put(*late).told(slo("newcomers", "onboarding_success"))

    assert found.losses == ()


# --- delivery --------------------------------------------------------------------------------------------


def _released(number: int, before: int) -> list[Observation]:
    """So many judged deployments in the week, all good, and so many the week before, all bad."""
    now = (unit("change_fail_rate", f"n{n}") for n in range(number))
    return [*now, *(unit("change_fail_rate", f"b{n}", -DAY, outcome=Outcome.BAD) for n in range(before))]


@pytest.mark.parametrize(
    ("number", "before", "said"),
    [(20, 20, "lower"), (9, 20, "too few to tell"), (20, 9, "too few to tell"), (20, 0, "no value before")],
)
def test_a_change_is_told_where_there_are_enough(small: Small, number: int, before: int, said: str) -> None:
    """Ten units in both weeks, and intervals that do not overlap."""
    found = small.put(*_released(number, before)).told(organisation=NOTHING)

    assert {m.change for d in found.delivery for m in d.metrics} == {said}


def test_overlapping_intervals_are_not_distinguishable(summary: WeeklySummary) -> None:
    """Three of 42 after none of 42."""
    metrics = {m.indicator: m for m in summary.delivery[0].metrics}

    assert (metrics["change_fail_rate"].n, metrics["change_fail_rate"].change) == (42, "not distinguishable")


def test_levels_of_teams_come_by_name_and_by_no_value(summary: WeeklySummary) -> None:
    """The organisation, then levels by their depth: no league table."""
    assert [d.team for d in summary.delivery] == ["/", "/shop", "/shop/checkout", "/shop/payments"]


def test_without_teams_services_stand_below_all_of_them(small: Small) -> None:
    """All services of production as one, then each; a change that two services share is one."""
    shared = [unit("change_fail_rate", "same", subject=Subject(who, "production")) for who in ("a", "b")]
    found = small.put(*shared, unit("change_fail_rate", "x", subject=Subject("a", "staging"))).told(
        organisation=NOTHING
    )

    assert [(d.service, d.team, [m.n for m in d.metrics]) for d in found.delivery] == [
        ("", "/", [1]),
        ("a", "", [1]),
        ("b", "", [1]),
    ]


def test_scores_stand_beside_the_industrys_means(settled: Small) -> None:
    """Each metric has its score, and the means those of the configured year."""
    found = settled.told(benchmarks=YEARS[2025])
    metrics = {m.indicator: m.score for m in found.delivery[0].metrics}

    assert metrics["change_fail_rate"] == pytest.approx(10 - 10 * 3 / 42)
    assert found.industry is not None
    assert found.industry.scores["overall"] == pytest.approx(6.72)
    assert "overall 9.32 (industry 6.72)" in text(found)


def test_a_year_with_tiers_says_every_cell_that_holds(settled: Small) -> None:
    """7 % is what 2024 prints for no tier but high, medium and low; there are no means of the industry."""
    found = settled.told(benchmarks=YEARS[2024])
    metrics = {m.indicator: m.tiers for m in found.delivery[0].metrics}

    assert found.industry is None
    assert metrics["change_fail_rate"] == ("high (20%)", "medium (10%)", "low (40%)")


def test_a_week_that_was_not_observed_has_no_score(settled: Small) -> None:
    """A source that does not cover the week gives no score for it."""
    found = settled.told(benchmarks=YEARS[2025], sources=(source(until=WEEK.start),))

    assert {m.score for d in found.delivery for m in d.metrics} == {None}


# --- audiences -------------------------------------------------------------------------------------------


def test_leaders_have_one_page(settled: Small) -> None:
    """The organisation's delivery and one line of data quality; nothing of the platform's numbers and changes."""
    found = whole(settled, "leader")

    assert [(d.service, d.team) for d in found.delivery] == [("", "/")]
    assert (found.own, found.changes) == ((), None)
    assert section(found, "Data quality").strip().count("\n") == 0
    assert len(text(found).split()) < 700


def test_a_team_reads_of_nobody_else(settled: Small) -> None:
    """Its SLOs, its services and those below: no other team, SLO or service is named."""
    found = whole(settled, "team", team="/shop/payments")
    told = rendered(found, "json")

    assert [s.name for s in found.slos] == [FAST.name]
    assert {d.service for d in found.delivery} == {"", "pay"}
    assert [
        name for name in ("api", "lake", "/data", "checkout", "deployments-hold", "A database") if name in told
    ] == []


def test_a_team_without_slos_is_told_so(settled: Small) -> None:
    """Nothing is promised by it, which is not that all is well."""
    assert "No SLO is this team's." in text(settled.told(*SLOS[:4], audience="team", team="/data"))


# --- what changed ----------------------------------------------------------------------------------------


def test_new_gone_and_changed_slos_are_told(small: Small) -> None:
    """From the SLOs when the week began and when it ended."""
    looser = replace(HOLD, target=Decimal("0.8"), window=CalendarWindow("month"))
    found = small.told(slos_then=((HOLD, FAST, SELF), (looser, UP, SELF)))

    assert found.changes is not None
    assert [c.what for c in found.changes.slos or ()] == [
        "new, 99.0% in 28d",
        "changed: target from 90.0% to 80.0%, window from 28d to month",
        "removed",
    ]


def test_where_nothing_knows_of_slos_nothing_is_told(summary: WeeklySummary) -> None:
    """No history is not the same as no change."""
    assert summary.changes is not None
    assert summary.changes.slos is None


def test_exclusions_of_the_week_are_told_with_the_role_that_answers(summary: WeeklySummary) -> None:
    """Two hours of maintenance with two units in them; by a role, under its ticket."""
    assert summary.changes is not None
    (found,) = summary.changes.excluded

    assert (found.seconds, found.units, found.author, found.ticket) == (7_200.0, 2.0, "operations", "OPS-18")


def restated(after_monday: timedelta, **fields: Any) -> Restatement:
    """A judgement that was restated some time after the week began."""
    at = to_micros(WEEK.start - 9 * DAY)
    values = {
        "restated_at": to_micros(WEEK.start + after_monday),
        "indicator": "change_fail_rate",
        "service": "api",
        "environment": "production",
        "team": "",
        "unit": "a",
        "was": f'[{at},"good","",null]',
        "now": f'[{at},"bad","",null]',
        "why": "new or changed events: incident",
    }
    return Restatement(**{**values, **fields})


def test_only_the_weeks_own_restatements_count(small: Small) -> None:
    """Monday 00:00 local belongs to the week it begins; the moment before does not."""
    before, first, after = (restated(d) for d in (-timedelta(microseconds=1), timedelta(0), 7 * DAY))
    found = small.told(restated=(after, first, before)).changes

    assert found is not None
    assert (found.restated.units, found.since.units) == (1, 0)


def test_the_newest_five_restatements_are_shown_in_one_order(small: Small) -> None:
    """Of many the newest five whatever order the records come in; reasons are counted."""
    records = [restated(n * HOUR) for n in range(8)]
    records.append(
        restated(timedelta(0), unit="", was="1200 more units", now="", why="definitions or the catalogue changed")
    )
    one, other = (small.told(restated=order).changes for order in (records, records[::-1]))

    assert one == other
    assert one is not None
    assert (one.restated.units, len(one.restated.newest)) == (1208, 5)
    assert dict(one.restated.reasons) == {
        "definitions or the catalogue changed": 1200,
        "new or changed events: incident": 8,
    }


def test_a_log_that_was_cut_says_at_least(small: Small) -> None:
    """As many records as are read at most may not be all of them."""
    found = small.told(restated=(restated(HOUR),) * MOST_RESTATED).changes

    assert found is not None
    assert found.restated.at_least


# --- decisions -------------------------------------------------------------------------------------------

POLICY = Policy(
    source="Ours",
    rules=(Rule(name="default", block_below=Decimal(0), review_above=Decimal("0.5")),),
    longest_override=DAY,
)


def test_a_budget_with_nothing_left_freezes_features_until_it_is_back(small: Small) -> None:
    """Nine bad of 30 where three may be: the seventh has to leave the 28 days before less than three are left."""
    good = [unit("change_fail_rate", f"g{n}", n * HOUR) for n in range(21)]
    bad = [unit("change_fail_rate", f"b{n}", DAY + n * HOUR, outcome=Outcome.BAD) for n in range(9)]
    (found,) = [d for d in small.put(*good, *bad).told(HOLD, policy=POLICY).decisions if d.kind == "freeze"]

    assert (found.whose, found.until) == ("delivery", WEEK.start + DAY + 6 * HOUR + 28 * DAY)
    assert found.why == "nothing is left of the error budget of 28d (-200.0%); default: block when nothing is left (0%)"


def test_a_calendar_window_is_frozen_until_it_ends(small: Small) -> None:
    """A month's budget comes back with the next month."""
    monthly = replace(HOLD, window=CalendarWindow("month", zone="Europe/Berlin"))
    bad = [unit("change_fail_rate", f"b{n}", n * HOUR, outcome=Outcome.BAD) for n in range(9)]
    (found,) = [d for d in small.put(*bad).told(monthly, policy=POLICY).decisions if d.kind == "freeze"]

    assert found.until == datetime(2026, 4, 1, tzinfo=BERLIN)


def test_what_spent_too_much_is_to_be_reviewed(summary: WeeklySummary) -> None:
    """The outage spent 30 % of the budget of uptime, and the policy asks from 20 % on."""
    assert [(d.kind, d.whose) for d in summary.decisions] == [("review", "incident of api on 04 Mar 10:00, 90 min")]


def test_what_cannot_be_decided_is_said(summary: WeeklySummary) -> None:
    """An SLO without enough data never reads as allowed."""
    assert summary.undecided == ("Quiet",)


# --- data quality ----------------------------------------------------------------------------------------


def run(after_monday: timedelta, events: int, rejected: int) -> Collection:
    """A run of the source."""
    at = WEEK.start + after_monday
    return Collection(
        source="paceline",
        native_id=f"ci-{at.isoformat()}",
        collector="ci",
        started_at=at,
        finished_at=at,
        succeeded=True,
        events=events,
        rejected=rejected,
    )


def test_records_of_the_weeks_runs_are_counted(small: Small) -> None:
    """Those that could not be used stand beside all; runs of other weeks do not count."""
    found = small.write(run(HOUR, 90, 10), run(DAY, 5, 0), run(-HOUR, 7, 7), run(8 * DAY, 7, 7)).told()

    assert [(s.records, s.rejected) for s in found.data.sources] == [(105, 10)]


def test_what_the_catalogue_does_not_know_is_named(small: Small) -> None:
    """Names in the week's events, and in no others."""
    events = [
        Deployment(
            source="ci", native_id=name, service=name, environment="production", finished_at=at, result=Result.SUCCESS
        )
        for name, at in (("ghost", WEEK.start + HOUR), ("older", WEEK.start - HOUR), ("api", WEEK.start + HOUR))
    ]
    found = small.write(*events).told()

    assert [(k.kind, k.total, k.names) for k in found.quality.unmatched] == [("deployment", 1, ("ghost",))]


def test_another_zone_is_another_week(settled: Small) -> None:
    """The same label begins an hour later in UTC than in Berlin."""
    assert settled.told(week=Week.parse("2026-W10", ZoneInfo("UTC"))).starts_at - WEEK.start == HOUR
