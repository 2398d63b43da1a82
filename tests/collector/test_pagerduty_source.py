"""Incidents of PagerDuty: what becomes of each, how they are read on, and what its webhooks bring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from providers.pagerduty import SECRET, START, TOKEN, World, delivered, provider
from replay import Provider, Reply

from collector.errors import AuthError, ContractError, RetryableError, SourceError
from collector.events import Incident, IncidentState, Transition
from collector.http import Wire
from collector.source import Page, SourceContext
from collector.sources.pagerduty import PagerDutyConfig, PagerDutyHooks
from collector.webhooks import Delivery

SHA = "0123456789abcdef0123456789abcdef01234567"


def at(seconds: float) -> datetime:
    """Seconds after the world's start."""
    return START + timedelta(seconds=seconds)


@dataclass
class Reader:
    """Reads an account run after run."""

    api: Provider
    config: PagerDutyConfig
    context: SourceContext
    cursor: str | None = None
    pages: tuple[Page, ...] = ()

    def run(self) -> list[Incident]:
        """The incidents of a run; its cursor is the next one's."""
        self.pages = tuple(self.config.build(self.context).pull(self.cursor))
        self.cursor = self.pages[-1].cursor
        return [e for page in self.pages for e in page.events if isinstance(e, Incident)]

    def asked(self, path: str) -> list[dict[str, str]]:
        """The queries of a path, without those that only count."""
        found = [{k: v[-1] for k, v in one.query.items()} for one in self.api.asked if one.path == path]
        return [query for query in found if "total" not in query]

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
        fields = {"name": "oncall", "type": "pagerduty", "token": TOKEN, "parallel": 1, **settings}
        return Reader(api, PagerDutyConfig.model_validate(fields), replace(context, wire=wire))

    return make


@pytest.fixture
def reader(account: World, reader_of: Callable[..., Reader]) -> Reader:
    """A reader of the account."""
    return reader_of(account)


# ---- what an incident becomes


def test_an_incident_is_told_whole(account: World, reader: Reader) -> None:
    """An incident has its service, times, severity and transitions; of people it has nothing."""
    one = account.incident(0, priority={"id": "P53ZZH5", "summary": "P1"})
    account.become(one, "acknowledged", 60)
    account.become(one, "resolved", 600)

    assert reader.run() == [
        Incident(
            source="oncall",
            native_id="P000001",
            updated_at=at(600),
            url="https://acme.pagerduty.com/incidents/P000001",
            service="Shop API",
            state=IncidentState.RESOLVED,
            started_at=at(0),
            severity="P1",
            title="Checkout fails",
            detected_at=at(0),
            acknowledged_at=at(60),
            restored_at=at(600),
            transitions=(
                Transition(at=at(0), state="detected"),
                Transition(at=at(60), state="acknowledged"),
                Transition(at=at(600), state="resolved"),
            ),
        )
    ]


def test_an_acknowledged_incident_is_open(account: World, reader: Reader) -> None:
    """Acknowledged → still open."""
    account.become(account.incident(0), "acknowledged", 60)

    assert [(i.state, i.restored_at) for i in reader.run()] == [(IncidentState.ACKNOWLEDGED, None)]


def test_an_acknowledgement_may_end(account: World, reader: Reader) -> None:
    """An acknowledgement that timed out is a transition back; the first one still tells when somebody took it on."""
    one = account.incident(0)
    account.become(one, "acknowledged", 60)
    account.become(one, "triggered", 90)

    (found,) = reader.run()

    assert (found.state, found.acknowledged_at) == (IncidentState.DETECTED, at(60))
    assert [t.state for t in found.transitions] == ["detected", "acknowledged", "detected"]


def test_a_reopened_incident_is_restored_at_its_last_resolution(account: World, reader: Reader) -> None:
    """Reopened → restored at the last resolution."""
    one = account.incident(0)
    account.become(one, "resolved", 100)
    account.entry(one, "reopen", 200)
    account.become(one, "resolved", 300)

    assert [(i.restored_at, len(i.transitions)) for i in reader.run()] == [(at(300), 4)]


