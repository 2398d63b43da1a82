"""What values become, which minutes are asked for, and what is said of queries that a server refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers.prometheus import GOOD, NOW, SHARE, TOTAL, USES, World, always, config_of, provider, refusal
from pydantic import ValidationError
from replay import Provider, Reply

from collector.errors import ContractError, RetryableError, SourceError
from collector.events import Event, Probe, UsageEvent
from collector.http import Wire
from collector.source import Page, SourceContext
from collector.sources.prometheus import PrometheusSource
from collector.systems.prometheus.values import counts, filled, share, uses

SHOP = {"query": SHARE, "service": "{service}"}
RATIO = {"good": GOOD, "total": TOTAL, "service": "{app}"}
BUILDS = {"query": USES, "capability": "ci", "team": "{team}"}
MINUTE = timedelta(minutes=1)
HOUR = 3_600


# ---- values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", (10_000, 10_000)),
        ("0", (0, 10_000)),
        ("0.5", (5_000, 10_000)),
        ("0.99995", (9_999, 10_000)),
        ("0.9999999999", (10_000, 10_000)),
        ("0.3333333333333333", (3_333, 10_000)),
        ("1e-05", (0, 10_000)),
        ("NaN", None),
    ],
)
def test_a_share_is_of_so_many_checks(text: str, expected: tuple[int, int] | None) -> None:
    """A share is rounded down to whole checks, after what floats leave beyond nine places; NaN is no measurement."""
    assert share(text, 10_000) == expected


@given(value=st.decimals(0, 1, places=9), limit=st.integers(1, 10_000))
def test_a_share_passes_exactly_where_it_reaches_what_must_pass(value: Decimal, limit: int) -> None:
    """Rounding lets no share pass that is below a threshold of up to four places, and fails none that reaches it."""
    found = share(str(value), 10_000)

    assert found is not None
    assert (found[0] >= limit) == (value >= Decimal(limit) / 10_000)


@pytest.mark.parametrize("text", ["1.1", "-0.1", "+Inf", "-Inf", "99.9", "x"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """Percentages, counts and infinities are no shares; the value does not stand in the reason."""
    with pytest.raises(ValueError, match=r"^(no share from 0 to 1|more than anything can be|no number)$"):
        share(text, 10_000)


@pytest.mark.parametrize(
    ("good", "total", "expected"),
    [
        ("3", "3", (30_000, 30_000)),
        ("1.5", "3", (15_000, 30_000)),
        ("0.6666666666666666", "1.3333333333333333", (5_000, 10_000)),
        ("58.2", "59.7", (584_924, 600_000)),
        (None, "4", (0, 40_000)),
        ("0.1", "0.2", (5_000, 10_000)),
        ("4.01", "4", (40_000, 40_000)),
        ("6", "4", (60_000, 40_000)),
        ("900", "4", (80_000, 40_000)),
        ("0", "0", None),
        ("0", "NaN", None),
        ("NaN", "4", None),
    ],
)
def test_counts_keep_their_share(good: str | None, total: str, expected: tuple[int, int] | None) -> None:
    """Extrapolated fractions keep their share exactly; no good is none; far more good than total stays impossible."""
    assert counts(good, total, 10_000) == expected


@pytest.mark.parametrize(("good", "total"), [("-1", "4"), ("1", "-4"), ("1", "+Inf"), ("1e+300", "4")])
def test_what_is_no_count_is_refused(good: str, total: str) -> None:
    """Negative and infinite counts are nobody's."""
    with pytest.raises(ValueError, match=r"^(no count|more than anything can be)$"):
        counts(good, total, 10_000)


@pytest.mark.parametrize(("text", "expected"), [("2.5", 3), ("2.4999", 2), ("0.4", None), ("0", None), ("NaN", None)])
def test_uses_are_whole(text: str, expected: int | None) -> None:
    """An extrapolated number of uses is rounded; none at all is no event."""
    assert uses(text) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [("shop", "shop"), ("{a}-{b}", "1-2"), ("{a}{c}", None), ("{empty}", None), ("", "")],
)
def test_names_are_made_of_labels(template: str, expected: str | None) -> None:
    """Each label stands in its place; one that a series lacks makes no name."""
    assert filled(template, {"a": "1", "b": "2", "empty": ""}) == expected


