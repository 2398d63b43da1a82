"""What stands behind an alert: the bad events of its SLO, the deployments before it, and both as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_states import source_state

from collector.events import Deployment, Result
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore, ObservationStore, Replacement, Series, to_micros
from slo_engine.burn import Tier
from slo_engine.contributors import Known, find
from slo_engine.enrich import Alert, BadEvent, Contributor, Deployed, Findings, Line, as_json, enrich
from slo_engine.evaluate import evaluate
from slo_engine.exclusions import Exclusion, ExclusionReason
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import MOST_PARTS, Observation, Outcome, Reason, Subject
from slo_engine.organisation import Organisation, Service
from slo_engine.slo import AlertPolicy, EventCounts, IndicatorSli, Operator, Slo, SloStatus
from slo_engine.snapshot import SloState
from slo_engine.windows import CalendarWindow, Window, parse_window

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SUCCESS = Indicator(
    name="success",
    version="1",
    title="Success",
    definition="Share that went well.",
    shape=Shape.RATIO,
    metric="platform_success",
)
WAIT = Indicator(
    name="wait",
    version="1",
    title="Wait",
    definition="Time waited.",
    shape=Shape.DURATION,
    metric="platform_wait",
    dimension="stage",
    dimensions=("queue", "work"),
)
TIERS = (
    Tier(
        name="fast",
        severity="page",
        budget_share=Decimal("0.05"),
        long=parse_window("6h"),
        short=parse_window("30m"),
        minimum_bad_events=2,
    ),
    Tier(
        name="slow",
        severity="ticket",
        budget_share=Decimal("0.1"),
        long=parse_window("3d"),
        short=parse_window("6h"),
        minimum_bad_events=2,
    ),
)


def an_slo(**fields: Any) -> Slo:
    """An SLO on the share of good units of every service, with burn alerts."""
    common: dict[str, Any] = {
        "name": "works",
        "title": "It works",
        "description": "",
        "owner_service": "platform",
        "target": Decimal("0.99"),
        "window": parse_window("28d"),
        "sli": IndicatorSli(indicator="success"),
        "alert_class": "rate",
    }
    return Slo(**common | fields)


def an_alert(**fields: Any) -> Alert:
    """A page about the SLO that began a moment ago."""
    common: dict[str, Any] = {
        "status": "firing",
        "labels": {"alertname": "PlatformSloBurnPage", "slo": "works", "severity": "page"},
        "annotations": {},
        "starts_at": NOW - timedelta(minutes=1),
    }
    return Alert(**common | fields)


PLANNED = Exclusion(
    slo="works",
    reason=ExclusionReason.MAINTENANCE,
    author="platform",
    ticket="OPS-1",
    starts_at=NOW - 2 * HOUR,
    ends_at=NOW - HOUR,
)
FRESH = source_state(
    "ci", staleness_seconds=1.0, last_success_at=NOW, last_run_at=NOW, last_duration_seconds=1.0, newest_event_at=NOW
)


class Store:
    """A store with observations and deployments, and findings from it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.events = EventStore(database)
        self.observations = ObservationStore(database)
        self.slos: tuple[Slo, ...] = (an_slo(),)
        self.organisation = Organisation()
        self.exclusions: tuple[Exclusion, ...] = ()
        self.base_url = "https://paceline.example.com"

    def put(self, *observations: Observation) -> None:
        """Replace all observations."""
        rows: dict[Series, list[tuple[Any, ...]]] = {}
        for o in observations:
            parts = (*o.parts, *(None,) * MOST_PARTS)[:MOST_PARTS]
            matures_at = None if o.matures_at is None else to_micros(o.matures_at)
            row = (to_micros(o.at), o.unit, o.value, *parts, str(o.outcome), o.reason, matures_at, o.rule, "[]")
            rows.setdefault(Series("test", o.indicator, o.dimension, *o.subject, o.source), []).append(row)
        new = Replacement(family="test", scope="", rows=rows, definitions="", reads=(), state=None)
        DerivationStore(self.database).replace(new, 0, "")

    def deploy(self, *deployments: Deployment) -> None:
        """Keep deployments."""
        with self.database.transaction() as transaction:
            self.events.write(transaction, deployments)

    def find(self, alert: Alert | None = None, at: datetime = NOW) -> Findings:
        """What is known about an alert."""
        known = Known(
            slos=self.slos,
            states={},
            indicators={i.name: i for i in (SUCCESS, WAIT)},
            tiers=TIERS,
            exclusions=self.exclusions,
            organisation=self.organisation,
            observations=self.observations,
            events=self.events,
            base_url=self.base_url,
        )
        return find(alert or an_alert(), known, at)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    database = Database.open(tmp_path)
    yield Store(database)
    database.close()