def test_escalations_and_notes_change_nothing(account: World, reader: Reader) -> None:
    """What a log tells beside states is no transition, and is nothing unknown."""
    one = account.incident(0)
    for number, kind in enumerate(("assign", "notify", "escalate", "annotate", "snooze", "priority_change")):
        account.entry(one, kind, number + 1)

    assert [[t.state for t in i.transitions] for i in reader.run()] == [["detected"]]
    assert reader.said("warnings") == []


@pytest.mark.parametrize("given", ["resolved_at", "last_status_change_at"])
def test_a_resolution_is_known_without_a_log(account: World, reader: Reader, given: str) -> None:
    """Accounts without the newer field, and incidents whose log says nothing, have the time of the last change."""
    one = account.incident(0)
    account.become(one, "resolved", 100)
    account.log.pop()
    one |= {"resolved_at": None, "last_status_change_at": None, given: "2026-02-20T00:01:40Z"}

    assert [i.restored_at for i in reader.run()] == [at(100)]


def test_a_reopening_that_no_log_tells_is_seen_by_the_status(account: World, reader: Reader) -> None:
    """The status counts where the log lags; the next resolution is the one that restores."""
    one = account.incident(0)
    account.become(one, "resolved", 100)
    one |= {"status": "triggered", "resolved_at": None}
    between = [(i.state, i.restored_at) for i in reader.run()]
    account.become(one, "resolved", 300)
    one["resolved_at"] = None

    assert between == [(IncidentState.DETECTED, None)]
    assert [i.restored_at for i in reader.run()] == [at(300)]


def test_an_incident_of_which_little_is_said_is_kept(account: World, reader: Reader) -> None:
    """Without log and later times an incident is as old as its creation."""
    account.incident(0, updated_at=None, last_status_change_at=None)
    account.log.clear()

    assert [(i.updated_at, i.transitions) for i in reader.run()] == [(at(0), ())]


def test_an_unknown_status_is_open_and_named(account: World, reader: Reader) -> None:
    """A status that nobody documented → record survives; the unknown value is counted and named."""
    account.incident(0, status="paused")

    assert [i.state for i in reader.run()] == [IncidentState.DETECTED]
    assert reader.said("warnings") == ["status 'paused' is not known here; it is taken as open"]


def test_without_a_priority_the_urgency_counts(account: World, reader_of: Callable[..., Reader]) -> None:
    """The priority is the severity, else the urgency, each by the name that the settings give it."""
    account.incident(0, priority={"id": "1", "summary": "P1"})
    account.incident(1, urgency="low")
    account.incident(2, urgency=None)

    found = reader_of(account, severities={"critical": "P1", "minor": ["P4", "low"]}).run()

    assert [i.severity for i in found] == ["critical", "minor", None]


def test_what_triggered_an_incident_names_its_cause(account: World, reader: Reader) -> None:
    """Commits and addresses of the alert's details are read; a note of somebody is not."""
    one = account.incident(0)
    account.log[0] |= {
        "channel": {"type": "api", "details": {"commit": SHA, "ticket": "OPS-7"}},
        "contexts": [{"type": "link", "href": "https://ci.example.com/runs/9"}, {"type": "image", "src": "a.png"}],
    }
    account.entry(one, "annotate", 9, channel={"type": "note", "summary": f"maybe OPS-8 or {'f' * 40}"})

    assert [(i.shas, i.links) for i in reader.run()] == [((SHA,), ("OPS-7", "https://ci.example.com/runs/9"))]


def test_a_missing_service_or_title_costs_nothing(account: World, reader: Reader) -> None:
    """Missing optional fields → record survives."""
    account.incident(0, service="x")
    account.incidents[0] |= {"service": None, "title": None, "updated_at": None, "last_status_change_at": None}

    assert [(i.service, i.title) for i in reader.run()] == [(None, "[#1] Checkout fails")]


