"""A directory's SCIM 2.0 API: users in the shape of RFC 7643, lists and filters as RFC 7644 has them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.scim import ScimConfig

BASE = "https://idp.example.com/scim/v2"
HR = "urn:example:schemas:hr:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
_CHANGED = re.compile(r'(?:\((?P<own>.*)\) and )?meta\.lastModified gt "(?P<since>[^"]+)"')


def user(number: int, start: str = "2026-02-02", **fields: Any) -> dict[str, Any]:
    """A user as a directory hands it out, with far more than anybody needs."""
    login = fields.pop("userName", f"user{number}")
    hired = {HR: {"startDate": start, **fields.pop("hr", {})}} if start else {}
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE, HR],
        "id": f"2819c223-7f76-453a-919d-{number:012d}",
        "externalId": login,
        "meta": {
            "resourceType": "User",
            "created": "2026-01-20T09:00:00Z",
            "lastModified": f"2026-02-{number % 20 + 1:02d}T09:00:00.123Z",
            "version": f'W/"{number}"',
            "location": f"{BASE}/Users/{number}",
        },
        "userName": login,
        "name": {"formatted": PLANTED_NAME, "familyName": PLANTED_NAME.split()[1]},
        "displayName": PLANTED_NAME,
        "emails": [
            {"value": f"home{number}@private.example", "type": "home"},
            {"value": f"{login}@people.example", "type": "work", "primary": True},
        ],
        "phoneNumbers": [{"value": "555-555-5555", "type": "work"}],
        "addresses": [{"type": "work", "locality": "berlin", "country": "DE", "primary": True}],
        "userType": "Employee",
        "title": "Engineer",
        "active": True,
        ENTERPRISE: {"department": "payments", "manager": {"value": "26118915", "displayName": PLANTED_NAME}},
        **hired,
        **fields,
    }


@dataclass
class World:
    """The users of a directory, and what its server is able to do.

    `most`: users of a page at most. `filters`: whether it understands filters ("yes"), passes over them ("ignored"), or
    refuses them with a kind of error. `pages`: whether it knows `startIndex`.
    """

    users: list[dict[str, Any]] = field(default_factory=list)
    most: int = 2
    filters: str = "yes"
    pages: bool = True
    counted: int | None = None

    def listing(self, asked: Request) -> Reply:
        """A page of the list."""
        wanted = asked.one("filter")
        changed = _CHANGED.fullmatch(wanted)
        if wanted and self.filters not in {"yes", "ignored"}:
            return refusal(self.filters)
        found = list(self.users)
        if changed and self.filters == "yes":
            found = [u for u in found if u.get("meta", {}).get("lastModified", "9") > changed["since"]]
        start = max(asked.number("startIndex", 1), 1) if self.pages else 1
        page = found[start - 1 : start - 1 + min(asked.number("count", 100), self.most)]
        total = len(found) if self.counted is None else self.counted
        body = {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": total,
            "startIndex": start,
            "itemsPerPage": len(page),
            **({"Resources": page} if page else {}),
        }
        return Reply(body, headers={"Content-Type": "application/scim+json"})


def refusal(kind: str) -> Reply:
    """An error as RFC 7644 writes it; its detail repeats what was asked."""
    body = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "scimType": kind,
        "detail": f"{PLANTED_NAME} asked too much",
        "status": "400",
    }
    return Reply(body, status=400)


def provider(world: World) -> Provider:
    """The server of a world."""
    made = Provider(BASE)
    made.route(r"Users")(world.listing)
    return made


def sample(folder: Path) -> Sample:
    """Five users: one has left, one has no start, one is a person of whom nothing may be kept."""
    del folder
    planted = user(3, userName=PLANTED_LOGIN, emails=[{"value": PLANTED_MAIL, "primary": True}])
    world = World([user(1), user(2, active=False), planted, user(4, ""), user(5, userType="Contractor")])
    fields = {"name": "sample", "type": "scim", "url": BASE, "token": "t0ken-of-the-sample", "start": f"{HR}:startDate"}
    return sample_of(ScimConfig.model_validate(fields), provider(world))