# ---- reading


@dataclass
class Reader:
    """Reads what a stand-in holds."""

    context: SourceContext
    world: World
    api: Provider

    def source(self, **fields: Any) -> PrometheusSource:
        """A source of some queries."""
        wire = Wire(adapter=self.api, sleep=lambda _: None, chance=lambda: 0.0)
        return config_of(**fields).build(replace(self.context, wire=wire))

    def pages(self, cursor: str | None = None, **fields: Any) -> list[Page]:
        """The pages of a run."""
        return list(self.source(**fields).pull(cursor))

    def events(self, cursor: str | None = None, **fields: Any) -> list[Event]:
        """The events of a run."""
        return list(chain.from_iterable(page.events for page in self.pages(cursor, **fields)))

    def probes(self, cursor: str | None = None, **fields: Any) -> list[Probe]:
        """The probes of a run."""
        return [e for e in self.events(cursor, **fields) if isinstance(e, Probe)]

    def spans(self) -> list[tuple[datetime, datetime]]:
        """Which times were asked for since this was last called."""
        ranges = [a for a in self.api.asked if a.path == "query_range"]
        self.api.asked.clear()
        found = [(a.time("start"), a.time("end")) for a in ranges]
        return [(start, end) for start, end in found if start is not None and end is not None]


@pytest.fixture
def reader(context: SourceContext) -> Reader:
    """Reads an empty server whose time is ours."""
    world = World()
    return Reader(context, world, provider(world))


def test_a_value_is_of_the_minute_that_it_ends(reader: Reader) -> None:
    """What is measured at 08:59:00 is the minute from 08:58 on: the last that ended `delay` ago."""
    reader.world.series(SHARE, lambda at: "1" if at == NOW - 60 else None, service="shop")

    (found,) = reader.probes(uptime=[{**SHOP, "target": "probe"}])

    assert (found.at, found.duration_seconds) == (reader.context.clock() - 2 * MINUTE, 60.0)
    assert found.native_id.endswith("@2026-03-02T08:58:00Z")
    assert (found.service, found.environment, found.target) == ("shop", None, "probe")


def test_a_minute_that_is_not_over_is_not_asked_for(reader: Reader) -> None:
    """Half a minute later nothing more is known, and a `delay` of five minutes leaves out as many."""
    reader.world.series(SHARE, always("1"), service="shop")
    reader.world.now += 30

    reader.pages(uptime=[SHOP], history="1h")
    (one,) = reader.spans()
    reader.pages(uptime=[SHOP], history="1h", delay="5m")
    (five,) = reader.spans()

    assert (one[1].minute, five[1].minute) == (59, 55)


def test_minutes_end_by_the_clock_of_the_server(reader: Reader) -> None:
    """Where our clock is an hour ahead, the server's future is not asked for."""
    reader.world.series(SHARE, always("1"), service="shop")
    reader.world.now -= HOUR

    reader.pages(uptime=[SHOP], history="2h")

    assert [end for _, end in reader.spans()] == [reader.context.clock() - timedelta(minutes=61)]


def test_a_gap_is_no_event(reader: Reader) -> None:
    """No value and NaN are unknown minutes: neither up nor down."""
    values = {NOW - 60: "1", NOW - 120: "NaN", NOW - 240: "0"}
    reader.world.series(SHARE, values.get, service="shop")

    found = [(e.at.minute, e.passed, e.checks) for e in reader.probes(uptime=[SHOP], history="10m")]

    assert found == [(55, 0, 10_000), (58, 10_000, 10_000)]


def test_a_later_run_reads_on_with_overlap(reader: Reader) -> None:
    """The last minutes are read again, and no more: from `overlap` before the last one."""
    reader.world.series(SHARE, always("1"), service="shop")
    cursor = reader.pages(uptime=[SHOP], history="5h")[-1].cursor
    reader.spans()
    reader.world.now += 300

    reader.pages(cursor, uptime=[SHOP], overlap="10m")

    nine = reader.context.clock()
    assert reader.spans() == [(nine - timedelta(minutes=11), nine + timedelta(minutes=4))]


