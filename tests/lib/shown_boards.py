"""A finished board as its tests look at it: its panels by title, what they ask, and where they lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dashboards.making import Board, Making
from dashboards.panels import Dashboard
from dashboards.queries import panels_of
from slo_engine.indicator import indicators

PACELINE = "https://paceline.example"


def made(board: Board, *names: str, base_url: str = "") -> Dashboard | None:
    """The board for these of the built-in indicators."""
    declared = tuple(indicators()[name] for name in names)
    return board.make(Making(indicators=declared, base_url=base_url))


@dataclass(frozen=True)
class Shown:
    """The board for all of its indicators, which lead to Paceline's pages."""

    dashboard: Dashboard

    @classmethod
    def of(cls, board: Board) -> Shown:
        """The board with everything that it can show."""
        dashboard = made(board, *board.indicators, base_url=PACELINE)
        assert dashboard is not None
        return cls(dashboard)

    @property
    def titles(self) -> list[str]:
        """The titles from top to bottom, those of rows included."""
        return [panel["title"] for panel in panels_of(self.dashboard.document)]

    def panel(self, title: str) -> Any:
        """The only panel with a title."""
        (found,) = [panel for panel in panels_of(self.dashboard.document) if panel["title"] == title]
        return found

    def asks(self, title: str) -> list[str]:
        """The queries of a panel."""
        return [target["expr"] for target in self.panel(title)["targets"]]

    def leads_to(self, title: str) -> list[str]:
        """Where the values of a panel lead."""
        return [link["url"] for link in self.panel(title)["fieldConfig"]["defaults"]["links"]]

    def rows_lead_to(self, title: str) -> list[str]:
        """Where the rows of a table lead."""
        overrides = self.panel(title)["fieldConfig"]["overrides"]
        found = [p["value"] for o in overrides for p in o["properties"] if p["id"] == "links"]
        return [link["url"] for links in found for link in links]

    def variable(self, name: str) -> Any:
        """A variable."""
        (found,) = [v for v in self.dashboard.document["templating"]["list"] if v["name"] == name]
        return found
