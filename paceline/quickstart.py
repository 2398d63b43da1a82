"""What runs when nothing is configured: one Git repository, and the starter SLOs. Its assumptions are said aloud."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from collector.errors import ConfigError, Mistake, SourceError
from collector.gitcommand import Git
from collector.repositories import is_url, repository_name
from collector.sources.git import RELEASE_TAG, BranchRule, GitConfig, TagRule, has_tag
from paceline.resources import starter_slos
from paceline.settings import Configuration, Settings, overlaid
from slo_engine.indicator import Indicator
from slo_engine.openslo import load_slos


def quickstart(working_dir: Path, environ: Mapping[str, str], indicators: Mapping[str, Indicator]) -> Configuration:
    """The configuration for `PACELINE_REPO`, or for the repository that contains the working directory.

    Deployments are release tags where there are any, else the commits of the default branch. Raises ConfigError
    where there is no repository.
    """
    asked = environ.get("PACELINE_REPO") or ""
    repository = asked if is_url(asked) else str(_top(working_dir / Path(asked or ".").expanduser()))
    try:
        tagged = has_tag(repository, RELEASE_TAG)
    except SourceError as error:
        raise ConfigError(_no_repository(repository)) from error
    name = repository_name(repository)
    rule = TagRule(rule="tags") if tagged else BranchRule(rule="branch")
    said = (
        "each commit that carries a release tag (like v1.2.3) counts as one production deployment"
        if tagged
        else "the repository has no release tag (like v1.2.3), so each commit on the default branch counts as one "
        "production deployment"
    )
    source = GitConfig(type="git", name="git", repository=repository, deployments=rule)
    digest = hashlib.sha256(f"{repository}\n{rule.rule}".encode()).hexdigest()[:8]
    folder = f"{name.rpartition('/')[2]}-{digest}"
    settings = overlaid({"data_dir": str(Path(".paceline") / folder)}, environ)
    return Configuration(
        settings=Settings.model_validate(settings.model_dump()),
        base_dir=working_dir.resolve(),
        sources=(source,),
        slos=tuple(slo for path in starter_slos() for slo in load_slos(path, indicators)),
        notes=(f"Nothing is configured: reading {name}; {said}.",),
    )


def _top(path: Path) -> Path:
    """The top folder of the repository that a folder lies in."""
    if not path.is_dir():
        raise ConfigError(_no_repository(str(path)))
    try:
        shown = Git(path).text("rev-parse", "--show-toplevel").strip()
    except SourceError:
        try:  # a bare repository has no work tree
            Git(path).text("rev-parse", "--git-dir")
        except SourceError as error:
            raise ConfigError(_no_repository(str(path))) from error
        shown = ""
    return Path(shown) if shown else path.resolve()


def _no_repository(place: str) -> Mistake:
    return Mistake(
        file="environment",
        line=0,
        path="PACELINE_REPO",
        problem=f"there is no Git repository at {place}",
        expected="the path or URL of a Git repository, or a configuration file by --config",
    )