def test_a_long_history_is_read_in_parts(reader: Reader) -> None:
    """Half a year of minutes is asked for in 27 parts, none longer than a server hands out, none missing or twice."""
    reader.world.series(SHARE, lambda at: "1" if at % 86_400 == 0 else None, service="shop")

    assert len(reader.events(uptime=[SHOP])) == 180

    spans = reader.spans()
    assert len(spans) == 27
    assert max((end - start) / MINUTE for start, end in spans) < 11_000
    assert all(start == end + MINUTE for (_, end), (start, _) in pairwise(spans))


def test_many_series_are_read_in_shorter_parts(reader: Reader) -> None:
    """A thousand series give at most a hundred minutes at a time, so that answers stay small."""
    for number in range(1_000):
        reader.world.series(SHARE, lambda at: "1" if at % 14_400 == 0 else None, service=str(number))

    reader.pages(uptime=[SHOP], history="12h", most_series=1_000)

    assert [(end - start) // MINUTE + 1 for start, end in reader.spans()][:2] == [240, 100]


def test_what_is_too_much_is_asked_for_in_shorter_parts(reader: Reader) -> None:
    """A server that cannot load so many samples is asked for half as long, again and again; nothing is lost."""
    reader.world.series(SHARE, always("1"), service="shop")
    reader.world.most_samples = 70

    found = reader.events(uptime=[SHOP], history="5h")

    assert len({e.native_id for e in found}) == 300
    assert {(end - start) // MINUTE + 1 for start, end in reader.spans()[3:-1]} == {60}


def test_a_server_that_fails_on_long_parts_is_asked_for_shorter_ones(reader: Reader) -> None:
    """A time-out may be a matter of length, too."""
    reader.world.series(SHARE, always("1"), service="shop")
    reader.api.faults = {number: refusal(503, "timeout", "query timed out") for number in range(2, 6)}

    assert len(reader.events(uptime=[SHOP], history="5h")) == 300


@pytest.mark.parametrize(
    "words",
    [
        "expanding series: the query exceeded the maximum number of chunks (limit: 2000000 chunks)",
        "the query time range exceeds the limit (query length: 5h, limit: 1h)",
        "cannot select more than -search.maxSamplesPerQuery=1000000000 samples",
    ],
)
def test_what_other_servers_find_too_much_is_asked_for_in_shorter_parts(reader: Reader, words: str) -> None:
    """Each server has its own limits, and its own words for them."""
    reader.world.series(SHARE, always("1"), service="shop")
    reader.api.faults = {2: refusal(422, "execution", words)}

    assert len(reader.events(uptime=[SHOP], history="5h")) == 300
    assert [(end - start) // MINUTE + 1 for start, end in reader.spans()][:2] == [240, 120]


def test_what_is_too_much_however_short_fails(reader: Reader) -> None:
    """A query that no part of a day can be asked of is refused by its place."""
    reader.world.series(SHARE, always("1"), service="shop")
    reader.world.most_samples = 1

    with pytest.raises(SourceError, match=r"uptime\[0\]\.query: the query is refused \(execution\): query processing"):
        reader.pages(uptime=[SHOP], history="5h")


def test_a_server_that_fails_however_short_the_part_may_answer_later(reader: Reader) -> None:
    """An outage is no matter of length: the run fails and is tried again, and no query is said to be refused."""
    reader.world.series(SHARE, always("1"), service="shop")
    reader.world.refusals["up"] = refusal(503, "timeout", "query timed out")

    with pytest.raises(RetryableError):
        reader.pages(uptime=[SHOP, {"query": "up", "service": "all"}], history="5h")


# ---- what changes late


def test_a_value_that_was_corrected_within_the_overlap_wins(reader: Reader, bench: Any) -> None:
    """A minute that was up, and turns out to have been half down, is so once its value has settled."""
    reader.world.series(SHARE, always("1"), service="shop")
    fields = {"uptime": [SHOP], "history": "1m", "overlap": "1h"}
    bench.runner.run("sample", reader.source(**fields))
    reader.world.queries[SHARE] = [({"service": "shop"}, lambda at: "0.5" if at == NOW - 60 else None)]
    reader.world.now += 40 * 60

    bench.runner.run("sample", reader.source(**fields))

    assert bench.store.columns(Probe, "passed") == [(5_000,)]


def test_what_is_read_again_is_written_once_more_at_most(reader: Reader, bench: Any) -> None:
    """A new value is written, and once more when it has settled; every other time nothing changes."""
    reader.world.series(SHARE, lambda at: "1" if at == NOW - 60 else None, service="shop")
    fields = {"uptime": [SHOP], "history": "1m", "overlap": "1h"}
    changed = []
    for _ in range(5):
        changed.append(bench.runner.run("sample", reader.source(**fields)).changed)
        reader.world.now += 14 * 60

    assert changed == [1, 0, 0, 1, 0]


def test_all_is_taken_anew_where_that_is_asked(reader: Reader, bench: Any) -> None:
    """After a query was corrected, reading everything since a time replaces what it gave before."""
    reader.world.series(SHARE, always("1"), service="shop")
    fields = {"uptime": [SHOP], "history": "2h"}
    bench.runner.run("sample", reader.source(**fields))
    reader.world.queries[SHARE] = [({"service": "shop"}, always("0"))]
    reader.context = replace(reader.context, since=reader.context.clock() - timedelta(hours=2))

    bench.runner.run("sample", reader.source(**fields))

    assert {passed for (passed,) in bench.store.columns(Probe, "passed")} == {0}


# ---- series


def test_good_and_total_meet_by_their_labels(reader: Reader) -> None:
    """Each service has its own share; one without any good request was down."""
    reader.world.series(TOTAL, always("2"), app="shop")
    reader.world.series(TOTAL, always("2"), app="cart")
    reader.world.series(TOTAL, always("0"), app="idle")
    reader.world.series(GOOD, always("1"), app="cart")

    found = reader.probes(uptime=[RATIO], history="2m")

    assert {(e.service, e.passed, e.checks) for e in found} == {("shop", 0, 20_000), ("cart", 10_000, 20_000)}


def test_good_and_total_may_be_two_metrics(reader: Reader) -> None:
    """As everywhere in PromQL, names of metrics keep no series apart."""
    reader.world.series(TOTAL, always("4"), app="shop", __name__="all")
    reader.world.series(GOOD, always("3"), app="shop", __name__="fine")

    assert [(e.passed, e.checks) for e in reader.probes(uptime=[RATIO], history="1m")] == [(30_000, 40_000)]


def test_good_of_other_labels_than_total_is_refused(reader: Reader) -> None:
    """Aggregated by other labels nothing would meet, and everything would look down."""
    reader.world.series(TOTAL, always("2"), app="shop")
    reader.world.series(GOOD, always("2"), app="shop", code="200")

    with pytest.raises(SourceError, match=r"uptime\[0\]: `good` has series that `total` has not; aggregate both by"):
        reader.pages(uptime=[RATIO], history="2m")


def test_series_of_one_service_are_checks_of_their_own(reader: Reader) -> None:
    """Two instances of a service in one minute are two probes of the same weight."""
    for instance, value in (("a", "1"), ("b", "0")):
        reader.world.series(SHARE, always(value), service="shop", instance=instance)

    found = reader.probes(uptime=[{**SHOP, "target": "{instance}"}], history="1m")

    assert sorted((str(e.target), e.passed, e.checks) for e in found) == [("a", 10_000, 10_000), ("b", 0, 10_000)]
    assert len({e.native_id for e in found}) == 2


def test_a_series_without_its_label_is_set_aside(reader: Reader) -> None:
    """The others are kept, and its own labels are not told."""
    reader.world.series(SHARE, always("1"), owner="wilhelmina")
    reader.world.series(SHARE, always("1"), service="shop")

    page, *_ = reader.pages(uptime=[SHOP], history="1m")

    assert [e.service for e in page.events if isinstance(e, Probe)] == ["shop"]
    (record,) = page.rejected
    assert record.reason == "it lacks a label that its settings name"
    assert "wilhelmina" not in str(record)


def test_values_that_are_no_shares_are_set_aside(reader: Reader) -> None:
    """A percentage is no share: it is said once for its series, with how many there are."""
    reader.world.series(SHARE, always("99.9"), service="shop")

    page, *_ = reader.pages(uptime=[SHOP], history="5m")

    assert (list(page.events), [r.reason for r in page.rejected]) == ([], ["5 of its values are no share from 0 to 1"])


def test_too_many_series_are_cut_and_said(reader: Reader) -> None:
    """The first by their labels are read, the same each time."""
    for name in ("c", "a", "b"):
        reader.world.series(SHARE, always("1"), service=name)

    page, *_ = reader.pages(uptime=[SHOP], history="1m", most_series=2)

    assert [e.service for e in page.events if isinstance(e, Probe)] == ["a", "b"]
    assert page.truncations == ["uptime[0].query: 3 series, of which 2 are read; aggregate them by fewer labels"]


# ---- usage


def test_usage_is_dated_at_the_beginning_of_its_step(reader: Reader) -> None:
    """What was used from 07:00 to 08:00 is of 07:00, whenever it is read."""
    reader.world.series(USES, always("2.6"), team="/commerce")
    reader.world.now += 20 * 60

    found = [e for e in reader.events(usage=[{**BUILDS, "action": "build"}], history="2h") if isinstance(e, UsageEvent)]

    assert [(e.at.hour, e.at.minute, e.count) for e in found] == [(6, 0, 3), (7, 0, 3), (8, 0, 3)]
    assert {(e.capability, e.action, e.team, e.service, e.person) for e in found} == {
        ("ci", "build", "/commerce", None, None)
    }


def test_whoever_used_it_is_a_hash(reader: Reader) -> None:
    """Neither the event nor its id names them, in clear or by what can be guessed; robots are told apart."""
    reader.world.series(USES, always("1"), user="wilhelmina")
    reader.world.series(USES, always("1"), user="renovate[bot]")

    usage = [{"query": USES, "capability": "ci", "person": "{user}"}]
    found = [e for e in reader.events(usage=usage, history="1h") if isinstance(e, UsageEvent)]

    people = reader.context.people
    assert {(e.person, e.bot) for e in found} == {
        (people.hashed("wilhelmina"), False),
        (people.hashed("renovate[bot]"), True),
    }
    assert "wilhelmina" not in str(found)
    assert len({e.native_id for e in found}) == 2


def test_two_spellings_of_one_person_add_up(reader: Reader) -> None:
    """They are one person, so one event of both: its id does not depend on how a label is written."""
    reader.world.series(USES, always("1"), user="wilhelmina")
    reader.world.series(USES, always("2"), user="Wilhelmina")

    usage = [{"query": USES, "capability": "ci", "person": "{user}"}]
    found = [e for e in reader.events(usage=usage, history="1h") if isinstance(e, UsageEvent)]

    assert [(e.at.hour, e.count) for e in found] == [(7, 3)]


# ---- what a server says


def test_a_query_is_asked_with_what_makes_its_answer_whole(reader: Reader) -> None:
    """A short look-back, no answer from a part of the stores, the tenant, and the token in its header."""
    reader.world.series(SHARE, always("1"), service="shop")

    reader.pages(uptime=[SHOP], history="1m", tenant="commerce")

    asked = reader.api.asked[-1]
    assert (asked.one("lookback_delta"), asked.one("partial_response"), asked.one("step")) == ("60s", "false", "60")
    assert asked.headers["x-scope-orgid"] == "commerce"
    assert asked.headers["authorization"].startswith("Bearer ")


def test_a_password_goes_with_its_user(reader: Reader) -> None:
    """With `username` the token is a password."""
    reader.world.series(SHARE, always("1"), service="shop")
    reader.api.token = ""

    reader.pages(uptime=[SHOP], history="1m", username="paceline")

    assert reader.api.asked[-1].headers["authorization"].startswith("Basic ")


def test_a_refused_query_is_named_and_the_others_go_on(reader: Reader) -> None:
    """What a person must mend is said with its place; the labels of series in the server's words are not."""
    reader.world.series(SHARE, always("1"), service="shop")
    words = 'found duplicate series for the match group {owner="wilhelmina"} on the right hand-side'
    reader.world.refusals["up"] = refusal(422, "execution", words)

    pages = reader.pages(uptime=[{"query": "up", "service": "all"}, SHOP], history="1m")

    assert [text for page in pages for text in page.truncations] == [
        "uptime all: uptime[0].query: the query is refused (execution): found duplicate series for the match group"
    ]
    assert [e.service for page in pages for e in page.events if isinstance(e, Probe)] == ["shop"]


def test_a_source_of_refused_queries_fails(reader: Reader) -> None:
    """Where nothing is understood there is an error, not "no data"."""
    with pytest.raises(SourceError, match=r"uptime\[0\]\.query: the query is refused \(bad_data\): invalid parameter"):
        reader.pages(uptime=[SHOP])


def test_warnings_of_the_server_are_told(reader: Reader) -> None:
    """They stand with the run, by the place of the query."""
    reader.world.series(SHARE, always("1"), service="shop")
    reader.world.warnings[SHARE] = ['No StoreAPIs matched for this query {owner="wilhelmina"}']

    page, *_ = reader.pages(uptime=[SHOP], history="1m")

    assert page.warnings == ["uptime[0].query: No StoreAPIs matched for this query"]


@pytest.mark.parametrize("at", [NOW - 60 + 17, NOW + 60, NOW - 7_200])
def test_values_of_other_times_than_asked_for_are_no_answer(reader: Reader, at: int) -> None:
    """A server that shifts times would put values into wrong minutes."""
    data = {"resultType": "matrix", "result": [{"metric": {"service": "shop"}, "values": [[at, "1"]]}]}
    reader.world.refusals[SHARE] = Reply({"status": "success", "data": data})

    with pytest.raises(ContractError, match="a value is of a time that was not asked for"):
        reader.pages(uptime=[SHOP], history="1h")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply({"status": "success", "data": {"resultType": "vector", "result": []}}), ContractError),
        (Reply({"status": "success", "data": {"resultType": "scalar", "result": [1, "1"]}}), ContractError),
        (Reply({"status": "error"}, status=503, headers={"Retry-After": "600"}), RetryableError),
    ],
)
def test_a_server_without_a_time_is_an_error(reader: Reader, reply: Reply, error: type[Exception]) -> None:
    """Before anything is asked the server must tell its time."""
    reader.api.faults = {1: reply}

    with pytest.raises(error):
        reader.pages(uptime=[SHOP])


