"""Alertmanager's notifications: which alerts are incidents, when they began and ended, and what is said twice."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from providers.alertmanager import alert, delivered, notification
from pydantic import ValidationError

from collector.errors import ContractError
from collector.events import Incident, IncidentState
from collector.source import SourceContext
from collector.sources.alertmanager import AlertmanagerConfig, joined
from collector.webhooks import Delivery, Received, Receiver

SECRET = "a-secret-of-these-tests"  # noqa: S105 - it opens nothing but the tests' own door
AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
BEGUN = datetime(2026, 3, 2, 7, 0, 0, 123_000, tzinfo=UTC)
ENDED = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)
PAGES = {"labels": {"severity": "page"}}
OVER = "2026-03-02T07:30:00Z"


def receiver(context: SourceContext, *rules: dict[str, Any], **fields: Any) -> Receiver:
    """What takes the notifications."""
    known = {"type": "alertmanager", "name": "alerts", "webhook_secret": SECRET, "incidents": list(rules) or [PAGES]}
    made = AlertmanagerConfig.model_validate({**known, **fields}).receiver(context)
    assert made is not None
    return made


def read(context: SourceContext, *alerts: dict[str, Any], rules: tuple[dict[str, Any], ...] = ()) -> Received:
    """What a notification of alerts gives."""
    return receiver(context, *rules).read(delivered(notification(*alerts), secret=SECRET))


def incident(context: SourceContext, told: dict[str, Any], at: datetime = AT) -> Incident:
    """The incident that an alert is, told at a time."""
    (found,) = receiver(context).read(delivered(notification(told), at, SECRET)).events
    assert isinstance(found, Incident)
    return found


def test_an_alert_that_fires_is_an_open_incident_of_its_service(context: SourceContext) -> None:
    """The labels name whose it is; it began when it began to fire, and its year 1 is no end."""
    found = incident(context, alert())

    assert (found.service, found.environment, found.severity) == ("shop", "production", "page")
    assert (found.state, found.started_at, found.restored_at) == (IncidentState.DETECTED, BEGUN, None)


def test_a_resolved_alert_is_restored_when_it_ended(context: SourceContext) -> None:
    """53 seconds are 53 seconds: the times are the alert's own."""
    found = incident(context, alert(ended="2026-03-02T07:00:53.123Z"))

    assert (found.state, found.restored_at) == (IncidentState.RESOLVED, BEGUN + timedelta(seconds=53))


def test_both_notifications_tell_of_one_incident(context: SourceContext) -> None:
    """Firing and resolved are one event by its fingerprint and its beginning; one that began anew is another."""
    ids = [incident(context, told).id for told in (alert(), alert(ended=OVER), alert(startsAt="2026-03-02T09:00:00Z"))]

    assert ids[0] == ids[1] != ids[2]


def test_a_notification_that_is_repeated_changes_nothing(context: SourceContext) -> None:
    """It fires on and on: what is known stays as it is."""
    known = incident(context, alert())

    assert joined(known, incident(context, alert(), AT + timedelta(hours=4))) is known


def test_an_alert_that_fires_again_without_having_begun_anew_is_reopened(context: SourceContext) -> None:
    """Prometheus was away and Alertmanager took the alert as over: the last resolution counts."""
    over = incident(context, alert(ended=OVER), AT)
    again = joined(over, incident(context, alert(), AT + timedelta(minutes=5)))
    assert isinstance(again, Incident)
    ended = joined(again, incident(context, alert(ended="2026-03-02T09:00:00Z"), AT + timedelta(hours=1)))
    assert isinstance(ended, Incident)

    assert (again.state, again.restored_at) == (IncidentState.DETECTED, None)
    assert [(t.at, t.state) for t in ended.transitions] == [
        (ENDED, "resolved"),
        (AT + timedelta(minutes=5), "detected"),
        (datetime(2026, 3, 2, 9, 0, tzinfo=UTC), "resolved"),
    ]


def test_a_peer_that_is_late_reopens_nothing(context: SourceContext) -> None:
    """An instance of a cluster says once more that it fires, seconds after another said that it is over."""
    over = incident(context, alert(ended=OVER), AT)

    assert joined(over, incident(context, alert(), AT + timedelta(seconds=15))) is over


