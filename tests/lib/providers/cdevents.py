"""CDEvents in the documented shape of both versions, and as the three kinds of CloudEvents in which they come."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from names import PLANTED_MAIL, PLANTED_NAME
from replay import Sample, told

from collector.sources.cdevents import CdEventsConfig
from collector.webhooks import Delivery

AT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
SECRET = "t0ken-of-the-sample"  # noqa: S105 - it opens nothing but the tests' own door
SOURCE = "https://ci.example.com/o/shop"
PURL = "pkg:oci/shop@sha256%3A0b31b1c02ff458ad9b7b81cbdf8f028bd54699fa151f221d1e8de6817db93427"
_VERSIONS = {"0.4": ("0.2.0", "version", "0.4.1"), "0.5": ("0.3.0", "specversion", "0.5.0")}


def event(
    kind: str,
    subject: str,
    content: Mapping[str, Any],
    *,
    at: str = "2026-03-02T08:00:00Z",
    spec: str = "0.5",
    event_id: str = "",
    **rest: Any,
) -> dict[str, Any]:
    """A CDEvent: `kind` is `service.deployed` and so on. Its id follows from what it says unless one is given."""
    of_type, name, version = _VERSIONS[spec]
    context = {
        name: version,
        "id": event_id or f"{kind}/{subject}/{at}",
        "source": SOURCE,
        "type": f"dev.cdevents.{kind}.{of_type}",
        "timestamp": at,
        "chainId": "4c8cb7dd-3448-41de-8768-eec704e2829b",
        "schemaUri": "https://myorg.com/schema/custom",
        "links": [{"linkType": "PATH", "from": {"contextId": "5328c37f-bb7e-4bb7-84ea-9f5f85e4a7ce"}}],
    }
    whole = {"id": subject, "source": SOURCE, "content": dict(content)}
    if spec == "0.4":
        whole["type"] = kind.partition(".")[0]
    return {"context": context, "subject": whole, "customData": {"team": "a"}, **rest}


def cloud(found: Mapping[str, Any]) -> dict[str, Any]:
    """The CloudEvent of a CDEvent."""
    context = found["context"]
    return {
        "specversion": "1.0",
        "id": context["id"],
        "source": context["source"],
        "type": context["type"],
        "subject": found["subject"]["id"],
        "time": context["timestamp"],
        "datacontenttype": "application/json",
        "data": found,
    }


def structured(found: Mapping[str, Any]) -> Delivery:
    """One event as a whole CloudEvent."""
    return _delivery(cloud(found), "application/cloudevents+json; charset=utf-8")


def batch(found: Sequence[Mapping[str, Any]]) -> Delivery:
    """Several CloudEvents."""
    return _delivery([cloud(one) for one in found], "application/cloudevents-batch+json")


def binary(found: Mapping[str, Any]) -> Delivery:
    """One event whose CloudEvent stands in the headers."""
    names = ("specversion", "id", "source", "type", "subject", "time")
    headers = {f"ce-{name}": str(cloud(found)[name]) for name in names}
    return _delivery(found, "application/json", **headers)


def _delivery(body: Any, content_type: str, **headers: str) -> Delivery:
    shown = {"authorization": f"Bearer {SECRET}", "content-type": content_type, **headers}
    return Delivery(headers=shown, body=json.dumps(body).encode(), received_at=AT)


def run(predicate: str, at: str, **content: Any) -> dict[str, Any]:
    """Something that happened to a run of a pipeline."""
    uri = {"pipelineName": "deploy", "uri": "https://ci.example.com/runs/7"}
    return event(f"pipelinerun.{predicate}", "run-7", {**uri, **content}, at=at)


def ticket(predicate: str, at: str, **content: Any) -> dict[str, Any]:
    """Something that happened to a ticket."""
    common = {
        "summary": "A database is needed",
        "ticketType": "task",
        "group": "platform",
        "creator": PLANTED_NAME,
        "assignees": [PLANTED_MAIL],
        "priority": "high",
        "labels": ["bug"],
        "uri": "https://tickets.example.com/7",
    }
    return event(f"ticket.{predicate}", "ticket-7", {**common, **content}, at=at)


def sample(folder: Path) -> Sample:
    """A run, a deployment of version 0.4, an incident, and a ticket of somebody's."""
    deployed = event(
        "service.deployed", "service/shop", {"environment": {"id": "production"}, "artifactId": PURL}, spec="0.4"
    )
    where = {"environment": {"id": "production"}, "service": {"id": "service/shop"}, "artifactId": PURL}
    opened = ticket("created", "2026-03-01T08:00:00Z", creator=PLANTED_MAIL)
    deliveries = [
        structured(run("finished", "2026-03-02T08:20:00Z", outcome="success")),
        binary(deployed),
        batch([event("incident.detected", "incident-1", {"description": "slow", **where}), opened]),
    ]
    return told(CdEventsConfig, folder, deliveries, type="cdevents")
