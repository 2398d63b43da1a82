"""A stand-in for PagerDuty's REST API, version 2: incidents, their logs, the log of the account, by its schema.

Lists have at most 100 items a page and end at an offset of 10 000 with a 400; a range of more than six months is a 400
too. The log gives its newest entries first.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.pagerduty import PagerDutyConfig
from collector.webhooks import Delivery

BASE = "https://api.pagerduty.com"
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
SECRET = "s3cret-of-the-webhook"  # noqa: S105 - planted
START = datetime(2026, 2, 20, tzinfo=UTC)
SERVICE = {"id": "PIJ90N7", "type": "service_reference", "summary": "Shop API"}
PERSON = {"id": "PXPGF42", "type": "user_reference", "summary": PLANTED_NAME, "html_url": f"/users/{PLANTED_LOGIN}"}


def at(seconds: float) -> str:
    """A time so many seconds after the start, as the API writes it."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class World:
    """What an account holds. `most`: where lists end. `largest`: the items of a page, of the 100 that are allowed."""

    incidents: list[dict[str, Any]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    most: int = 10_000
    largest: int = 100

    def incident(self, seconds: float, service: str = "Shop API", **fields: Any) -> dict[str, Any]:
        """An incident that was triggered so many seconds after the start."""
        number = len(self.incidents) + 1
        people = {"assignments": [{"at": at(seconds), "assignee": PERSON}], "last_status_change_by": PERSON}
        place = {"service": {**SERVICE, "summary": service}, "teams": [], "escalation_policy": {"id": "PT20YPA"}}
        times = {"created_at": at(seconds), "updated_at": at(seconds), "last_status_change_at": at(seconds)}
        known = {"id": f"P{number:06d}", "type": "incident", "incident_number": number, "status": "triggered"}
        titles = {"title": "Checkout fails", "summary": f"[#{number}] Checkout fails", "incident_key": f"{number:032x}"}
        address = f"https://acme.pagerduty.com/incidents/P{number:06d}"
        empty = {"resolved_at": None, "priority": None, "resolve_reason": None, "incident_type": {"name": "default"}}
        one = {**known, **titles, **people, **place, **times, **empty, "urgency": "high", "html_url": address, **fields}
        self.incidents.append(one)
        self.entry(one, "trigger", seconds, channel={"type": "api", "summary": "5xx > 2 %"})
        return one

    def entry(self, one: dict[str, Any], kind: str, seconds: float, **fields: Any) -> dict[str, Any]:
        """Something that happened to an incident, told by its log alone."""
        reference = {"id": one["id"], "type": "incident_reference", "summary": one["summary"]}
        known = {"id": f"R{len(self.log):08d}", "type": f"{kind}_log_entry", "created_at": at(seconds)}
        whom = {"summary": f"{kind} by {PLANTED_NAME}", "agent": PERSON, "incident": reference, "contexts": []}
        self.log.append({**known, **whom, "channel": {"type": "web"}, "note": f"ask {PLANTED_MAIL}", **fields})
        return self.log[-1]

    def become(self, one: dict[str, Any], status: str, seconds: float) -> None:
        """An incident comes to another status."""
        kinds = {"acknowledged": "acknowledge", "resolved": "resolve", "triggered": "unacknowledge"}
        ended = at(seconds) if status == "resolved" else None
        one |= {"status": status, "updated_at": at(seconds), "last_status_change_at": at(seconds), "resolved_at": ended}
        self.entry(one, kinds[status], seconds)

    def merge(self, one: dict[str, Any], other: dict[str, Any], seconds: float) -> None:
        """An incident is merged into another, which resolves it."""
        self.become(one, "resolved", seconds)
        one["resolve_reason"] = {"type": "merge_resolve_reason", "incident": {"id": other["id"]}}


def _refused(message: str, code: int, status: int = 400) -> Reply:
    return Reply({"error": {"message": message, "code": code}}, status=status)


def _listed(asked: Request, rows: Sequence[Mapping[str, Any]], key: str, world: World) -> Reply:
    """A page of a list, as the query wants it."""
    since, until = asked.time("since"), asked.time("until")
    if since and until and until - since > timedelta(days=184):
        return _refused("Invalid Query Date Range", 2005)
    limit, offset = min(asked.number("limit", 25), world.largest), asked.number("offset", 0)
    if limit + offset > world.most:
        return _refused("Invalid Input Provided", 2001)
    found = [row for row in rows if (not since or _time(row) >= since) and (not until or _time(row) < until)]
    page = found[offset : offset + limit]
    total = len(found) if asked.one("total") == "true" else None
    return Reply({key: page, "limit": limit, "offset": offset, "more": offset + len(page) < len(found), "total": total})


def _time(row: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(row["created_at"])


def _shown(asked: Request, entry: Mapping[str, Any]) -> dict[str, Any]:
    whole = "channels" in asked.query.get("include[]", ())
    return {**entry, "channel": entry["channel"] if whole else {"type": entry["channel"]["type"]}}


def provider(world: World) -> Provider:
    """The API of an account."""
    api = Provider(BASE, token=TOKEN)

    @api.route("incidents")
    def incidents(asked: Request) -> Reply:
        assert asked.one("sort_by") == "created_at:asc"
        return _listed(asked, sorted(world.incidents, key=_time), "incidents", world)

    @api.route("log_entries")
    def log(asked: Request) -> Reply:
        newest = sorted(world.log, key=_time, reverse=True)
        return _listed(asked, [_shown(asked, e) for e in newest], "log_entries", world)

    @api.route(r"incidents/(?P<native_id>\w+)")
    def incident(asked: Request, native_id: str) -> Reply:
        found = [one for one in world.incidents if one["id"] == native_id]
        return Reply({"incident": found[0]}) if found else _refused("Not Found", 2100, 404)

    @api.route(r"incidents/(?P<native_id>\w+)/log_entries")
    def log_of(asked: Request, native_id: str) -> Reply:
        own = [_shown(asked, e) for e in reversed(world.log) if e["incident"]["id"] == native_id]
        return _listed(asked, own, "log_entries", world)

    return api


def delivered(event_type: str, seconds: float, data: Mapping[str, Any], secret: str = SECRET) -> Delivery:
    """A webhook of version 3, signed with an older secret too."""
    event = {
        "id": f"01BRB6ZP4M{seconds:.0f}",
        "event_type": event_type,
        "resource_type": event_type.partition(".")[0],
        "occurred_at": at(seconds).replace("Z", ".169Z"),
        "agent": PERSON,
        "client": {"name": "PagerDuty"},
        "data": data,
    }
    body = json.dumps({"event": event}).encode()
    signatures = [hmac.new(s.encode(), body, hashlib.sha256).hexdigest() for s in ("the one before", secret)]
    headers = {"x-pagerduty-signature": ",".join(f"v1={s}" for s in signatures)}
    return Delivery(headers=headers, body=body, received_at=START)


def world() -> World:
    """Two pages of incidents, and one of each kind that there is."""
    made = World(largest=5)
    for number in range(4):
        made.become(made.incident(number * 60), "resolved", number * 60 + 53)
    acknowledged = made.incident(10_000, priority={"id": "P53ZZH5", "summary": "P1"})
    made.become(acknowledged, "acknowledged", 10_060)
    again = made.incident(11_000, urgency="low")
    for status, seconds in (("acknowledged", 11_010), ("triggered", 11_020), ("resolved", 11_030)):
        made.become(again, status, seconds)
    made.merge(made.incident(12_000), acknowledged, 12_010)
    made.incident(13_000, status="paused")
    made.incident(20_000)
    return made


def sample(folder: Path) -> Sample:
    """An account with two pages of incidents."""
    del folder
    settings = {"name": "sample", "type": "pagerduty", "token": TOKEN, "severities": {"critical": ["P1"]}}
    return sample_of(PagerDutyConfig.model_validate(settings), provider(world()))