def test_one_broken_incident_is_set_aside(account: World, reader: Reader) -> None:
    """An incident without a time is set aside with its id; the one beside it is kept."""
    account.incident(0)
    account.incidents.append({**account.incidents[0], "id": "P7", "status": 4})

    assert [i.native_id for i in reader.run()] == ["P000001"]
    assert [bad.location for page in reader.pages for bad in page.rejected] == [
        "GET https://api.pagerduty.com/incidents item 2 (id P7)"
    ]


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        ({}, ["P000001", "P000002"]),
        ({"services": "Shop*"}, ["P000001"]),
        ({"urgencies": "high"}, ["P000002"]),
        ({"services": ["Shop API"], "urgencies": ["high"]}, []),
    ],
)
def test_the_settings_choose_what_is_read(
    account: World, reader_of: Callable[..., Reader], settings: dict[str, Any], read: Sequence[str]
) -> None:
    """`services` and `urgencies` choose incidents; of others not even the log is asked for."""
    account.incident(0, urgency="low")
    account.incident(1, service="Mail")
    reader = reader_of(account, **settings)

    assert [i.native_id for i in reader.run()] == read
    assert len([one for one in reader.api.asked if one.path.endswith("/log_entries")]) == len(read)


# ---- merged


def test_a_merged_incident_is_no_failure_of_its_own(account: World, reader: Reader) -> None:
    """What was merged into another is not told: only the other one counts."""
    account.merge(account.incident(0), account.incident(1), 60)

    assert [i.native_id for i in reader.run()] == ["P000002"]


def test_an_incident_that_is_merged_later_is_taken_back(account: World, reader: Reader, bench: Any) -> None:
    """An incident that was known and then merged goes; the other one stays."""
    merged, other = account.incident(0), account.incident(1)
    source = reader.config.build(reader.context)
    bench.runner.run("oncall", source)
    account.merge(merged, other, 600)

    outcome = bench.runner.run("oncall", source)

    assert (outcome.succeeded, outcome.removed) == (True, 1)
    assert [e.native_id for e in bench.store.removed()] == ["P000001"]


# ---- reading on


def test_a_later_run_reads_what_changed(account: World, reader: Reader) -> None:
    """A run follows the log from where the last one ended: an old incident that is resolved late is seen."""
    old = account.incident(0)
    account.incident(90_000)
    reader.run()
    account.become(old, "resolved", 100_000)

    assert [(i.native_id, i.restored_at) for i in reader.run()] == [("P000001", at(100_000)), ("P000002", None)]


def test_what_changed_while_a_first_run_was_interrupted_is_seen(
    account: World, reader_of: Callable[..., Reader]
) -> None:
    """The log is followed from before the first list, however long the list took."""
    reader = reader_of(account, history="20d")
    account.largest = 1
    first = account.incident(0)
    account.incident(80_000)
    account.incident(90_000)
    reader.api.broken_from = 7  # the newest entry, a count, two pages with a log each; then nothing is reached
    pages = reader.config.build(reader.context).pull(None)
    reader.cursor = [next(pages), next(pages)][-1].cursor
    with pytest.raises(RetryableError):
        next(pages)
    reader.api.broken_from = None
    account.become(first, "resolved", 100_000)

    assert [i.native_id for i in reader.run()] == ["P000002", "P000003"]
    assert [(i.native_id, i.restored_at) for i in reader.run()] == [("P000001", at(100_000)), ("P000003", None)]


def test_a_run_without_news_reads_what_changed_last(account: World, reader: Reader) -> None:
    """Where nothing happened, the log's last hour is read again and no other incident."""
    account.incident(0)
    account.incident(90_000)
    reader.run()
    before = len(reader.api.asked)

    assert ([i.native_id for i in reader.run()], len(reader.api.asked) - before) == (["P000002"], 4)


def test_a_server_whose_clock_is_ahead_loses_no_incident(
    account: World, reader: Reader, context: SourceContext
) -> None:
    """Two hours ahead: what was created there by then is read by the first run, since later ones follow the log."""
    account.incident((context.clock() - START).total_seconds() + 7_200)

    assert [one.native_id for one in reader.run()] == ["P000001"]


