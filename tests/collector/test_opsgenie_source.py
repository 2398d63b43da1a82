"""Incidents and alerts of Opsgenie: what becomes of each, how they are read on, and what webhooks bring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from providers.opsgenie import SECRET, START, TOKEN, World, delivered, epoch, provider
from replay import Provider, Reply

from collector.errors import AuthError, ContractError
from collector.events import Incident, IncidentState, Transition
from collector.http import Wire
from collector.source import Page, SourceContext
from collector.sources.opsgenie import OpsgenieConfig, OpsgenieHooks
from collector.webhooks import Delivery

SHA = "0123456789abcdef0123456789abcdef01234567"


def at(seconds: float) -> datetime:
    """Seconds after the world's start."""
    return START + timedelta(seconds=seconds)


@dataclass
class Reader:
    """Reads an account run after run."""

    api: Provider
    config: OpsgenieConfig
    context: SourceContext
    cursor: str | None = None
    pages: tuple[Page, ...] = ()

    def run(self, **changed: Any) -> list[Incident]:
        """The incidents of a run of a source that is changed so; its cursor is the next one's."""
        self.pages = tuple(replace(self.config.build(self.context), **changed).pull(self.cursor))
        self.cursor = self.pages[-1].cursor
        return [e for page in self.pages for e in page.events if isinstance(e, Incident)]

    def said(self, of: str) -> list[str]:
        """The warnings or truncations of the last run."""
        return [text for page in self.pages for text in getattr(page, of)]


@pytest.fixture
def account() -> World:
    """An account without an incident."""
    return World()


@pytest.fixture
def reader_of(context: SourceContext) -> Callable[..., Reader]:
    """A reader of a world; further arguments are settings."""

    def make(made: World, **settings: Any) -> Reader:
        api = provider(made)
        wire = Wire(adapter=api, sleep=lambda _: None, chance=lambda: 0.0)
        fields = {"name": "oncall", "type": "opsgenie", "token": TOKEN, "parallel": 1, **settings}
        return Reader(api, OpsgenieConfig.model_validate(fields), replace(context, wire=wire))

    return make


@pytest.fixture
def reader(account: World, reader_of: Callable[..., Reader]) -> Reader:
    """A reader of the account's incidents."""
    return reader_of(account)


@pytest.fixture
def alerts(account: World, reader_of: Callable[..., Reader]) -> Reader:
    """A reader of the account's alerts."""
    return reader_of(account, reads="alerts")


# ---- what an incident becomes


def test_an_incident_is_told_whole(account: World, reader: Reader) -> None:
    """An incident has its service, times, priority and transitions; of people it has nothing."""
    one = account.incident(0, "s1", impactStartDate="2026-02-19T23:50:00Z")
    account.entry(one, "ResponderAlertAcked", 60)
    account.become(one, "resolved", 600.5)
    account.become(one, "closed", 700)

    assert reader.run() == [
        Incident(
            source="oncall",
            native_id="i1/s1",
            updated_at=at(700),
            url="https://acme.app.opsgenie.com/incident/detail/i1",
            service="Shop API",
            state=IncidentState.RESOLVED,
            started_at=at(-600),
            severity="P2",
            title="Checkout fails",
            detected_at=at(0),
            acknowledged_at=at(60),
            restored_at=at(600.5),
            closed_at=at(700),
            labels=("checkout",),
            transitions=(
                Transition(at=at(0), state="detected"),
                Transition(at=at(60), state="acknowledged"),
                Transition(at=at(600.5), state="resolved"),
            ),
        )
    ]


def test_an_acknowledged_incident_is_open(account: World, reader: Reader) -> None:
    """Acknowledged → still open."""
    account.entry(account.incident(0), "ResponderAlertAcked", 60)

    assert [(i.state, i.acknowledged_at, i.restored_at) for i in reader.run()] == [
        (IncidentState.ACKNOWLEDGED, at(60), None)
    ]


