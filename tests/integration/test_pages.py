"""The status page in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

HOSTILE = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>&amp;'\""
SHOP = "shop/production, /commerce/shop"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1400,900",
    "--virtual-time-budget=3000",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # the browser's own calls stay at home too
)
SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {{name: hostile, displayName: {title}}}
spec:
  service: delivery-platform
  indicator:
    spec:
      thresholdMetric:
        metricSource: {{type: Paceline, spec: {{indicator: change_delivery_time}}}}
  budgetingMethod: Occurrences
  timeWindow: [{{duration: 28d, isRolling: true}}]
  objectives: [{{op: lte, value: 86400, target: 0.9}}]
"""


@dataclass(frozen=True)
class Visited:
    """A page as Chromium saw it."""

    dom: str
    console: list[str]
    screenshot: bytes
    asked: set[str]
    """The addresses that the page itself asked for."""

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the tables' rows, without markup."""
        rows = re.findall(r"<tr>(.*?)</tr>", self.dom, re.DOTALL)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
        return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in cells]


@pytest.fixture(scope="session")
def visit(requires_tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Visited]:
    """Visits an address with headless Chromium."""
    program = requires_tool("chromium")

    def go(url: str) -> Visited:
        folder = tmp_path_factory.mktemp("chromium")
        command = [program, *FLAGS, f"--user-data-dir={folder}/profile"]
        dumped = subprocess.run(
            [*command, f"--log-net-log={folder}/net.json", "--dump-dom", url],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        shot = [*command, f"--screenshot={folder}/page.png", url]
        subprocess.run(shot, capture_output=True, check=True, timeout=60)
        console = [line for line in dumped.stderr.splitlines() if "CONSOLE" in line]
        return Visited(dumped.stdout, console, (folder / "page.png").read_bytes(), _asked(folder / "net.json"))

    return go


def _asked(net_log: Path) -> set[str]:
    """The addresses that were requested over the network, but for what the browser does for itself."""
    events = json.loads(net_log.read_text())["events"]
    started = [e["params"] for e in events if "url" in e.get("params", {}) and "initiator" in e["params"]]
    return {p["url"] for p in started if p["initiator"] != "not an origin"}


@pytest.fixture(scope="session")
def page(shop: Any, visit: Callable[[str], Visited]) -> Visited:
    """The status page of the shared service."""
    return visit(f"{shop.url}/")


def test_the_page_shows_slos_and_numbers_with_n(page: Visited) -> None:
    """Title, the SLO with its state, and a number of each indicator and window with its n stand on the page."""
    whole = [row[0] for row in page.rows if row]

    assert "<title>Paceline</title>" in page.dom
    assert [row[1:5] for row in page.rows if row[0] == "Merged changes reach production within 24 hours"] == [
        ["healthy", "90.0% in 28d", "95.8%", "24"]
    ]
    assert ["Deployments", SHOP, "28d", "0.43 per day", "", "12"] in [row[:6] for row in page.rows]
    assert ["Deployments", "/commerce, production", "28d", "0.43 per day", "", "12"] in [row[:6] for row in page.rows]
    assert ["Change delivery time", SHOP, "90d"] in [row[:3] for row in page.rows]
    assert [(row[2], row[5]) for row in page.rows if row[:2] == ["Change lead time", SHOP]] == [
        ("7d", "6"),
        ("28d", "24"),
        ("90d", "62"),
    ]
    assert whole[-2:] == ["shop-git", "shop-files"]


def test_the_page_is_drawn_without_an_error(page: Visited) -> None:
    """The browser draws the page, and its console stays empty."""
    assert page.console == []
    assert page.screenshot.startswith(b"\x89PNG")
    assert len(page.screenshot) > 20_000


def test_the_page_loads_nothing_else(page: Visited) -> None:
    """The page asks for nothing: no script, style, font or picture, from here or elsewhere."""
    assert page.asked == set()
    assert re.findall(r"<(?:script|link|img|iframe|object)\b", page.dom) == []


def test_the_page_may_load_nothing(shop: Any) -> None:
    """The page's own policy forbids scripts and foreign content, should something slip in."""
    headers = shop.get("/").headers

    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"


@pytest.fixture(scope="session")
def hostile(world: Any, workspaces: Any, serving: Any, eventually: Any) -> Iterator[Any]:
    """A service whose SLO and whose measured service have markup for names."""
    workspace = workspaces(
        f"evaluate_every: 1s\nslos: [slo.yaml]\nsources:\n"
        f"  - {{type: git, name: one, repository: {world.repository}, deployments: {{rule: tags}},"
        f" service: {json.dumps(HOSTILE)}}}\n"
    )
    (workspace.path / "slo.yaml").write_text(SLO.format(title=json.dumps(HOSTILE)))
    with serving(workspace) as served:
        eventually(lambda: served.get("/readyz").json["status"] == "ok")
        yield served


def test_markup_in_names_is_shown_as_text(hostile: Any, visit: Callable[[str], Visited]) -> None:
    """A service name and an SLO title full of markup are text on the page and run nothing."""
    page = visit(f"{hostile.url}/")

    assert "<title>Paceline</title>" in page.dom
    assert re.findall(r"<(?:script|img)\b", page.dom) == []
    assert page.console == []
    # The SLO, and the Quick Check of the service.
    assert len([row for row in page.rows if row[0].startswith("&lt;img src=x onerror=")]) == 2
    assert len([row for row in page.rows if row[1].startswith("&lt;img src=x onerror=")]) >= 3


def test_markup_in_names_is_a_label_like_others(hostile: Any, requires_tool: Callable[[str], str]) -> None:
    """The same names are escaped in the metrics, whose label keeps every character."""
    body = hostile.get("/metrics").body

    done = subprocess.run([requires_tool("promtool"), "check", "metrics"], input=body, capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")
    assert HOSTILE.replace('"', '\\"') in body.decode()


def test_markup_in_names_is_text_in_the_report(hostile: Any) -> None:
    """The weekly summary escapes them, so that no reader of Markdown runs or loads anything."""
    text = hostile.workspace.run("report").stdout

    assert "\\<img src" in text
    assert re.findall(r"(?<!\\)[<>]", text) == []
