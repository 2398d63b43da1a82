"""Alertmanager: alerts as incidents, as its webhook tells of them. Grafana's alerting sends the same.

An alert is an incident from when it began to fire until it was resolved. Alertmanager tells no history, and forgets an
alert that is resolved: what counts is what was delivered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from collector.errors import BadRecord, ContractError
from collector.events import Event, Incident, IncidentState, Transition
from collector.name_rules import NameRules
from collector.patterns import Pattern
from collector.pushed import Join, PushedConfig
from collector.secrets import reveal
from collector.source import About, SourceContext
from collector.tracking import Severities
from collector.webhooks import Delivery, Received, Receiver, bearer, id_of, is_same, password

_LATE = timedelta(minutes=1)
"""An instance of a cluster may send once more what another has sent: within this it is no new outage."""
_ENRICHER = "alertmanager"
_GROUP = re.compile(r"\{(\w+)\}")


class AlertRule(BaseModel):
    """Which alerts are incidents, and whose. What is not given fits all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: dict[str, NameRules] = Field(
        default_factory=dict, description="Names for values of labels; an alert without such a label does not fit."
    )
    incident: bool = Field(default=True, description="Whether such alerts are incidents; `false` leaves them out.")
    service: str = Field(
        default="{service}",
        description="The service; `{name}` stands for a label, or a named group of the expressions beside it.",
    )
    environment: str = Field(default="{environment}", description="The environment; `{name}` as above.")
    severity: str = Field(default="{severity}", description="The severity; `{name}` as above.")

    def names(self, labels: Mapping[str, str]) -> dict[str, str] | None:
        """What the names of this rule stand for, where all of it fits an alert; None where a part does not."""
        found = dict(labels)
        for label, rules in self.labels.items():
            value = labels.get(label)
            groups = (g for rule in rules if value is not None and (g := Pattern(rule).groups(value)) is not None)
            first = next(groups, None)
            if first is None:
                return None
            found |= first
        return found


class AlertmanagerConfig(PushedConfig):
    """Settings of a receiver of Alertmanager's webhook."""

    about: ClassVar[About | None] = About(
        system="Alertmanager, and Grafana's alerting",
        gives=("incident",),
        tested="real server",
        scopes=(("`webhook_secret`", "shown as bearer token, or as the password of basic credentials"),),
        costs=(("a notification of any number of alerts", "no request of Paceline's own"),),
        limits=(
            "There is no history: what fired before, or while Paceline could not be reached for long, is not known.",
            "With `max_alerts` Alertmanager leaves alerts out of a notification; how many is set aside with a reason.",
            "Silenced and inhibited alerts are not sent, so they are no incidents.",
        ),
        example="""\
sources:
  - type: alertmanager
    name: alerts
    webhook_secret: ${ALERTS_SECRET:-}
    incidents:
      - labels: {severity: page}
""",
        more="""\
An alert is an incident of the service that its label `service` names, in the environment of its label `environment`. It
begins when the alert began to fire, after its `for`, and ends when Alertmanager says that it did. One that fires again
without having begun anew (Prometheus was away, for example) is the same incident, reopened. The first rule that fits
decides; an alert that no rule fits is no incident, nor is the `Watchdog` of a dead man's switch unless a rule takes it.

```yaml
sources:
  - type: alertmanager
    name: alerts
    webhook_secret: ${ALERTS_SECRET:-}
    incidents:
      - labels: {alertname: [Watchdog, InfoInhibitor]}
        incident: false
      - labels: {severity: [page, critical], namespace: "/(?P<app>.+)-(?P<stage>live|test)/"}
        service: "{app}"
        environment: "{stage}"
```

In Alertmanager, beside the receivers that wake somebody (`continue: true` on the route lets both have it):

```yaml
# alertmanager.yml
receivers:
  - name: paceline
    webhook_configs:
      - url: https://paceline.example.com/webhooks/alerts
        send_resolved: true
        http_config:
          authorization: {credentials_file: /etc/alertmanager/paceline.secret}
```

In Grafana a contact point of type *Webhook* with the same address, and the secret as credentials of the authorization
header. `/webhooks/alertmanager` belongs to [the enricher](../enricher.md), so a source cannot have that name.
""",
    )

    type: Literal["alertmanager"]
    incidents: list[AlertRule] = Field(
        min_length=1, description="Which alerts are incidents, and whose: the first rule that fits."
    )
    severities: dict[str, NameRules] = Field(
        default_factory=dict, description="The severities of alerts, by the names they have here."
    )

    @field_validator("name")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if value == _ENRICHER:
            raise ValueError("`/webhooks/alertmanager` belongs to the enricher; expected another name, such as alerts")
        return value

    def join(self) -> Join | None:
        """What Alertmanager says again and again of an alert is one incident."""
        return Join(joined)

    def receiver(self, context: SourceContext) -> Receiver | None:
        """What takes the notifications; None without a secret."""
        if not reveal(self.webhook_secret):
            return None
        return AlertmanagerReceiver(self.webhook_secret, self, Severities(self.severities, context.findings))


