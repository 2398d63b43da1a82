"""Imports a made example as any other organisation is imported: its sources collected, everything derived."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

from collector.source import SourceConfig
from paceline.demo.period import Period, moment
from paceline.demo.probes import SILENT, SILENT_AFTER, silent_at
from paceline.settings import Configuration
from paceline.wiring import Running, build


def import_example(found: Configuration, period: Period, say: Callable[[str], object]) -> None:
    """Collect, derive and evaluate; how many numbers there are is said."""
    collect_example(found, period, say)
    with contextlib.closing(build(found)) as running:
        say("Deriving and evaluating; this takes a few minutes at most")
        say(f"{len(running.service.snapshot().numbers):,} numbers")


def derive_example(found: Configuration, period: Period, say: Callable[[str], object]) -> None:
    """Collect and derive, for who evaluates it at once."""
    collect_example(found, period, say)
    with contextlib.closing(build(found)) as running:
        say("Deriving; this takes a few minutes at most")
        running.service.derive()


def collect_example(found: Configuration, period: Period, say: Callable[[str], object]) -> None:
    """Collect every source; the one that falls silent was last collected when its files were still new."""
    last_heard = moment(silent_at(period) + SILENT_AFTER)
    with contextlib.closing(build(found, lambda: last_heard)) as running:
        _collect(running, (source for source in found.sources if source.name == SILENT), say)
    with contextlib.closing(build(found)) as running:
        _collect(running, found.sources, say)


def _collect(running: Running, sources: Iterable[SourceConfig], say: Callable[[str], object]) -> None:
    for source in sources:
        outcome = running.service.collect(source)
        planned = ", as planned" if source.name == SILENT and outcome.error else ""
        say(f"{source.name}{planned}: {outcome.error or f'{outcome.events:,} events'}")
