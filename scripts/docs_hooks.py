"""What the site needs beyond the pages of docs/: the changelog, which stays at the top of the repository."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_CHANGELOG = Path(__file__).parent.parent / "CHANGELOG.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the site, the changelog among them; its links into docs/ lead to the same pages here."""
    text = _CHANGELOG.read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "changelog.md", content=text))
    return files


def on_page_markdown(markdown: str, **_page: object) -> str:
    """A page whose links to the changelog, which are right in the repository, are right in the site as well."""
    return markdown.replace("](../CHANGELOG.md", "](changelog.md").replace("](../../CHANGELOG.md", "](../changelog.md")