def test_an_incident_of_several_services_is_one_for_each(account: World, reader: Reader) -> None:
    """Each service has the incident, by its name; one that has no name is called by its id."""
    account.incident(0, "s1", "s2", "s9")

    assert [(i.native_id, i.service) for i in reader.run()] == [
        ("i1/s1", "Shop API"),
        ("i1/s2", "Mail"),
        ("i1/s9", "s9"),
    ]


def test_an_incident_without_a_service_is_kept(account: World, reader: Reader) -> None:
    """An incident of no service is told once, and no service is asked for."""
    account.incident(0)

    assert [(i.native_id, i.service) for i in reader.run()] == [("i1", None)]
    assert "v1/services" not in {one.path for one in reader.api.asked}


def test_a_reopened_incident_is_not_restored(account: World, reader: Reader) -> None:
    """Reopening clears the restoration, whatever the end of the impact was said to be."""
    one = account.incident(0)
    account.become(one, "resolved", 100)
    account.become(one, "open", 200)

    assert [(i.state, i.restored_at) for i in reader.run()] == [(IncidentState.DETECTED, None)]


def test_the_status_counts_where_the_timeline_lags(account: World, reader: Reader) -> None:
    """An open incident is open, even if nothing in its timeline tells that it was opened again."""
    one = account.incident(0)
    account.become(one, "resolved", 100)
    one["status"] = "open"

    assert [(i.state, i.restored_at) for i in reader.run()] == [(IncidentState.DETECTED, None)]


def test_an_incident_is_restored_at_its_last_resolution(account: World, reader: Reader) -> None:
    """Reopened → restored at the last resolution."""
    one = account.incident(0)
    for status, seconds in (("resolved", 100), ("open", 200), ("resolved", 300)):
        account.become(one, status, seconds)

    assert [i.restored_at for i in reader.run()] == [at(300)]


def test_closing_acknowledges_nothing(account: World, reader: Reader) -> None:
    """Alerts of responders that the resolution acknowledges tell nothing of when somebody took it on."""
    one = account.incident(0)
    account.become(one, "resolved", 100)
    account.entry(one, "ResponderAlertAcked", 100.2)

    assert [(i.acknowledged_at, i.restored_at) for i in reader.run()] == [(None, at(100))]


def test_an_incident_that_was_never_resolved_ended_when_it_was_closed(account: World, reader: Reader) -> None:
    """Closed without a resolution time → the close time, and no restoration is made up."""
    account.become(account.incident(0), "closed", 100)

    assert [(i.state, i.restored_at, i.closed_at) for i in reader.run()] == [(IncidentState.RESOLVED, None, at(100))]


def test_without_a_timeline_the_end_of_the_impact_counts(account: World, reader: Reader) -> None:
    """A resolved incident whose timeline says nothing is restored when its impact ended."""
    account.become(account.incident(0), "resolved", 100)
    account.timelines["i1"].clear()

    assert [i.restored_at for i in reader.run()] == [at(100)]


def test_a_long_timeline_is_read_to_its_end(account: World, reader: Reader) -> None:
    """Nested lists have pages too: the opening stands on the last of them."""
    account.largest = 2
    one = account.incident(0)
    for number in range(4):
        account.entry(one, "ResponderAlertAcked", 10 + number)

    assert [[t.at for t in i.transitions] for i in reader.run()] == [[at(0), at(10)]]


def test_an_unknown_status_is_open_and_named(account: World, reader: Reader) -> None:
    """A status that nobody documented → record survives; the unknown value is counted and named."""
    account.incident(0, status="paused")

    assert [i.state for i in reader.run()] == [IncidentState.DETECTED]
    assert reader.said("warnings") == ["status 'paused' is not known here; it is taken as open"]


