"""Use of the platform, case by case: times are days after the start, numbers are of the 28 days up to day 100."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from source_states import source_state

from collector.events import UsageEvent
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore, ObservationStore
from slo_engine.derive import Derived, derive
from slo_engine.evaluate import Evaluator
from slo_engine.identities import Identities
from slo_engine.indicator import Indicator
from slo_engine.indicators import adoption
from slo_engine.indicators.adoption import (
    ACTIVE_USERS,
    ACTIVE_USERS_RETENTION,
    CAPABILITY_ADOPTION,
    AdoptionOptions,
    Offer,
)
from slo_engine.measure import OUTCOME_CODES, Measured, Sample
from slo_engine.observation import Observation, Subject, labelled, to_micros
from slo_engine.organisation import Organisation, Service
from slo_engine.plain_events import PlainEvents

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NOBODY = Organisation()
SHOP = Organisation(
    services=(
        Service(name="api", team="/commerce/checkout", components=patterns(["shop-api"])),
        Service(name="web", team="/commerce/web"),
        Service(name="lake", team="/data"),
        Service(name="etl", team="/data"),
    ),
    platform_teams=patterns(["/platform"]),
)
PORTAL = source_state("portal", events_total=0)


def use(person: str | None, day: float = 90, capability: str = "preview", **more: Any) -> UsageEvent:
    """A use of a capability by a person of that name."""
    fields: dict[str, Any] = {"source": "portal", "native_id": f"{person}/{day}/{capability}", "capability": capability}
    fields |= {"person": None if person is None else f"person:{person}", "at": START + day * DAY}
    return UsageEvent(**{**fields, **more})


def by(service: str, day: float = 90, capability: str = "preview", **more: Any) -> UsageEvent:
    """A use of a capability by a service."""
    return use(None, day, capability, **{"service": service, "native_id": f"{service}/{day}/{capability}", **more})


def observed(*uses: UsageEvent, organisation: Organisation = SHOP) -> list[Observation]:
    """The units of all indicators; each person, service or team once a day, capability and judgement."""
    found = sorted(
        adoption.observe(PlainEvents(uses), organisation),
        key=lambda o: (o.indicator, o.dimension, o.subject, o.source, o.at, o.unit),
    )
    keys = [(o.indicator, o.dimension, o.subject, o.source, (o.at - START) // DAY, o.unit) for o in found]
    assert len(keys) == len(set(keys))
    return found


def measured(
    indicator: Indicator, *uses: UsageEvent, organisation: Organisation = SHOP, team: str = "", method: str = ""
) -> Measured:
    """The number of an indicator in the 28 days up to day 100, of a team and those below it."""
    known = [o for o in observed(*uses, organisation=organisation) if o.indicator == indicator.observed_as]
    end = START + 100 * DAY
    reach = [o for o in known if end - 56 * DAY < o.at <= end]
    reach = [o for o in reach if o.subject.team.startswith(team) and method in o.dimension]
    dimensions, units = sorted({o.dimension for o in reach}), sorted({o.unit for o in reach})
    assert indicator.measure is not None
    return indicator.measure(
        Sample(
            after=to_micros(end - 28 * DAY),
            until=to_micros(end),
            now=to_micros(end),
            subject=Subject(team=team),
            organisation=organisation,
            at=np.array([to_micros(o.at) for o in reach], dtype=np.int64),
            value=np.array([o.value for o in reach], dtype=np.float64),
            outcome=np.array([OUTCOME_CODES[o.outcome] for o in reach], dtype=np.int16),
            matures_at=np.full(len(reach), -(2**62)),
            unit=np.array([units.index(o.unit) for o in reach], dtype=np.int64),
            dimension=np.array([dimensions.index(o.dimension) for o in reach], dtype=np.int64),
            dimensions=dimensions,
        )
    )


# --- active users ----------------------------------------------------------------------------------------


def test_a_person_is_active_once_however_often() -> None:
    """Three days, two capabilities, one of them twice a day: one active user."""
    uses = [use("a", 90), use("a", 90.5), use("a", 91), use("a", 90, "deploy"), use("b", 99)]

    assert measured(ACTIVE_USERS, *uses).stats == {"value": 2.0}


def test_what_lies_outside_the_window_is_not_active() -> None:
    """Of the 28 days up to day 100: day 71 is before them, day 101 after."""
    assert measured(ACTIVE_USERS, use("a", 71), use("b", 101), use("c", 73)).n == 1


def test_a_day_of_use_is_one_unit() -> None:
    """Dated at its first event, which is the evidence; the value counts all of the UTC day."""
    first, again, next_day = use("a", 90.25), use("a", 90.5, count=4), use("a", 91.0)

    found = [o for o in observed(again, next_day, first) if o.indicator == "active_users"]

    assert [(o.unit, o.at, o.value) for o in found] == [
        ("person:a", first.at, 5.0),
        ("person:a", next_day.at, 1.0),
    ]
    assert found[0].evidence == (first.id,)


def test_two_accounts_of_one_person_are_one_user() -> None:
    """The reviewed list says which accounts are one person."""
    organisation = Organisation(identities=Identities(people={"person:b": "person:a"}))

    assert measured(ACTIVE_USERS, use("a"), use("b"), organisation=organisation).n == 1


def test_bots_are_never_active() -> None:
    """By their event or by the list; a person that the list names is none, whatever the event says."""
    organisation = Organisation(identities=Identities(bots=frozenset({"person:b"}), humans=frozenset({"person:c"})))

    found = measured(ACTIVE_USERS, use("a", bot=True), use("b"), use("c", bot=True), organisation=organisation)

    assert (found.n, found.excluded) == (1, {"bot": 2})


def test_the_platform_s_own_team_is_no_user() -> None:
    """Who builds the platform does not adopt it, unless the option says otherwise."""
    told = Organisation(platform_teams=SHOP.platform_teams, options=(AdoptionOptions(platform_team=True),))
    uses = [use("a", team="/platform/ci"), use("b", team="commerce")]

    found = measured(ACTIVE_USERS, *uses)

    assert (found.n, found.excluded) == (1, {"platform_team": 1})
    assert measured(ACTIVE_USERS, *uses, organisation=told).n == 2


@pytest.mark.parametrize(
    ("action", "counts"), [(None, True), ("create", True), ("login", False), ("view", False), ("view-logs", True)]
)
def test_looking_is_no_use(action: str | None, counts: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """By default everything but logging in and looking counts."""
    found = measured(ACTIVE_USERS, use("a", action=action))

    assert (found.n, found.excluded) == ((1, {}) if counts else (0, {"not_eligible": 1}))


def test_what_is_meaningful_can_be_told() -> None:
    """Rules name capabilities and their actions."""
    told = Organisation(options=(AdoptionOptions(meaningful=("deploy/*", "preview/create")),))
    uses = [
        use("a", action="create"),
        use("b", action="delete"),
        use("c", capability="deploy"),
        use("d", capability="x"),
    ]

    assert measured(ACTIVE_USERS, *uses, organisation=told).n == 2


def test_uses_by_nobody_known_are_counted_beside() -> None:
    """A use that names neither a person nor a service makes nobody active and lowers the coverage."""
    found = measured(ACTIVE_USERS, use("a"), use(None), use(None, 91))

    assert (found.n, found.excluded, found.coverage) == (1, {"unknown": 1}, 0.5)


def test_a_service_is_no_person() -> None:
    """What only a service did is no use by somebody unknown."""
    assert measured(ACTIVE_USERS, use("a"), by("api")) == Measured(1, {"value": 1.0}, coverage=1.0)


@pytest.mark.parametrize("count", [0, -2])
def test_a_use_that_did_not_happen_is_set_aside(count: int) -> None:
    """Nought times, or fewer, is no use."""
    assert measured(ACTIVE_USERS, use("a", count=count)).excluded == {"impossible": 1}


def test_nobody_has_no_value() -> None:
    """Without any use there is nothing to say."""
    assert measured(ACTIVE_USERS) == Measured(0)


# --- retention -------------------------------------------------------------------------------------------


def test_retention_is_of_those_active_before() -> None:
    """Active in days 45 to 72: a, b, c; of them a and c are active in days 73 to 100. d is new: 2 of 3."""
    before = [use("a", 50), use("b", 60), use("c", 70), use("a", 51)]

    found = measured(ACTIVE_USERS_RETENTION, *before, use("a", 80), use("c", 99), use("d", 99))

    assert found.n == 3
    assert found.stats["value"] == pytest.approx(2 / 3)
    assert found.stats["low"] == pytest.approx(0.2077, abs=1e-4)
    assert found.stats["high"] == pytest.approx(0.9385, abs=1e-4)


def test_without_anybody_before_there_is_no_retention() -> None:
    """New users alone retain nobody."""
    assert measured(ACTIVE_USERS_RETENTION, use("a", 99)) == Measured(0)


# --- adoption --------------------------------------------------------------------------------------------


def test_adoption_is_of_the_services_of_the_catalogue() -> None:
    """2 of 4 services used it, one of them under another name; who is no service of the catalogue is counted beside."""
    found = measured(CAPABILITY_ADOPTION, by("shop-api"), by("api", 91), by("lake"), by("ghost"))

    assert (found.n, found.stats["value"], found.excluded) == (4, 0.5, {"not_eligible": 1})
    assert found.stats["low"] == pytest.approx(0.1500, abs=1e-4)
    assert found.stats["high"] == pytest.approx(0.8500, abs=1e-4)


def test_adoption_of_a_team_is_of_its_services() -> None:
    """Of /commerce's two services one used it, of /data's two none is among them."""
    found = measured(CAPABILITY_ADOPTION, by("api"), by("lake"), team="/commerce")

    assert (found.n, found.stats["value"], found.excluded) == (2, 0.5, {})


def test_a_capability_may_be_for_some_services_only() -> None:
    """Pipelines of data are for two of the services: one of two, and the one it is not for is counted beside."""
    offers = (Offer(capability="pipe*", services=("lake", "e*")), Offer(capability="*", services=("*",)))
    told = Organisation(services=SHOP.services, options=(AdoptionOptions(offers=offers),))

    found = measured(CAPABILITY_ADOPTION, by("lake", 90, "pipes"), by("api", 90, "pipes"), organisation=told)

    assert (found.n, found.stats["value"], found.excluded) == (2, 0.5, {"not_eligible": 1})


def test_without_a_catalogue_there_is_no_adoption() -> None:
    """Nobody knows of how many services it would be a share."""
    assert measured(CAPABILITY_ADOPTION, by("api"), organisation=NOBODY) == Measured(0, excluded={"not_eligible": 1})


def test_adoption_by_teams_stands_beside_on_request() -> None:
    """A team uses what one of its services or people uses: 2 of the 3 teams of the catalogue."""
    told = Organisation(services=SHOP.services, options=(AdoptionOptions(teams=True),))
    uses = [by("api"), use("a", 91, team="data/"), use("b", 92, team="/data")]

    found = measured(CAPABILITY_ADOPTION, *uses, organisation=told, method="teams")

    assert found.n == 3
    assert found.stats["value"] == pytest.approx(2 / 3)


def test_a_person_s_use_for_a_service_is_the_service_s_too() -> None:
    """Who acts for a service makes it a user, and is one."""
    found = observed(use("a", service="api", team="/commerce"))

    assert {(o.indicator, o.unit, o.subject.team) for o in found} == {
        ("active_users", "person:a", "/commerce"),
        ("capability_adoption", "api", "/commerce/checkout"),
    }


def test_a_bot_acts_for_its_service() -> None:
    """What a pipeline does is no person's use, and the service's."""
    assert measured(CAPABILITY_ADOPTION, use("ci", bot=True, service="api")).stats["value"] == 0.25


# --- laws ------------------------------------------------------------------------------------------------

_uses = st.builds(
    lambda name, person, day, service, capability, action, bot, count: use(
        person,
        day / 4,
        capability,
        native_id=str(name),
        service=service,
        action=action,
        bot=bot,
        count=count,
        team=None if person == "a" else "/commerce",
        updated_at=START + day * DAY,
    ),
    st.integers(0, 9),
    st.sampled_from(["a", "b", "c", None]),
    st.integers(300, 320),
    st.sampled_from(["api", "web", None]),
    st.sampled_from(["preview", "deploy"]),
    st.sampled_from(["view", None]),
    st.booleans(),
    st.integers(0, 2),
)
EVERYTHING = Organisation(services=SHOP.services, options=(AdoptionOptions(teams=True),))


@given(st.lists(_uses, max_size=9), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(uses: list[UsageEvent], random: Any) -> None:
    """The same events give the same units whatever their order, and however often they come."""
    known = list(PlainEvents(uses).events(UsageEvent))
    again = [*known, *known]
    random.shuffle(again)

    assert observed(*again, organisation=EVERYTHING) == observed(*known, organisation=EVERYTHING)


@given(st.lists(_uses, max_size=9))
def test_every_use_is_counted_somewhere(uses: list[UsageEvent]) -> None:
    """What people did, or nobody known, adds up in the units, used or set aside."""
    known = list(PlainEvents(uses).events(UsageEvent))

    found = [o for o in observed(*known) if o.indicator == "active_users"]

    assert sum(o.value or 0.0 for o in found) == sum(u.count for u in known if u.person or not u.service)


def derived(database: Database, uses: list[UsageEvent], organisation: Organisation = EVERYTHING) -> Derived:
    """Write events and derive what they touch."""
    events = EventStore(database)
    with database.transaction() as transaction:
        events.write(transaction, uses)
    return derive([adoption.FAMILY], events, DerivationStore(database), organisation)


def stored(database: Database) -> list[tuple[Any, ...]]:
    """What is stored, in order."""
    store = ObservationStore(database)
    names = ("at", "unit", "value", "outcome", "reason", "evidence")
    places = {n: (s.indicator, s.dimension, s.team) for n, s in store.series().items()}
    rows = [row for chunk in store.since(dict.fromkeys(places, -(2**62)), *names) for row in chunk]
    return sorted((*places[row[0]], *row[1:]) for row in rows)


@settings(max_examples=examples(20), deadline=None)
@given(st.lists(st.lists(_uses, min_size=1, max_size=3), min_size=1, max_size=6))
def test_one_after_the_other_gives_what_all_at_once_gives(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory, batches: list[list[UsageEvent]]
) -> None:
    """Events that come late, again, corrected or at another time: the days are the same."""
    one, all_at_once = (tmp_path_factory.mktemp(name) for name in ("one", "all"))
    found = []
    for folder, parts in ((one, batches), (all_at_once, [[u for b in batches for u in b]])):
        shutil.copy(migrated, folder / "paceline.db")
        database = Database.open(folder)
        for part in parts:
            derived(database, part)
        found.append(stored(database))
        database.close()

    assert found[0] == found[1]


SEQUENCES = {
    "a use is told of late": [[use("a", 80), use("b", 90)], [use("c", 70)]],
    "a use is dated anew": [[use("a", 80), use("b", 90)], [use("a", 95, native_id="a/80/preview", updated_at=START)]],
    "a use was of another capability": [
        [use("a", 80), use("b", 90)],
        [use("a", 80, "deploy", native_id="a/80/preview", updated_at=START)],
    ],
    "a day goes on": [[use("a", 80)], [use("a", 80.5)], [use("b", 80.6)], [use("a", 80.7, count=3)]],
}
"""Uses in the order in which they come."""


@pytest.mark.parametrize("batches", SEQUENCES.values(), ids=SEQUENCES)
def test_what_comes_later_may_concern_what_came_before(
    database: Database, migrated: Path, tmp_path: Path, batches: list[list[UsageEvent]]
) -> None:
    """Derived one after the other, days are as if all events had been there from the beginning."""
    (tmp_path / "whole").mkdir()
    shutil.copy(migrated, tmp_path / "whole" / "paceline.db")
    whole = Database.open(tmp_path / "whole")
    for batch in batches:
        derived(database, batch)
    derived(whole, [u for batch in batches for u in batch])
    expected = stored(whole)
    whole.close()

    assert stored(database) == expected


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Iterator[Database]:
    """A store of its own."""
    shutil.copy(migrated, tmp_path / "paceline.db")
    opened = Database.open(tmp_path)
    yield opened
    opened.close()


def test_a_new_use_replaces_only_its_day(database: Database) -> None:
    """Of ninety days of two capabilities one day of one is derived again."""
    derived(database, [use("a", d, c) for d in range(90) for c in ("preview", "deploy")])

    done = derived(database, [use("b", 89.5)])

    assert (done.pieces, done.observations) == (1, 1)


def test_a_service_that_moves_to_another_team_takes_its_use_along(database: Database) -> None:
    """With the next event of the capability the catalogue's team of today counts for the past, too."""
    derived(database, [by("api", 10)])
    services = (replace(SHOP.services[0], team="/data"), *SHOP.services[1:])
    moved = replace(EVERYTHING, services=services)

    derived(database, [by("api", 90)], moved)

    teams = {row[2] for row in stored(database) if row[1] == labelled("preview", "services", "api")}
    assert teams == {"/data"}


