"""A stand-in for Opsgenie's API: incidents with their timelines, services, alerts, in the shape that it answers in.

Lists are searched by `query`, have at most 100 items a page, name the next page, and end at an offset of 20 000.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from names import PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.opsgenie import OpsgenieConfig
from collector.webhooks import Delivery

BASE = "https://api.opsgenie.com"
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
SECRET = "s3cret-of-the-webhook"  # noqa: S105 - planted
START = datetime(2026, 2, 20, tzinfo=UTC)


def at(seconds: float) -> str:
    """A time so many seconds after the start, as the API writes it: with as many digits as it needs."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3].rstrip("0").rstrip(".") + "Z"


def epoch(seconds: float) -> int:
    """A time so many seconds after the start, in milliseconds."""
    return round((START.timestamp() + seconds) * 1000)


@dataclass
class World:
    """What an account holds. `most`: where lists end. `largest`: the items of a page, of the 100 that are allowed."""

    incidents: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    timelines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=lambda: {"s1": "Shop API", "s2": "Mail"})
    most: int = 20_000
    largest: int = 100

    def incident(self, seconds: float, *services: str, **fields: Any) -> dict[str, Any]:
        """An incident that was opened so many seconds after the start."""
        number = len(self.incidents) + 1
        known = {"id": f"i{number}", "tinyId": str(number), "message": "Checkout fails", "status": "open"}
        times = {"createdAt": at(seconds), "updatedAt": at(seconds), "impactStartDate": at(seconds)}
        people = {"responders": [{"type": "user", "id": PLANTED_MAIL}], "ownerTeam": "", "actions": []}
        texts = {"description": "5xx > 2 %", "extraProperties": {}, "tags": ["checkout"], "priority": "P2"}
        links = {"web": f"https://acme.app.opsgenie.com/incident/detail/i{number}", "api": f"{BASE}/v1/incidents/x"}
        one = {**known, **times, **people, **texts, "impactedServices": list(services), "links": links, **fields}
        self.incidents.append(one)
        self.entry(one, "IncidentOpened", seconds)
        return one

    def entry(self, one: Mapping[str, Any], kind: str, seconds: float) -> None:
        """An entry of an incident's timeline, the newest first."""
        whom = {"actor": {"name": PLANTED_NAME, "type": "user"}, "title": {"type": "plain_text", "content": kind}}
        own = self.timelines.setdefault(one["id"], [])
        known = {"id": f"{kind}_{len(own)}", "group": "incident", "type": kind, "hidden": False}
        own.insert(0, {**known, "eventTime": at(seconds), **whom})

    def become(self, one: dict[str, Any], status: str, seconds: float) -> None:
        """An incident comes to another status."""
        kinds = {"open": "IncidentReopened", "resolved": "IncidentResolved", "closed": "IncidentClosed"}
        one |= {"status": status, "updatedAt": at(seconds)}
        if status == "resolved":
            one |= {"impactEndDate": at(seconds)}
        self.entry(one, kinds[status], seconds)

    def alert(
        self, seconds: float, *, acked: float | None = None, closed: float | None = None, **fields: Any
    ) -> dict[str, Any]:
        """An alert; when it was acknowledged and closed, in seconds after its creation."""
        number = len(self.alerts) + 1
        status = {"status": "open" if closed is None else "closed", "acknowledged": acked is not None, "isSeen": True}
        ended = max(acked or 0, closed or 0)
        times = {"createdAt": at(seconds), "updatedAt": at(seconds + ended), "lastOccurredAt": at(seconds)}
        spans = {"ackTime": acked, "closeTime": closed}
        report: dict[str, Any] = {name: round(span * 1000) for name, span in spans.items() if span is not None}
        report |= dict.fromkeys(("acknowledgedBy", "closedBy"), PLANTED_MAIL)
        known = {"id": f"a{number}", "tinyId": str(number), "alias": f"event-{number}", "message": "CPU is high"}
        rest = {"owner": PLANTED_MAIL, "source": "prometheus", "priority": "P3", "tags": ["service:Shop API"]}
        self.alerts.append({**known, **status, **times, **rest, "count": 1, "report": report, **fields})
        return self.alerts[-1]

    def close(self, alert: dict[str, Any], seconds: float) -> None:
        """An alert is closed so many seconds after its creation."""
        created = datetime.fromisoformat(alert["createdAt"])
        closed = (created - START).total_seconds() + seconds
        alert |= {"status": "closed", "updatedAt": at(closed)}
        alert["report"] |= {"closeTime": round(seconds * 1000)}