def test_missing_fields_cost_nothing(account: World, reader: Reader) -> None:
    """Missing optional fields → record survives, dated by its creation."""
    names = ("updatedAt", "impactStartDate", "priority", "tags", "impactedServices", "links", "description")
    account.incident(0, **dict.fromkeys(names))

    assert [(i.started_at, i.severity, i.labels, i.url) for i in reader.run()] == [(at(0), None, (), None)]


def test_what_an_incident_says_names_its_cause(account: World, reader: Reader) -> None:
    """Commits, tickets and addresses of description and properties are read; the texts are not kept."""
    account.incident(0, description=f"after {SHA}", extraProperties={"ticket": "OPS-7", "n": 4})

    assert [(i.shas, i.links) for i in reader.run()] == [((SHA,), ("OPS-7",))]


@pytest.mark.parametrize(
    ("settings", "read"),
    [({"services": "Shop*"}, ["i1/s1"]), ({"priorities": ["P1"]}, ["i2"]), ({"services": "none"}, [])],
)
def test_the_settings_choose_what_is_read(
    account: World, reader_of: Callable[..., Reader], settings: dict[str, Any], read: Sequence[str]
) -> None:
    """`services` and `priorities` choose what is an incident here."""
    account.incident(0, "s1", "s2")
    account.incident(1, priority="P1")

    assert [i.native_id for i in reader_of(account, **settings).run()] == read


# ---- what an alert becomes


def test_an_alert_is_told_by_its_report(account: World, alerts: Reader) -> None:
    """A 53-second recovery → 53 s: a report counts milliseconds from the creation of the alert."""
    account.alert(0, acked=15.702, closed=53)

    assert alerts.run() == [
        Incident(
            source="oncall",
            native_id="a1",
            updated_at=at(53),
            service="Shop API",
            state=IncidentState.RESOLVED,
            started_at=at(0),
            severity="P3",
            title="CPU is high",
            detected_at=at(0),
            acknowledged_at=at(15.702),
            restored_at=at(53),
            labels=("service:Shop API",),
            transitions=(
                Transition(at=at(0), state="detected"),
                Transition(at=at(15.702), state="acknowledged"),
                Transition(at=at(53), state="resolved"),
            ),
        )
    ]


def test_an_acknowledged_alert_is_open(account: World, alerts: Reader) -> None:
    """Acknowledged → still open."""
    account.alert(0, acked=15)

    assert [(i.state, i.acknowledged_at, i.restored_at) for i in alerts.run()] == [
        (IncidentState.ACKNOWLEDGED, at(15), None)
    ]


def test_an_acknowledgement_may_end(account: World, alerts: Reader) -> None:
    """An alert that nobody has taken on any more is open; the report still tells when somebody had."""
    account.alert(0, acked=15, acknowledged=False)

    assert [(i.state, i.acknowledged_at) for i in alerts.run()] == [(IncidentState.DETECTED, at(15))]


@pytest.mark.parametrize("report", [None, {}, {"closedBy": "somebody"}])
def test_a_closed_alert_without_a_report_ended_when_it_changed_last(
    account: World, alerts: Reader, report: dict[str, Any] | None
) -> None:
    """Alerts without a report are over since they last changed."""
    account.alert(0, closed=60, report=report)

    assert [i.restored_at for i in alerts.run()] == [at(60)]


@pytest.mark.parametrize(
    ("settings", "tags", "service"),
    [
        ({}, ["prod", "service: Mail "], "Mail"),
        ({}, ["prod"], None),
        ({}, None, None),
        ({"service_tag": "team/"}, ["service:Mail", "team/shop"], "shop"),
        ({"service_tag": ""}, ["service:Mail"], None),
    ],
)
def test_a_tag_names_the_service_of_an_alert(
    account: World,
    reader_of: Callable[..., Reader],
    settings: dict[str, Any],
    tags: list[str] | None,
    service: str | None,
) -> None:
    """Whose an alert is says a tag with the prefix that the settings name; nothing is guessed."""
    account.alert(0, tags=tags)

    assert [i.service for i in reader_of(account, reads="alerts", **settings).run()] == [service]


