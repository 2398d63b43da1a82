"""Keeps in the audit trail which commands changed the store, and by whose account of this machine: as a keyed hash."""

from __future__ import annotations

import os

from paceline.access.caller import By, Caller, Role
from paceline.access.sealed import derived, person_hash
from paceline.access.trail import Trail
from paceline.logs import configure
from paceline.settings import Configuration
from paceline.wiring import people_of, utc_now


def keep(found: Configuration, action: str, outcome: str = "done", what: str = "") -> None:
    """Keep that a command did something to the store of some settings; `what` names no person."""
    key = derived(people_of(found, os.environ).derived("access"), "access")
    who = Caller(role=Role.OPERATOR, by=By.COMMAND, who=person_hash(key, f"account {os.getuid()}"))
    log = configure(found.settings.logs.level, found.settings.logs.format)
    found.data_dir.mkdir(parents=True, exist_ok=True)
    Trail(found.data_dir, utc_now, log).record(action, outcome, who, **({"what": what} if what else {}))
