"""The documentation as a site: built without a broken link, read without a network."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_LOADED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["']?((?:https?:)?//[^"' >]*)""")
_FETCHED = re.compile(r"""(?:url\(|@import )["']?((?:https?:)?//[^"')]*)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it: a broken link or a page outside the navigation fails."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([ROOT / "scripts" / "docs.sh", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    """Each page of the documentation is built, and the changelog beside them."""
    pages = {str(p.relative_to(ROOT / "docs").with_suffix(".html")) for p in (ROOT / "docs").rglob("*.md")}

    assert pages | {"changelog.html"} <= {str(p.relative_to(site)) for p in site.rglob("*.html")}


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    """No page and no style sheet fetches a script, a font or a picture from another host."""
    pages = [address for p in site.rglob("*.html") for address in _LOADED.findall(p.read_text(encoding="utf-8"))]
    styles = [address for p in site.rglob("*.css") for address in _FETCHED.findall(p.read_text(encoding="utf-8"))]

    assert (pages, styles) == ([], [])


def test_links_to_the_changelog_lead_to_its_page(site: Path) -> None:
    """What is right in the repository, a file outside the documentation, is right in the site."""
    page = (site / "index.html").read_text(encoding="utf-8")

    assert re.findall(r'href="?([^" >]*changelog[^" >]*|[^" >]*CHANGELOG[^" >]*)', page).count("changelog.html") > 0
    assert "CHANGELOG.md" not in page