def test_alerts_of_other_services_are_left_out(account: World, reader_of: Callable[..., Reader]) -> None:
    """`services` chooses alerts too."""
    account.alert(0)
    account.alert(1, tags=["service:Mail"])

    assert [i.native_id for i in reader_of(account, reads="alerts", services=["Mail"]).run()] == ["a2"]


# ---- reading on


def test_what_is_open_is_read_until_it_is_over(account: World, reader: Reader) -> None:
    """An incident that is resolved long after it began is seen; once it is closed it is asked for no more."""
    one = account.incident(0, "s1")
    account.incident(90_000)
    reader.run()
    account.become(one, "resolved", 100_000)
    account.become(one, "closed", 100_010)

    assert [(i.native_id, i.restored_at) for i in reader.run()] == [("i1/s1", at(100_000)), ("i2", None)]
    assert [i.native_id for i in reader.run()] == ["i2"]


def test_a_resolved_incident_is_looked_at_for_a_month(account: World, reader: Reader) -> None:
    """What is resolved may be opened again; after thirty days nobody does."""
    account.become(account.incident(0), "resolved", 100)
    account.become(account.incident(-40 * 86_400), "resolved", -39 * 86_400)
    reader.run()
    account.become(account.incidents[0], "open", 1_000)

    assert [(i.native_id, i.restored_at) for i in reader.run()] == [("i1", None)]


def test_an_open_alert_is_read_until_it_is_closed(account: World, alerts: Reader) -> None:
    """An alert that is closed between two runs is over."""
    one = account.alert(0)
    account.alert(90_000, closed=1)
    alerts.run()
    account.close(one, 60)

    assert [(i.native_id, i.restored_at) for i in alerts.run()] == [("a1", at(60)), ("a2", at(90_001))]


@pytest.mark.parametrize(
    ("services", "removed"),
    [([], ["i1/s1", "i1/s2"]), (["s1"], ["i1/s2"]), (["s2", "s1"], [])],
)
def test_a_service_that_is_no_longer_concerned_loses_the_incident(
    account: World, reader: Reader, bench: Any, services: list[str], removed: list[str]
) -> None:
    """Where an incident is said to be of other services, those it was of before forget it."""
    one = account.incident(0, "s1", "s2")
    source = reader.config.build(reader.context)
    bench.runner.run("oncall", source)
    one["impactedServices"] = services
    bench.runner.run("oncall", source)

    assert sorted(e.native_id for e in bench.store.removed()) == removed


def test_what_was_deleted_is_forgotten(account: World, reader: Reader, bench: Any) -> None:
    """Deleted at the source → kept as a tombstone, and asked for no more."""
    account.incident(0, "s1")
    account.incident(90_000)
    source = reader.config.build(reader.context)
    bench.runner.run("oncall", source)
    account.incidents.pop(0)

    outcomes = [bench.runner.run("oncall", source) for _ in range(2)]

    assert [(o.succeeded, o.removed) for o in outcomes] == [(True, 1), (True, 0)]
    assert [e.native_id for e in bench.store.removed()] == ["i1/s1"]


def test_a_first_run_reads_no_further_back_than_history(account: World, reader_of: Callable[..., Reader]) -> None:
    """`history` is how far back a first run reads."""
    account.incident(0)
    account.incident(40_000)

    assert [i.native_id for i in reader_of(account, history="10d").run()] == ["i2"]


def test_a_wish_to_read_from_a_time_on_comes_before_the_cursor(account: World, alerts: Reader) -> None:
    """With `since` everything from then on is read, whatever the cursor says."""
    account.alert(0, closed=1)
    account.alert(90_000, closed=1)
    alerts.run()
    alerts.context = replace(alerts.context, since=at(-10))

    assert [i.native_id for i in alerts.run()] == ["a1", "a2"]


