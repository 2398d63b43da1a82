"""ServiceNow's Table API: encoded queries, display values, records that access rules hide, as documented."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from names import PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.servicenow import ServiceNowConfig

BASE = "https://example.service-now.com/api/now/table"
ISSUES = [{"becomes": "incident", "type": "incident", "severity": "1 - Critical"}, {"becomes": "ticket"}]
_GROUPS = {"g1": "Platform"}
_SERVICES = {"s1": "shop"}
_PRIORITIES = {"1": "1 - Critical", "3": "3 - Moderate"}
_SHOWN: Mapping[str, Mapping[str, str]] = {
    "assignment_group": _GROUPS,
    "business_service": _SERVICES,
    "priority": _PRIORITIES,
}
_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    ">=": lambda left, right: left >= right,
    "IN": lambda left, right: left in right.split(","),
    "=": lambda left, right: left == right,
}


@dataclass
class World:
    """Tables of plain values. `hidden`: ids of records that access rules hide; `refused`: tables that are refused."""

    tables: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    passes_over_queries: bool = False

    def task(self, number: int, table: str = "incident", **fields: str) -> dict[str, str]:
        """A new task of group Platform about the shop."""
        made = {
            "sys_id": f"{number:032x}",
            "number": f"{table[:3].upper()}{number:07}",
            "state": "1",
            "opened_at": "2026-03-01 09:00:00",
            "sys_created_on": "2026-03-01 09:00:00",
            "sys_updated_on": "2026-03-01 09:00:00",
            "assignment_group": "g1",
            "business_service": "s1",
            "priority": "3",
            "caller_id.user_name": PLANTED_MAIL,
            "short_description": "nothing works",
            **fields,
        }
        self.tables.setdefault(table, []).append(made)
        return made

    def state(self, task: Mapping[str, str], at: str, state: str, name: str = "state", was: str = "") -> None:
        """An entry of the audit: a field of an incident got a value; `was`: the one before."""
        rows = self.tables.setdefault("sys_audit", [])
        entry = {"tablename": "incident", "documentkey": task["sys_id"], "fieldname": name}
        entry |= {"oldvalue": was, "newvalue": state}
        rows.append({**entry, "sys_created_on": at, "sys_id": f"{len(rows):032x}"})

    def comment(self, task: Mapping[str, str], at: str, who: str, element: str = "comments") -> None:
        """An entry in the journal of a task."""
        rows = self.tables.setdefault("sys_journal_field", [])
        entry = {"element_id": task["sys_id"], "element": element, "sys_created_by": who, "sys_created_on": at}
        rows.append({**entry, "sys_id": f"{len(rows):032x}"})

    def choice(self, table: str, state: str, label: str, element: str = "state") -> None:
        """What the instance calls a state."""
        rows = self.tables.setdefault("sys_choice", [])
        named = {"name": table, "element": element, "value": state, "label": label, "language": "en"}
        rows.append({**named, "sys_id": f"{len(rows):032x}"})

    def change(self, number: int, code: str, **fields: str) -> None:
        """A change request with a close code."""
        times = {"work_start": "2026-03-01 10:00:00", "work_end": "2026-03-01 10:30:00", "type": "normal"}
        self.task(number, "change_request", close_code=code, **{**times, **fields})

    def answer(self, asked: Request, table: str) -> Reply:
        """A page of a table."""
        if table in self.refused:
            return Reply({"error": {"message": "User Not Authorized"}, "status": "failure"}, status=403)
        rows = self._fitting(table, asked.one("sysparm_query"))
        start, size = asked.number("sysparm_offset", 0), asked.number("sysparm_limit", 10_000)
        names = asked.one("sysparm_fields").split(",")
        page = [row for row in rows[start : start + size] if row["sys_id"] not in self.hidden]
        both = asked.one("sysparm_display_value") == "all"
        shown = [
            {name: _cell(name, row.get(name, "")) if both else row.get(name, "") for name in names} for row in page
        ]
        return Reply({"result": shown}, headers={"X-Total-Count": str(len(rows))})

    def _fitting(self, table: str, query: str) -> list[dict[str, str]]:
        rows = list(self.tables.get(table, []))
        order = [part.removeprefix("ORDERBY") for part in query.split("^") if part.startswith("ORDERBY")]
        if not self.passes_over_queries:
            for part in query.split("^"):
                if not part.startswith("ORDERBY"):
                    rows = [row for row in rows if _fits(row, part)]
        return sorted(rows, key=lambda row: [row.get(name, "") for name in order])


def _fits(row: Mapping[str, str], part: str) -> bool:
    found = re.fullmatch(r"([a-z_.]+)(>=|IN|=)(.*)", part)
    assert found, f"no encoded query: {part}"
    return _OPERATORS[found[2]](row.get(found[1], ""), found[3])


def _cell(name: str, plain: str) -> dict[str, str]:
    return {"display_value": _SHOWN.get(name, {}).get(plain, plain), "value": plain}


def provider(world: World) -> Provider:
    """The API of a world."""
    made = Provider(BASE)
    made.route(r"(?P<table>\w+)")(world.answer)
    return made


def config(**fields: Any) -> ServiceNowConfig:
    """Settings of a source that reads a world."""
    known = {"type": "servicenow", "name": "sample", "url": "https://example.service-now.com", "issues": ISSUES}
    return ServiceNowConfig.model_validate({**known, "token": "t0ken-of-the-sample", **fields})


def small() -> World:
    """A resolved incident, a ticket that was answered, an item, a change; people wherever they are."""
    world = World()
    down = world.task(
        1, state="6", priority="1", resolved_at="2026-03-01 11:00:00", sys_updated_on="2026-03-01 11:00:00"
    )
    _lived(world, down, [("2026-03-01 09:05:00", "2"), ("2026-03-01 11:00:00", "6")])
    asked = world.task(2, sys_updated_on="2026-03-01 12:00:00")
    world.comment(asked, "2026-03-01 10:00:00", PLANTED_NAME)
    world.task(3, "sc_req_item", **{"request.requested_for.user_name": PLANTED_MAIL})
    world.change(4, "successful")
    return world


def _lived(world: World, task: Mapping[str, str], states: Sequence[tuple[str, str]]) -> None:
    for at, state in states:
        world.state(task, at, state)


def sample(folder: Path) -> Sample:
    """The small world."""
    del folder
    return sample_of(config(changes={}), provider(small()))
