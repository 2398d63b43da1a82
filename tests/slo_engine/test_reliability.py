"""Uptime, case by case: times are minutes after the start of a day, slots are numbered from there."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from collector.events import Probe
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore, ObservationStore
from slo_engine.derive import Derived, derive
from slo_engine.indicators import reliability
from slo_engine.indicators.reliability import ReliabilityOptions, ServiceUptime
from slo_engine.observation import Observation, Subject
from slo_engine.organisation import Organisation, Service
from slo_engine.plain_events import PlainEvents

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LAST_MOMENT = timedelta(microseconds=1)
BRIEF = ReliabilityOptions(ahead=timedelta(minutes=2))
USUAL = Organisation(options=(BRIEF,))


def probe(name: str, minute: float, passed: int = 1, checks: int = 1, **more: Any) -> Probe:
    """A report of checks that begins at a minute, of `api` in production."""
    fields = {"source": "prober", "native_id": name, "service": "api", "at": START + minute * MINUTE}
    return Probe(**{**fields, "passed": passed, "checks": checks, **more})


def slots(*probes: Probe, organisation: Organisation = USUAL) -> dict[int, str]:
    """For each slot how it was judged: its reason or outcome."""
    return {number(o): o.reason or str(o.outcome) for o in observed(*probes, organisation=organisation)}


def observed(*probes: Probe, organisation: Organisation = USUAL) -> list[Observation]:
    """The slots in the order of time; each is judged once in its environment."""
    found = sorted(reliability.observe(PlainEvents(probes), organisation), key=lambda o: (o.subject, o.at))
    judged = [(o.subject, o.at) for o in found if o.reason != "impossible"]
    assert len(judged) == len(set(judged))
    return found


def number(observation: Observation) -> int:
    """Which slot of the day an observation is of."""
    return (observation.at - START) // MINUTE


# --- one slot --------------------------------------------------------------------------------------------


def test_a_slot_is_up_if_enough_of_its_checks_passed() -> None:
    """With the usual share of a half, 1 of 2 is enough and 1 of 3 is not."""
    found = slots(probe("a", 0, 1, 2), probe("b", 1, 1, 3), probe("c", 2, 0, 1), probe("d", 3, 3, 3))

    assert [found[n] for n in range(4)] == ["good", "bad", "bad", "good"]


def test_all_targets_and_sources_of_a_slot_decide_together() -> None:
    """Two of three checks passed, whoever made them where → up; the failed one alone would be down."""
    checks = [
        probe("a", 0.1, 0, 1, target="eu"),
        probe("b", 0.5, 1, 1, target="us"),
        probe("c", 0.9, 1, 1, source="other"),
    ]

    (slot, *_) = observed(*checks)

    assert (slot.outcome, slot.source, slot.rule) == ("good", "other+prober", "3 reports")
    assert slots(checks[0])[0] == "bad"


def test_the_share_that_must_pass_is_exact() -> None:
    """55 % of 20 is 11: eleven passed are up, though 0.55 · 20 is a little more than 11 in floating point."""
    strict = Organisation(options=(ReliabilityOptions(pass_share=0.55),))

    found = slots(probe("a", 0, 11, 20), probe("b", 1, 10, 20), organisation=strict)

    assert (found[0], found[1]) == ("good", "bad")


def test_a_service_may_have_a_share_of_its_own() -> None:
    """The first rule that fits a service's name decides, for others the usual share."""
    own = (ServiceUptime(service="api", pass_share=1.0), ServiceUptime(service="*", pass_share=0.1))
    told = Organisation(options=(ReliabilityOptions(services=own, ahead=MINUTE),))

    found = observed(probe("a", 0, 9, 10), probe("b", 0, 1, 10, service="web"), organisation=told)

    judged = {o.subject.service: str(o.outcome) for o in found if not o.reason}
    assert judged == {"api": "bad", "web": "good"}


