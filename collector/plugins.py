"""Loads what other distributions add by entry points. What cannot be loaded is named, not traced."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from collector.errors import ConfigError, Mistake


def plugins(group: str) -> Iterator[tuple[str, Any]]:
    """Each plug-in of a group: its entry point's value (`module:name`), and the object it names.

    Raises ConfigError for one that cannot be imported.
    """
    for entry in sorted(entry_points(group=group), key=lambda e: (e.name, e.value)):
        try:
            found = entry.load()
        except Exception as error:
            problem = f"it cannot be loaded ({type(error).__name__}: {error})"
            raise refused(entry.value, group, problem, "a distribution that works, or none") from error
        yield entry.value, found


def refused(place: str, path: str, problem: str, expected: str) -> ConfigError:
    """The mistake of a plug-in: where it is defined stands where a file's name would."""
    return ConfigError(Mistake(file=place, line=0, path=path, problem=" ".join(problem.split()), expected=expected))
