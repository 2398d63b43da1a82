"""Finds the source types: every module of `collector/sources/`, then other distributions' entry points."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import get_args

import collector.sources
from collector.errors import ConfigError, Mistake
from collector.source import SourceConfig

ENTRY_POINT_GROUP = "paceline.sources"


@dataclass
class SourceTypes:
    """The known source types by their YAML key."""

    by_key: dict[str, type[SourceConfig]] = field(default_factory=dict)

    def add(self, config_type: type[SourceConfig]) -> None:
        """Register a type; two types under one key are refused, since one would silently win."""
        for key in get_args(config_type.model_fields["type"].annotation):
            other = self.by_key.setdefault(key, config_type)
            if other is not config_type:
                raise ConfigError(
                    Mistake(
                        file=config_type.__module__,
                        line=0,
                        path=key,
                        problem=f"the source type {key!r} is already defined in {other.__module__}",
                        expected="another `type` literal",
                    )
                )


def source_types() -> SourceTypes:
    """All source types: every module of `collector/sources/`, then the entry points of other distributions."""
    found = SourceTypes()
    for module in pkgutil.iter_modules(collector.sources.__path__):
        for value in vars(importlib.import_module(f"collector.sources.{module.name}")).values():
            if _is_concrete(value):
                found.add(value)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        found.add(entry.load())
    return found


def _is_concrete(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, SourceConfig) and "type" in value.model_fields
