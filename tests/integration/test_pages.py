"""The pages in a real browser: every page of a running service, in two widths and two schemes of colours."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser import PHONE, SCHEMES, Browser, Seen, Visit, faults
from small_site import HOSTILE, Site, opened_site

pytestmark = pytest.mark.integration

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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A small organisation with markup in its names, on a port."""
    with opened_site(tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.fixture(scope="module")
def seen(browser: Browser, site: Site) -> dict[str, list[Seen]]:
    """Every page in every width and scheme."""
    return {page: browser.look(site.url + page) for page in site.pages}


def test_every_page_is_looked_at(seen: dict[str, list[Seen]]) -> None:
    """The pages come from the routes; these are among them."""
    assert {"/", "/weekly", "/weekly/2026-W10", "/sources", "/definitions"} <= set(seen)


def test_everybody_can_read_every_page(seen: dict[str, list[Seen]]) -> None:
    """No error in the console, nothing that axe finds, nothing from elsewhere, and nothing beside a phone's screen."""
    assert [fault for page in seen.values() for fault in faults(page)] == []


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ("document.querySelector('h1').style.color = '#eee'", "color-contrast: h1"),
        ("document.querySelector('main').append(document.createElement('input'))", "label: input"),
        ("console.error('planted')", "console error: planted"),
        ("setTimeout(() => { throw Error('planted') }, 0)", "script failed: planted"),
        ("document.querySelector('h1').style.width = '900px'", "px beside the screen"),
        ("document.querySelector('main').removeAttribute('id')", "skip-link: .skip"),
        ("document.body.setAttribute('style', 'color: red')", "console error: Applying inline style"),
        ("fetch('/static/none.js').catch(() => 0).then(() => 0)", "console error: Failed to load resource"),
    ],
)
def test_what_is_wrong_is_found(browser: Browser, site: Site, planted: str, found: str) -> None:
    """The check itself fails for each of these; without them it does not."""
    with browser.visit(f"{site.url}/weekly", width=PHONE) as visit:
        visit.page.evaluate(planted)
        wrong = visit.judged(PHONE, SCHEMES[0]).faults

    assert len([fault for fault in wrong if found in fault]) == 1


def test_the_keyboard_leads_from_home_to_an_event(browser: Browser, site: Site) -> None:
    """Home → SLO → explanation → event, with Tab and Enter alone; the event is where it happened."""
    with browser.visit(site.url) as visit:
        visit.tab_to("/slos/hold")
        slo = visit.enter()
        visit.tab_to("/explain/change_fail_rate")
        explained = visit.enter()
        event = visit.tab_to("https://")

    assert (slo, explained) == ("/slos/hold", "/explain/change_fail_rate")
    assert re.fullmatch(r"https://(ci|pager)\.example\.com/\d+", event)


def test_the_first_tab_skips_what_all_pages_share(browser: Browser, site: Site) -> None:
    """From the address line straight into the content."""
    with browser.visit(site.url) as visit:
        skipped = visit.tab_to("#")

    assert skipped == "#main"


def test_the_page_that_one_is_on_is_marked(browser: Browser, site: Site) -> None:
    """In the way around, for those who hear it."""
    with browser.visit(f"{site.url}/sources") as visit:
        marked = visit.page.locator("[aria-current=page]").all_inner_texts()

    assert marked == ["Sources"]


def test_pages_need_no_script(browser: Browser, site: Site) -> None:
    """The numbers are in the page itself."""
    with browser.visit(site.url, script=False) as visit:
        text = visit.page.locator("main").inner_text()

    assert "promises are kept" in text or "promise is kept" in text


def test_markup_in_names_is_text_on_every_page(browser: Browser, site: Site) -> None:
    """Names of SLOs, services, versions and incidents that are full of markup make no element and run nothing."""
    with browser.visit(site.url) as visit:
        pages = [(visit.page.goto(site.url + page), visit.page.title(), _made(visit)) for page in site.pages]

    assert [title for _, title, _ in pages if "pwned" in title] == []
    assert [made for _, _, made in pages if made] == []
    assert visit.errors == []


def _made(visit: Visit) -> list[str]:
    """Pictures, and scripts that are neither a file of ours nor data."""
    made = "img, script:not([src^='/static/']):not([type='application/json'])"
    found: list[str] = visit.page.locator(made).evaluate_all("all => all.map(e => e.outerHTML)")
    return found


def test_the_home_page_shows_slos_and_delivery_with_n(browser: Browser, shop: Any) -> None:
    """Title, the SLO with its state, delivery of the organisation and of each level with n, and the sources."""
    with browser.visit(shop.url) as visit:
        rows = [row.split("\t") for row in visit.page.locator("tr").all_inner_texts()]
        title, text = visit.page.title(), visit.page.locator("#main").inner_text()
    told = {row[0]: [cell.split("\n")[0].strip() for cell in row[1:]] for row in rows}

    assert title == "Where everything stands · Paceline"
    assert told["Merged changes reach production within 24 hours"][1:4] == ["90.0% in 28d", "95.8%", "24"]
    assert told["Deployments"][:3] == ["0.43 per day", "none", "12"]
    assert told["/commerce, production"][1] == "0.43 per day"
    assert told["shop/production, /commerce/shop"][1] == "0.43 per day"
    assert "2 of 2 sources are fresh." in text


def test_the_pages_may_load_nothing_foreign(shop: Any) -> None:
    """The pages' own policy forbids scripts and styles but those of files, and foreign content, should it slip in."""
    headers = shop.get("/").headers

    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.fixture(scope="module")
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


def test_markup_in_names_is_shown_as_text(hostile: Any, browser: Browser) -> None:
    """A service name and an SLO title full of markup are text on the page and run nothing."""
    with browser.visit(hostile.url) as visit:
        rows, title, made = visit.page.locator("th[scope=row]").all_inner_texts(), visit.page.title(), _made(visit)

    assert title == "Where everything stands · Paceline"
    assert (made, visit.errors) == ([], [])
    assert len([row for row in rows if row.startswith("<img src=x onerror=")]) == 1


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
