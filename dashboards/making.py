"""What boards are made from, and the words and addresses that all of them use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dashboards import panels
from dashboards.panels import GREEN, ORANGE, SKY, VERMILLION, Dashboard, Link, Words
from slo_engine import catalog
from slo_engine.catalog import Metric, metrics_of
from slo_engine.indicator import Indicator
from slo_engine.sampling import NOW

OVERVIEW_UID = "paceline-overview"
STATUS_WORDS: Words = {
    "healthy": ("healthy", GREEN),
    "at_risk": ("at risk", ORANGE),
    "exhausted": ("budget exhausted", VERMILLION),
    "insufficient_data": ("insufficient data", SKY),
    "unknown": ("no rules or no data", SKY),
}
"""What a board says for an SLO's status. `unknown` is one that Prometheus measures, and whose budget nobody records."""
YES_NO: Words = {"1": ("yes", GREEN), "0": ("no", VERMILLION)}
NO_UNITS = "No data: nothing to measure in this window, or a stale source"
NO_LEVEL = "No data: no service with a team has something to measure in this window, or a source is stale"
NOBODY = "No data: nothing to measure in this window, too few people, or a stale source"

# The empty alternatives keep what belongs to no team, no environment or no service on a board.
ENVIRONMENT = 'environment=~"$environment|"'
SERVICES = f'service=~"$service",service!="",{ENVIRONMENT}'
"""Services alone: a level of teams pools services that stand beside it, and both together would count units twice."""
LEVELS = f'service="",team=~"$team|",{ENVIRONMENT}'
WINDOW = 'window="$window"'


@dataclass(frozen=True, kw_only=True)
class Making:
    """What the boards are made for: the declared indicators, and Paceline's address, without a slash at its end.

    `notice` stands above every board. Without `base_url` nothing leads to Paceline's own pages.
    """

    indicators: tuple[Indicator, ...]
    base_url: str = ""
    notice: str = ""

    def named(self, names: Iterable[str]) -> tuple[Indicator, ...]:
        """Those of these indicators that are declared, in the order of the names."""
        declared = {i.name: i for i in self.indicators}
        return tuple(declared[name] for name in names if name in declared)

    def explain(self, indicator: Indicator, query: str) -> tuple[Link, ...]:
        """The link to the page that lists the events behind a number; none without an address."""
        if not self.base_url:
            return ()
        return (Link(title="Explain: the events behind it", url=f"{self.base_url}/explain/{indicator.name}?{query}"),)


class Board(NamedTuple):
    """A board before it is made: its stable uid, the indicators that it alone shows, and what makes it.

    `make` gives None where there is nothing to show.
    """

    uid: str
    make: Callable[[Making], Dashboard | None]
    indicators: tuple[str, ...] = ()


def board_link(uid: str, title: str, query: str = "") -> Link:
    """A link to another board, with the data source and the time that are looked at."""
    kept = "${datasource:queryparam}&${__url_time_range}"
    return Link(title=title, url=f"/d/{uid}?{query}&{kept}" if query else f"/d/{uid}?{kept}")


def about(indicator: Indicator) -> str:
    """The definition of an indicator, with its version."""
    return f"{indicator.definition}\n\nDefinition: {indicator.name}, version {indicator.version}."


def helps(*metrics: Metric) -> str:
    """What metrics mean, with their names."""
    return "\n\n".join(f"{m.help} ({m.name})" for m in metrics)


def by(metric: Metric, *labels: str, where: str = "") -> str:
    """A metric with these labels only. Each series is one already; `max` drops the scraper's own labels."""
    selector = f"{metric.name}{{{where}}}" if where else metric.name
    return f"max by ({', '.join(labels)}) ({selector})"


def each(metric: Metric, where: str = "") -> str:
    """Every series of a metric with its labels but the window, once: a scraper that is replaced has others."""
    return by(metric, *(label for label in metric.labels if label != "window"), where=where)


def age(metric: Metric, *labels: str, where: str = "") -> str:
    """How long ago the time is that a metric says, in seconds."""
    return f"time() - {by(metric, *labels, where=where)}" if labels or where else f"time() - min({metric.name})"


def matching(*matchers: str) -> str:
    """Matchers side by side; empty ones are left out."""
    return ",".join(filter(None, matchers))


# ---- variables


def datasource() -> Any:
    """Which Prometheus to ask."""
    return panels.datasource_variable()


def any_of(indicators: Sequence[Indicator], *matchers: str) -> str:
    """A selector of every series of n of these indicators."""
    names = "|".join(metrics_of(i).samples.name for i in indicators)
    every = f'__name__=~"{names}"'
    return f"{{{matching(every, *matchers)}}}"


def service_variable(indicators: Sequence[Indicator], *, everything: bool = False) -> Any:
    """The services that have a number."""
    return panels.label_variable(
        "service", "Service", any_of(indicators, 'service!=""'), "service", multi=True, everything=everything
    )


def team_variable(indicators: Sequence[Indicator], *, everything: bool = True, default: str = "") -> Any:
    """The levels of teams that have a number; `/` is everybody."""
    found = any_of(indicators, 'service=""')
    return panels.label_variable("team", "Team", found, "team", multi=True, everything=everything, default=default)


def environment_variable(indicators: Sequence[Indicator]) -> Any:
    """The environments that have a number."""
    return panels.label_variable(
        "environment", "Environment", any_of(indicators), "environment", multi=True, default="production"
    )


def window_variable(indicators: Sequence[Indicator], default: str) -> Any:
    """The rolling windows."""
    found = any_of(indicators, f'window!="{NOW}"')
    return panels.label_variable("window", "Window", found, "window", numerical=True, default=default)


def values_variable(label: str, title: str, indicators: Sequence[Indicator]) -> Any:
    """The values of a label of these indicators, all of them at first. All must have the label."""
    found = any_of(indicators, f'{label}!=""')
    return panels.label_variable(label, title, found, label, multi=True, everything=True)


def slo_variable(*, multi: bool = True) -> Any:
    """The SLOs."""
    return panels.label_variable("slo", "SLO", catalog.SLO_OBJECTIVE.name, "slo", multi=multi, everything=multi)