# ---- settings


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "nothing is asked; expected `uptime`, `usage` or both"),
        ({"uptime": [{"service": "a"}]}, "uptime is a share or counts; expected `query`, or `good` and `total`"),
        ({"uptime": [{"service": "a", "good": "x"}]}, "expected `query`, or `good` and `total`"),
        ({"uptime": [{"service": "a", "query": "x", "total": "y"}]}, "expected `query`, or `good` and `total`"),
        ({"uptime": [{"service": "{a b}", "query": "x"}]}, 'expected for example shop, or "{service}" for a label'),
        ({"uptime": [SHOP, {**SHOP, "query": "x"}]}, "two queries are of {service}; expected a `target` that tells"),
        ({"usage": [BUILDS, BUILDS]}, "two queries are of ci//{team}; expected an `action` that tells them apart"),
        ({"usage": [{**BUILDS, "step": "90s"}]}, "expected whole minutes such as 1m, 15m, 1h or 1d"),
        ({"usage": [{**BUILDS, "step": "7h"}]}, "expected whole minutes such as 1m, 15m, 1h or 1d"),
        ({"usage": [{**BUILDS, "step": "2d"}]}, "expected whole minutes such as 1m, 15m, 1h or 1d"),
    ],
)
def test_queries_that_cannot_be_are_refused(fields: dict[str, Any], expected: str) -> None:
    """Each mistake says what was expected."""
    with pytest.raises(ValidationError) as raised:
        config_of(**fields)

    assert expected in str(raised.value)


def test_what_a_query_is_known_by_is_not_its_text(reader: Reader) -> None:
    """A corrected query gives the same ids, so that it corrects what it gave before."""
    reader.world.series(SHARE, always("1"), service="shop")
    reader.world.series("better", always("0"), service="shop")

    asked, corrected = (reader.events(uptime=[{**SHOP, "query": q}], history="1m") for q in (SHARE, "better"))

    assert [e.id for e in asked] == [e.id for e in corrected]
