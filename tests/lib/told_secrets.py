"""Looks for secrets in what a process told: its log, its answers, its files, its place in the list of processes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote


def told(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Which secret, by its name, stands in which place: as it is, or as URLs, JSON and basic credentials write it."""
    return sorted(
        (name, place)
        for name, secret in secrets.items()
        for place, content in places.items()
        if any(form in content for form in _forms(secret))
    )


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def process(pid: int) -> dict[str, bytes]:
    """What everybody on the machine sees of a process: how it was called."""
    return {"list of processes": Path(f"/proc/{pid}/cmdline").read_bytes()}


def _forms(secret: str) -> Iterable[bytes]:
    def forms() -> Iterator[str]:
        yield secret
        yield quote(secret, safe="")
        yield json.dumps(secret)[1:-1]
        # Base64 of three texts that it may stand at any place in; the ends depend on what is beside.
        for before in ("", "a", "ab"):
            yield base64.b64encode((before + secret).encode()).decode()[4:-4]

    return {form.encode() for form in forms()}
