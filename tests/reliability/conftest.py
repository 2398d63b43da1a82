"""What the short forms of the long proofs share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import program


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder that another user may enter, as who runs PostgreSQL must; its path is short, for sockets lie in it.

    Without PostgreSQL the test is skipped with the reason, and fails where CI=true.
    """
    if program("initdb") is None:
        told = "PostgreSQL is not installed"
        pytest.fail(f"{told}, and CI must run every test") if os.environ.get("CI") == "true" else pytest.skip(told)
    with tempfile.TemporaryDirectory(prefix="kills", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
