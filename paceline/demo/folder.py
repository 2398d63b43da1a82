"""The example as a folder that Paceline can be pointed at: settings, catalogue, SLOs, identities and events."""

from __future__ import annotations

import shutil
from pathlib import Path

from paceline.demo.everything import all_events
from paceline.demo.files import write_events
from paceline.demo.organisation import Example, load_example
from paceline.demo.period import Period
from paceline.demo.repositories import MERGE_BOT
from paceline.resources import config_dir

SETTINGS = "paceline.yaml"


def demo_config() -> Path:
    """The folder of the example's settings, catalogue and SLOs."""
    return config_dir() / "demo"


def make(folder: Path, period: Period, *, standing: bool) -> dict[str, int]:
    """Write the example to a folder; how many events each source has. The same period gives the same bytes.

    `standing`: everything is told as of the end of the period, however long ago that was.
    """
    shutil.copytree(demo_config(), folder, dirs_exist_ok=True)
    example = load_example(folder, period)
    if standing:
        with (folder / SETTINGS).open("a", encoding="utf-8") as settings:
            settings.write(f"as_of: {period.until:%Y-%m-%dT%H:%M:%SZ}\n")
    (folder / "identities.yaml").write_text(_identities(example), encoding="utf-8")
    return write_events(example, all_events(example), folder / "events")


def _identities(example: Example) -> str:
    """Who commits under a second account, and which account is a bot; all of them hashes."""
    lines = ["# Accounts of one person each. Real ones hold logins and addresses; these are hashes already.", "people:"]
    lines += [f'  - {{person: "{p.key}", accounts: ["{p.second}"]}}' for p in example.people if p.second != p.key]
    return "\n".join([*lines, "bots:", f'  - "{example.hashed(MERGE_BOT)}"']) + "\n"