def unit(name: str, **fields: Any) -> Observation:
    """A unit of `api` in production half an hour ago, bad unless said."""
    common: dict[str, Any] = {
        "indicator": "success",
        "unit": name,
        "at": NOW - HOUR / 2,
        "subject": Subject("api", "production"),
        "source": "ci",
        "outcome": Outcome.BAD,
    }
    return Observation(**common | fields)


def deployment(name: str, *, minutes: float = 30, **fields: Any) -> Deployment:
    """A successful deployment of `api` to production that finished some minutes before now."""
    common: dict[str, Any] = {
        "source": "ci",
        "native_id": name,
        "service": "api",
        "environment": "production",
        "finished_at": NOW - timedelta(minutes=minutes),
        "result": Result.SUCCESS,
        "version": name,
    }
    return Deployment(**common | fields)


def labels(found: Findings) -> list[str]:
    """The labels of the deployments that were found."""
    return [d.label for d in found.deployments]


# --- contributors ----------------------------------------------------------------------------------------


def test_contributors_are_services_with_their_bad_events(store: Store) -> None:
    """Bad events are added up by service, environment and reason; the most come first, each with all its events."""
    web = Subject("web", "production")
    store.put(
        *(unit(f"a{n}") for n in range(3)),
        *(unit(f"g{n}", outcome=Outcome.GOOD) for n in range(7)),
        unit("w", subject=web, reason="timeout"),
        unit("wg", subject=web, outcome=Outcome.GOOD),
    )

    found = store.find()

    assert [(c.service, c.environment, c.reason, c.bad, c.total) for c in found.contributors] == [
        ("api", "production", "", 3, 10),
        ("web", "production", "timeout", 1, 2),
    ]
    assert (found.bad, found.total, found.window) == (4, 12, "6h")


def test_only_five_contributors_are_named(store: Store) -> None:
    """Of many services the five with the most bad events are named; all events are counted."""
    store.put(*(unit(f"{s}-{n}", subject=Subject(f"s{s}", "production")) for s in range(7) for n in range(s + 1)))

    found = store.find()

    assert [c.service for c in found.contributors] == ["s6", "s5", "s4", "s3", "s2"]
    assert found.bad == 28


def test_only_the_service_of_the_slo_counts(store: Store) -> None:
    """An SLO of one service and environment has no other contributor."""
    store.slos = (an_slo(sli=IndicatorSli(indicator="success", service="api", environment="production")),)
    store.put(unit("a"), unit("b", subject=Subject("web", "production")), unit("c", subject=Subject("api", "test")))

    assert [(c.service, c.environment, c.bad) for c in store.find().contributors] == [("api", "production", 1)]


def test_what_does_not_count_contributes_nothing(store: Store) -> None:
    """Left out, pending and unripe units are neither bad nor events."""
    store.put(
        unit("bad"),
        unit("excluded", outcome=Outcome.EXCLUDED, reason=Reason.BOT),
        unit("pending", outcome=Outcome.PENDING),
        unit("unripe", matures_at=NOW + HOUR),
        unit("ripe", outcome=Outcome.GOOD, matures_at=NOW - HOUR / 4),
    )

    assert (store.find().bad, store.find().total) == (1, 2)


def test_excluded_times_contribute_nothing(store: Store) -> None:
    """A bad event during maintenance is not named."""
    store.exclusions = (PLANNED,)
    store.put(unit("during", at=NOW - 1.5 * HOUR), unit("after"))

    assert (store.find().bad, store.find().total) == (1, 1)


def test_a_unit_of_two_services_is_one_event(store: Store) -> None:
    """A change that reached two services is listed with both and counted once."""
    store.put(unit("a"), unit("a", subject=Subject("web", "production")))

    found = store.find()

    assert [c.service for c in found.contributors] == ["api", "web"]
    assert (found.bad, found.total) == (1, 1)


