"""Pages of documentation: one beside each service's code, and a handbook that nobody maps to code.

Tells the story DOCS_DRIFT: a team's pages are no longer touched.
"""

from __future__ import annotations

from collections.abc import Iterator

from collector.events import DocPage, Event
from paceline.demo.organisation import Example, Product
from paceline.demo.period import DAY, HOUR, happens, moment
from paceline.demo.stories import DOCS_DRIFT

SOURCE = "docs"
DRIFTING_TEAM = "/data/analytics"
_TOUCHED = 0.25
"""How often on a working day somebody mends a service's page."""
_HANDBOOK = 40
_OLDEST_DAYS = 260


def events(example: Example) -> Iterator[Event]:
    """The versions of all pages."""
    for product in example.products:
        yield from _of_service(example, product)
    yield from _handbook(example)


def _of_service(example: Example, product: Product) -> Iterator[DocPage]:
    dice, version = example.period.dice("pages", product.name), 0
    rhythm = example.rhythms["berlin"]
    for day in rhythm.within:
        at = rhythm.moment_of(day, dice)
        drifts = product.team == DRIFTING_TEAM and DOCS_DRIFT.holds(example.period, at)
        if happens(dice, _TOUCHED) and not drifts:
            version += 1
            folder = f"{product.folder}/" if product.folder else ""
            yield DocPage(
                source=SOURCE,
                native_id=f"{product.repository}/{folder}docs/operations.md@{version}",
                repository=product.repository,
                path=f"{folder}docs/operations.md",
                changed_at=moment(at),
                reviewed_at=moment(at),
                service=product.name,
                team=product.team,
                covers=(f"{folder}src/*",),
            )


def _handbook(example: Example) -> Iterator[DocPage]:
    """Pages of which only their age is known: most were looked at within half a year."""
    dice, product = example.period.dice("handbook"), next(p for p in example.products if p.name == "handbook")
    for number in range(1, _HANDBOOK + 1):
        at = example.period.end - int(dice.uniform(3, _OLDEST_DAYS) * DAY) + 10 * HOUR
        yield DocPage(
            source=SOURCE,
            native_id=f"{product.repository}/guides/{number}.md",
            repository=product.repository,
            path=f"guides/{number}.md",
            changed_at=moment(at - 20 * DAY),
            reviewed_at=moment(at),
            team=product.team,
        )
