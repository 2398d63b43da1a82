"""Addresses that lead away from panels, of all boards."""

from __future__ import annotations

import re
from typing import Any

import pytest
from boards import demo_boards

from dashboards.queries import panels_of

DOCUMENTS: list[dict[str, Any]] = [board.document for board in demo_boards()]
_INSERTED = re.compile(r"\$\{([^}]+)\}")


def addresses(document: dict[str, Any]) -> list[str]:
    """Where the values of a board's panels and columns lead."""
    configs = [panel.get("fieldConfig", {"defaults": {}, "overrides": []}) for panel in panels_of(document)]
    links = [link for c in configs for link in c["defaults"].get("links", ())]
    styled = [p for c in configs for override in c["overrides"] for p in override["properties"]]
    links += [link for p in styled if p["id"] == "links" for link in p["value"]]
    return [link["url"] for link in links]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d["uid"])
def test_names_of_any_letters_arrive_as_they_are(document: dict[str, Any]) -> None:
    """Grafana leaves the `&` of a team R&D as it is, unless an address says how its values are written."""
    written = {one for address in addresses(document) for one in _INSERTED.findall(address)}

    assert written
    assert {one for one in written if not one.endswith((":percentencode", ":queryparam"))} <= {"__url_time_range"}