def test_a_first_run_reads_no_further_back_than_history(account: World, reader_of: Callable[..., Reader]) -> None:
    """`history` is how far back a first run reads."""
    account.incident(0)
    account.incident(40_000)
    reader = reader_of(account, history="10d")

    assert [i.native_id for i in reader.run()] == ["P000002"]
    assert {query["since"] for query in reader.asked("incidents")} == {"2026-02-20T09:00:00Z"}


def test_a_wish_to_read_from_a_time_on_comes_before_the_cursor(account: World, reader: Reader) -> None:
    """With `since` everything from then on is read, whatever the cursor says."""
    account.incident(0)
    account.incident(90_000)
    reader.run()
    reader.context = replace(reader.context, since=at(-10))

    assert [i.native_id for i in reader.run()] == ["P000001", "P000002"]


def test_an_account_without_incidents_is_read_on(account: World, reader: Reader) -> None:
    """Nothing is an answer too, and the next run sees the first incident."""
    empty = reader.run()
    account.incident(0)

    assert (empty, [i.native_id for i in reader.run()]) == ([], ["P000001"])


def test_more_than_a_list_holds_is_read_in_parts(account: World, reader: Reader) -> None:
    """A list of more than the API hands out is read in spans of time, each within the limit."""
    account.most = 20
    for number in range(50):
        account.incident(number * 600)
    source = replace(reader.config.build(reader.context), most=20)

    pages = list(source.pull(None))

    assert sorted(e.native_id for page in pages for e in page.events) == [f"P{n:06d}" for n in range(1, 51)]
    assert [text for page in pages for text in page.truncations] == []


def test_what_no_span_can_hold_is_said(account: World, reader: Reader) -> None:
    """More of one second than the API hands out is reported as cut off, and the rest is kept."""
    account.most = 20
    for _ in range(21):
        account.incident(0)
    source = replace(reader.config.build(reader.context), most=20)

    pages = list(source.pull(None))

    assert len([e for page in pages for e in page.events]) == 20
    assert [text for page in pages for text in page.truncations] == [
        "GET incidents: of one second, or of one incident, more than 20 items are not handed out"
    ]


def test_a_year_is_read_in_spans_that_the_api_allows(account: World, reader_of: Callable[..., Reader]) -> None:
    """A range of more than six months is refused by the API, so a year is asked for in parts."""
    account.incident(-300 * 86_400)
    account.incident(0)
    reader = reader_of(account, history="365d")

    assert [i.native_id for i in reader.run()] == ["P000001", "P000002"]
    assert len(reader.asked("incidents")) == 3


def test_a_filter_that_is_passed_over_is_an_error(account: World, reader: Reader) -> None:
    """An item from before `since` proves that it was ignored → error."""
    account.incident(0)
    reader.api.routes = [(m, p, lambda *_, **__: _page(account.incidents[0])) for m, p, _ in reader.api.routes]
    account.incidents[0]["created_at"] = "2020-01-01T00:00:00Z"

    with pytest.raises(ContractError, match="`since` was passed over"):
        reader.run()


def test_a_filter_of_the_log_that_is_passed_over_is_an_error(account: World, reader: Reader) -> None:
    """An entry from before `since` proves that it was ignored → error; the whole log is not read each time."""
    account.incident(-5 * 86_400)
    account.incident(0)
    reader.run()
    reader.api.routes = [(m, p, lambda *_, **__: _log(account.log)) for m, p, _ in reader.api.routes]

    with pytest.raises(ContractError, match="GET log_entries: `since` was passed over"):
        reader.run()


def _log(entries: list[dict[str, Any]]) -> Reply:
    return Reply({"log_entries": entries, "more": False, "limit": 100, "offset": 0, "total": len(entries)})


def _page(one: dict[str, Any]) -> Reply:
    return Reply({"incidents": [one], "log_entries": [], "more": False, "limit": 100, "offset": 0, "total": 1})


def test_an_incident_that_is_gone_costs_nothing(account: World, reader: Reader) -> None:
    """An incident that only the log still knows, or that the key may not see, is passed over."""
    account.incident(0)
    account.incident(10)
    reader.run()
    account.incidents.pop(0)

    assert [i.native_id for i in reader.run()] == ["P000002"]


