"""Pictures of the web pages for the documentation: `python tests/lib/page_pictures.py FOLDER [DEMO]`.

They show the example organisation, which is made anew unless a folder with it is named.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from browser import DESK, PHONE, SCHEMES, Browser, Scheme, opened_browser
from small_site import site_of

from paceline.demo.folder import SETTINGS, make
from paceline.demo.period import period_ending

WEEK = "2026-W14"
PAGES: Mapping[str, str] = {
    "slos": "/slos",
    "slo": "/slos/failed-deployments-recover",
    "indicators": "/indicators",
    "indicator": "/indicators/change_lead_time",
    "explain": "/explain/change_fail_rate",
    "week": f"/weekly/{WEEK}",
    "weekly": "/weekly",
    "sources": "/sources",
    "definitions": "/definitions",
}
"""What is shown on a desk in light colours; the home page is shown on both and in both."""
LONG = ("slo", "indicator")
"""Pages whose chart lies below what a screen shows first."""
_LONG_HEIGHT = 1_500


def main() -> None:
    """Write the pictures into the folder that is named."""
    out = Path(sys.argv[1]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("chromium is not installed")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(place)
        if folder == Path(place):
            make(folder, period_ending(WEEK, 26, datetime.now(UTC)), standing=True)
        with site_of(folder / SETTINGS, {}) as site, opened_browser(program) as browser:
            for width, name in ((PHONE, "phone"), (DESK, "desk")):
                for scheme in SCHEMES:
                    take(browser, site.url, out / f"home-{name}-{scheme}.png", width, scheme)
            for name, path in PAGES.items():
                take(browser, site.url + path, out / f"{name}.png", is_long=name in LONG)


def take(
    browser: Browser, url: str, picture: Path, width: int = DESK, scheme: Scheme = "light", *, is_long: bool = False
) -> None:
    """A picture of what a screen shows of a page first."""
    with browser.visit(url, width=width, scheme=scheme) as visit:
        if is_long:
            visit.page.set_viewport_size({"width": width, "height": _LONG_HEIGHT})
        visit.page.screenshot(path=picture)


if __name__ == "__main__":
    main()
