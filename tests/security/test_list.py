"""The list of attacks in docs/security.md: each has a test, and the test is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ATTACKS = {
    *("authentication", "token scope", "CSRF", "XSS", "mrkdwn", "header injection", "SSRF", "DNS", "path traversal"),
    *(
        "YAML",
        "zip bombs",
        "repositories",
        "HMAC",
        "replay",
        "SQL",
        "PromQL",
        "log injection",
        "terminal",
        "git options",
    ),
    *("regular expressions", "connections", "clickjacking", "host header"),
}


def rows(page: str) -> list[list[str]]:
    """The cells of the table of attacks."""
    section = page.partition("## Attacks that are tried\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| Attack")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def missing(page: str) -> list[str]:
    """The tests that a page names and nobody wrote; and attacks without any."""
    found = []
    for attack, _, tests in rows(page):
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests)
        found += [attack] if not named else []
        found += [f"{file}::{test}" for file, test in named if not is_there(ROOT / file, test)]
    return found


def is_there(file: Path, test: str) -> bool:
    """Whether a file has a test of this name."""
    return file.is_file() and f"def {test}(" in file.read_text(encoding="utf-8")


def test_every_named_test_is_there() -> None:
    """A test that is renamed or deleted is missed."""
    assert missing(PAGE) == []


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_every_attack_is_on_the_list(attack: str) -> None:
    """What we promise to try is in the table."""
    assert [row for row in rows(PAGE) if attack.lower() in row[0].lower()] != []


def test_a_test_that_is_gone_is_found() -> None:
    """The check above fails for a row without a test, and for one whose test nobody wrote."""
    head = "## Attacks that are tried\n\n| Attack | Measure | Test |\n|---|---|---|\n"

    assert missing(f"{head}| a | b | `tests/security/test_list.py::test_of_nobody` |\n") != []
    assert missing(f"{head}| a | b | none |\n") == ["a"]
