"""A personnel system's export of people, as a spreadsheet writes it."""

from __future__ import annotations

from pathlib import Path

from names import PLANTED_MAIL, PLANTED_NAME
from replay import Sample

from collector.sources.roster import RosterConfig

LINES = (
    "Name;Work email;Start date;Last day;Kind;Team;Site;Remarks",
    f"{PLANTED_NAME};{PLANTED_MAIL};2026-02-02;;permanent;payments;berlin;reports to {PLANTED_NAME}",
    f'Bob;bob@people.example;2025-11-03;2026-02-27;contractor;payments;berlin;"he left; see {PLANTED_MAIL}"',
    "Cleo;cleo@people.example;2026-03-02;;intern;search;lisbon;",
    f"{PLANTED_NAME};{PLANTED_MAIL};{PLANTED_NAME};;hire;payments;berlin;",
)


def sample(folder: Path) -> Sample:
    """Three people, one of them gone, and a line that is none."""
    path = folder / "people.csv"
    path.write_text("\ufeff" + "\r\n".join(LINES) + "\r\n", encoding="utf-8")
    kinds = {"hire": ["permanent"]}
    settings = {"name": "sample", "type": "roster", "path": path.name, "kinds": kinds, "zone": "Europe/Berlin"}
    return Sample(RosterConfig.model_validate(settings), path.unlink)
