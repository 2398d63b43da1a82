"""Files that settings name: found by path or glob, read one by one, so that all their mistakes are told at once."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from collector.document import Document, DocumentPath
from collector.errors import ConfigError, Mistake

T = TypeVar("T")


def shown(document: Document, place: DocumentPath) -> str:
    """A text as a mistake shows it: what came from the environment stays there."""
    value = document.value
    for part in place:
        value = value[part]
    return "this value" if place in document.from_environment else repr(value)


@dataclass(frozen=True)
class NamedFiles:
    """Finds the files that a list of paths and globs names."""

    document: Document
    base_dir: Path
    mistakes: list[Mistake]

    def paths(self, key: str, expected: str, *, once: bool = True) -> Iterator[Path]:
        """The files of each pattern, sorted; a pattern without one is a mistake."""
        listed = self.document.value.get(key)
        seen: set[str] = set()
        for index, pattern in enumerate(listed if isinstance(listed, list) else []):
            if not isinstance(pattern, str):
                continue  # the model of the settings says so
            files = sorted(glob.glob(str(self.base_dir / pattern), recursive=True))  # noqa: PTH207 - patterns may be absolute
            if not files:
                problem = f"{shown(self.document, (key, index))} matches no file"
                self.mistakes.append(self.document.mistake((key, index), problem, expected))
            yield from (Path(f) for f in files if not (once and f in seen))
            seen.update(files)


def collected(mistakes: list[Mistake], read: Callable[..., T], *arguments: Any, **named: Any) -> T | None:
    """What is read, or None where it has mistakes: they are kept, so that all are told at once."""
    try:
        return read(*arguments, **named)
    except ConfigError as error:
        mistakes += error.mistakes
        return None
