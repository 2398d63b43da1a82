"""Team autonomy, case by case: times are hours after the start of a day."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from msgspec.structs import replace as replaced

from collector.events import Deployment, Event, Member, MemberKind, Result, Ticket, TicketState
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore
from slo_engine.derive import derive
from slo_engine.identities import Identities
from slo_engine.indicator import Asked
from slo_engine.indicators import autonomy
from slo_engine.indicators.autonomy import AutonomyOptions
from slo_engine.observation import Observation, Row, Subject, as_observation
from slo_engine.organisation import Organisation, Service
from slo_engine.plain_events import PlainEvents

START = datetime(2026, 1, 5, tzinfo=UTC)
ANN, BOB = "person:ann", "person:bob"
ORGANISATION = Organisation(
    services=(
        Service(name="shop", team="/commerce", deployed_as=patterns(["shop-*"])),
        Service(name="dns", team="/it"),
    ),
    platform_teams=patterns(["/it"]),
    options=(AutonomyOptions(queues=("platform",)),),
)


def at(hours: float) -> datetime:
    """A time in hours after the start."""
    return START + timedelta(hours=hours)


def deployment(name: str, finished: float, **more: Any) -> Deployment:
    """A successful production deployment of the shop by its own team."""
    fields: dict[str, Any] = {
        "source": "cd",
        "native_id": name,
        "service": "shop",
        "environment": "production",
        "finished_at": at(finished),
        "result": Result.SUCCESS,
        "actor": ANN,
        "actor_team": "/commerce",
    }
    return Deployment(**(fields | more))


def ticket(name: str, created: float, **more: Any) -> Ticket:
    """A ticket in the platform's queue."""
    fields: dict[str, Any] = {
        "source": "desk",
        "native_id": name,
        "queue": "platform",
        "state": TicketState.OPEN,
        "created_at": at(created),
    }
    return Ticket(**(fields | more))


def member(person: str, team: str, start: float, **more: Any) -> Member:
    """A stay on the roster."""
    fields: dict[str, Any] = {
        "source": "hr",
        "native_id": f"{person}@{start}",
        "person": person,
        "team": team,
        "member_kind": MemberKind.HIRE,
        "started_at": at(start),
    }
    return Member(**(fields | more))


def observed(*events: Event, organisation: Organisation = ORGANISATION) -> list[Observation]:
    """The observations in the order of their times."""
    return sorted(autonomy.observe(PlainEvents(events), organisation), key=lambda o: (o.at, o.unit))


def verdicts(*events: Event, organisation: Organisation = ORGANISATION) -> list[tuple[str, str]]:
    """How each deployment was judged: its reason or outcome, and the rule."""
    return [(o.reason or str(o.outcome), o.rule) for o in observed(*events, organisation=organisation)]


def test_a_deployment_by_the_own_team_is_autonomous() -> None:
    """Nobody of the platform's team had a hand in it; it is the service's, dated when it finished."""
    (found,) = observed(deployment("1", 10))

    assert (str(found.outcome), found.at, found.subject) == ("good", at(10), Subject("shop", "production"))


def test_a_deployment_by_the_platform_s_team_is_not() -> None:
    """Whoever of the team, or of a team below, made it."""
    assert verdicts(deployment("1", 10, actor_team="it/runtime")) == [("bad", "actor")]


def test_a_bot_of_another_team_is_autonomous() -> None:
    """Nobody had to be asked: a machine did it."""
    assert verdicts(deployment("1", 10, actor_team=None, bot=True)) == [("good", "bot")]


def test_a_bot_of_the_platform_s_team_is_the_platform_s_team() -> None:
    """What the platform's team rolls out to everybody is its own doing, by whatever account."""
    assert verdicts(deployment("1", 10, actor_team="/it", bot=True)) == [("bad", "actor")]


def test_a_linked_ticket_asked_for_it() -> None:
    """The deployment names the ticket, or the ticket the deployment, by id or by address."""
    events = (
        deployment("d-1", 10, links=("PLAT-1",)),
        deployment("d-2", 11, url="https://cd/2"),
        deployment("d-3", 12),
        ticket("PLAT-1", 1),
        ticket("PLAT-2", 1, links=("https://cd/2",)),
        ticket("PLAT-3", 1, links=("d-3",)),
    )

    assert verdicts(*events) == [("bad", "linked")] * 3


@pytest.mark.parametrize("more", [{"queue": "legal"}, {"created_at": at(11)}])
def test_a_ticket_of_another_queue_or_written_later_did_not(more: dict[str, Any]) -> None:
    """Only who is asked before, and is the platform's team, has a hand in it."""
    assert verdicts(deployment("1", 10, links=("T-1",)), ticket("T-1", 1, **more)) == [("good", "")]


