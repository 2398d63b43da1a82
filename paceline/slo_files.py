"""The SLO files that settings name, and what stands beside them: exclusions, the gate's policy, its overrides.

Knows no source and no store. A mistake in a named file is told with that file and its line.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from collector.document import Document, DocumentPath
from collector.errors import ConfigError, Mistake
from paceline.resources import default_policy
from slo_engine.exclusion_files import load_exclusions
from slo_engine.exclusions import Exclusion
from slo_engine.gate import Override, Policy
from slo_engine.gate_files import load_overrides, load_policy
from slo_engine.indicator import Indicator
from slo_engine.openslo import load_slos
from slo_engine.slo import Slo

T = TypeVar("T")


def packaged_policy() -> Policy:
    """The error-budget policy that comes with Paceline."""
    return load_policy(default_policy())


@dataclass(frozen=True, kw_only=True)
class SloFiles:
    """What the files say: SLOs in the order of their files, times that do not count, and how the gate decides."""

    slos: tuple[Slo, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    policy: Policy = field(default_factory=packaged_policy)
    overrides: tuple[Override, ...] = ()


def read_slo_files(document: Document, base_dir: Path, indicators: Mapping[str, Indicator]) -> SloFiles:
    """What the files say that settings name beside `base_dir`. Raises ConfigError with every mistake.

    Exclusions and overrides are read once the SLOs are right: until then nobody knows which of them they can be for.
    """
    mistakes: list[Mistake] = []
    slos = _collected(mistakes, read_slos, document, base_dir, indicators)
    policy = _collected(mistakes, _policy, document, base_dir)
    if slos is None or policy is None:
        raise ConfigError(*mistakes)
    named = _Named(document, base_dir, mistakes)
    exclusions = [
        _collected(mistakes, load_exclusions, path, slos)
        for path in named.paths("exclusions", "the path of a file with `exclusions`, or a glob")
    ]
    overrides = [
        _collected(mistakes, load_overrides, path, policy, slos)
        for path in named.paths("overrides", "the path of a file with `overrides`, or a glob")
    ]
    if mistakes:
        raise ConfigError(*mistakes)
    return SloFiles(
        slos=slos,
        exclusions=tuple(one for found in exclusions for one in found or ()),
        policy=policy,
        overrides=tuple(one for found in overrides for one in found or ()),
    )


def read_slos(document: Document, base_dir: Path, indicators: Mapping[str, Indicator]) -> tuple[Slo, ...]:
    """The SLOs of the files that `slos` names. Raises ConfigError with every mistake."""
    mistakes: list[Mistake] = []
    expected = "the path of an OpenSLO file, or a glob"
    found: list[Slo] = []
    for path in _Named(document, base_dir, mistakes).paths("slos", expected, once=False):
        found += _collected(mistakes, load_slos, path, indicators) or ()
    mistakes += (document.mistake(("slos",), *said) for said in _twice(found))
    if mistakes:
        raise ConfigError(*mistakes)
    return tuple(found)


def _twice(slos: Iterable[Slo]) -> Iterator[tuple[str, str]]:
    names = [slo.name for slo in slos]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"two SLOs are named {name!r}", "a name of its own for each SLO"


def _policy(document: Document, base_dir: Path) -> Policy:
    written = document.value.get("policy")
    if not isinstance(written, str):
        return packaged_policy()  # what is no text the model of the settings refuses
    path = base_dir / Path(written).expanduser()
    if not path.is_file():
        expected = "the path of an error-budget policy, or none of this key for the one that comes with Paceline"
        raise ConfigError(document.mistake(("policy",), f"{_shown(document, ('policy',))} is no file", expected))
    return load_policy(path)


def _shown(document: Document, place: DocumentPath) -> str:
    """A text as a mistake shows it: what came from the environment stays there."""
    value = document.value
    for part in place:
        value = value[part]
    return "this value" if place in document.from_environment else repr(value)


@dataclass(frozen=True)
class _Named:
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
                problem = f"{_shown(self.document, (key, index))} matches no file"
                self.mistakes.append(self.document.mistake((key, index), problem, expected))
            yield from (Path(f) for f in files if not (once and f in seen))
            seen.update(files)


def _collected(mistakes: list[Mistake], read: Callable[..., T], *arguments: object) -> T | None:
    """What is read, or None where it has mistakes: they are kept, so that all are told at once."""
    try:
        return read(*arguments)
    except ConfigError as error:
        mistakes += error.mistakes
        return None
