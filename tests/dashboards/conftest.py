"""What tests of boards with data share: a Prometheus that holds the example's past."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from boards import Filled, few_moments, serve_past, store_past


@pytest.fixture(scope="session")
def filled(requires_tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """A Prometheus that holds the example's past. Processes of one test run share what is stored, each has a server."""
    prometheus, promtool = requires_tool("prometheus"), requires_tool("promtool")
    own = tmp_path_factory.mktemp("boards")
    now = _stored(_shared(tmp_path_factory) / "boards-past", promtool, own)
    with contextlib.closing(serve_past(own, now, prometheus)) as made:
        yield made


def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the test run, whichever of its processes asks."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def _stored(past: Path, promtool: str, copy: Path) -> datetime:
    """Copy the data, which the first process makes while the others wait; the time at which they are looked at."""
    past.mkdir(exist_ok=True)
    said = past / "now"
    with (past / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            said.write_text(store_past(past, promtool, few_moments).isoformat(), encoding="utf-8")
    shutil.copytree(past / "data", copy / "data")
    return datetime.fromisoformat(said.read_text(encoding="utf-8"))
