"""The past of an example that Prometheus is given: what would have been published then."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector.errors import PacelineError
from paceline.demo.past import store_past
from paceline.service import Service

TIMES = [datetime(2026, 3, day, 12, 0, tzinfo=UTC) for day in (2, 3, 4)]
KEEPS = '#!/bin/sh\ncp "$6" "$7"\n'
"""In place of promtool: keeps what it is given."""
REFUSES = "#!/bin/sh\necho 'line 1: not mine' >&2\nexit 1\n"


def program(path: Path, text: str) -> str:
    """A program of a text."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o700)
    return str(path)


def test_counters_are_those_of_each_time(collected: Service, tmp_path: Path) -> None:
    """Also where the store was served before, whose own counters know what came later."""
    store_past(collected.configuration, TIMES, tmp_path / "data", program(tmp_path / "keeps", KEEPS))

    told = (tmp_path / "data").read_text(encoding="utf-8")
    counted = re.findall(r'^platform_deployments_total\{.*outcome="success".*\} (\d+)\.0 (\d+)$', told, re.MULTILINE)
    assert counted == [(str(n), str(int(at.timestamp()))) for n, at in enumerate(TIMES)]
    assert told.endswith("# EOF\n")


def test_what_promtool_says_against_it_is_told(collected: Service, tmp_path: Path) -> None:
    """Nothing is left of what it was given."""
    with pytest.raises(PacelineError, match="promtool did not take the past: line 1: not mine"):
        store_past(collected.configuration, TIMES[:1], tmp_path / "data", program(tmp_path / "refuses", REFUSES))

    assert not (tmp_path / "data.om").exists()
