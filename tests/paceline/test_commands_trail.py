"""The trail of commands: what changed the store is kept, with what it was done to and nobody's name."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[object, str, str]]


def _lines(folder: Path) -> list[dict[str, Any]]:
    trail = folder / ".paceline" / "audit.jsonl"
    return [json.loads(line) for line in trail.read_text(encoding="utf-8").splitlines()]


def test_what_changes_the_store_is_kept(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion, an erasure, a restored backup and history read again; what only looks leaves no line."""
    copy = tmp_path / "copy.db"
    assert [run(*command)[0] for command in (("collect",), ("evaluate",), ("db", "backup", str(copy)))] == [0, 0, 0]
    assert not (tmp_path / ".paceline" / "audit.jsonl").exists()

    assert run("collect", "--since", "2026-01-01")[0] == 0
    assert run("db", "delete-source", "events", "--again", "--yes")[0] == 0
    monkeypatch.setattr(sys, "stdin", StringIO("wilhelmina@quarterstaff.example\n"))
    assert run("privacy", "erase", "--yes")[0] == 0

    lines = _lines(tmp_path)
    assert [(line["action"], line["outcome"], line.get("what", "")) for line in lines] == [
        ("collect --since", "done", "events"),
        ("db delete-source", "done", "events"),
        ("privacy erase", "done", ""),
    ]
    assert {(line["by"], line["role"], len(line["who"])) for line in lines} == {("command", "operator", 32)}
    assert len({line["who"] for line in lines}) == 1
    kept = (tmp_path / ".paceline" / "audit.jsonl").read_text(encoding="utf-8")
    account = pwd.getpwuid(os.getuid()).pw_name
    assert [word for word in ("wilhelmina", "quarterstaff", f'"{account}"') if word in kept] == []


def test_a_restored_store_says_so(run: Run, tmp_path: Path) -> None:
    """Who puts a backup in place of a store leaves a line in the folder of its data."""
    run("collect")
    run("db", "backup", str(tmp_path / "copy.db"))
    shutil.rmtree(tmp_path / ".paceline")

    assert run("db", "restore", str(tmp_path / "copy.db"))[0] == 0

    assert [line["action"] for line in _lines(tmp_path)] == ["db restore"]
