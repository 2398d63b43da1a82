"""Finds the source types: every module of `collector/sources/`, then other distributions' entry points."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, field
from typing import get_args

import collector.sources
from collector.plugins import plugins, refused
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
                problem = f"the source type {key!r} is already defined in {other.__module__}"
                raise refused(config_type.__module__, key, problem, "another `type` literal")


def source_types() -> SourceTypes:
    """All source types: every module of `collector/sources/`, then the entry points of other distributions.

    Raises ConfigError for a plug-in that cannot be loaded, is no source, or takes a key that is taken.
    """
    found = SourceTypes()
    for module in pkgutil.iter_modules(collector.sources.__path__):
        for value in vars(importlib.import_module(f"collector.sources.{module.name}")).values():
            if _is_concrete(value):
                found.add(value)
    for place, value in plugins(ENTRY_POINT_GROUP):
        if not _is_concrete(value):
            raise refused(place, ENTRY_POINT_GROUP, "it is no source", "a SourceConfig with a `type` literal")
        found.add(value)
    return found


def _is_concrete(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, SourceConfig) and "type" in value.model_fields
