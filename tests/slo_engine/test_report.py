"""The weekly summary: golden text, honest calendars, and what is said when something was not observed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from collector.events import Deployment, Result
from collector.patterns import patterns
from collector.store import Database, DerivationStore, ObservationStore, Replacement, Restatement, Series, to_micros
from paceline import resources
from slo_engine.benchmark_files import load_benchmarks
from slo_engine.benchmarks import QUICK_CHECK
from slo_engine.indicator import Indicator, Shape, indicators
from slo_engine.observation import MOST_PARTS, Observation, Outcome, Reason, Subject
from slo_engine.organisation import Organisation, Service
from slo_engine.report import MOST_RESTATED, Week, weekly
from slo_engine.slo import IndicatorSli, Operator, Slo
from slo_engine.snapshot import SourceState
from slo_engine.windows import parse_window
from slo_engine.words import duration_text, escaped, share_text

BERLIN = ZoneInfo("Europe/Berlin")
WEEK = Week.parse("2026-W10", BERLIN)
GOLDEN = Path(__file__).parent / "golden" / "weekly-2026-W10.md"
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
SUCCESS = Indicator(
    name="success",
    version="1",
    title="Success",
    definition="Share that went well.",
    shape=Shape.RATIO,
    metric="platform_success",
)
RELEASES = Indicator(
    name="releases",
    version="1",
    title="Releases",
    definition="Releases of a day.",
    shape=Shape.FREQUENCY,
    metric="platform_releases",
    dimension="outcome",
    dimensions=("success", "failure"),
)
INDICATORS = {i.name: i for i in (WAIT, SUCCESS, RELEASES)}
COUNTED = IndicatorSli(indicator="wait", operator=Operator.LTE, threshold=3600.0)
FAST = Slo(
    name="fast",
    title="Fast | *enough*",
    description="",
    owner_service="ci",
    sli=COUNTED,
    target=Decimal("0.9"),
    window=parse_window("28d"),
    minimum_events=3,
    minimum_coverage=0.0,
)
CI = SourceState(
    name="ci",
    type="files",
    fresh=True,
    staleness_seconds=0.0,
    last_success_at=WEEK.end,
    last_run_at=WEEK.end,
    last_duration_seconds=1.0,
    last_succeeded=True,
    error=None,
    events_total=1,
    rejected_total=0,
    newest_event_at=None,
)

Put = Callable[..., ObservationStore]


@pytest.fixture
def put(tmp_path: Path) -> Iterator[Put]:
    """Fills a store with observations."""
    database = Database.open(tmp_path)
    store, derivations = ObservationStore(database), DerivationStore(database)

    def replace_all(*observations: Observation) -> ObservationStore:
        rows: dict[Series, list[tuple[Any, ...]]] = {}
        for o in observations:
            parts = (None,) * MOST_PARTS
            row = (to_micros(o.at), o.unit, o.value, *parts, o.outcome.value, o.reason, None, o.rule, "[]")
            rows.setdefault(Series("test", o.indicator, o.dimension, *o.subject, o.source), []).append(row)
        new = Replacement(family="test", scope="", rows=rows, definitions="", reads=(), state=None)
        derivations.replace(new, 0, "")
        return store

    yield replace_all
    database.close()


def unit(name: str, after_monday: timedelta = timedelta(hours=1), **fields: Any) -> Observation:
    """An observation that was measured some time after the week began, unless told otherwise."""
    return Observation(
        **{
            "indicator": "wait",
            "unit": name,
            "at": WEEK.start + after_monday,
            "subject": Subject("api", "production"),
            "source": "ci",
            "outcome": Outcome.MEASURED,
            "value": 60.0,
            **fields,
        }
    )


def told(store: ObservationStore, *slos: Slo, week: Week = WEEK, sources: tuple[SourceState, ...] = (CI,)) -> str:
    """The summary of a week."""
    return weekly(week, store, INDICATORS, slos, sources)


def row(text: str, title: str) -> list[str]:
    """The cells of the first table row with a title."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


LAST_WEEK = -timedelta(days=6)


