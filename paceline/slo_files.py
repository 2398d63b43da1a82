"""The SLO files that settings name, and what stands beside them: exclusions, the gate's policy, its overrides.

Knows no source and no store. A mistake in a named file is told with that file and its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from collector.document import Document
from collector.errors import ConfigError, Mistake
from paceline.named_files import NamedFiles, collected, shown
from paceline.resources import default_policy
from slo_engine.exclusion_files import load_exclusions
from slo_engine.exclusions import Exclusion
from slo_engine.gate import Override, Policy
from slo_engine.gate_files import load_overrides, load_policy
from slo_engine.indicator import Indicator
from slo_engine.openslo import load_all
from slo_engine.slo import Slo


def packaged_policy() -> Policy:
    """The error-budget policy that comes with Paceline."""
    return load_policy(default_policy())


@dataclass(frozen=True, kw_only=True)
class SloFiles:
    """What the files say: SLOs by name, times that do not count, and how the gate decides."""

    slos: tuple[Slo, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    policy: Policy = field(default_factory=packaged_policy)
    overrides: tuple[Override, ...] = ()


def read_slo_files(document: Document, base_dir: Path, indicators: Mapping[str, Indicator]) -> SloFiles:
    """What the files say that settings name beside `base_dir`. Raises ConfigError with every mistake.

    Exclusions and overrides are read once the SLOs are right: until then nobody knows which of them they can be for.
    """
    mistakes: list[Mistake] = []
    slos = collected(mistakes, read_slos, document, base_dir, indicators)
    policy = collected(mistakes, _policy, document, base_dir)
    if slos is None or policy is None:
        raise ConfigError(*mistakes)
    named = NamedFiles(document, base_dir, mistakes)
    exclusions = [
        collected(mistakes, load_exclusions, path, slos)
        for path in named.paths("exclusions", "the path of a file with `exclusions`, or a glob")
    ]
    overrides = [
        collected(mistakes, load_overrides, path, policy, slos)
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
    paths = list(NamedFiles(document, base_dir, mistakes).paths("slos", expected, once=False))
    twice = sorted({path.name for path in paths if paths.count(path) > 1})
    mistakes += (document.mistake(("slos",), f"{name!r} is named twice", "each file once") for name in twice)
    found = collected(mistakes, load_all, dict.fromkeys(paths), indicators)
    if mistakes or found is None:
        raise ConfigError(*mistakes)
    return tuple(found)


def _policy(document: Document, base_dir: Path) -> Policy:
    written = document.value.get("policy")
    if not isinstance(written, str):
        return packaged_policy()  # what is no text the model of the settings refuses
    path = base_dir / Path(written).expanduser()
    if not path.is_file():
        expected = "the path of an error-budget policy, or none of this key for the one that comes with Paceline"
        raise ConfigError(document.mistake(("policy",), f"{shown(document, ('policy',))} is no file", expected))
    return load_policy(path)