def test_an_incident_that_changed_and_is_broken_is_set_aside(account: World, reader: Reader) -> None:
    """One incident that cannot be used costs itself alone, and is told with its id."""
    account.incident(0)
    account.incident(10)
    reader.run()
    account.incidents[0]["status"] = 7

    assert [i.native_id for i in reader.run()] == ["P000002"]
    assert [bad.location for page in reader.pages for bad in page.rejected] == [
        "GET https://api.pagerduty.com/incidents/P000001 item 1 (id P000001)"
    ]


def test_the_limit_on_requests_is_waited_for(account: World, reader: Reader) -> None:
    """429 with the seconds until the limit is reset → that long a wait, then the answer."""
    account.incident(0)
    slept: list[float] = []
    reader.context = replace(reader.context, wire=replace(reader.context.wire, sleep=slept.append))
    limit = {"ratelimit-limit": "960", "ratelimit-remaining": "0", "ratelimit-reset": "20"}
    reader.api.faults = {2: Reply({"error": {"message": "Rate Limit Exceeded", "code": 2020}}, 429, limit)}

    assert ([i.native_id for i in reader.run()], slept) == (["P000001"], [20.0])


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refused_key_says_so(account: World, reader: Reader, status: int) -> None:
    """A key that is wrong, or may not read incidents, is an error that names the request and not the key."""
    reader.api.faults = {1: Reply({"error": {"message": "Access Denied", "code": 2010}}, status)}

    with pytest.raises((AuthError, SourceError), match=f"log_entries: answered {status}"):
        reader.run()


@pytest.mark.parametrize(("kind", "shown"), [("Token", f"Token token={TOKEN}"), ("Bearer", f"Bearer {TOKEN}")])
def test_the_key_is_shown_as_its_kind(account: World, reader_of: Callable[..., Reader], kind: str, shown: str) -> None:
    """An API key and an OAuth token have headers of their own; the version is asked for beside."""
    reader = reader_of(account, token_type=kind)
    reader.run()

    assert {(one.headers["authorization"], one.headers["accept"]) for one in reader.api.asked} == {
        (shown, "application/vnd.pagerduty+json;version=2")
    }


# ---- webhooks


@pytest.fixture
def hooks_of(reader_of: Callable[..., Reader], account: World) -> Callable[..., PagerDutyHooks]:
    """What takes webhooks; further arguments are settings."""

    def make(**settings: Any) -> PagerDutyHooks:
        reader = reader_of(account, webhook_secret=SECRET, **settings)
        receiver = reader.config.receiver(reader.context)
        assert receiver is not None
        return receiver

    return make


@pytest.fixture
def hooks(hooks_of: Callable[..., PagerDutyHooks]) -> PagerDutyHooks:
    """What takes the account's webhooks."""
    return hooks_of()


def test_without_a_secret_nobody_may_deliver(reader: Reader) -> None:
    """A webhook that nothing opens is closed."""
    assert reader.config.receiver(reader.context) is None


@pytest.mark.parametrize(
    ("change", "genuine"),
    [
        ({}, True),
        ({"body": b"{}"}, False),
        ({"headers": {}}, False),
        ({"headers": {"x-pagerduty-signature": "v1=,v2=abc"}}, False),
    ],
)
def test_one_right_signature_is_enough(
    account: World,
    hooks: PagerDutyHooks,
    change: dict[str, Any],
    genuine: bool,  # noqa: FBT001 - one of several values
) -> None:
    """The signature is over the raw body; of several, as while a secret is replaced, one must be right."""
    delivery = replace(delivered("incident.triggered", 0, account.incident(0)), **change)

    assert hooks.is_genuine(delivery) is genuine


def pushed(hooks: PagerDutyHooks, delivery: Delivery) -> list[Incident]:
    """The incidents in a delivery."""
    return [e for e in hooks.read(delivery).events if isinstance(e, Incident)]


