"""A stand-in for a status page, and for the API behind it, in the shape of its published schema.

The page shows its latest 50 incidents to everybody; the API hands out all, scheduled ones too, 100 a page at most.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.statuspage import StatuspageConfig

PAGE = "https://status.example.com"
API = "https://api.statuspage.io"
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
START = datetime(2026, 2, 20, tzinfo=UTC)
_SHOWN = 50
_DENVER = timezone(timedelta(hours=-7))


def at(seconds: float) -> str:
    """A time so many seconds after the start, in the zone of the page."""
    return (START + timedelta(seconds=seconds)).astimezone(_DENVER).isoformat(timespec="milliseconds")


@dataclass
class World:
    """What a page holds. `largest`: the items of a page of the API's lists, of the 100 that are allowed."""

    incidents: list[dict[str, Any]] = field(default_factory=list)
    largest: int = 100

    def incident(self, seconds: float, *components: str, **fields: Any) -> dict[str, Any]:
        """An incident that began so many seconds after the start."""
        number = len(self.incidents) + 1
        known = {"id": f"p{number}", "name": "Checkout fails", "status": "investigating", "impact": "major"}
        times = {"created_at": at(seconds), "updated_at": at(seconds), "started_at": at(seconds)}
        empty = {"monitoring_at": None, "resolved_at": None, "postmortem_body": f"written by {PLANTED_NAME}"}
        parts = [_component(name) for name in components]
        place = {"shortlink": f"https://stspg.io/p{number}", "page_id": "kctbh9vrtdwd", "components": parts}
        one = {**known, **times, **empty, **place, "incident_updates": [], **fields}
        self.incidents.insert(0, one)
        self.update(one, one["status"], seconds)
        return one

    def update(self, one: dict[str, Any], status: str, seconds: float, **fields: Any) -> None:
        """An update that brings an incident to a status."""
        times = {"created_at": at(seconds), "updated_at": at(seconds), "display_at": at(seconds)}
        words = {"body": f"{PLANTED_NAME} ({PLANTED_MAIL}) looks at it.", "custom_tweet": f"@{PLANTED_LOGIN}"}
        known = {"id": f"u{len(one['incident_updates'])}", "incident_id": one["id"], "status": status}
        one["incident_updates"].insert(0, {**known, **times, **words, "affected_components": None, **fields})
        one |= {"status": status, "updated_at": at(seconds)}
        if status in {"investigating", "resolved"}:
            one["resolved_at"] = at(seconds) if status == "resolved" else None


def _component(name: str) -> dict[str, Any]:
    known = {"id": f"c-{name.lower()}", "name": name, "status": "operational", "page_id": "kctbh9vrtdwd"}
    return {**known, "group_id": None, "group": False, "position": 1, "description": f"ask {PLANTED_NAME}"}


def shown(world: World) -> Provider:
    """The page, as everybody sees it."""
    page = Provider(PAGE)

    @page.route(r"api/v2/incidents\.json")
    def incidents(asked: Request) -> Reply:
        described = {"id": "kctbh9vrtdwd", "name": "Acme", "url": PAGE, "time_zone": "America/Denver"}
        return Reply({"page": described, "incidents": world.incidents[:_SHOWN]})

    return page


def provider(world: World) -> Provider:
    """The API behind the page."""
    api = Provider(API, token=TOKEN)

    @api.route("v1/pages/kctbh9vrtdwd/incidents")
    def incidents(asked: Request) -> Reply:
        size, page = min(asked.number("limit", 100), world.largest), asked.number("page", 1)
        return Reply(world.incidents[(page - 1) * size : page * size])

    @api.route(r"v1/pages/kctbh9vrtdwd/incidents/(?P<native_id>\w+)")
    def incident(asked: Request, native_id: str) -> Reply:
        found = [one for one in world.incidents if one["id"] == native_id]
        return Reply(found[0]) if found else Reply({"error": "Not Found"}, status=404)

    return api


def world() -> World:
    """Two pages of incidents, and one of each kind that there is."""
    made = World(largest=4)
    for number in range(3):
        made.update(made.incident(number * 600, "API", "Website"), "resolved", number * 600 + 53)
    again = made.incident(5_000)
    for status, seconds in (("identified", 5_060), ("monitoring", 5_120), ("resolved", 5_180), ("postmortem", 9_000)):
        made.update(again, status, seconds)
    made.incident(6_000, "API", status="scheduled", scheduled_for=at(7_000), impact="maintenance")
    made.incident(8_000, "API", status="puzzled", impact=None)
    return made


def sample(folder: Path) -> Sample:
    """A page with two pages of incidents, by its API."""
    del folder
    settings = {"name": "sample", "type": "statuspage", "page": "kctbh9vrtdwd", "token": TOKEN}
    return sample_of(StatuspageConfig.model_validate(settings), provider(world()))