def test_a_slot_is_dated_at_its_last_moment() -> None:
    """A slot counts once it is over, and lies in an hour that is left out from its start to its end."""
    (slot, *_) = observed(probe("a", 3.4))

    assert slot.at == START + 4 * MINUTE - LAST_MOMENT


def test_seconds_within_a_minute_are_one_slot() -> None:
    """A check every ten seconds makes six of one minute, and one slot of them."""
    found = slots(*(probe(str(n), n / 6, passed=int(n > 2)) for n in range(6)))

    assert [n for n, judged in found.items() if judged == "good"] == [0]


# --- reports over several minutes ------------------------------------------------------------------------


def test_a_report_over_an_hour_says_the_same_of_each_of_its_minutes() -> None:
    """60 checks in an hour of which 59 passed: sixty slots are up."""
    found = slots(probe("a", 0, 59, 60, duration_seconds=3600))

    assert [n for n, judged in found.items() if judged == "good"] == list(range(60))


@pytest.mark.parametrize(
    ("seconds", "covered"), [(0, 1), (30, 1), (60, 1), (89, 1), (90, 2), (119, 2), (3_599.5, 60), (86_400, 1440)]
)
def test_a_report_covers_whole_minutes(seconds: float, covered: int) -> None:
    """The minute it begins in, and as many as it lasts for, to the nearest."""
    found = slots(probe("a", 0.7, duration_seconds=seconds))

    assert [n for n, judged in found.items() if judged == "good"] == list(range(covered))


def test_a_long_report_brings_each_minute_its_part_of_the_checks() -> None:
    """Two minutes with 2 failed checks bring 1 to each; beside 3 of 4 in the first: 3 of 5, then 0 of 1."""
    long, short = probe("a", 0, 0, 2, duration_seconds=120), probe("b", 0, 3, 4)

    found = slots(long, short)

    assert (found[0], found[1]) == ("good", "bad")


def test_minutes_of_one_report_are_units_of_their_own() -> None:
    """Each slot has its own name, so that none is taken for another, and all lead to the report."""
    report = probe("a", 0, duration_seconds=180)

    found = observed(report)[:3]

    assert [o.unit for o in found] == [report.id, f"{report.id[:16]}+1", f"{report.id[:16]}+2"]
    assert [o.evidence for o in found] == [(), (report.id,), (report.id,)]


def test_a_slot_that_is_down_names_the_reports_that_failed() -> None:
    """Two of three failed: these are the evidence, the unit is the first report."""
    reports = [probe("a", 0.1), probe("b", 0.2, 0), probe("c", 0.3, 0)]

    (slot, *_) = observed(*reports)

    assert (slot.unit, slot.evidence) == (reports[0].id, (reports[1].id, reports[2].id))


# --- what is not known -----------------------------------------------------------------------------------


def test_a_silent_prober_makes_slots_unknown() -> None:
    """Prober down for an hour → 60 slots unknown: neither up nor down; coverage drops."""
    found = slots(probe("a", 0), probe("b", 61))

    assert [n for n, judged in found.items() if judged == "unknown"] == [*range(1, 61), 62, 63]
    assert [n for n, judged in found.items() if judged == "good"] == [0, 61]


def test_slots_are_unknown_while_the_prober_is_silent() -> None:
    """After the last check the next slots are unknown too, as far as the option says, and not before the first."""
    assert slots(probe("a", 5)) == {5: "good", 6: "unknown", 7: "unknown"}


def test_of_a_long_silence_only_so_much_is_counted() -> None:
    """A prober that comes back after years makes as many unknown slots as the option says, and no more."""
    told = Organisation(options=(ReliabilityOptions(ahead=MINUTE, longest_gap=timedelta(minutes=10)),))

    found = slots(probe("a", 0), probe("b", 1_000_000), organisation=told)

    assert sorted(found) == [*range(11), 1_000_000, 1_000_001]