def _full() -> list[Observation]:
    """Two weeks with units of every shape."""
    return [
        *(unit(f"n{i}", timedelta(hours=i), value=600.0 + i) for i in range(20)),
        *(unit(f"b{i}", LAST_WEEK + timedelta(hours=i), value=7_200.0 + i) for i in range(12)),
        unit("x", outcome=Outcome.EXCLUDED, value=None, reason=Reason.BEFORE_HORIZON),
        unit("p", outcome=Outcome.PENDING, value=None),
        *(unit(f"g{i}", indicator="success", outcome=Outcome.GOOD, value=None) for i in range(21)),
        *(unit(f"f{i}", indicator="success", outcome=Outcome.BAD, value=None) for i in range(2)),
        *(unit(f"g-{i}", LAST_WEEK, indicator="success", outcome=Outcome.GOOD, value=None) for i in range(19)),
        *(unit(f"f-{i}", LAST_WEEK, indicator="success", outcome=Outcome.BAD, value=None) for i in range(4)),
        *(unit(f"r{i}", indicator="releases", dimension="success") for i in range(5)),
        *(unit(f"r-{i}", LAST_WEEK, indicator="releases", dimension="success") for i in range(8)),
    ]


# --- the page --------------------------------------------------------------------------------------------


def test_the_page_of_a_week_is_the_golden_one(put: Put, golden: Callable[[Path, str], None]) -> None:
    """A week of every shape, with hostile titles, reads exactly like this."""
    nobody = replace(FAST, name="none", title="Nobody's", sli=replace(COUNTED, service="nobody"))
    golden(GOLDEN, told(put(*_full()), FAST, nobody))


def test_the_same_week_gives_the_same_bytes(put: Put) -> None:
    """Any past week rendered twice is byte-identical, also after newer weeks have arrived."""
    store = put(*_full())
    before = told(store, FAST)

    store = put(*_full(), *(unit(f"later{i}", timedelta(days=8), value=9e6) for i in range(9)))
    later = replace(CI, last_success_at=WEEK.end + timedelta(days=30), events_total=999)

    assert told(store, FAST, sources=(later,)) == before


def test_overlapping_intervals_are_not_distinguishable(put: Put) -> None:
    """2/23 against 4/23: the intervals overlap, so the page claims no change."""
    assert row(told(put(*_full())), "Success")[5] == "not distinguishable"


def test_a_clear_change_is_named(put: Put) -> None:
    """Ten minutes after two hours: intervals apart, so the median is lower."""
    assert row(told(put(*_full())), "Wait")[5] == "lower"


def test_small_samples_are_not_compared(put: Put) -> None:
    """Nine units are too few to compare with, whatever they show."""
    store = put(
        *(unit(f"n{i}", value=60.0) for i in range(9)),
        *(unit(f"b{i}", LAST_WEEK, value=9e5) for i in range(9)),
    )

    assert row(told(store), "Wait")[5] == "too few to compare"


def test_an_empty_week_shows_no_zero(put: Put) -> None:
    """A fresh source saw nothing: n is 0, a median has no value, and nothing is compared."""
    cells = row(told(put(*(unit(f"b{i}", LAST_WEEK) for i in range(12)))), "Wait")

    assert (cells[2], cells[3], cells[5]) == ("no value", "0", "too few to compare")


def test_a_store_without_observations_says_so(put: Put) -> None:
    """Before the first observation the page says that there is none."""
    assert "No observation so far." in told(put())


def test_what_is_pending_or_left_out_stands_beside(put: Put) -> None:
    """Pending and excluded units are on the page with their reasons."""
    assert row(told(put(*_full())), "Wait")[6] == "1 pending, 1 before horizon"


# --- what was not observed -------------------------------------------------------------------------------


def test_a_source_down_since_thursday_is_said_first(put: Put) -> None:
    """Source down since Thursday: said in the first lines, and no row is compared or drawn as zero."""
    thursday = WEEK.start + timedelta(days=3, hours=12)
    down = replace(CI, last_success_at=thursday, fresh=False)

    text = told(put(*_full()), FAST, sources=(down, replace(CI, name="other")))

    assert text.splitlines()[4] == (
        "**Data is incomplete:** 1 of 2 sources cover the whole week (ci was last collected on 2026-03-05 12:00)."
    )
    assert "insufficient data: no recent success of ci" in text
    assert {row(text, title)[5] for title in ("Wait", "Success", "Releases")} == {"week incomplete"}


def test_a_count_of_nothing_needs_a_source_that_looked(put: Put) -> None:
    """No release in an unobserved week is no value; in an observed one it is 0."""
    store = put(*(unit(f"r-{i}", LAST_WEEK, indicator="releases", dimension="success") for i in range(8)))

    assert row(told(store), "Releases")[2] == "0"
    assert row(told(store, sources=(replace(CI, last_success_at=WEEK.start),)), "Releases")[2] == "no value"


