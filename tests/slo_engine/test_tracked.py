"""Histories of tickets and incidents as their systems tell them, and what the indicators make of them.

All begin on a Monday at 09:00, when the queue opens for eight hours; times are hours after that.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from source_states import source_state

from collector.api import IssueSettings, incident_states
from collector.events import Deployment, Event, Incident, IncidentState, Reply, Result, Transition
from collector.findings import Findings
from collector.incidents import Incidents, Told
from collector.store import Database, DerivationStore, EventStore, ObservationStore
from collector.tracking import Issue, IssueRule, Severities, Status, StatusChange, Statuses, Tracking, Turn
from slo_engine.derive import derive
from slo_engine.evaluate import evaluate
from slo_engine.indicators import delivery, support
from slo_engine.observation import Observation
from slo_engine.organisation import Organisation
from slo_engine.plain_events import PlainEvents
from slo_engine.windows import parse_window

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WORDS = Statuses(
    open=["New"],
    in_progress=["Doing"],
    waiting=["Pending"],
    resolved=["Done", "Verified"],
    closed=["Closed", "Dropped"],
)
A_SECOND = 1 / 3600
DETECTED, ACKNOWLEDGED, RESOLVED = IncidentState
FAILED = ("change_fail_rate", "bad")


def after(hours: float) -> datetime:
    """So many hours after the beginning."""
    return AT + timedelta(hours=hours)


def tracked(becomes: str, *changes: tuple[float, str], **fields: Any) -> Event:
    """An issue of a tracker whose status changed at some hours, by their names."""
    told = [StatusChange(after(hours), Status(name)) for hours, name in changes]
    known = {"status": Status(max(changes, default=(0, "New"))[1]), "updated_at": after(8), "components": ["shop"]}
    findings = Findings()
    rules = [IssueRule.model_validate({"becomes": becomes})]
    tracking = Tracking("tracker", rules, WORDS, Severities({}, findings), findings)
    event = tracking.event(Issue(created_at=AT, changes=told, **{"native_id": "7", **known, **fields}))
    assert event is not None
    return event


def forge(*turns: Turn, closed_at: float | None = None, remedied: bool = True) -> Incident:
    """An incident that is an issue of a forge."""
    settings = IssueSettings.model_validate({"incidents": "incident", "acknowledged": "taken"})
    closed = closed_at is not None
    ended_at = None if closed_at is None else after(closed_at)
    return Incident(
        source="forge",
        native_id="7",
        service="shop",
        started_at=AT,
        restored_at=ended_at if remedied else None,
        closed_at=ended_at,
        **incident_states(settings, (), settings.states.life((), turns), closed=closed),
    )


def paged(*life: tuple[float, IncidentState], **fields: Any) -> Incident:
    """An incident of a system of its own, in the last of its states unless told."""
    told = [(after(hours), state) for hours, state in life]
    known = {"native_id": "7", "started_at": AT, "state": life[-1][1], "service": "shop"}
    return Incidents("oncall", Severities({}, Findings()), {}).event(Told(**{**known, "life": told, **fields}))


def judged(event: Event, indicator: str) -> Observation:
    """The last that is said of an event by an indicator: the verdict, where there is one."""
    known = PlainEvents([event])
    found = [*support.observe(known, Organisation()), *delivery.FAMILY.observe(known, Organisation())]
    return max((o for o in found if o.indicator == indicator), key=lambda o: (o.outcome != "pending", o.at))


def hours(event: Event, indicator: str) -> float | None:
    """How many hours something took; None where that is not known."""
    value = judged(event, indicator).value
    return None if value is None else round(value / 3600, 4)


@pytest.mark.parametrize(
    ("changes", "took"),
    [
        pytest.param([(1, "Doing"), (2, "Pending"), (5, "Doing"), (6, "Done")], 3, id="waiting pauses"),
        pytest.param([(2, "Done"), (4, "Doing"), (5, "Done")], 3, id="reopening continues"),
        pytest.param([(2, "Done"), (3, "Pending"), (5, "Done")], 2, id="reopened to wait"),
        pytest.param([(2, "Done"), (7, "Closed")], 2, id="closed after resolved"),
        pytest.param([(3, "Closed")], 3, id="closed, never resolved"),
        pytest.param([(2, "Done"), (4, "Closed"), (6, "Done")], 2, id="resolved once more"),
        pytest.param([(2, "Done"), (4, "Verified")], 2, id="two resolved statuses"),
        pytest.param([(1, "Doing"), (1, "Pending"), (3, "Done")], 1, id="two in one moment"),
        pytest.param([(1, "Doing"), (1 + A_SECOND, "Done")], round(1 + A_SECOND, 4), id="one second"),
        pytest.param([(-1, "Doing"), (3, "Done")], 3, id="a change before the creation"),
        pytest.param([(5, "Done"), (2, "Pending"), (3, "Doing")], 4, id="the newest first"),
        pytest.param([(2, "Done"), (3, "Doing"), (6, "Dropped")], 5, id="reopened, then dropped"),
        pytest.param([(2, "Done"), (3, "Doing")], None, id="reopened and open"),
    ],
)
def test_what_the_clock_of_a_ticket_says(changes: Sequence[tuple[float, str]], took: float | None) -> None:
    """A history of statuses → the opening hours until it was resolved, less those that it waited or was resolved."""
    assert hours(tracked("ticket", *changes), "support_resolution_time") == took


def test_a_ticket_that_began_by_waiting_has_used_none_of_its_time() -> None:
    """Two hours of waiting from the first moment on, then three of work → three."""
    told = tracked("ticket", (2, "Doing"), (5, "Done"), began=Status("Pending"))

    assert hours(told, "support_resolution_time") == 3


def test_a_ticket_that_only_ever_waited_has_no_deadline() -> None:
    """A comment at the end of the day is not when it began to wait."""
    told = tracked("ticket", status=Status("Pending"), began=Status("Pending"))
    verdict = judged(told, "support_resolution")

    assert (verdict.outcome, verdict.matures_at) == ("pending", None)


def test_an_end_that_only_the_tracker_tells_is_the_resolution() -> None:
    """No history, but a date of the resolution → that."""
    told = tracked("ticket", status=Status("Done"), ended_at=after(4))

    assert hours(told, "support_resolution_time") == 4


@pytest.mark.parametrize(
    ("changes", "ended_at"),
    [([], None), ([(3, "Doing")], after(1))],
    ids=["none at all", "from before it was reopened"],
)
def test_an_end_that_nobody_knows_is_excluded(changes: Sequence[tuple[float, str]], ended_at: datetime | None) -> None:
    """Done, and no time that can be the last end → missing, never guessed."""
    ticket = tracked("ticket", *changes, status=Status("Done"), ended_at=ended_at)
    incident = tracked("incident", *changes, status=Status("Done"), ended_at=ended_at)

    assert judged(ticket, "support_resolution_time").reason == "missing_time"
    assert judged(incident, "incident_time_to_restore").reason == "missing_time"


def test_a_first_reply_is_by_somebody_else_after_the_creation() -> None:
    """Who asked, a bot, and what was written before do not reply; the next human does, waiting or not."""
    who, other = "person:" + "a" * 32, "person:" + "b" * 32
    replies = [
        Reply(at=after(-1), author=other),
        Reply(at=after(1), author=who),
        Reply(at=after(2), author=other, bot=True),
        Reply(at=after(3), author=other),
    ]
    told = tracked("ticket", (0.5, "Pending"), author=who, replies=replies)

    assert hours(told, "support_first_response_time") == 3


@pytest.mark.parametrize(
    ("incident", "took", "rule"),
    [
        pytest.param(tracked("incident", (1, "Doing")), None, "unattributed", id="acknowledged"),
        pytest.param(tracked("incident", (1, "Pending")), None, "unattributed", id="waiting"),
        pytest.param(tracked("incident", (1, "Doing"), (2, "Done")), 2, "unattributed", id="resolved"),
        pytest.param(tracked("incident", (2, "Done"), (7, "Closed")), 2, "unattributed", id="closed after resolved"),
        pytest.param(tracked("incident", (2, "Done"), (4, "Verified")), 2, "unattributed", id="two resolved statuses"),
        pytest.param(
            tracked("incident", (2, "Done"), (4, "Closed"), (6, "Done")), 2, "unattributed", id="resolved once more"
        ),
        pytest.param(tracked("incident", (2, "Done"), (3, "New")), None, "unattributed", id="reopened"),
        pytest.param(
            tracked("incident", (2, "Done"), (3, "New"), (5, "Done")), 5, "unattributed", id="reopened and resolved"
        ),
        pytest.param(tracked("incident", (3, "Dropped")), 3, "closed_at", id="closed, never resolved"),
        pytest.param(
            tracked("incident", (2, "Done"), (3, "Doing"), (6, "Dropped")), 6, "closed_at", id="reopened, then dropped"
        ),
        pytest.param(forge(), None, "unattributed", id="an open issue"),
        pytest.param(forge(Turn(after(1), label="taken")), None, "unattributed", id="an issue taken on"),
        pytest.param(forge(Turn(after(2), closed=True), closed_at=2), 2, "unattributed", id="a closed issue"),
        pytest.param(
            forge(Turn(after(2), closed=True), Turn(after(3), closed=False)),
            None,
            "unattributed",
            id="a reopened issue",
        ),
        pytest.param(
            forge(Turn(after(2), closed=True, remedied=False), closed_at=2, remedied=False),
            2,
            "closed_at",
            id="an issue that is not planned",
        ),
        pytest.param(
            forge(
                Turn(after(2), closed=True),
                Turn(after(3), closed=False),
                Turn(after(6), closed=True, remedied=False),
                closed_at=6,
                remedied=False,
            ),
            6,
            "closed_at",
            id="a reopened issue that is then not planned",
        ),
        pytest.param(paged((0, DETECTED), (1, ACKNOWLEDGED)), None, "unattributed", id="an acknowledged page"),
        pytest.param(paged((0, DETECTED), (2, RESOLVED)), 2, "unattributed", id="a resolved page"),
        pytest.param(
            paged((2, RESOLVED), (3, DETECTED), (5, RESOLVED), restored_at=after(2)),
            5,
            "unattributed",
            id="a page whose system keeps the first resolution",
        ),
        pytest.param(
            paged((2, RESOLVED), (3, DETECTED), state=RESOLVED, closed_at=after(6)),
            6,
            "closed_at",
            id="a page that was reopened and closed",
        ),
    ],
)
def test_what_the_clock_of_an_incident_says(incident: Incident, took: float | None, rule: str) -> None:
    """A history of states → the hours until the last resolution, none while it is open; a close alone is flagged."""
    found = judged(incident, "incident_time_to_restore")

    assert (hours(incident, "incident_time_to_restore"), found.rule) == (took, rule)


IMAGE = f"registry.example.com/shop@sha256:{'ab' * 32}"


@pytest.mark.parametrize(
    ("incident", "blamed"),
    [
        pytest.param(paged((0, DETECTED)), {"new"}, id="names nothing"),
        pytest.param(paged((0, DETECTED), texts=[f"image {IMAGE} crashes"]), {"old"}, id="a text names an image"),
        pytest.param(tracked("incident", links=["OPS-7"]), {"old"}, id="a deployment names its key"),
        pytest.param(tracked("incident", started_at=after(-60)), {"old"}, id="began before it was written"),
        pytest.param(tracked("incident", started_at=after(24 * 90)), set(), id="three months later"),
        pytest.param(tracked("incident", components=["mail"]), set(), id="of another service"),
        pytest.param(tracked("incident", (-80, "Done")), set(), id="resolved before it began"),
    ],
)
def test_which_deployment_an_incident_is_blamed_on(incident: Incident, blamed: set[str]) -> None:
    """What is named comes first, then what is linked, then the latest deployment of the day before the start."""
    old: dict[str, Any] = {"native_id": "old", "finished_at": after(-70), "artifact": IMAGE, "links": ("OPS-7",)}
    new: dict[str, Any] = {"native_id": "new", "finished_at": after(-2)}
    known: dict[str, Any] = {"source": "cd", "service": "shop", "environment": "production", "result": Result.SUCCESS}
    deployments = [Deployment(**known, **one) for one in (old, new)]
    events = PlainEvents([*deployments, incident])

    bad = {o.unit for o in delivery.FAMILY.observe(events, Organisation()) if (o.indicator, o.outcome) == FAILED}

    assert bad == {one.id for one in deployments if one.native_id in blamed}


def test_what_is_tracked_reaches_the_numbers_through_the_store(migrated: Path, tmp_path: Path) -> None:
    """Reopened, waited, closed as nothing to be done: what the store gives back is judged as it was told."""
    shutil.copy(migrated, tmp_path / "paceline.db")
    database = Database.open(tmp_path)
    events = EventStore(database)
    told = [
        tracked("ticket", (2, "Done"), (3, "Pending"), (5, "Done"), native_id="1"),
        tracked("incident", (2, "Done"), (3, "Doing"), (6, "Dropped"), native_id="2"),
    ]
    with database.transaction() as transaction:
        events.write(transaction, told)
    derive([support.FAMILY, delivery.FAMILY], events, DerivationStore(database))
    known = {i.name: i for i in (*support.FAMILY.indicators, *delivery.FAMILY.indicators)}
    fresh = source_state("tracker", last_success_at=after(9), last_run_at=after(9), newest_event_at=after(8))

    snapshot = evaluate(ObservationStore(database), known, (), (fresh,), after(9), windows=[parse_window("7d")])

    found = {n.indicator: n.stats["p50"] / 3600 for n in snapshot.numbers if "p50" in n.stats}
    assert (found["support_resolution_time"], found["incident_time_to_restore"]) == (2, 6)
    database.close()


def test_a_word_that_is_none_of_ours_opens_nothing() -> None:
    """Reviewed after it was resolved → it stays restored when it was."""
    told = paged((0, DETECTED), (2, RESOLVED))
    reviewed = Incident(
        source="oncall",
        native_id="7",
        service="shop",
        state=RESOLVED,
        started_at=AT,
        restored_at=after(2),
        transitions=(*told.transitions, Transition(at=after(5), state="reviewed")),
    )

    assert hours(reviewed, "incident_time_to_restore") == 2
