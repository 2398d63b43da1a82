"""The trail of what people did: a line of JSON for each sign-in, refusal and change, in a file that only grows.

No line names anybody: people are keyed hashes, of another key than those of the store.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from paceline.access.caller import Caller
from paceline.access.limits import Rate
from paceline.logs import Log

FILE = "audit.jsonl"
LARGEST_BYTES = 8 << 20
"""From here on a new file is begun; the one before is kept beside, as `audit.1.jsonl`."""
_READ_BYTES = 1 << 20
REFUSED = "refused"
"""How the outcome of what was not let begins."""
_REFUSALS_AT_ONCE, _REFUSALS_PER_SECOND = 5.0, 1 / 60


class Trail:
    """Writes and reads the trail of a data directory."""

    def __init__(
        self,
        data_dir: Path,
        clock: Callable[[], datetime],
        log: Log,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._refusals = Rate(_REFUSALS_PER_SECOND, _REFUSALS_AT_ONCE, monotonic)
        self._path, self._clock, self._log = data_dir / FILE, clock, log
        self._writing = threading.Lock()

    def record(self, action: str, outcome: str, caller: Caller, **more: str) -> None:
        """Keep that somebody did something. What cannot be written is logged: it stops nobody's work.

        Of the same refusal of the same person five are kept and then one a minute: else who is refused often enough
        could push out what they did before.
        """
        if outcome.startswith(REFUSED) and not self._is_kept(f"{action} {caller.by} {caller.who}"):
            return
        line = {
            "at": self._clock().isoformat(timespec="milliseconds"),
            "action": action,
            "outcome": outcome,
            "role": caller.role.name.lower(),
            "by": caller.by.value,
            "who": caller.who,
            **more,
        }
        try:
            with self._writing:
                self._append(json.dumps(line, ensure_ascii=True).encode() + b"\n")
        except OSError as error:
            self._log.error("the audit trail cannot be written", error=error.strerror or "", action=action)

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """The newest lines, newest first. Raises OSError where the file cannot be read."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _READ_BYTES))
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []
        found = [parsed for line in reversed(lines) if (parsed := _parsed(line)) is not None]
        return found[:limit]

    def _is_kept(self, refusal: str) -> bool:
        with self._writing:
            return not self._refusals.wait(refusal)

    def _append(self, line: bytes) -> None:
        if self._path.exists() and self._path.stat().st_size + len(line) > LARGEST_BYTES:
            self._path.replace(self._path.with_name("audit.1.jsonl"))
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line; None for the rest of one that was cut."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
