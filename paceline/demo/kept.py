"""The folder of an example that is served: kept for a day, then made anew, and told from all others by its mark.

Nothing is ever removed from a folder without the mark, and from one with it only what was made there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from collector.errors import PacelineError
from paceline.demo.folder import demo_config
from paceline.demo.period import Period, period_ending

MARK = "paceline-demo.json"
SERVED, SERVERS = "served.yaml", "servers"
_BESIDE = ("identities.yaml", "events", ".paceline", SERVED, SERVERS)
"""What is made beside the copies of the packaged files."""


class NotUsable(PacelineError):  # noqa: N818 - it says which folder, and what to do
    """A folder that cannot be used for an example."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What an example is and how far its making came; `until` is what it knows, and so when it was made."""

    made_by: Literal["paceline demo --serve"] = "paceline demo --serve"
    version: str
    weeks: int
    seed: int
    until: datetime
    whole: bool = False
    past: bool = False
    """Whether Prometheus was given its past."""

    @property
    def period(self) -> Period:
        """The weeks that it tells of."""
        return period_ending("now", self.weeks, self.until, self.seed)

    def serves_as(self, wanted: Mark) -> bool:
        """Whether it is wholly made, and as another one would be made on the same day."""
        mine = (self.version, self.weeks, self.seed, self.until.astimezone(UTC).date())
        return self.whole and mine == (wanted.version, wanted.weeks, wanted.seed, wanted.until.astimezone(UTC).date())

    def write(self, folder: Path) -> None:
        """Mark a folder, in one step."""
        draft = folder / f"{MARK}.tmp"
        draft.write_bytes(msgspec.json.encode(self) + b"\n")
        draft.replace(folder / MARK)


def mark_of(folder: Path) -> Mark | None:
    """The mark of a folder; None for one that is empty. Raises NotUsable for one that holds something else."""
    try:
        return msgspec.json.decode((folder / MARK).read_bytes(), type=Mark)
    except (FileNotFoundError, msgspec.DecodeError):
        if any(folder.iterdir()):
            raise NotUsable(f"{folder} holds something that is no example; name a new folder with --dir") from None
        return None


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Have a folder for oneself; it is made where it is missing. Raises NotUsable where another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotUsable(f"{folder} is being served already; stop that, or name another folder with --dir") from None
        yield
    finally:
        os.close(handle)


def clear(folder: Path) -> None:
    """Remove what was made in a folder with a mark; whatever else lies there stays. The mark goes last."""
    for name in (*(path.name for path in demo_config().iterdir()), *_BESIDE, MARK):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
