"""The first import: into a folder that is thrown away unless all goes well, and what it says about targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from collector.errors import SourceError
from collector.registry import source_types
from collector.run import RunOutcome
from collector.source import SourceConfig
from paceline.init.files import SETTINGS, SLOS
from paceline.init.starters import candidates, suggested
from paceline.settings import Configuration, LogSettings, load
from paceline.wiring import build
from slo_engine.indicator import families

Told = Callable[[SourceConfig], Callable[[str, int], None]]
"""Gives what hears how many events a source has given so far."""


@dataclass(frozen=True)
class Imported:
    """What the sources gave, and the files of the suggested SLOs by name."""

    outcomes: tuple[RunOutcome, ...]
    slos: Mapping[str, str]


def import_first(scratch: Path, base_dir: Path, environ: Mapping[str, str], told: Told) -> Imported:
    """Collect what the settings in `scratch` name into its folder `data`, and suggest SLOs.

    Relative paths start at `base_dir`, where the settings will be. Raises ConfigError for settings that cannot work,
    SourceError for a source that could not be read, StoreError.
    """
    slos = scratch / SLOS
    slos.mkdir()
    for name, text in candidates().items():
        (slos / name).write_text(text, encoding="utf-8")
    found = load(scratch / SETTINGS, environ, source_types(), families())
    own = {"data_dir": scratch / "data", "store": None, "logs": LogSettings(level="error")}
    settings = found.settings.model_copy(update=own)
    try:
        return _imported(replace(found, base_dir=base_dir, settings=settings), environ, told)
    finally:
        for name in candidates():
            (slos / name).unlink()


def _imported(trial: Configuration, environ: Mapping[str, str], told: Told) -> Imported:
    outcomes: list[RunOutcome] = []
    running = build(trial, environ=environ)
    try:
        for source in trial.sources:
            outcome = running.service.collect(source, told(source))
            if outcome.error is not None:
                raise SourceError(f"{source.name}: {outcome.error}")
            outcomes.append(outcome)
        states = {s.slo.name: s for s in running.service.refresh().snapshot.slos}
        return Imported(tuple(outcomes), suggested(states))
    finally:
        running.close()