def test_a_week_to_come_is_incomplete(put: Put) -> None:
    """A week that has not ended is covered by no source, and the page begins with that."""
    text = told(put(*_full()), week=Week.parse("2026-W11", BERLIN))

    assert "**Data is incomplete:** 0 of 1 sources cover the whole week" in text


def test_no_source_at_all_is_said(put: Put) -> None:
    """Without a source nothing was observed, and the page begins with that."""
    assert "**No source is configured: nothing was observed.**" in told(put(), sources=())


def test_a_source_that_never_ran_is_said(put: Put) -> None:
    """A source without a run has `never` as its last time."""
    assert "(ci was last collected never)" in told(put(), sources=(replace(CI, last_success_at=None),))


# --- the Quick Check -------------------------------------------------------------------------------------

YEARS = {b.year: b for b in map(load_benchmarks, resources.benchmarks())}
SCORED = {name: indicators()[name] for name in QUICK_CHECK}
TEAMS = Organisation(
    services=(
        Service(name="api", team="/commerce/checkout"),
        Service(name="pay", team="/commerce/payments"),
        Service(name="lake", team="/data"),
    )
)


def scored(store: ObservationStore, year: int, organisation: Organisation | None = None) -> list[list[str]]:
    """The rows of the Quick Check, heads included."""
    text = weekly(WEEK, store, SCORED, (), (CI,), organisation=organisation, benchmarks=YEARS[year])
    section = text.partition("## Quick Check\n")[2]
    return [[c.strip() for c in r.strip("|").split("|")] for r in section.splitlines() if r.startswith("| ")]


def _delivered(service: str = "api", environment: str = "production") -> list[Observation]:
    """A week of a service: lead times of two days, two deployments a day, three of four without a failure."""
    subject = Subject(service, environment)
    return [
        unit(f"{service}-lead", subject=subject, indicator="change_lead_time", value=172_800.0),
        *(
            unit(f"{service}-d{i}", subject=subject, indicator="deployment_frequency", dimension="success", value=None)
            for i in range(14)
        ),
        *(
            unit(f"{service}-f{i}", subject=subject, indicator="change_fail_rate", outcome=outcome, value=None)
            for i, outcome in enumerate([Outcome.BAD, *[Outcome.GOOD] * 3])
        ),
    ]


def test_production_has_scores_beside_the_industrys_means(put: Put) -> None:
    """Scores with n and their means for what has a value; what has none is no value; then the means of the year."""
    assert scored(put(*_delivered()), 2025)[1:] == [
        ["api/production", "6 (n 1)", "10 (n 14)", "no value", "7.5 (n 4)", "no value", "8", "7.5", "7.83"],
        ["Industry, 2025", "5.5", "4.8", "7.4", "8.1", "7.8", "5.9", "7.95", "6.72"],
    ]


def test_a_year_with_tiers_says_every_cell_that_holds(put: Put) -> None:
    """25 % is within what 2024 prints for low only, and two days within what it prints for high; there are no means."""
    (row_2024,) = scored(put(*_delivered()), 2024)[1:]

    assert row_2024[1] == "6 (n 1), high (Between one day and one week)"
    assert row_2024[4] == "7.5 (n 4), low (40%)"


def test_levels_of_teams_stand_for_their_services(put: Put) -> None:
    """With teams in the catalogue the organisation comes first, then its levels, ordered by name and by no value."""
    store = put(*_delivered("api"), *_delivered("pay"), *_delivered("lake"))

    assert [(r[0], r[2]) for r in scored(store, 2025, TEAMS)[1:-1]] == [
        ("Organisation, production", "10 (n 42)"),
        ("/commerce, production", "10 (n 28)"),
        ("/data, production", "10 (n 14)"),
        ("/commerce/checkout, production", "10 (n 14)"),
        ("/commerce/payments, production", "10 (n 14)"),
    ]


def test_what_is_not_production_has_no_score(put: Put) -> None:
    """Staging is not compared with anybody, and production is what the configuration says."""
    store = put(*_delivered("api", "staging"), *_delivered("api", "live"))

    assert [r[0] for r in scored(store, 2025, Organisation(production=patterns(("live",))))[1:-1]] == ["api/live"]


def test_without_values_there_is_no_quick_check(put: Put) -> None:
    """Nothing to score, no section; and none without a benchmark."""
    assert scored(put(), 2025) == []
    assert "Quick Check" not in told(put(*_full()))