def test_a_list_is_read_on_from_where_it_ends(account: World, alerts: Reader) -> None:
    """More than the API hands out of one search is read by further searches, from the last item on."""
    account.most = 20
    for number in range(50):
        account.alert(number * 600, closed=1)

    assert sorted({i.native_id for i in alerts.run(most=20)}) == sorted(f"a{n}" for n in range(1, 51))
    assert alerts.said("truncations") == []


def test_what_no_search_can_reach_is_said(account: World, alerts: Reader) -> None:
    """More of one moment than the API hands out is reported as cut off, and the rest is kept."""
    account.most = 20
    for _ in range(21):
        account.alert(0, closed=1)

    assert len({i.native_id for i in alerts.run(most=20)}) == 20
    assert alerts.said("truncations") == ["GET v2/alerts: of one millisecond more than 20 items are not handed out"]


def test_a_search_that_is_passed_over_is_an_error(account: World, reader_of: Callable[..., Reader]) -> None:
    """An item from before the search proves that it was ignored → error."""
    one = account.alert(0)
    reader = reader_of(account, reads="alerts", history="1d")
    reader.api.routes = [(m, p, lambda *_, **__: Reply({"data": [one]})) for m, p, _ in reader.api.routes]

    with pytest.raises(ContractError, match="`query` was passed over"):
        reader.run()


def test_one_broken_alert_is_set_aside(account: World, alerts: Reader) -> None:
    """An alert without a time is set aside with its id; those after it are kept, on the next page too."""
    account.largest = 2
    for number in range(3):
        account.alert(number, closed=1)
    account.alerts[1]["status"] = 7

    assert [i.native_id for i in alerts.run()] == ["a1", "a3"]
    assert [bad.location for page in alerts.pages for bad in page.rejected] == [
        "GET https://api.opsgenie.com/v2/alerts item 2 (id a2)"
    ]


def test_an_open_alert_that_is_broken_for_once_is_kept(account: World, alerts: Reader, bench: Any) -> None:
    """What is open and cannot be used is set aside, neither removed nor forgotten."""
    one = account.alert(0)
    account.alert(90_000, closed=1)
    source = alerts.config.build(alerts.context)
    bench.runner.run("oncall", source)
    one["status"] = 7
    broken = bench.runner.run("oncall", source)
    account.close(one, 60)
    mended = bench.runner.run("oncall", source)

    assert (broken.succeeded, broken.rejected_total, broken.removed, mended.changed) == (True, 1, 0, 1)


def test_the_key_is_shown_as_opsgenie_wants_it(reader: Reader) -> None:
    """The key goes along as `GenieKey`."""
    reader.run()

    assert {one.headers["authorization"] for one in reader.api.asked} == {f"GenieKey {TOKEN}"}


def test_a_key_that_may_not_read_timelines_says_so(account: World, reader: Reader) -> None:
    """A refusal names the request that was refused."""
    account.incident(0)
    reader.api.faults = {2: Reply({"message": "Your integration is not allowed"}, 403)}

    with pytest.raises(AuthError, match="incident-timelines/i1/entries: answered 403"):
        reader.run()


# ---- webhooks


@pytest.fixture
def hooks_of(reader_of: Callable[..., Reader], account: World) -> Callable[..., OpsgenieHooks]:
    """What takes webhooks; further arguments are settings."""

    def make(**settings: Any) -> OpsgenieHooks:
        reader = reader_of(account, **{"webhook_secret": SECRET, "reads": "alerts", **settings})
        receiver = reader.config.receiver(reader.context)
        assert receiver is not None
        return receiver

    return make


@pytest.fixture
def hooks(hooks_of: Callable[..., OpsgenieHooks]) -> OpsgenieHooks:
    """What takes webhooks of alerts."""
    return hooks_of()


def test_without_a_secret_nobody_may_deliver(reader: Reader) -> None:
    """A webhook that nothing opens is closed."""
    assert reader.config.receiver(reader.context) is None


