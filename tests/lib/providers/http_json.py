"""A stand-in for a help desk, which the page on any JSON API describes in its settings: Freshdesk, by its API.

Pages are numbered and hold at most 100; of a list only so many pages are handed out, then the answer is 400.
Tickets are those updated since a time; `stats` and `requester` come only if asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from code_blocks import ROOT, blocks_of
from names import PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.document import Document, read_documents, validate
from collector.sources.http_json import HttpJsonConfig

BASE = "https://acme.freshdesk.com/api/v2"
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
START = datetime(2026, 2, 16, tzinfo=UTC)
OPEN, PENDING, RESOLVED, CLOSED, OF_THEIR_OWN = 2, 3, 4, 5, 7


def written(minutes: float | None) -> str | None:
    """Minutes after the start as the API writes a time."""
    return None if minutes is None else (START + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class World:
    """What a help desk holds. `most_pages`: how many pages of a list it hands out."""

    tickets: list[dict[str, Any]] = field(default_factory=list)
    conversations: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    most_pages: int = 300

    def ticket(
        self, minutes: float, *, updated: float | None = None, status: int = OPEN, resolved: float | None = None
    ) -> dict[str, Any]:
        """A ticket that was opened some minutes after the start."""
        number = len(self.tickets) + 1
        stats = {"resolved_at": written(resolved), "closed_at": written(resolved) if status == CLOSED else None}
        who = {"id": 100 + number, "name": PLANTED_NAME, "email": PLANTED_MAIL}
        told = {"subject": f"for {PLANTED_NAME}", "priority": 1, "tags": [], "type": None, "requester_id": who["id"]}
        times = {"created_at": written(minutes), "updated_at": written(minutes if updated is None else updated)}
        self.tickets.append({"id": number, "status": status, **told, **times, "stats": stats, "requester": who})
        return self.tickets[-1]

    def says(self, ticket: dict[str, Any], minutes: float, *, incoming: bool = False, private: bool = False) -> None:
        """Somebody replies on a ticket, or writes a note about it."""
        held = self.conversations.setdefault(ticket["id"], [])
        who = {"user_id": 7, "body_text": f"by {PLANTED_NAME}", "incoming": incoming, "private": private}
        held.append({"id": len(held) + 1, "ticket_id": ticket["id"], **who, "created_at": written(minutes)})


def _paged(asked: Request, rows: Sequence[dict[str, Any]], most_pages: int) -> Reply:
    page, size = asked.number("page", 1), asked.number("per_page", 30)
    if size > 100 or page > most_pages:
        return Reply({"description": "Validation failed", "errors": [{"code": "invalid_value"}]}, status=400)
    return Reply(list(rows[(page - 1) * size : page * size]))


def provider(world: World) -> Provider:
    """The API of a help desk."""
    api = Provider(BASE, token=TOKEN, with_etags=False)

    @api.route("tickets")
    def tickets(asked: Request) -> Reply:
        rows = [t for t in world.tickets if t["updated_at"] >= asked.one("updated_since")]
        rows.sort(key=lambda t: str(t[asked.one("order_by", "created_at")]), reverse=asked.one("order_type") != "asc")
        hidden = {"stats", "requester"} - set(asked.one("include").split(","))
        return _paged(asked, [{k: v for k, v in t.items() if k not in hidden} for t in rows], world.most_pages)

    @api.route(r"tickets/(?P<number>\d+)/conversations")
    def conversations(asked: Request, number: str) -> Reply:
        if not any(t["id"] == int(number) for t in world.tickets):
            return Reply({"code": "not_found"}, status=404)
        return _paged(asked, world.conversations.get(int(number), []), world.most_pages)

    return api


def described(name: str, folder: Path, address: tuple[str, str] = ("", ""), **variables: str) -> Document:
    """The settings that the page on any JSON API shows as a file, with another address in place of one."""
    (block,) = [b for b in blocks_of(ROOT / "docs" / "http-json.md") if b.file == name]
    path = folder / name
    path.write_text(block.text.replace(*address), encoding="utf-8")
    return read_documents(path, environ=variables)[0]


def config(folder: Path, *, size: int = 100, **settings: Any) -> HttpJsonConfig:
    """The settings of a help desk as the page shows them, with another name, a header for the token, and pages."""
    document = described("freshdesk.yaml", folder, FRESHDESK_KEY="")
    shown = document.value["sources"][0]
    shown |= {"name": "sample", "token": TOKEN, "header": "X-API-Key: {token}", **settings}
    shown["lists"][0]["paging"]["size"] = size
    return validate(document, HttpJsonConfig, at=("sources", 0))


def world() -> World:
    """Some tickets of each status, and what is said on them."""
    made = World()
    for number, status in enumerate((OPEN, PENDING, RESOLVED, CLOSED, OF_THEIR_OWN, OPEN, OPEN)):
        ended = number * 60 + 30 if status in {RESOLVED, CLOSED} else None
        ticket = made.ticket(number * 60, updated=number * 60 + 30, status=status, resolved=ended)
        made.says(ticket, number * 60 + 5, incoming=True)
        made.says(ticket, number * 60 + 10)
        made.says(ticket, number * 60 + 15, private=True)
    return made


def sample(folder: Path) -> Sample:
    """A help desk with three pages of tickets."""
    return sample_of(config(folder, size=3), provider(world()))