def test_a_duration_is_judged_by_its_threshold(store: Store) -> None:
    """What took longer than the target is bad; its longest stage is the reason."""
    store.slos = (an_slo(sli=IndicatorSli(indicator="wait", operator=Operator.LTE, threshold=60.0)),)
    measured = {"indicator": "wait", "outcome": Outcome.MEASURED}
    store.put(
        unit("slow", value=61.0, parts=(1.0, 60.0), **measured),
        unit("just", value=60.0, parts=(59.0, 1.0), **measured),
        unit("unknown", value=None, **measured),
    )

    found = store.find()

    assert [(c.reason, c.bad, c.total) for c in found.contributors] == [("mostly work", 1, 2)]


def test_one_stage_may_be_judged(store: Store) -> None:
    """An SLO on a stage looks at the stage alone."""
    sli = IndicatorSli(indicator="wait", operator=Operator.LTE, threshold=10.0, dimension="queue")
    store.slos = (an_slo(sli=sli),)
    measured = {"indicator": "wait", "outcome": Outcome.MEASURED}
    store.put(
        unit("slow", value=61.0, parts=(1.0, 60.0), **measured),
        unit("queued", value=12.0, parts=(11.0, 1.0), **measured),
    )

    found = store.find()

    assert [(e.unit, e.reason) for e in found.events] == [("event queued", "")]
    assert found.explain_url == "https://paceline.example.com/explain/wait?dimension=queue&window=6h"


def test_the_newest_bad_events_are_listed_with_their_address(store: Store) -> None:
    """Five units, the newest first, with what they are and where they can be looked at."""
    stored = deployment("1.2", url="https://ci.example.com/12", actor="person:0123456789abcdef")
    store.deploy(stored)
    store.put(*(unit(f"u{n}", at=NOW - n * HOUR / 4) for n in range(1, 7)), unit(stored.id, at=NOW - HOUR / 8))

    events = store.find().events

    assert [e.unit for e in events] == ["deployment 1.2", "event u1", "event u2", "event u3", "event u4"]
    assert events[0].url == "https://ci.example.com/12"


def test_each_contributor_is_explained(store: Store) -> None:
    """The link of a contributor leads to its own units in the window of the alert."""
    store.put(unit("a", subject=Subject("a b&c", "production")))

    found = store.find()

    assert found.explain_url == "https://paceline.example.com/explain/success?window=6h"
    assert found.contributors[0].url == (
        "https://paceline.example.com/explain/success?service=a+b%26c&environment=production&window=6h"
    )


def test_without_an_address_nothing_is_linked(store: Store) -> None:
    """Where Paceline's own address is not set, there is no link to it."""
    store.base_url = ""
    store.put(unit("a"))

    assert (store.find().explain_url, store.find().contributors[0].url) == (None, None)


POLICY = AlertPolicy(name="my policy", severity="page", factor=Decimal(2), lookback=parse_window("2h"))


@pytest.mark.parametrize(
    ("fields", "alert", "window"),
    [
        ({}, {"severity": "page"}, "6h"),
        ({}, {"severity": "ticket"}, "3d"),
        ({}, {"severity": "other"}, "28d"),
        ({"alert_class": "count"}, {"severity": "ticket"}, "28d"),
        ({"window": Window(timedelta(days=1), "1d")}, {"severity": "ticket"}, "1d"),
        ({"window": CalendarWindow("month"), "alert_class": "count"}, {"severity": "ticket"}, "4d"),
        ({"alert_policies": (POLICY,)}, {"alertname": "PlatformSloPolicyMyPolicy"}, "2h"),
    ],
)
def test_the_window_is_the_alerts(store: Store, fields: dict[str, Any], alert: dict[str, str], window: str) -> None:
    """A burn alert looks back as far as its tiers, a policy as far as it says, a budget to its window's beginning."""
    store.slos = (an_slo(**fields),)

    assert store.find(an_alert(labels={"slo": "works", **alert})).window == window


def test_a_resolved_alert_looks_back_from_its_end(store: Store) -> None:
    """What happened after an alert was over did not contribute to it."""
    store.put(unit("before", at=NOW - 3 * HOUR), unit("after"))

    found = store.find(an_alert(status="resolved", starts_at=NOW - 4 * HOUR, ends_at=NOW - 2 * HOUR))

    assert [e.unit for e in found.events] == ["event before"]