@pytest.mark.parametrize(("secret", "genuine"), [(SECRET, True), ("another", False), ("", False)])
def test_the_secret_opens_the_webhook(
    account: World,
    hooks: OpsgenieHooks,
    secret: str,
    genuine: bool,  # noqa: FBT001 - one of several values
) -> None:
    """Opsgenie signs nothing: a secret comes along in a header."""
    assert hooks.is_genuine(delivered("Create", 0, account.alert(0), secret)) is genuine


@pytest.mark.parametrize(
    ("action", "state", "restored_at", "transition"),
    [
        ("Create", IncidentState.DETECTED, None, "detected"),
        ("Acknowledge", IncidentState.ACKNOWLEDGED, None, "acknowledged"),
        ("UnAcknowledge", IncidentState.DETECTED, None, "detected"),
        ("Close", IncidentState.RESOLVED, at(53), "resolved"),
    ],
)
def test_each_action_tells_where_an_alert_stands(
    account: World,
    hooks: OpsgenieHooks,
    action: str,
    state: IncidentState,
    restored_at: datetime | None,
    transition: str,
) -> None:
    """An action is a transition of its alert, with its service; times are numbers of two sizes."""
    (event,) = hooks.read(delivered(action, 53, account.alert(0))).events

    assert isinstance(event, Incident)
    assert (event.native_id, event.service, event.started_at) == ("a1", "Shop API", at(0))
    assert (event.state, event.restored_at) == (state, restored_at)
    assert [(t.at, t.state) for t in event.transitions] == [(at(53), transition)]


def test_what_the_next_run_reads_is_newer_than_a_webhook(account: World, alerts: Reader, hooks: OpsgenieHooks) -> None:
    """A webhook leaves out what came before; the API's own version of that moment replaces it, in any order."""
    one = account.alert(0, acked=10, closed=53)

    (told,), (read,) = hooks.read(delivered("Close", 53, one)).events, alerts.run()

    assert (told.updated_at, read.updated_at) == (at(52.999), at(53))


@pytest.mark.parametrize(
    ("settings", "action", "why"),
    [
        ({}, "AddNote", "the action 'AddNote' is not read"),
        ({"priorities": ["P1"]}, "Create", "`services` or `priorities` leave it out"),
        ({"services": ["Mail"]}, "Create", "`services` or `priorities` leave it out"),
        ({"reads": "incidents"}, "Create", "no alert that `reads` wants; incidents come with the next run"),
    ],
)
def test_what_is_not_wanted_is_ignored(
    account: World, hooks_of: Callable[..., OpsgenieHooks], settings: dict[str, Any], action: str, why: str
) -> None:
    """A note, another priority, another service, alerts where incidents are read → nothing, and a word why."""
    received = hooks_of(**settings).read(delivered(action, 0, account.alert(0)))

    assert (list(received.events), received.ignored) == ([], why)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        b'{"action": "Create", "alert": {"alertId": "1"}}',
        b'{"action": "Create", "alert": {"alertId": "1", "createdAt": 0}}',
    ],
)
def test_a_body_of_another_shape_is_refused(hooks: OpsgenieHooks, body: bytes) -> None:
    """What is no webhook as documented is an error of its shape."""
    with pytest.raises(ContractError):
        hooks.read(Delivery(headers={}, body=body, received_at=START))


def test_times_of_webhooks_are_of_either_size(hooks: OpsgenieHooks) -> None:
    """Milliseconds and nanoseconds are told apart by their size."""
    whole = '{"action": "Close", "alert": {"alertId": "1", "createdAt": %d, "updatedAt": %d}}'
    bodies = [(whole % (epoch(0), when)).encode() for when in (epoch(5), epoch(5) * 1_000_000)]

    found = [hooks.read(Delivery(headers={}, body=body, received_at=START)).events[0] for body in bodies]

    assert [getattr(event, "restored_at", None) for event in found] == [at(5), at(5)]