def test_a_week_that_was_not_observed_has_no_score(put: Put) -> None:
    """A source that does not cover the week gives no score for it."""
    behind = replace(CI, last_success_at=WEEK.start)

    text = weekly(WEEK, put(*_delivered()), SCORED, (), (behind,), benchmarks=YEARS[2025])

    assert "Quick Check" not in text


def test_the_quick_check_stays_short(put: Put) -> None:
    """Of 25 services 20 are listed, and the page says how many more there are."""
    store = put(*(o for n in range(25) for o in _delivered(f"s{n:02}")))
    text = weekly(WEEK, store, SCORED, (), (CI,), benchmarks=YEARS[2025])

    assert [r[0] for r in scored(store, 2025)][-2:] == ["s19/production", "Industry, 2025"]
    assert "And 5 more." in text


# --- what changed afterwards -----------------------------------------------------------------------------

EVENT = Deployment(
    source="ci", native_id="1", service="api", environment="production", finished_at=WEEK.start, result=Result.SUCCESS
)
GOOD, BAD = (f'[{to_micros(WEEK.start)},"{outcome}","",null,null,null,null,null]' for outcome in ("good", "bad"))


def restated(after_monday: timedelta, **fields: Any) -> Restatement:
    """A judgement that was restated some time after the week began."""
    values = {
        "restated_at": to_micros(WEEK.start + after_monday),
        "indicator": "success",
        "service": "api",
        "environment": "production",
        "team": "",
        "unit": EVENT.id,
        "was": GOOD,
        "now": BAD,
        "why": "new or changed events: incident",
    }
    return Restatement(**{**values, **fields})


def retold(store: ObservationStore, *records: Restatement) -> list[str]:
    """The lines of the summary about what was restated."""
    text = weekly(WEEK, store, INDICATORS, (), (CI,), restated=records, find=lambda _: {EVENT.id: EVENT})
    return [line for line in text.partition("## Restated\n")[2].splitlines() if line]


def test_what_was_restated_in_the_week_is_said(put: Put) -> None:
    """When (local), indicator, service, event, from what to what, why."""
    head, _, _, line = retold(put(), restated(timedelta(hours=10)))

    assert head == "1 published judgement was restated this week."
    assert line == (
        f"| 2026-03-02 10:00 | Success | api/production | deployment {EVENT.id[:10]} | good → bad "
        "| new or changed events: incident |"
    )


def test_only_the_weeks_own_restatements_count(put: Put) -> None:
    """Monday 00:00 local belongs to the week it begins; the moment before does not."""
    before, first, after = (restated(d) for d in (-timedelta(microseconds=1), timedelta(0), timedelta(days=7)))

    assert retold(put(), before, first, after)[0] == "1 published judgement was restated this week."
    assert retold(put(), before, after) == []


def test_the_newest_five_are_shown_in_one_order(put: Put) -> None:
    """Of many the newest five are listed whatever order the records come in, and the rest is counted."""
    records = [restated(timedelta(hours=n)) for n in range(8)] + [
        restated(timedelta(0), unit="", was="1200 more units", now="")
    ]
    lines = retold(put(), *records)

    assert lines == retold(put(), *reversed(records))
    assert lines[0] == "1208 published judgements were restated this week."
    assert [line[2:18] for line in lines[3:8]] == [f"2026-03-02 0{n}:00" for n in (7, 6, 5, 4, 3)]
    assert lines[8] == "And 1203 more; `paceline restatements` lists them."


def test_a_log_that_was_cut_says_at_least(put: Put) -> None:
    """As many records as are read at most may not be all of them."""
    records = [restated(timedelta(hours=1))] * MOST_RESTATED

    assert retold(put(), *records)[0] == "At least 100000 published judgements were restated this week."


def test_a_hostile_name_stays_in_its_cell_of_the_restated(put: Put) -> None:
    """A service called like a table row adds no column."""
    *_, line = retold(put(), restated(timedelta(hours=1), service="a|b\n@all", why="<b>|"))

    assert r"| a\|b \@all/production |" in line
    assert line.endswith(r"| \<b\>\| |")


# --- calendars -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("label", "hours"), [("2026-W13", 167), ("2026-W43", 169), ("2026-W10", 168)])
def test_a_week_across_a_clock_change(label: str, hours: int) -> None:
    """In 2026 the week to 29 March has 167 h in Berlin, the week to 25 October 169 h: Monday to Monday local."""
    week = Week.parse(label, BERLIN)

    assert week.end - week.start == timedelta(hours=hours)
    assert week.start.astimezone(BERLIN).strftime("%a %H:%M") == "Mon 00:00"
    assert week.end.astimezone(BERLIN).strftime("%a %H:%M") == "Mon 00:00"


