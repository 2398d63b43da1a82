"""Snapshot to bytes: golden text, promtool's opinion, and what must not happen when something is wrong."""

from __future__ import annotations

import gzip
import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector
from source_states import source_state

from collector.store import Database, ObservationStore
from slo_engine import catalog
from slo_engine.exposition import Exposition, LineWriter, Publisher, expose, no_floor
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Subject
from slo_engine.organisation import Service
from slo_engine.slo import EventCounts, IndicatorSli, Operator, Slo, SloStatus
from slo_engine.snapshot import Accounting, Number, Part, SloState, Snapshot, Spent
from slo_engine.windows import parse_window

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
API = Subject("api", "production")
GOLDEN = Path(__file__).parent / "golden" / "exposition.prom"

WAIT = Indicator(
    name="wait",
    version="2",
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

FAST = Slo(
    name="fast",
    title="Fast",
    description="",
    owner_service="ci",
    sli=IndicatorSli(indicator="wait", operator=Operator.LTE, threshold=60.0),
    target=Decimal("0.9"),
    window=parse_window("28d"),
    team="platform",
)
STATE = SloState(
    slo=FAST,
    status=SloStatus.AT_RISK,
    why="10% of the error budget is left",
    counts={"1d": EventCounts(1, 0), "28d": EventCounts(91, 9)},
    attainment=0.91,
    budget_remaining=0.1,
    budget_remaining_events=1.0,
    burn_rates={"1d": 0.0, "28d": 0.9},
    time_to_exhaustion_seconds=None,
    coverage=1.0,
    totals=EventCounts(191, 9),
    sources=frozenset({"ci"}),
    spent=(
        Spent(API, ("", "", "", "", "queue", ""), 0.6),
        Spent(Subject("", "production", "/shop"), ("new-service", "", "", "", "queue", ""), 0.3),
    ),
)
UNKNOWN = replace(
    STATE,
    slo=replace(FAST, name="quiet"),
    status=SloStatus.INSUFFICIENT_DATA,
    counts={},
    attainment=None,
    budget_remaining=None,
    budget_remaining_events=None,
    burn_rates={},
    coverage=0.0,
    totals=EventCounts(),
    sources=frozenset({"ci", "new"}),
    spent=(),
)
SOURCE = source_state(
    "ci",
    staleness_seconds=60.0,
    last_success_at=NOW,
    last_run_at=NOW,
    last_duration_seconds=0.5,
    events_total=12,
    rejected_total=1,
    newest_event_at=NOW,
    truncated_total=2,
    removed_total=3,
    requests_total=40,
    failure="unavailable",
    quota={"core": (7, 5_000), "search": (0, None)},
)
NO_NAME: Any = None
NEVER = source_state("new", type="git", fresh=False, staleness_seconds=None, last_succeeded=None, events_total=0)


def row(indicator: str = "wait", **fields: Any) -> Number:
    """A number of the last 7 days."""
    return Number(**{"indicator": indicator, "subject": API, "window": "7d", "n": 2, "stats": {"p50": 30.0}, **fields})


SNAPSHOT = Snapshot(
    at=NOW,
    numbers=(
        row(stats={"p50": 30.0, "p90": 54.0}),
        row(dimension="queue", stats={"p50": 12.5}),
        row(window="28d", n=0, stats={}),
        row("success", n=4, stats={"value": 0.75, "low": 0.3, "high": 0.95}),
        row("releases", n=14, stats={"per_day": 2.0}),
    ),
    accounting=(
        Accounting(indicator="wait", subject=API, window="7d", pending=1, excluded={"missing_time": 2}, coverage=0.5),
        Accounting(indicator="wait", subject=API, window="28d", pending=0, excluded={}, coverage=None),
    ),
    slos=(STATE, UNKNOWN),
    sources=(SOURCE, NEVER),
    totals={("releases", API, "success"): 20.0, ("releases", API, "failure"): 3.0},
    services=(Service(name="api", team="/shop/basket", tier="1", owner="shop"), Service(name="web")),
    scores={(API, "28d"): {"change_lead_time": 8.0, "throughput": 8.0, "overall": 8.0}},
    industry={"change_lead_time": 5.5, "throughput": 5.9},
    thresholds={"fast": {("1h", "page"): Decimal("13.44"), ("3d", "ticket"): Decimal(28) / 30}},
    excluding={"fast": False},
    unmatched={"deployment": 2, "incident": 0},
    restatements={"wait": 3.0},
    duration_seconds=0.25,
)


def exposed(snapshot: Snapshot, floor: Callable[[Mapping[str, float]], Mapping[str, float]] = no_floor) -> Exposition:
    """The exposition of a snapshot by a version of our own."""
    return expose(snapshot, INDICATORS, "1.2.3", floor)


def samples(exposition: Exposition) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of the text by name and labels; also proof that each stands once."""
    found = [s for f in parse_text(exposition.text.decode()) for s in f.samples]
    unique = {(s.name, frozenset(s.labels.items())): s.value for s in found}
    assert len(unique) == len(found) == exposition.series
    return unique


def value(exposition: Exposition, name: str, **labels: str) -> float | None:
    """A sample's value, None where it is absent."""
    return samples(exposition).get((name, frozenset(labels.items())))


def test_the_text_of_a_small_snapshot_is_the_golden_one(golden: Callable[[Path, str], None]) -> None:
    """Names, labels, help and values are published exactly like this; renaming is a breaking change."""
    golden(GOLDEN, exposed(SNAPSHOT).text.decode())


def test_promtool_finds_nothing(requires_tool: Callable[[str], str]) -> None:
    """Promtool's linter accepts every name, unit, help and type."""
    done = subprocess.run(
        [requires_tool("promtool"), "check", "metrics"],
        input=exposed(SNAPSHOT).text,
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_openmetrics_says_the_same(requires_tool: Callable[[str], str]) -> None:
    """The OpenMetrics form parses strictly and holds the same samples."""
    exposition = exposed(SNAPSHOT)

    found = {
        (s.name, frozenset(s.labels.items())): s.value
        for f in parse_openmetrics(exposition.openmetrics.decode())  # type: ignore[no-untyped-call]
        for s in f.samples
    }

    assert found == samples(exposition)


def test_compressed_bytes_are_the_plain_ones() -> None:
    """Unpacked, the gzip form is byte for byte the plain one, and the same snapshot always gives the same bytes."""
    exposition = exposed(SNAPSHOT)

    assert gzip.decompress(exposition.text_gzip) == exposition.text
    assert gzip.decompress(exposition.openmetrics_gzip) == exposition.openmetrics
    assert (exposition.text_gzip, exposition.openmetrics_gzip) == (
        exposed(SNAPSHOT).text_gzip,
        exposed(SNAPSHOT).openmetrics_gzip,
    )


@pytest.mark.parametrize(
    ("accept", "encoding", "content_type", "content_encoding"),
    [
        ("", "", "text/plain; version=0.0.4; charset=utf-8", None),
        ("*/*", "gzip, deflate", "text/plain; version=0.0.4; charset=utf-8", "gzip"),
        ("text/plain", "gzip;q=0", "text/plain; version=0.0.4; charset=utf-8", None),
        ("text/plain", "gzip;q=0.5", "text/plain; version=0.0.4; charset=utf-8", "gzip"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2",
            "gzip",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "gzip",
        ),
    ],
)
def test_a_scraper_gets_what_it_accepts(
    accept: str, encoding: str, content_type: str, content_encoding: str | None
) -> None:
    """Form and compression follow the scraper's headers, and the answer says which it is."""
    exposition = exposed(SNAPSHOT)

    body, headers = exposition.negotiate(accept, encoding)

    assert (headers["Content-Type"], headers.get("Content-Encoding")) == (content_type, content_encoding)
    assert (body[:2] == b"\x1f\x8b") == (content_encoding == "gzip")
    assert headers["Vary"] == "Accept, Accept-Encoding"


def test_what_has_no_value_is_absent() -> None:
    """An unknown budget, an empty median and a source that never ran have no sample: not 0, not NaN."""
    exposition = exposed(SNAPSHOT)

    assert value(exposition, "platform_slo_error_budget_remaining_ratio", slo="quiet") is None
    assert value(exposition, "platform_slo_attainment_ratio", slo="quiet", window="28d") is None
    assert value(exposition, "platform_collector_last_success_timestamp_seconds", source="new") is None
    assert value(exposition, "platform_slo_status", slo="quiet", status="insufficient_data") == 1.0
    assert b"NaN" not in exposition.text


# --- what stands beside an SLO's state ---------------------------------------------------------------------


def later(snapshot: Snapshot, by: timedelta) -> Snapshot:
    """A snapshot whose sources were collected again."""
    return replace(snapshot, sources=(replace(SOURCE, last_success_at=NOW + by), NEVER))


def test_data_of_an_slo_are_as_old_as_those_of_the_source_that_is_furthest_behind() -> None:
    """Of two sources the one that was collected an hour earlier says until when the SLO's events are known."""
    behind = replace(SOURCE, name="tickets", last_success_at=NOW - timedelta(hours=1))
    state = replace(STATE, sources=frozenset({"ci", "tickets"}))

    exposition = exposed(replace(SNAPSHOT, slos=(state,), sources=(SOURCE, behind, NEVER)))

    assert value(exposition, "platform_slo_data_timestamp_seconds", slo="fast") == NOW.timestamp() - 3_600


@pytest.mark.parametrize("sources", [(), ("ci", "new"), ("ci", "gone")], ids=["none", "never collected", "removed"])
def test_how_old_data_are_is_absent_where_a_source_does_not_say(sources: tuple[str, ...]) -> None:
    """Without a source, with one that never succeeded or that is no longer there nobody knows: absent, not 0."""
    exposition = exposed(replace(SNAPSHOT, slos=(replace(STATE, sources=frozenset(sources)),)))

    assert b"platform_slo_data_timestamp_seconds" not in exposition.text


def test_a_collection_touches_nothing_else_of_an_slo() -> None:
    """Collected again without news, an SLO has a new time, and the counters of its state are not written anew."""
    asked: list[set[str]] = []

    def floor(values: Mapping[str, float]) -> Mapping[str, float]:
        asked.append(set(values))
        return values

    publisher = Publisher()
    publisher.expose(SNAPSHOT, INDICATORS, "1.2.3", floor)
    exposition = publisher.expose(later(SNAPSHOT, timedelta(minutes=5)), INDICATORS, "1.2.3", floor)

    assert not [name for name in asked[-1] if name.startswith("platform_sli_events_total")]
    assert value(exposition, "platform_slo_data_timestamp_seconds", slo="fast") == NOW.timestamp() + 300
    assert exposition.text == exposed(later(SNAPSHOT, timedelta(minutes=5))).text


@pytest.mark.parametrize(("window", "kind", "threshold"), [("1h", "page", 13.44), ("3d", "ticket", 28 / 30)])
def test_burn_rates_that_alert_are_published(window: str, kind: str, threshold: float) -> None:
    """A line by long window and severity, for the SLO that has such alerts and for no other."""
    found = {
        labels: v for (name, labels), v in samples(exposed(SNAPSHOT)).items() if name.endswith("burn_rate_threshold")
    }

    assert found[frozenset({"slo": "fast", "window": window, "kind": kind}.items())] == pytest.approx(threshold)
    assert {dict(labels)["slo"] for labels in found} == {"fast"}


@pytest.mark.parametrize(("excluding", "shown"), [({}, None), ({"fast": False}, 0.0), ({"fast": True}, 1.0)])
def test_an_exclusion_that_holds_is_published(excluding: Mapping[str, bool], shown: float | None) -> None:
    """1 while one holds, 0 while none does, absent where none concerns the SLO."""
    exposition = exposed(replace(SNAPSHOT, excluding=excluding))

    assert value(exposition, "platform_slo_exclusion_active", slo="fast") == shown


def test_who_spent_the_budget_is_published_with_the_labels_of_the_series() -> None:
    """Subject and labels of the series stand on the line; a label that it has not is empty."""
    found = {
        (d["service"], d["team"], d["journey"], d["stage"], d["queue"]): v
        for (name, labels), v in samples(exposed(SNAPSHOT)).items()
        if name == "platform_slo_budget_spent_ratio"
        for d in [dict(labels)]
    }

    assert found == {("api", "", "", "queue", ""): 0.6, ("", "/shop", "new-service", "queue", ""): 0.3}


def test_a_limit_cuts_slos_one_by_one() -> None:
    """Beyond the limit the first SLOs keep their lines, and what is cut is counted."""
    states = tuple(replace(STATE, slo=replace(FAST, name=name)) for name in ("a", "b", "c"))

    exposition = expose(replace(SNAPSHOT, slos=states), INDICATORS, "1", limit=2)

    assert exposition.cut["platform_slo_data_timestamp_seconds"] == 1
    assert value(exposition, "platform_slo_data_timestamp_seconds", slo="b") == NOW.timestamp()


def test_an_slo_s_counters_start_at_zero() -> None:
    """Counters are exported at zero before the first event, so that the first bad one is an increase."""
    assert value(exposed(SNAPSHOT), "platform_sli_events_total", slo="quiet", outcome="bad") == 0.0


def test_exactly_one_status_is_true() -> None:
    """Of the four statuses of an SLO one is 1 and the others are 0."""
    exposition = exposed(SNAPSHOT)

    assert [value(exposition, "platform_slo_status", slo="fast", status=s.value) for s in SloStatus] == [0, 1, 0, 0]


@pytest.mark.parametrize("rows", [(row(), row()), (row(stats={"p50": None}),)], ids=["twice", "no value"])
def test_what_is_not_fit_to_be_published_is_not_written_before(rows: tuple[Number, ...]) -> None:
    """Whoever publishes it says so."""
    part = Part("wait", rows[0].subject, rows)

    assert LineWriter().write(INDICATORS["wait"], part, None) is None


@pytest.mark.parametrize(
    ("broken", "part", "lost", "kept"),
    [
        ({"slos": (STATE, STATE)}, "slo", "platform_slo_info", "platform_wait_seconds"),
        ({"numbers": (row(), row())}, "indicator", "platform_wait_seconds", "platform_slo_info"),
        ({"sources": (SOURCE, SOURCE)}, "source", "platform_source_fresh", "platform_slo_info"),
        ({"numbers": (row("unheard of"),)}, "indicator", "platform_wait_samples", "platform_slo_info"),
        ({"numbers": (row(stats={"p50": None}),)}, "indicator", "platform_wait_samples", "platform_slo_info"),
        ({"sources": (replace(SOURCE, name=NO_NAME),)}, "source", "platform_source_fresh", "platform_slo_info"),
    ],
    ids=["SLO twice", "number twice", "source twice", "unknown indicator", "no value", "a None label"],
)
def test_a_part_that_fails_costs_only_its_own_series(broken: Any, part: str, lost: str, kept: str) -> None:
    """Duplicates are refused before rendering; one failing producer leaves the others, and a trace of itself."""
    exposition = exposed(replace(SNAPSHOT, **broken))
    names = {name for name, _ in samples(exposition)}

    assert exposition.failed_parts == (part,)
    assert value(exposition, "platform_exposition_failed", kind=part) == 1.0
    assert kept in names
    assert lost not in names


def test_nothing_failed_is_said_too() -> None:
    """Without a failure every part's flag is 0."""
    exposition = exposed(SNAPSHOT)

    assert exposition.failed_parts == ()
    assert {
        value(exposition, "platform_exposition_failed", kind=p)
        for p in ("slo", "indicator", "catalogue", "score", "source", "self")
    } == {0.0}


@pytest.mark.parametrize(
    "hostile",
    ['a"b', "a\\b", "a\nb", "ä{}=,", "\udcff", "a" * 128],
    ids=["quote", "backslash", "line", "marks", "bytes", "128"],
)
def test_label_values_are_escaped(hostile: str) -> None:
    """Newline, quote and backslash survive as they are; what UTF-8 cannot say is replaced."""
    exposition = exposed(replace(SNAPSHOT, numbers=(row(subject=Subject(hostile, "production")),)))
    services = {dict(labels)["service"] for name, labels in samples(exposition) if name == "platform_wait_samples"}

    assert services == {hostile.encode("utf-8", "replace").decode()}
    assert exposition.failed_parts == ()


def test_long_label_values_are_cut_and_kept_apart() -> None:
    """10 kB of label are cut to 128 characters, and two that begin alike stay two series."""
    long = [Subject("x" * 10_000 + end, "production") for end in "ab"]
    exposition = exposed(replace(SNAPSHOT, numbers=tuple(row(subject=s) for s in long)))
    services = {dict(labels)["service"] for name, labels in samples(exposition) if name == "platform_wait_samples"}

    assert {len(s) for s in services} == {128}
    assert len(services) == 2


@pytest.fixture
def reopened(tmp_path: Path) -> Iterator[Callable[[], ObservationStore]]:
    """Opens the same store anew each time."""
    databases: list[Database] = []

    def reopen() -> ObservationStore:
        databases.append(Database.open(tmp_path))
        return ObservationStore(databases[-1])

    yield reopen
    for database in databases:
        database.close()


def test_a_restatement_lowers_no_counter(reopened: Callable[[], ObservationStore]) -> None:
    """A restatement lowers a finished count: no `_total` decreases, also after a restart; gauges follow."""
    lowered = replace(
        SNAPSHOT,
        slos=(replace(STATE, totals=EventCounts(190, 2), counts={"28d": EventCounts(90, 2)}),),
        totals={("releases", API, "success"): 19.0, ("releases", API, "failure"): 4.0},
    )
    exposed(SNAPSHOT, reopened().raise_counters)

    after = exposed(lowered, reopened().raise_counters)

    assert value(after, "platform_sli_events_total", slo="fast", outcome="good") == 191.0
    assert value(after, "platform_sli_events_total", slo="fast", outcome="bad") == 9.0
    assert value(after, "platform_slo_events", slo="fast", window="28d", outcome="bad") == 2.0
    releases = {"service": "api", "environment": "production", "team": ""}
    assert value(after, "platform_releases_total", **releases, outcome="success") == 20.0
    assert value(after, "platform_releases_total", **releases, outcome="failure") == 4.0


def test_only_catalogued_metrics_are_published() -> None:
    """Every published name with its labels is one of the catalogue."""
    known = {m.name: set(m.labels) for m in catalog.catalog(INDICATORS.values())}

    assert {name: {k for k, _ in labels} for name, labels in samples(exposed(SNAPSHOT))}.items() <= known.items()


# --- what is kept from one exposition to the next ---------------------------------------------------------


class Parsed(Collector):
    """Families as the library reads them from a text."""

    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> list[Any]:
        """The families."""
        return self._families


def registry(families: Any) -> CollectorRegistry:
    """What the library would write of some families."""
    found = CollectorRegistry(auto_describe=False)
    found.register(Parsed(list(families)))
    return found


_law = settings(max_examples=examples(15), deadline=None)
_numbers = st.one_of(st.integers(0, 10**9).map(float), st.floats(allow_nan=False))
_subjects = st.builds(
    Subject, st.sampled_from(["", "api", "wéb", 'a"b\\c\nd', *"efghij"]), st.sampled_from(["production", "test"])
)
_rows = st.dictionaries(_subjects, st.lists(_numbers, max_size=3), max_size=16)


def snapshot_of(values: Mapping[Subject, list[float]]) -> Snapshot:
    """A snapshot with some numbers, an SLO and a counter for each subject."""
    keys = ("p50", "p90", "low")
    return replace(
        SNAPSHOT,
        numbers=tuple(row(subject=s, n=len(v), stats=dict(zip(keys, v, strict=False))) for s, v in values.items()),
        accounting=tuple(
            Accounting(indicator="success", subject=s, window="7d", pending=len(v), excluded={}, coverage=None)
            for s, v in values.items()
        ),
        totals={("releases", s, "success"): float(len(v)) for s, v in values.items()},
    )


@_law
@given(_rows)
def test_the_bytes_are_those_of_the_library(values: Mapping[Subject, list[float]]) -> None:
    """Read by the library and written by it again, both formats come out byte for byte the same."""
    exposition = exposed(snapshot_of(values))
    text, openmetrics = exposition.text.decode(), exposition.openmetrics.decode()

    assert generate_latest(registry(parse_text(text))) == exposition.text
    assert (
        generate_openmetrics(registry(parse_openmetrics(openmetrics)))  # type: ignore[no-untyped-call]
        == exposition.openmetrics
    )


@_law
@given(several=st.lists(_rows, min_size=2, max_size=4), limit=st.sampled_from([7, 12, 1000]))
def test_what_is_kept_is_what_would_be_written_anew(several: list[Mapping[Subject, list[float]]], limit: int) -> None:
    """After any changes the bytes are those of a publisher that kept nothing, plain and compressed."""
    publisher = Publisher()
    for values in several:
        kept = publisher.expose(snapshot_of(values), INDICATORS, "1.2.3", limit=limit)
        anew = expose(snapshot_of(values), INDICATORS, "1.2.3", limit=limit)

        assert (kept.text, kept.openmetrics, kept.series) == (anew.text, anew.openmetrics, anew.series)
        assert (kept.cut, kept.failed_parts) == (anew.cut, ())
        assert gzip.decompress(kept.text_gzip) == kept.text
        assert zlib.decompress(kept.openmetrics_gzip, zlib.MAX_WBITS | 16) == kept.openmetrics


def test_counters_that_did_not_change_are_not_asked_for_again() -> None:
    """The store is told of raised counters only; those of a subject without news are kept as they were written."""
    asked: list[set[str]] = []

    def floor(values: Mapping[str, float]) -> Mapping[str, float]:
        asked.append(set(values))
        return {name: v + 100 for name, v in values.items()}

    publisher = Publisher()
    publisher.expose(SNAPSHOT, INDICATORS, "1", floor)
    later = replace(SNAPSHOT, restatements={"wait": 4.0})
    exposition = publisher.expose(later, INDICATORS, "1", floor)

    assert asked[1] == {"platform_restatements_total{kind='wait'}"}
    assert value(exposition, "platform_restatements_total", kind="wait") == 104.0
    assert value(exposition, "platform_sli_events_total", slo="fast", outcome="good") == 291.0


def test_a_part_that_failed_once_is_back_afterwards() -> None:
    """A failure costs one exposition its series, and leaves nothing behind in the next."""
    publisher = Publisher()
    publisher.expose(replace(SNAPSHOT, numbers=(row(), row())), INDICATORS, "1.2.3")

    assert publisher.expose(SNAPSHOT, INDICATORS, "1.2.3").text == exposed(SNAPSHOT).text


# --- how many series ---------------------------------------------------------------------------------------


def test_beyond_the_limit_series_are_cut_counted_and_named() -> None:
    """Of one metric the first subjects are kept whole as far as they fit; which metric lacks how many is said."""
    subjects = [Subject("", "production", "/shop"), Subject("a", "production"), Subject("b", "production")]
    numbers = tuple(row(subject=s, stats={"p50": 1.0, "p90": 2.0}) for s in subjects)
    crowded = replace(SNAPSHOT, numbers=numbers, accounting=(), totals={})

    exposition = expose(crowded, INDICATORS, "1", limit=5)
    shown = {dict(labels)["service"] for name, labels in samples(exposition) if name == "platform_wait_seconds"}

    assert shown == {"", "a"}
    assert exposition.cut["platform_wait_seconds"] == 2
    assert value(exposition, "platform_exposition_cut_series", metric="platform_wait_seconds") == 2.0


def test_nothing_is_cut_at_the_limit() -> None:
    """A metric that has exactly as many series as allowed is whole, and no cut is reported."""
    exposition = expose(replace(SNAPSHOT, slos=()), INDICATORS, "1", limit=6)

    assert exposition.cut == {}
    assert b"platform_exposition_cut_series" not in exposition.text


# --- the catalogue, scores and restatements -----------------------------------------------------------------


def test_the_catalogue_is_published() -> None:
    """A service's team, tier and owner stand on one series; what no rule knows is counted by kind."""
    exposition = exposed(SNAPSHOT)

    assert value(exposition, "platform_service_info", service="api", team="/shop/basket", tier="1", owner="shop") == 1.0
    assert value(exposition, "platform_catalogue_unmatched", kind="deployment") == 2.0
    assert value(exposition, "platform_catalogue_unmatched", kind="incident") == 0.0


def test_the_industry_s_means_are_published_by_kind() -> None:
    """The mean score of an indicator and the mean of means stand beside the scores, without a subject."""
    assert value(exposed(SNAPSHOT), "platform_quick_check_industry_mean", kind="change_lead_time") == 5.5
    assert value(exposed(SNAPSHOT), "platform_quick_check_industry_mean", kind="throughput") == 5.9


def test_without_an_industry_there_is_no_mean() -> None:
    """A year whose report has no mean scores has no line: nothing is made up."""
    assert b"platform_quick_check_industry_mean" not in exposed(replace(SNAPSHOT, industry={})).text


def test_the_type_of_a_source_is_published() -> None:
    """Each source says of which type it is, also one that never ran."""
    assert value(exposed(SNAPSHOT), "platform_source_info", source="ci", type="files") == 1.0
    assert value(exposed(SNAPSHOT), "platform_source_info", source="new", type="git") == 1.0


def test_scores_are_published_by_kind() -> None:
    """Each score of a subject and window is a series, the means among them."""
    labels = {"service": "api", "environment": "production", "team": "", "window": "28d"}

    assert value(exposed(SNAPSHOT), "platform_quick_check_score", **labels, kind="overall") == 8.0