def test_each_environment_has_its_own_slots() -> None:
    """Checks in staging say nothing of production, which is what is meant where no environment is named."""
    found = observed(probe("a", 0, 0, environment="staging"), probe("b", 0))

    judged = {o.subject: str(o.outcome) for o in found if not o.reason}
    assert judged == {Subject("api", "staging"): "bad", Subject("api", "production"): "good"}


def test_the_catalogue_names_the_service() -> None:
    """What a prober calls `shop-api` is the catalogue's `api`."""
    organisation = Organisation(services=(Service(name="api", components=patterns(["shop-*"])),), options=(BRIEF,))

    found = observed(probe("a", 0, service="shop-api"), probe("b", 1), organisation=organisation)

    assert {o.subject.service for o in found} == {"api"}


# --- what cannot be --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passed", "checks", "seconds"), [(2, 1, 60), (-1, 1, 60), (0, 0, 60), (0, -1, 60), (1, 1, 86_431)]
)
def test_what_cannot_be_is_set_aside_and_counted(passed: int, checks: int, seconds: float) -> None:
    """Good exceeds total, or bad is negative → it decides nothing, its slot is unknown, and it is counted."""
    odd = probe("b", 1, passed, checks, duration_seconds=seconds)

    found = observed(probe("a", 0), odd, probe("c", 2))

    by_reason = [(number(o), o.reason or str(o.outcome)) for o in found]
    assert sorted(by_reason) == [
        (0, "good"),
        (1, "impossible"),
        (1, "unknown"),
        (2, "good"),
        (3, "unknown"),
        (4, "unknown"),
    ]


def test_beside_what_cannot_be_the_others_decide() -> None:
    """A good report and an impossible one in a minute: the slot is up, the other one is counted."""
    found = observed(probe("a", 0), probe("b", 0, 5, 1))

    assert sorted((number(o), o.reason or str(o.outcome)) for o in found)[:2] == [(0, "good"), (0, "impossible")]


# --- laws ------------------------------------------------------------------------------------------------

_reports = st.builds(
    lambda name, hour, minute, passed, minutes, environment: probe(
        str(name),
        hour * 60 + minute,
        passed,
        2,
        duration_seconds=minutes * 60.0,
        environment=environment,
        updated_at=START + timedelta(hours=hour, minutes=minute + passed),
    ),
    st.integers(0, 9),
    st.integers(0, 72),
    st.integers(0, 3),
    st.integers(-1, 3),
    st.sampled_from([0, 1, 3, 200]),
    st.sampled_from(["staging", None]),
)