def test_a_resolution_arrives_at_once(account: World, hooks: PagerDutyHooks) -> None:
    """A webhook tells of a resolution when it happens, with a service and a severity."""
    one = account.incident(0, status="resolved", priority={"id": "1", "summary": "P1"})

    (found,) = pushed(hooks, delivered("incident.resolved", 53, one))

    assert (found.native_id, found.service, found.severity) == ("P000001", "Shop API", "P1")
    assert (found.state, found.started_at, found.restored_at) == (IncidentState.RESOLVED, at(0), at(53.169))


@pytest.mark.parametrize(
    ("event_type", "status", "state", "transition"),
    [
        ("incident.triggered", "triggered", IncidentState.DETECTED, ["detected"]),
        ("incident.acknowledged", "acknowledged", IncidentState.ACKNOWLEDGED, ["acknowledged"]),
        ("incident.unacknowledged", "triggered", IncidentState.DETECTED, ["detected"]),
        ("incident.reopened", "triggered", IncidentState.DETECTED, ["detected"]),
        ("incident.priority_updated", "acknowledged", IncidentState.ACKNOWLEDGED, []),
        ("incident.of_a_new_kind", "triggered", IncidentState.DETECTED, []),
    ],
)
def test_each_event_tells_where_an_incident_stands(
    account: World,
    hooks: PagerDutyHooks,
    event_type: str,
    status: str,
    state: IncidentState,
    transition: Sequence[str],
) -> None:
    """Every event of an incident tells its state; those that change it are transitions."""
    (found,) = pushed(hooks, delivered(event_type, 60, account.incident(0, status=status)))

    assert (found.state, [t.state for t in found.transitions]) == (state, transition)


def test_what_the_next_run_reads_is_newer_than_a_webhook(account: World, reader: Reader, hooks: PagerDutyHooks) -> None:
    """A webhook leaves out what came before; the API's own version of that second replaces it, in any order."""
    one = account.incident(0)
    account.become(one, "acknowledged", 10)
    account.become(one, "resolved", 53)

    (told,), (read,) = pushed(hooks, delivered("incident.resolved", 53, one)), reader.run()

    assert told.updated_at is not None
    assert read.updated_at is not None
    assert told.updated_at < read.updated_at


@pytest.mark.parametrize(
    ("event_type", "change", "why"),
    [
        ("pagey.ping", {"type": "ping"}, "events of the kind 'pagey.ping' are not read"),
        ("incident.annotated", {"type": "incident_note"}, "events of the kind 'incident.annotated' are not read"),
        ("service.updated", {"type": "service"}, "events of the kind 'service.updated' are not read"),
        (
            "incident.resolved",
            {"status": "resolved", "resolve_reason": {"type": "merge_resolve_reason"}},
            "of this incident the next run reads what it is now",
        ),
        ("incident.priority_updated", {"status": "resolved"}, "of this incident the next run reads what it is now"),
        ("incident.triggered", {"urgency": "low"}, "an incident that `services` or `urgencies` leave out"),
    ],
)
def test_what_a_webhook_cannot_tell_is_left_to_the_next_run(
    account: World, hooks_of: Callable[..., PagerDutyHooks], event_type: str, change: dict[str, Any], why: str
) -> None:
    """A ping, a note, a merge, a priority of what is over, what is not wanted → nothing, and a word why."""
    received = hooks_of(urgencies="high").read(delivered(event_type, 60, account.incident(0, **change)))

    assert (received.events, received.ignored) == ((), why)


def test_a_delivery_that_comes_again_is_the_same(account: World, hooks: PagerDutyHooks) -> None:
    """PagerDuty delivers at least once: the event's id tells that it is the same."""
    delivery = delivered("incident.triggered", 0, account.incident(0))

    assert [hooks.read(delivery).id for _ in range(2)] == ["01BRB6ZP4M0", "01BRB6ZP4M0"]


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"event": {"id": "1"}}', b"[]", b'{"event": 7}'])
def test_a_body_of_another_shape_is_refused(hooks: PagerDutyHooks, body: bytes) -> None:
    """What is no webhook of version 3 is an error of its shape."""
    with pytest.raises(ContractError):
        hooks.read(Delivery(headers={}, body=body, received_at=START))
