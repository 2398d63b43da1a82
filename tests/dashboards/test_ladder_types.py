"""The third rung of the boards' ladder: Grafana's own types."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boards import demo_boards
from grafana_types import COMPILER, type_findings
from planted import Fault, faults, planted

pytestmark = pytest.mark.integration

DOCUMENTS: list[dict[str, Any]] = [board.document for board in demo_boards()]


@pytest.fixture(scope="module", autouse=True)
def compiler(requires_tool: Callable[[str], str]) -> str:
    """TypeScript's compiler, which scripts/servers.sh installs."""
    return requires_tool(str(COMPILER))


@pytest.fixture(scope="module")
def found(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What does not fit."""
    return type_findings(DOCUMENTS, tmp_path_factory.mktemp("types"))


def test_the_boards_are_of_grafana_s_types(found: list[str]) -> None:
    """Each board, panel, query, override and annotation has the type that Grafana gives it; nothing is null or old."""
    assert found == []


@pytest.mark.parametrize("fault", faults("types"), ids=lambda f: f.name)
def test_a_planted_type_is_found(fault: Fault, tmp_path: Path) -> None:
    """What does not fit is said with the board's and the panel's name."""
    wrong = planted(DOCUMENTS, fault)

    assert [said for said in type_findings([wrong], tmp_path) if fault.says in said and said.startswith(wrong["title"])]
