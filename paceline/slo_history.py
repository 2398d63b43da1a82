"""What the Git history of the settings says of SLOs: which there were when a week began, and when it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from collector.errors import PacelineError
from collector.gitcommand import Git
from paceline.earlier import earlier
from paceline.settings import Configuration
from slo_engine.indicator import Indicator
from slo_engine.slo import Slo
from slo_engine.weekly.week import Week


@dataclass(frozen=True)
class SloHistory:
    """Reads the repository of the settings file, as `paceline plan` does; commits are dated by their committer."""

    configuration: Configuration
    environ: Mapping[str, str]
    indicators: Mapping[str, Indicator]

    def of(self, week: Week) -> tuple[Sequence[Slo], Sequence[Slo]] | None:
        """The SLOs when a week began and when it ended.

        None without a repository, where it has no commit before the week, and where an old version cannot be read.
        """
        if self.configuration.document is None:
            return None
        try:
            commits = [self._commit(at) for at in (week.start, week.end)]
            found = [self._slos(commit) for commit in commits if commit]
        except PacelineError:
            return None
        return (found[0], found[1]) if len(found) == len(commits) else None

    def _commit(self, at: datetime) -> str:
        """The last commit before a time; empty where there is none."""
        assert self.configuration.document is not None  # noqa: S101 - looked at before
        git = Git(Path(self.configuration.document.file).resolve().parent)
        return git.text("rev-list", "-1", f"--before={int(at.timestamp()) - 1}", "HEAD").strip()

    def _slos(self, commit: str) -> Sequence[Slo]:
        return earlier(commit, self.configuration, self.environ, self.indicators).slos or ()
