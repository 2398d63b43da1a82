"""A repository with pages of documentation, as a team keeps it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from names import PLANTED_MAIL, PLANTED_NAME
from replay import Sample

from collector.sources.docs import DocsConfig

_PAY = f"---\ncovers: [src/pay]\nowner: {PLANTED_NAME}\nlast_reviewed: 2026-01-05\n---\nAsk {PLANTED_MAIL}.\n"


def sample(folder: Path) -> Sample:
    """Two pages, one of which moved and changed, by somebody who signs everything."""
    repository = folder / "handbook"
    repository.mkdir()
    names = {f"GIT_{who}_NAME": PLANTED_NAME for who in ("AUTHOR", "COMMITTER")}
    mails = {f"GIT_{who}_EMAIL": PLANTED_MAIL for who in ("AUTHOR", "COMMITTER")}
    dates = {f"GIT_{who}_DATE": "2026-01-02T03:04:05+01:00" for who in ("AUTHOR", "COMMITTER")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    environment |= names | mails | dates

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=repository, env=environment, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    (repository / "docs").mkdir()
    (repository / "docs" / "old.md").write_text(_PAY, encoding="utf-8")
    (repository / "docs" / "search.md").write_text("Search.\n", encoding="utf-8")
    git("add", ".")
    git("commit", "-m", f"Begin\n\nCo-authored-by: {PLANTED_NAME} <{PLANTED_MAIL}>")
    git("mv", "docs/old.md", "docs/pay.md")
    git("commit", "-m", "Move")
    (repository / "docs" / "pay.md").write_text(_PAY + "More.\n", encoding="utf-8")
    git("commit", "-am", f"Say more, {PLANTED_NAME}")
    settings = {"name": "sample", "type": "docs", "repository": repository.name}
    return Sample(DocsConfig.model_validate(settings), lambda: shutil.rmtree(repository))