def test_an_alert_of_something_else_has_no_contributors(store: Store) -> None:
    """Without an SLO that Paceline counts nothing is found, and nothing fails."""
    store.put(unit("a"))

    assert store.find(an_alert(labels={"alertname": "DiskFull"})) == Findings()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for many examples; each replaces what it holds."""
    database = Database.open(tmp_path_factory.mktemp("shared"))
    yield Store(database)
    database.close()


drawn = st.tuples(
    st.sampled_from(["api", "web"]),
    st.integers(-60 * 8, 5),
    st.sampled_from([Outcome.GOOD, Outcome.BAD, Outcome.PENDING, Outcome.EXCLUDED]),
    st.none() | st.integers(-60, 60),
)


@given(st.lists(drawn, max_size=20), st.sampled_from(["", "api"]))
def test_findings_agree_with_the_slo(
    shared: Store, units: list[tuple[str, int, Outcome, int | None]], service: str
) -> None:
    """Whatever the units, an alert counts the bad and all events that the SLO counts in the same window."""
    shared.slos = (an_slo(sli=IndicatorSli(indicator="success", service=service)),)
    shared.exclusions = (PLANNED,)
    shared.put(
        *(
            unit(
                f"u{n}",
                subject=Subject(whose, "production"),
                at=NOW + timedelta(minutes=minute),
                outcome=outcome,
                matures_at=None if ripe is None else NOW + timedelta(minutes=ripe),
            )
            for n, (whose, minute, outcome, ripe) in enumerate(units)
        )
    )

    found = shared.find()
    (state,) = evaluate(
        shared.observations, {"success": SUCCESS}, shared.slos, (FRESH,), NOW, TIERS, exclusions=(PLANNED,)
    ).slos

    expected = state.counts.get("6h", EventCounts())
    assert (found.bad, found.total) == (expected.bad, expected.total)
    assert sum(c.bad for c in found.contributors) == found.bad


# --- deployments -----------------------------------------------------------------------------------------


def test_the_last_deployments_before_an_alert_are_found(store: Store) -> None:
    """The three newest of the service that finished before the alert began, whatever their result."""
    store.slos = (an_slo(sli=IndicatorSli(indicator="success", service="api", environment="production")),)
    store.deploy(
        *(deployment(f"v{n}", minutes=30 * n) for n in range(1, 5)),
        deployment("after", minutes=0.5),
        deployment("failed", minutes=10, result=Result.FAILURE),
        deployment("other", service="web"),
        deployment("test", environment="test"),
    )

    assert labels(store.find()) == ["failed", "v1", "v2"]


def test_without_a_service_those_of_the_contributors_are_found(store: Store) -> None:
    """An SLO over all services: what was deployed of those that contribute."""
    store.put(unit("a"))
    store.deploy(deployment("api"), deployment("web", service="web"))

    assert labels(store.find()) == ["api"]


def test_an_alert_names_its_own_service(store: Store) -> None:
    """Also an alert that Paceline knows nothing about has deployments, by its labels `service` and `environment`."""
    store.deploy(deployment("live"), deployment("test", environment="test"))

    assert labels(store.find(an_alert(labels={"service": "api", "environment": "test"}))) == ["test"]


@pytest.mark.parametrize(("production", "found"), [("production", ["live"]), ("nothing", ["test", "live"])])
def test_without_an_environment_production_is_meant(store: Store, production: str, found: list[str]) -> None:
    """Deployments to other environments are left out, unless none is production."""
    store.organisation = Organisation(production=patterns((production,)))
    store.deploy(deployment("live"), deployment("test", environment="test", minutes=5))

    assert labels(store.find(an_alert(labels={"service": "api"}))) == found


def test_deployments_are_found_by_the_names_of_the_catalogue(store: Store) -> None:
    """A service is found by what its deployments call it."""
    store.organisation = Organisation(services=(Service(name="shop", deployed_as=patterns(("api-*",))),))
    store.deploy(deployment("1", service="api-eu"), deployment("2", service="web"))

    found = store.find(an_alert(labels={"service": "shop"})).deployments

    assert [(d.service, d.label) for d in found] == [("shop", "1")]


# --- text ------------------------------------------------------------------------------------------------

STATE = SloState(
    slo=an_slo(),
    status=SloStatus.AT_RISK,
    why="",
    counts={},
    attainment=0.9925,
    budget_remaining=0.25,
    budget_remaining_events=2.5,
    burn_rates={"1h": 14.0},
    time_to_exhaustion_seconds=7200.0,
    coverage=1.0,
    totals=None,
)
FINDINGS = Findings(
    slo=STATE,
    window="6h",
    bad=4,
    total=12,
    contributors=(
        Contributor(service="api", environment="production", reason="timeout", bad=3, total=10, url="https://p/1"),
    ),
    events=(
        BadEvent(at=NOW, service="api", environment="production", unit="deployment 1.2", reason="", url="https://c/2"),
    ),
    deployments=(
        Deployed(at=NOW - HOUR, service="api", environment="", result="success", label="1.2", url="ftp://no"),
    ),
    explain_url="https://paceline.example.com/explain/success",
)


def test_findings_become_sections() -> None:
    """Contributors with their share, the newest bad events, and how long before the alert was deployed."""
    found = enrich(an_alert(starts_at=NOW), FINDINGS)

    assert [(s.title, *s.lines) for s in found.sections] == [
        (
            "Top contributors: 4 of 12 events bad in 6h",
            Line(text="api/production (timeout): 3 of 10 bad, 75% of the bad ones", url="https://p/1"),
        ),
        ("Newest bad events", Line(text="2026-03-04 10:00 UTC api/production: deployment 1.2", url="https://c/2")),
        ("Last deployments before it", Line(text="60 min before, 2026-03-04 09:00 UTC: 1.2 of api, success")),
    ]


def test_the_state_of_the_slo_is_said() -> None:
    """Target, attainment, budget, how long it lasts, and status."""
    assert enrich(an_alert(), FINDINGS).state == (
        "It works: target 99.0% over 28d, attained 99.2%, error budget left 25%, used up in 2.0 h at this rate. "
        "Status: at risk."
    )


def test_nothing_found_is_the_alert_itself() -> None:
    """Without findings there is no empty section."""
    found = enrich(an_alert(annotations={"summary": "Disk is full", "description": "Free some."}), Findings())

    assert (found.title, found.description, found.state, found.sections) == ("Disk is full", "Free some.", "", ())


def test_a_resolved_alert_says_how_long_it_lasted() -> None:
    """Beginning, end and duration stand beside the labels."""
    alert = an_alert(status="resolved", starts_at=NOW - HOUR / 2, ends_at=NOW, labels={"alertname": "A", "slo": "s"})

    assert enrich(alert, Findings()).about == "A · slo s · 2026-03-04 09:30 UTC to 2026-03-04 10:00 UTC, 30 min"


def test_links_are_web_addresses_only() -> None:
    """Explanation, dashboard, runbook and source, where they are addresses a page may link to."""
    annotations = {
        "dashboard_url": "https://grafana.example.com/d/1",
        "runbook_url": "javascript:alert(1)",
        "explain_url": "https://elsewhere.example.com",
    }
    alert = an_alert(annotations=annotations, generator_url="http://prometheus:9090/graph")

    assert enrich(alert, FINDINGS).links == (
        Line(text="Explain", url="https://paceline.example.com/explain/success"),
        Line(text="Dashboard", url="https://grafana.example.com/d/1"),
        Line(text="Source", url="http://prometheus:9090/graph"),
    )


def test_the_alerts_own_explanation_stands_in() -> None:
    """Where nothing was found, the annotation of the rule leads to the explanation."""
    alert = an_alert(annotations={"explain_url": "https://elsewhere.example.com"})

    assert enrich(alert, Findings()).links == (Line(text="Explain", url="https://elsewhere.example.com"),)


def test_findings_are_json() -> None:
    """Programs are given the same as plain values."""
    found = as_json(enrich(an_alert(), FINDINGS))

    assert found["slo"]["error_budget_remaining_ratio"] == 0.25
    assert found["contributors"][0]["bad"] == 3
    assert found["deployments"][0]["at"] == "2026-03-04T09:00:00+00:00"


texts = st.text(max_size=40)


@given(texts, texts, texts, texts)
def test_every_line_is_one_line(service: str, reason: str, label: str, summary: str) -> None:
    """Whatever names and labels hold, titles and lines have no line break and no invisible sign."""
    findings = replace(
        FINDINGS,
        contributors=(replace(FINDINGS.contributors[0], service=service, reason=reason),),
        deployments=(replace(FINDINGS.deployments[0], label=label, result=reason),),
    )

    found = enrich(an_alert(annotations={"summary": summary}, labels={"slo": label}), findings)

    said = [found.title, found.about, *(line.text for s in found.sections for line in s.lines)]
    assert [text for text in said if not text.isprintable()] == []