def test_without_queues_every_ticket_counts() -> None:
    """Nobody said which queues are the platform's team's: all that are collected."""
    events = deployment("1", 10, links=("T-1",)), ticket("T-1", 1, queue="help")

    assert verdicts(*events, organisation=Organisation()) == [("bad", "linked")]


def test_the_roster_tells_a_team_that_the_deployment_does_not() -> None:
    """Ann was with the platform's team until hour 5, then with the shop's."""
    stays = member(ANN, "/it", -100, left_at=at(5)), member(ANN, "/commerce", 5)
    made = [deployment(f"{h}", h, actor_team=None) for h in (4, 6)]

    assert verdicts(*stays, *made) == [("bad", "actor"), ("good", "")]


def test_of_two_stays_at_once_the_later_counts() -> None:
    """A transfer that nobody ended the stay before for."""
    assert verdicts(member(ANN, "/it", -9), member(ANN, "/x", 1), deployment("1", 4, actor_team=None)) == [("good", "")]


def test_two_accounts_are_one_person() -> None:
    """The roster knows Ann, the deployment her other account."""
    organisation = Organisation(platform_teams=patterns(["/it"]), identities=Identities(people={BOB: ANN}))
    events = member(ANN, "/it", -9), deployment("1", 4, actor=BOB, actor_team=None)

    assert verdicts(*events, organisation=organisation) == [("bad", "actor")]


def test_an_actor_of_no_known_team_is_set_aside() -> None:
    """Nobody can say whose doing it was: it lowers the coverage instead of flattering the share."""
    assert verdicts(deployment("1", 10, actor_team=None)) == [("unknown", "")]


def test_what_failed_is_not_asked_about() -> None:
    """The share is of successful deployments."""
    assert verdicts(deployment("1", 10, result=Result.FAILURE)) == [("not_successful", "")]


def test_the_platform_s_own_services_are_not_asked_about() -> None:
    """Its team deploys them: that is nobody's dependence."""
    assert verdicts(deployment("1", 10, service="dns", actor_team="/it")) == [("platform_team", "")]


def test_other_environments_are_not_asked_about() -> None:
    """Production, and what is judged like it."""
    organisation = Organisation(judged=patterns(["canary"]))
    events = [deployment(e, 10, environment=e) for e in ("production", "canary", "staging")]

    found = observed(*events, organisation=organisation)

    assert {o.subject.environment for o in found} == {"production", "canary"}


def test_names_of_one_service_are_one_service() -> None:
    """What deployments call `shop-eu` is the shop's."""
    found = observed(deployment("1", 10, service="shop-eu"), deployment("2", 11))

    assert {o.subject.service for o in found} == {"shop"}


# --- laws --------------------------------------------------------------------------------------------------

_deployment = st.builds(
    lambda name, hour, service, team, actor, links: deployment(
        f"d{name}", hour, service=service, actor_team=team, actor=actor, links=links
    ),
    st.integers(0, 6),
    st.integers(0, 50),
    st.sampled_from(["shop", "shop-eu", "dns", "api"]),
    st.sampled_from(["/it", "/commerce", None]),
    st.sampled_from([ANN, BOB]),
    st.sampled_from([(), ("t1",)]),
)
_ticket = st.builds(
    lambda name, hour, queue, links: ticket(f"t{name}", hour, queue=queue, links=links),
    st.integers(0, 2),
    st.integers(0, 50),
    st.sampled_from(["platform", "legal"]),
    st.sampled_from([(), ("d1",)]),
)
_member = st.builds(member, st.sampled_from([ANN, BOB]), st.sampled_from(["/it", "/x"]), st.integers(0, 40))
_events = st.lists(_deployment | _ticket | _member, max_size=12, unique_by=lambda e: e.id)


def _sorted(observations: Iterable[Observation]) -> list[Observation]:
    return sorted(observations, key=lambda o: o.unit)


@given(events=_events, data=st.data())
def test_order_and_duplicates_change_nothing(events: list[Event], data: st.DataObject) -> None:
    """The same events give the same observations, however often and in whatever order they come."""
    again = data.draw(st.permutations(events + events))

    assert observed(*again) == observed(*events)


@given(events=_events)
def test_all_pieces_are_what_observing_gives(events: list[Event]) -> None:
    """Service by service is the same as all at once, and each deployment is judged once."""
    pieces = autonomy.pieces(PlainEvents(events), ORGANISATION, Asked())
    found = _sorted(as_observation(o) for p in pieces for o in p.observations if isinstance(o, Row))

    assert found == _sorted(observed(*events))
    assert len({o.unit for o in found}) == sum(isinstance(e, Deployment) for e in events)