# ---- what Alertmanager sends


class _Alert(msgspec.Struct, rename="camel"):
    """An alert of a notification. `ends_at` is the year 1, or a time to come, as long as it fires."""

    status: str
    starts_at: datetime
    fingerprint: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    ends_at: datetime | None = None
    generator_url: str = msgspec.field(default="", name="generatorURL")


class _Notification(msgspec.Struct, rename="camel"):
    alerts: list[msgspec.Raw]
    truncated_alerts: int = 0


_DECODER = msgspec.json.Decoder(_Notification)
_ALERT = msgspec.json.Decoder(_Alert)


@dataclass(frozen=True)
class AlertmanagerReceiver:
    """Takes notifications of version 4."""

    secret: SecretStr = field(repr=False)
    config: AlertmanagerConfig
    severities: Severities

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether the secret is shown, as bearer token or as a password."""
        secret = reveal(self.secret)
        return bool(secret) and is_same(secret, bearer(delivery) or password(delivery))

    def read(self, delivery: Delivery) -> Received:
        """The incidents that its alerts are. Raises ContractError for what is no notification."""
        try:
            notification = _DECODER.decode(delivery.body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ContractError(f"it is no notification of Alertmanager: {_said(error)}") from None
        events: list[Event] = []
        rejected: list[BadRecord] = []
        for number, raw in enumerate(notification.alerts, start=1):
            try:
                incident = self._incident(_ALERT.decode(raw), delivery.received_at)
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                rejected.append(BadRecord(f"alert {number}", _said(error)))
            else:
                events += [incident] if incident else []
        if notification.truncated_alerts > 0:
            left = f"Alertmanager left out {notification.truncated_alerts} alerts; raise or remove `max_alerts`"
            rejected.append(BadRecord("the notification", left))
        ignored = "" if events or rejected else "no rule under `incidents` fits its alerts"
        # The same words at another time are another notification: an alert that fires on and on is repeated so.
        known = f"{delivery.received_at:%Y%m%d%H%M%S%f}/{id_of(delivery)}"
        return Received(id=known, events=events, rejected=rejected, ignored=ignored)

    def _incident(self, alert: _Alert, received_at: datetime) -> Incident | None:
        """An alert as an incident; None where it is none here."""
        fitting = ((rule, names) for rule in self.config.incidents if (names := rule.names(alert.labels)) is not None)
        rule, names = next(fitting, (None, {}))
        if rule is None or not rule.incident:
            return None
        ended_at = _ended_at(alert)
        name = alert.labels.get("alertname", "")
        return Incident(
            source=self.config.name,
            native_id=f"{alert.fingerprint}/{alert.starts_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}",
            updated_at=received_at,
            url=alert.generator_url if alert.generator_url.startswith(("http://", "https://")) else None,
            service=_filled(rule.service, names) or None,
            environment=_filled(rule.environment, names) or None,
            state=IncidentState.DETECTED if ended_at is None else IncidentState.RESOLVED,
            started_at=alert.starts_at,
            severity=self.severities.of(_filled(rule.severity, names)),
            title=alert.annotations.get("summary") or name or None,
            detected_at=alert.starts_at,
            restored_at=ended_at,
            labels=(name,) if name else (),
            transitions=() if ended_at is None else (Transition(at=ended_at, state="resolved"),),
        )


def joined(known: Event, told: Event) -> Event:
    """What is known of an incident, and what a later notification tells of it, as one.

    A notification that it fires changes nothing as long as it does. After its end it is the same incident, reopened;
    not within a minute, when another instance of a cluster may only be late.
    """
    if not (isinstance(known, Incident) and isinstance(told, Incident)):
        return told
    if told.state == known.state and told.restored_at == known.restored_at:
        return known
    changes = {*known.transitions, *told.transitions}
    if told.state is IncidentState.DETECTED:
        assert told.updated_at is not None  # noqa: S101 - each delivery is stamped
        if known.updated_at is not None and told.updated_at - known.updated_at <= _LATE:
            return known
        changes.add(Transition(at=told.updated_at, state="detected"))
    return msgspec.structs.replace(told, transitions=tuple(sorted(changes, key=lambda t: (t.at, t.state))))


def _ended_at(alert: _Alert) -> datetime | None:
    """When an alert ended; None while it fires. One that is said to be resolved before it began ended as it began."""
    if alert.status == "firing":
        return None
    if alert.status != "resolved":
        raise ValueError("`status`: expected firing or resolved")
    if alert.ends_at is None or alert.ends_at.year == 1:
        raise ValueError("`endsAt` is missing; expected when the alert was resolved")
    return max(alert.ends_at, alert.starts_at)


def _filled(template: str, names: Mapping[str, str]) -> str:
    return _GROUP.sub(lambda found: names.get(found[1], ""), template)


def _said(error: Exception) -> str:
    """What is wrong, without the value."""
    text = str(error)
    return text if isinstance(error, msgspec.ValidationError | ValueError) and '"' not in text else "it is no JSON"
