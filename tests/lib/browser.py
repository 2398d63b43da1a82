"""Pages in a real Chromium: opened without a network but the loopback, in any width and colours, and judged by axe.

`opened_browser` starts one; a test file takes the fixture `browser`. `Browser.visit` gives a page of Playwright to
click in, `Browser.look` says what is wrong with a page: `Seen.faults` is empty for one that everybody can read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import Page

PHONE, DESK = 390, 1_280
"""Widths of screens in pixels."""
Scheme = Literal["light", "dark"]
SCHEMES: Sequence[Scheme] = ("light", "dark")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")
"""What axe judges by."""
_AXE = Path(__file__).parents[1] / "npm" / "node_modules" / "axe-core" / "axe.min.js"
_OURS = "127.0.0.1"
_HEIGHT = 900
_PATIENCE_MILLISECONDS = 60_000
_MOST_STEPS = 300
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {_OURS}",
)
_JUDGE = """rules => axe
    .run(document, {runOnly: {type: "tag", values: rules}, resultTypes: ["violations"], preload: false})
    .then(found => found.violations.flatMap(v => v.nodes.map(n => `${v.id}: ${n.target.join(" ")}: ${v.help}`)))"""
_TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass(frozen=True)
class Seen:
    """A page as it was seen in a width and colours, and what is wrong with it."""

    url: str
    width: int
    scheme: Scheme
    errors: Sequence[str]
    """What the console complains of, scripts that failed, and what could not be loaded."""
    violations: Sequence[str]
    """What axe finds: rule, element, and what it asks for."""
    outside: Sequence[str]
    """Addresses that are not ours and that the page asked for."""
    too_wide: int
    """So many pixels of the page lie beside the screen."""

    @property
    def faults(self) -> list[str]:
        """All that is wrong, each with the page, width and colours; none where nothing is."""
        wide = [f"{self.too_wide} px beside the screen"] if self.too_wide > 0 else []
        found = [*self.errors, *self.violations, *(f"asks {address}" for address in self.outside), *wide]
        return [f"{urlsplit(self.url).path} {self.width} px {self.scheme}: {one}" for one in found]


@dataclass(frozen=True)
class Visit:
    """A page that is open, and what was noticed since."""

    page: Page
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def judged(self, width: int = DESK, scheme: Scheme = "light") -> Seen:
        """What is wrong with the page as it is now, in a width and colours."""
        self.page.set_viewport_size({"width": width, "height": _HEIGHT})
        self.page.emulate_media(color_scheme=scheme)
        if not self.page.evaluate("() => 'axe' in window"):
            # Evaluated, not loaded as a script: the page's own policy forbids foreign ones, and stays in force.
            self.page.evaluate(_axe())
        violations = self.page.evaluate(_JUDGE, list(RULES))
        too_wide = self.page.evaluate(_TOO_WIDE)
        return Seen(self.page.url, width, scheme, tuple(self.errors), violations, tuple(self.outside), too_wide)

    def tab_to(self, start: str) -> str:
        """Go with the Tab key alone to the next link whose address starts so; the address."""
        for _ in range(_MOST_STEPS):
            self.page.keyboard.press("Tab")
            found: str = self.page.evaluate("() => document.activeElement.getAttribute('href') || ''")
            if found.startswith(start):
                return found
        raise AssertionError(f"no link to {start} is reached by the keyboard")

    def enter(self) -> str:
        """Follow the link that has the focus; the path of the page that it leads to."""
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")
        return urlsplit(self.page.url).path


class Browser:
    """A Chromium that is running."""

    def __init__(self, chromium: Chromium) -> None:
        self._chromium = chromium

    @contextlib.contextmanager
    def visit(self, url: str, *, width: int = DESK, scheme: Scheme = "light", script: bool = True) -> Iterator[Visit]:
        """A page in a window of its own, with what it complains of; without `script` its own scripts do not run."""
        context = self._chromium.new_context(
            viewport={"width": width, "height": _HEIGHT}, color_scheme=scheme, java_script_enabled=script
        )
        context.set_default_timeout(_PATIENCE_MILLISECONDS)
        with contextlib.closing(context):
            visit = Visit(context.new_page())
            _listen(visit)
            visit.page.goto(url, wait_until="load")
            yield visit

    def look(self, url: str, widths: Sequence[int] = (PHONE, DESK), schemes: Sequence[Scheme] = SCHEMES) -> list[Seen]:
        """A page in each of the widths and colours."""
        with self.visit(url, width=widths[0], scheme=schemes[0]) as visit:
            return [visit.judged(width, scheme) for width in widths for scheme in schemes]


@contextlib.contextmanager
def opened_browser(program: str) -> Iterator[Browser]:
    """A Chromium without a window, closed at the end; `program` is its path."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - half a second that few tests need

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        with contextlib.closing(chromium):
            yield Browser(chromium)


def faults(seen: Sequence[Seen]) -> list[str]:
    """All that is wrong with what was seen."""
    return [fault for one in seen for fault in one.faults]


@cache
def _axe() -> str:
    return _AXE.read_text(encoding="utf-8")


def _listen(visit: Visit) -> None:
    """Write down what goes wrong from now on."""

    def told(message: Any) -> None:
        if message.type in {"error", "warning"}:
            visit.errors.append(f"console {message.type}: {message.text}")

    def asked(request: Any) -> None:
        if urlsplit(request.url).hostname != _OURS:
            visit.outside.append(request.url)

    def failed(request: Any) -> None:
        # What a page had not loaded when it was left is no fault of it.
        if request.failure != "net::ERR_ABORTED":
            visit.errors.append(f"not loaded: {request.url}")

    visit.page.on("console", told)
    visit.page.on("pageerror", lambda error: visit.errors.append(f"script failed: {error}"))
    visit.page.on("requestfailed", failed)
    visit.page.on("request", asked)