class Kept:
    """A store into which events are written and derived."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.open(folder)
        self.events, self.store = EventStore(self.database), DerivationStore(self.database)

    def after(self, *events: Event, organisation: Organisation = ORGANISATION) -> tuple[int, int]:
        """Write events and derive: how many pieces, and how many observations differed."""
        with self.database.transaction() as transaction:
            self.events.write(transaction, events)
        done = derive([autonomy.FAMILY], self.events, self.store, organisation)
        return done.pieces, done.observations


def test_only_the_services_that_new_events_touch_are_derived_again(tmp_path: Path) -> None:
    """A deployment touches its service, a ticket what it is linked with, the roster whose team nobody else tells."""
    kept = Kept(tmp_path)
    kept.after(
        deployment("d-1", 1, links=("T-1",)),
        deployment("d-2", 1, service="api", actor_team=None, actor=BOB),
        deployment("d-3", 1, service="web"),
    )

    assert kept.after(ticket("T-0", 0)) == (0, 0)
    assert kept.after(ticket("T-1", 0))[0] == 1
    assert kept.after(ticket("T-2", 0, links=("d-3",)))[0] == 1
    assert kept.after(member(ANN, "/x", 0))[0] == 0
    assert kept.after(member(BOB, "/x", 0))[0] == 1
    kept.database.close()


def test_a_service_that_moves_to_the_platform_is_judged_again(tmp_path: Path) -> None:
    """Its team is the platform's now; a move between other teams changes nothing."""
    kept = Kept(tmp_path)
    kept.after(deployment("1", 1))
    shop = ORGANISATION.services[0]

    assert kept.after(organisation=replace(ORGANISATION, services=(replace(shop, team="/it"),)))[1] == 1
    assert kept.after(organisation=replace(ORGANISATION, services=(replace(shop, team="/it/runtime"),)))[0] == 0
    kept.database.close()


@settings(max_examples=examples(12), deadline=None)
@given(batches=st.lists(_events, min_size=1, max_size=3))
def test_deriving_step_by_step_is_deriving_at_once(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]]
) -> None:
    """Whatever came when: deriving everything anew would change nothing."""
    kept = Kept(tmp_path_factory.mktemp("store"))
    for batch in batches:
        kept.after(*batch)
    kept.store.set_stamp("autonomy", {})
    again = kept.after()
    kept.database.close()

    assert again[1] == 0


def test_a_new_deployment_costs_what_it_changes(tmp_path: Path) -> None:
    """It is one more unit; one told otherwise, late or not, is another unit or leaves its service for another."""
    kept = Kept(tmp_path)
    kept.after(deployment("1", 10), deployment("2", 11))

    assert kept.after(deployment("3", 5)) == (1, 1)
    assert kept.after(deployment("2", 12, updated_at=at(13))) == (1, 2)
    assert kept.after(deployment("2", 12, service="api", updated_at=at(14))) == (2, 2)
    kept.database.close()


def test_a_source_that_is_new_to_a_service_is_one_of_all_its_deployments(tmp_path: Path) -> None:
    """Its second deployment is the first one whose team only the roster tells: both rest on the roster now."""
    kept = Kept(tmp_path)
    kept.after(deployment("1", 10), member(BOB, "/x", 0))

    assert kept.after(deployment("2", 11, actor=BOB, actor_team=None)) == (1, 3)
    assert kept.after(deployment("3", 12, actor=BOB, actor_team=None)) == (1, 1)
    kept.database.close()


_told = st.builds(
    lambda one, hour, told: replaced(one, finished_at=at(hour), updated_at=at(told)),
    *(_deployment, st.integers(0, 50), st.integers(0, 9)),
)
_asked = st.builds(lambda one, told: replaced(one, updated_at=at(told)), _ticket, st.integers(0, 9))


@settings(max_examples=examples(12), deadline=None)
@given(batches=st.lists(st.lists(_told | _asked | _member, min_size=1, max_size=6), min_size=2, max_size=5))
def test_what_is_told_late_or_otherwise_is_judged_as_if_it_had_been_known(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]]
) -> None:
    """Deployments and tickets that come late, again, elsewhere or dated anew: deriving anew would change nothing."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(migrated, folder / "paceline.db")
    kept = Kept(folder)
    for batch in batches:
        kept.after(*batch)
    kept.store.set_stamp("autonomy", {})
    again = kept.after()
    kept.database.close()

    assert again[1] == 0