def test_an_alert_that_no_rule_fits_is_no_incident(context: SourceContext) -> None:
    """A warning wakes nobody; whole values are compared."""
    labels = alert()["labels"]

    found = read(context, alert(labels={**labels, "severity": "pager"}), alert(labels={"alertname": "Watchdog"}))

    assert (found.events, found.ignored) == ([], "no rule under `incidents` fits its alerts")


def test_the_first_rule_that_fits_decides(context: SourceContext) -> None:
    """A dead man's switch is left out before everything else is taken."""
    watchdog = {"labels": {"alertname": "Watchdog"}, "incident": False}

    found = read(context, alert("Watchdog"), alert(), rules=(watchdog, {}))

    assert [e.labels for e in found.events if isinstance(e, Incident)] == [("ShopDown",)]


def test_names_are_made_of_labels_and_groups(context: SourceContext) -> None:
    """A namespace says which service it is, and where."""
    rule = {"labels": {"namespace": "/(?P<app>.+)-(?P<stage>live|test)/"}, "service": "{app}", "environment": "{stage}"}

    (found,) = read(context, alert(labels={"namespace": "big-shop-live"}), rules=(rule,)).events

    assert isinstance(found, Incident)
    assert (found.service, found.environment, found.severity) == ("big-shop", "live", None)


def test_severities_get_the_names_they_have_here(context: SourceContext) -> None:
    """What `page` is called elsewhere."""
    made = receiver(context, severities={"critical": ["page", "crit*"]})

    (found,) = made.read(delivered(notification(alert()), secret=SECRET)).events

    assert isinstance(found, Incident)
    assert found.severity == "critical"


def test_alerts_that_were_left_out_are_said(context: SourceContext) -> None:
    """`max_alerts` cuts a notification off: never without a word."""
    found = receiver(context).read(delivered(notification(alert(), truncatedAlerts=3), secret=SECRET))

    assert [str(bad) for bad in found.rejected] == [
        "the notification: Alertmanager left out 3 alerts; raise or remove `max_alerts`"
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"status": "pending"}, "`status`: expected firing or resolved"),
        ({"status": "resolved"}, "`endsAt` is missing"),
        ({"startsAt": "2026-03-02T07:00:00"}, "has no time zone"),
        ({"startsAt": "yesterday"}, "Invalid RFC3339"),
        ({"labels": ["page"]}, "Expected `object`"),
    ],
)
def test_an_alert_that_cannot_be_used_is_set_aside(context: SourceContext, fields: dict[str, Any], said: str) -> None:
    """The good one beside it is kept."""
    found = read(context, alert(**fields), alert("Other"))

    assert [type(e).__name__ for e in found.events] == ["Incident"]
    assert [bad.location for bad in found.rejected] == ["alert 1"]
    assert said in found.rejected[0].reason


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"alerts": 7}', b"\xff", b"[" * 10_000])
def test_what_is_no_notification_is_refused(context: SourceContext, body: bytes) -> None:
    """It is named for what it is; nothing of it is repeated."""
    with pytest.raises(ContractError, match="it is no notification of Alertmanager"):
        receiver(context).read(delivered(body))


def test_who_has_the_secret_may_deliver(context: SourceContext) -> None:
    """As bearer token or as the password of basic credentials; nobody else."""
    door = receiver(context)
    basic = b64encode(f"any:{SECRET}".encode()).decode()
    empty = Delivery(headers={}, body=b"", received_at=AT)
    given = [f"Bearer {SECRET}", f"Basic {basic}", "Bearer other", "Basic !", ""]

    assert [door.is_genuine(replace(empty, headers={"authorization": one})) for one in given] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_the_name_of_the_enrichers_door_is_refused() -> None:
    """`/webhooks/alertmanager` would never reach the source."""
    with pytest.raises(ValidationError, match="belongs to the enricher; expected another name"):
        AlertmanagerConfig(type="alertmanager", name="alertmanager", webhook_secret=SECRET, incidents=[{}])  # type: ignore[arg-type, list-item] # as YAML gives it
