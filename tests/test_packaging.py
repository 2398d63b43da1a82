"""What is installed is what was locked, from anywhere, and each relaxed lint rule has its reason."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
each_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _blocks(lock: Path) -> list[str]:
    """One text per locked package: its pin and its hashes."""
    return re.findall(r"^\w.*(?:\n +.*)*", lock.read_text(encoding="utf-8"), re.MULTILINE)


def _pins(lock: Path) -> set[str]:
    return {block.split(maxsplit=1)[0] for block in _blocks(lock)}


def _names(requirements: list[str]) -> set[str]:
    """Normalised distribution names, as PyPA's name normalisation has them."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", text, maxsplit=1)[0]).lower() for text in requirements}


@each_lock
def test_a_lock_holds_no_address(lock: Path) -> None:
    """A lock names packages, not places: it works with any index and mirror."""
    text = lock.read_text(encoding="utf-8")

    assert not re.findall(r"\S*://\S*|^\s*-[-\w]*(?:index|find-links|trusted-host|f |i ).*", text, re.MULTILINE)


@each_lock
def test_every_locked_package_has_a_version_and_a_hash(lock: Path) -> None:
    """Nothing can be installed that differs by a byte from what was locked."""
    loose = [block for block in _blocks(lock) if not re.match(r"\S+==\S+ (?s:.*)--hash=sha256:[0-9a-f]{64}", block)]

    assert _blocks(lock)
    assert loose == []


def test_the_runtime_lock_covers_the_dependencies() -> None:
    """A dependency added to the project without `make lock` is noticed."""
    assert _names(_pyproject()["project"]["dependencies"]) <= _names(list(_pins(ROOT / "requirements/run.txt")))


def test_the_development_lock_covers_the_development_group() -> None:
    """A tool added to the project without `make lock` is noticed."""
    named = [entry for entry in _pyproject()["dependency-groups"]["dev"] if isinstance(entry, str)]

    assert _names(named) <= _names(list(_pins(ROOT / "requirements/dev.txt")))


@pytest.mark.parametrize("smaller", ["run", "build"])
def test_tests_run_with_the_versions_that_users_run(smaller: str) -> None:
    """The development lock contains the others pin by pin."""
    assert _pins(ROOT / f"requirements/{smaller}.txt") <= _pins(ROOT / "requirements/dev.txt")


def test_every_relaxed_lint_rule_says_why() -> None:
    """Each line of pyproject.toml that switches a ruff rule off ends in its reason."""
    section = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[tool.ruff.lint]")[1].split("[tool.mypy]")[0]
    relaxed = [line for line in section.splitlines() if re.search(r'"[A-Z]+\d+"', line)]

    assert relaxed
    assert [line for line in relaxed if "#" not in line] == []


@pytest.mark.skipif(not list(metadata.distributions(name="paceline")), reason="the project is not installed")
def test_the_installed_version_is_the_projects() -> None:
    """`paceline --version` says what pyproject.toml says."""
    assert metadata.version("paceline") == _pyproject()["project"]["version"]