@given(st.lists(_reports, max_size=8), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(reports: list[Probe], random: Any) -> None:
    """The same reports give the same slots whatever their order, and however often they come."""
    known = list(PlainEvents(reports).events(Probe))
    again = [*known, *known]
    random.shuffle(again)

    assert observed(*again) == observed(*known)


@given(st.lists(_reports, max_size=8))
def test_every_slot_that_is_checked_is_judged(reports: list[Probe]) -> None:
    """Good, bad and left out: all minutes that a usable report covers are judged, and no other is good or bad."""
    known = list(PlainEvents(reports).events(Probe))
    covered = {
        (r.environment or "production", (r.at - START) // MINUTE + n)
        for r in known
        if 0 <= r.passed <= r.checks
        for n in range(max(1, round(r.duration_seconds / 60)))
    }

    found = observed(*known)

    assert {(o.subject.environment, number(o)) for o in found if not o.reason} == covered
    assert sum(o.reason == "impossible" for o in found) == sum(not 0 <= r.passed <= r.checks for r in known)


def derived(database: Database, reports: Iterable[Probe]) -> Derived:
    """Write reports and derive what they touch."""
    events = EventStore(database)
    with database.transaction() as transaction:
        events.write(transaction, reports)
    return derive([reliability.FAMILY], events, DerivationStore(database), USUAL)


def stored(database: Database) -> list[tuple[Any, ...]]:
    """What is stored of each slot, in the order of time."""
    store = ObservationStore(database)
    names = ("at", "unit", "outcome", "reason", "rule", "evidence")
    places = {n: (s.service, s.environment, s.source) for n, s in store.series("uptime").items()}
    rows = [row for chunk in store.since(dict.fromkeys(places, -(2**62)), *names) for row in chunk]
    return sorted((*places[row[0]], *row[1:]) for row in rows)


@settings(max_examples=examples(20), deadline=None)
@given(st.lists(st.lists(_reports, min_size=1, max_size=4), min_size=1, max_size=6))
def test_one_after_the_other_gives_what_all_at_once_gives(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory, batches: list[list[Probe]]
) -> None:
    """Reports that come late, again, corrected, in another environment or at another time: the slots are the same."""
    one, all_at_once = (tmp_path_factory.mktemp(name) for name in ("one", "all"))
    found = []
    for folder, parts in ((one, batches), (all_at_once, [[r for b in batches for r in b]])):
        shutil.copy(migrated, folder / "paceline.db")
        database = Database.open(folder)
        for part in parts:
            derived(database, part)
        found.append(stored(database))
        database.close()

    assert found[0] == found[1]


HOURS = [probe(f"h{h}", 60 * h, 60, 60, duration_seconds=3600) for h in range(24)]
SEQUENCES = {
    "another environment comes back after hours": [
        [*HOURS, probe("s", 0, environment="staging")],
        [probe("t", 24 * 60, environment="staging")],
    ],
    "a check within a report that began long ago": [
        [probe("day", 0, 9, 9, duration_seconds=86_400)],
        [probe("a", 1_300, 0)],
    ],
    "a check is dated anew": [[*HOURS, probe("a", 300.5, 0)], [probe("a", 1_400.5, 0, updated_at=START)]],
    "a check is of another environment": [
        [*HOURS, probe("a", 1_430, 0, environment="staging")],
        [probe("a", 1_430, 0, updated_at=START)],
    ],
    "a check is of another service": [
        [*HOURS, probe("a", 300.5, 0)],
        [probe("a", 300.5, 0, service="web", updated_at=START)],
    ],
    "a check comes very late": [HOURS, [probe("a", 30, 0)]],
    "checks come back after a silence": [HOURS, [probe("a", 30 * 60)], [probe("b", 40 * 60)], [probe("c", 41 * 60)]],
}
"""Reports in the order in which they come, that a state must not be trusted with."""


@pytest.mark.parametrize("batches", SEQUENCES.values(), ids=SEQUENCES)
def test_what_comes_later_may_concern_what_came_before(
    database: Database, migrated: Path, tmp_path: Path, batches: list[list[Probe]]
) -> None:
    """Derived one after the other, slots are as if all reports had been there from the beginning."""
    (tmp_path / "whole").mkdir()
    shutil.copy(migrated, tmp_path / "whole" / "paceline.db")
    whole = Database.open(tmp_path / "whole")
    for batch in batches:
        derived(database, batch)
    derived(whole, [r for batch in batches for r in batch])
    expected = stored(whole)
    whole.close()

    assert stored(database) == expected


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Any:
    """A store of its own."""
    shutil.copy(migrated, tmp_path / "paceline.db")
    opened = Database.open(tmp_path)
    yield opened
    opened.close()


def test_a_new_check_replaces_only_what_follows_it(database: Database) -> None:
    """Three days are derived; a further minute changes its own slot and the last one ahead."""
    hours = [probe(str(h), 60 * h, 60, 60, duration_seconds=3600) for h in range(72)]
    derived(database, hours)

    done = derived(database, [probe("new", 72 * 60)])

    assert (done.pieces, done.observations) == (1, 3)


def test_only_the_services_with_new_checks_are_derived(database: Database) -> None:
    """Another service's check leaves this one alone."""
    derived(database, [probe("a", 0), probe("b", 0, service="web")])

    assert derived(database, [probe("c", 0, 0, service="web")]).pieces == 1