def _listed(asked: Request, rows: Sequence[Mapping[str, Any]], world: World) -> Reply:
    """A page of a list, as the query wants it."""
    limit, offset = min(asked.number("limit", 20), world.largest), asked.number("offset", 0)
    if asked.number("limit", 20) + offset > world.most:
        return Reply({"message": "offset and limit are too large", "took": 0.0, "requestId": "1"}, status=422)
    if query := asked.one("query"):
        found = re.fullmatch(r"createdAt >= (\d+)", query)
        assert found, query
        assert (asked.one("sort"), asked.one("order")) == ("createdAt", "asc")
        rows = [row for row in rows if _milliseconds(row["createdAt"]) >= int(found[1])]
        rows = sorted(rows, key=lambda row: _milliseconds(row["createdAt"]))
    page = list(rows[offset : offset + limit])
    first = f"{BASE}/{asked.path}?offset=0"
    following = {"next": f"{BASE}/{asked.path}?offset={offset + limit}"} if offset + limit < len(rows) else {}
    counted = {"totalCount": len(rows), "took": 0.1, "requestId": "1"}
    return Reply({"data": page, "paging": {"first": first, "last": first, **following}, **counted})


def _milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _single(rows: Sequence[Mapping[str, Any]], native_id: str) -> Reply:
    found = [row for row in rows if row["id"] == native_id]
    if not found:
        return Reply({"message": "Not Found", "took": 0.1, "requestId": "1"}, status=404)
    return Reply({"data": found[0], "took": 0.1, "requestId": "1"})


def provider(world: World) -> Provider:
    """The API of an account."""
    api = Provider(BASE, token=TOKEN, with_etags=False)

    @api.route("v1/incidents")
    def incidents(asked: Request) -> Reply:
        return _listed(asked, world.incidents, world)

    @api.route("v2/alerts")
    def alerts(asked: Request) -> Reply:
        return _listed(asked, world.alerts, world)

    @api.route("v1/services")
    def services(asked: Request) -> Reply:
        return _listed(
            asked, [{"id": i, "name": n, "teamId": "t", "tags": []} for i, n in world.services.items()], world
        )

    @api.route(r"v1/incidents/(?P<native_id>\w+)")
    def incident(asked: Request, native_id: str) -> Reply:
        return _single(world.incidents, native_id)

    @api.route(r"v2/alerts/(?P<native_id>\w+)")
    def alert(asked: Request, native_id: str) -> Reply:
        return _single(world.alerts, native_id)

    @api.route(r"v2/incident-timelines/(?P<native_id>\w+)/entries")
    def timeline(asked: Request, native_id: str) -> Reply:
        entries, size = world.timelines[native_id], min(asked.number("limit", 20), world.largest)
        ids = [entry["id"] for entry in entries]
        first = ids.index(asked.one("offset")) if asked.one("offset") else 0
        data: dict[str, Any] = {"entries": entries[first : first + size]}
        if first + size < len(entries):
            data["nextOffset"] = ids[first + size]
        return Reply({"data": data, "took": 0.1, "requestId": "1"})

    return api


def delivered(action: str, seconds: float, alert: Mapping[str, Any], secret: str = SECRET) -> Delivery:
    """A webhook of an action on an alert so many seconds after the start."""
    told = {
        "alertId": alert["id"],
        "createdAt": _milliseconds(alert["createdAt"]),
        "username": PLANTED_MAIL,
        "updatedAt": epoch(seconds) * 1_000_000,
        **{name: alert[name] for name in ("message", "priority", "tags", "tinyId", "alias")},
    }
    body = {"action": action, "alert": told, "source": {"name": PLANTED_NAME, "type": "web"}, "integrationName": "p"}
    headers = {"authorization": f"Bearer {secret}"}
    return Delivery(headers=headers, body=json.dumps(body).encode(), received_at=START)


def world() -> World:
    """Two pages of incidents, and one of each kind that there is."""
    made = World(largest=4)
    for number in range(3):
        one = made.incident(number * 60, "s1")
        made.become(one, "resolved", number * 60 + 53)
        made.become(one, "closed", number * 60 + 90)
    made.become(made.incident(10_000, "s1", "s2"), "resolved", 10_060)
    acknowledged = made.incident(20_000, "s9", priority="P1", updatedAt=None)
    made.entry(acknowledged, "ResponderAlertAcked", 20_010)
    made.incident(30_000, status="paused")
    return made


def sample(folder: Path) -> Sample:
    """An account with two pages of incidents."""
    del folder
    settings = {"name": "sample", "type": "opsgenie", "token": TOKEN, "severities": {"critical": ["P1"]}}
    return sample_of(OpsgenieConfig.model_validate(settings), provider(world()))
