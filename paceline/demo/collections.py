"""The runs of the example's sources in its last weeks, as if somebody had collected all along.

Tells the other half of SILENT_SOURCE: a day after its prober stopped the runs of portal-probes fail.
"""

from __future__ import annotations

from collections.abc import Iterator

from collector.events import Collection, Event
from paceline.demo.organisation import Example
from paceline.demo.period import DAY, MINUTE, moment
from paceline.demo.probes import SILENT, SILENT_AFTER, silent_at

SOURCE = "runs"
SOURCES = ("git", "forge", "pager", "desk", "portal", "roster", "usage", "surveys", "docs", "probes", SILENT)
"""The other sources, as config/demo/paceline.yaml names them."""
_EVERY, _SPAN = 30 * MINUTE, 28 * DAY


def silent_from(example: Example) -> int:
    """From when on the runs of the silent source fail."""
    return silent_at(example.period) + SILENT_AFTER


def events(example: Example) -> Iterator[Event]:
    """A run of each source every half hour."""
    for number, source in enumerate(SOURCES):
        dice = example.period.dice("runs", source)
        for at in range(example.period.end - _SPAN + number * MINUTE, example.period.end, _EVERY):
            succeeded = source != SILENT or at < silent_from(example)
            yield Collection(
                source=SOURCE,
                native_id=f"{source}/{moment(at):%Y-%m-%dT%H:%M}",
                collector=source,
                started_at=moment(at),
                finished_at=moment(at + dice.randint(1, 40)),
                succeeded=succeeded,
                events=dice.randint(0, 30) if succeeded else 0,
            )