@pytest.mark.parametrize(
    ("at", "label"),
    [
        (datetime(2026, 12, 31, 12, 0, tzinfo=BERLIN), "2026-W52"),
        (datetime(2027, 1, 4, 0, 0, tzinfo=BERLIN), "2026-W53"),
        (datetime(2027, 1, 3, 23, 59, tzinfo=BERLIN), "2026-W52"),
        (datetime(2026, 3, 9, 0, 0, tzinfo=BERLIN), "2026-W10"),
        (datetime(2026, 3, 8, 23, 59, 59, tzinfo=BERLIN), "2026-W09"),
        (datetime(2026, 3, 8, 23, 0, tzinfo=UTC), "2026-W10"),
    ],
)
def test_last_week_is_the_last_whole_local_week(at: datetime, label: str) -> None:
    """Never the last 7 · 24 h; asked on Monday 00:00 exactly it is the one just ended."""
    assert Week.last_before(at, BERLIN).label == label


def test_the_53rd_week_can_be_asked_for() -> None:
    """2026 has 53 ISO weeks; the last begins in December and ends in January."""
    week = Week.parse("2026-W53", BERLIN)

    assert (f"{week.monday}", week.label, week.before.label) == ("2026-12-28", "2026-W53", "2026-W52")


@pytest.mark.parametrize("text", ["2026-W00", "2025-W53", "2026W14", "2026-W1", "w14", "", "0001-W01", "9999-W52"])
def test_what_is_no_week_is_refused(text: str) -> None:
    """A week that does not exist is answered with what was expected."""
    with pytest.raises(ValueError, match="is no week; expected an ISO week, for example 2026-W14"):
        Week.parse(text, BERLIN)


@pytest.mark.parametrize(
    ("at", "week"),
    [
        (datetime(2026, 3, 2, 0, 0, tzinfo=BERLIN), "2026-W10"),
        (datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=BERLIN), "2026-W09"),
        (datetime(2026, 3, 8, 23, 59, 59, 999999, tzinfo=BERLIN), "2026-W10"),
    ],
)
def test_an_event_belongs_to_its_local_week(put: Put, at: datetime, week: str) -> None:
    """Monday 00:00 local belongs to the new week, the last microsecond of Sunday to the old one."""
    store = put(unit("1", at=at.astimezone(UTC)))

    assert row(told(store, week=Week.parse(week, BERLIN)), "Wait")[3] == "1"


# --- words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (2, "2 s"),
        (53, "53 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7_199, "120 min"),
        (7_200, "2.0 h"),
        (11_520, "3.2 h"),
        (172_800, "2.0 d"),
        (354_240, "4.1 d"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    """A 53-second recovery is 53 s, not 0 minutes; 2 s is not rounded up to a minute."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0.0%"),
        (1.0, "100.0%"),
        (0.9, "90.0%"),
        (0.999, "99.9%"),
        (0.9995, "99.95%"),
        (0.99995, "99.995%"),
        (0.0004, "0.04%"),
        (0.1, "10.0%"),
        (0.01, "1.0%"),
        (3e-17, "0.0%"),
        (1 - 2e-16, "100.0%"),
    ],
)
def test_a_share_is_never_rounded_to_all_or_nothing(share: float, text: str) -> None:
    """99.95 % reads as such and never as 100 %; only all is 100 %, or what floating point makes of it."""
    assert share_text(share) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("*bold* _it_ `code`", r"\*bold\* \_it\_ \`code\`"),
        ("<script>", r"\<script\>"),
        ("@channel #1", r"\@channel \#1"),
        ("[x](y)", r"\[x\](y)"),
        ("a\r\nb\u2028c\x85d", "a b c d"),
        ("a\u202eb\u2066c\u061cd", "a b c d"),
        ("x" * 500, "x" * 120),
    ],
)
def test_text_from_outside_is_escaped_and_cut(text: str, shown: str) -> None:
    """Titles with markup, mentions, line ends, right-to-left marks or 500 characters cannot change the page."""
    assert escaped(text) == shown


def test_a_hostile_service_name_stays_in_its_cell(put: Put) -> None:
    """A service called like a table row adds no column and no line."""
    text = told(put(unit("1", subject=Subject("a|b\n<script>@all", "production"))))
    lines = [line for line in text.splitlines() if line.startswith("| Wait |")]

    assert len(lines) == 1
    assert r"a\|b \<script\>\@all/production" in lines[0]