def test_use_has_its_numbers(database: Database) -> None:
    """From events to numbers, for the organisation and each of its teams, by capability and all together."""
    uses = [use(p, d, team="/commerce/checkout") for p in "abcdef" for d in (50, 90)]
    more = [use(p, 90, "deploy", team="/data") for p in "ghijkl"]
    derived(database, [*uses, *more, by("api"), by("lake")])
    indicators = {i.name: i for i in (ACTIVE_USERS, ACTIVE_USERS_RETENTION, CAPABILITY_ADOPTION)}

    snapshot = Evaluator(ObservationStore(database)).evaluate(
        indicators, (), [PORTAL], START + 100 * DAY, organisation=EVERYTHING
    )

    found = {(n.indicator, n.subject.team, n.dimension): n for n in snapshot.numbers if n.window == "28d"}
    assert found["active_users", "/", ""].stats == {"value": 12.0}
    assert found["active_users", "/", "deploy"].stats == {"value": 6.0}
    assert found["active_users", "/commerce", ""].stats == {"value": 6.0}
    assert found["active_users_retention", "/", ""].stats["value"] == 1.0
    assert found["capability_adoption", "/", labelled("preview", "services")].stats["value"] == 0.5
    assert found["capability_adoption", "/data", labelled("preview", "services")].stats["value"] == 0.5
