"""Charts: what the script is given, what it draws in a real browser, and that it is what its authors published."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from browser import PHONE, Browser
from promises import data_of
from promises import published as organisation
from small_site import served

import paceline
from paceline.pages.charts import Chart, Mark
from paceline.pages.remembered import Remembered
from paceline.web import create_app

STATIC = Path(paceline.__file__).parent / "static"
UPLOT = Path(__file__).parents[1] / "npm" / "node_modules" / "uplot"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a small organisation's pages."""
    with organisation(tmp_path_factory.mktemp("organisation")) as service, served(create_app(service)) as url:
        yield url


# ---- what was copied


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("uPlot.iife.min.js", "dist/uPlot.iife.min.js"),
        ("uPlot.min.css", "dist/uPlot.min.css"),
        ("uPlot.LICENSE", "LICENSE"),
    ],
)
def test_what_draws_is_copied_unchanged(ours: str, theirs: str) -> None:
    """The files are byte for byte those of the package, with its licence beside them."""
    if not UPLOT.is_dir():
        assert os.environ.get("CI") != "true", "CI must compare them"
        pytest.skip("uPlot is not installed from npm")

    assert (STATIC / ours).read_bytes() == (UPLOT / theirs).read_bytes()


def test_the_licence_goes_with_what_it_is_of() -> None:
    """Whoever gets the program gets the licence of what draws."""
    assert (STATIC / "uPlot.LICENSE").read_text(encoding="utf-8").startswith("The MIT License")


# ---- what the script is given


def test_what_is_unknown_is_a_gap() -> None:
    """A mark without a value is null in each column, never zero."""
    marks = [Mark(at=NOON, value=0.5, low=0.4, high=0.6, few=True, text="half"), Mark(at=NOON, value=None, few=True)]
    data = Chart(name="c", about="", zone="UTC", scale="share", marks=marks).data

    assert [data[column] for column in ("value", "low", "high", "few")] == [
        [0.5, None],
        [0.4, None],
        [0.6, None],
        [0.5, None],
    ]


def test_without_any_value_there_is_nothing_to_draw() -> None:
    """A chart of gaps alone is no chart."""
    assert not Chart(name="c", about="", zone="UTC", scale="share", marks=[Mark(at=NOON, value=None)]).drawable


# ---- what is drawn


@pytest.mark.parametrize("page", ["/slos/builds", "/slos/hostile", "/indicators/pipeline_success"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_chart_is_drawn(browser: Browser, site: str, page: str, scheme: Any) -> None:
    """The line is on the canvas, the text alternative beside it, and the page's own policy has nothing against it."""
    with browser.visit(site + page, scheme=scheme) as visit:
        drawn = visit.page.evaluate(
            "() => { const c = document.querySelector('.chart canvas');"
            " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(one => one > 0) }"
        )
        about = visit.page.locator(".chart [role=img]").get_attribute("aria-label")

    assert drawn
    assert about
    assert visit.errors == []
    assert visit.outside == []


def test_a_chart_follows_the_screen(browser: Browser, site: str) -> None:
    """On a narrower screen it is narrower, and nothing lies beside the screen."""
    with browser.visit(f"{site}/slos/builds") as visit:
        visit.page.set_viewport_size({"width": PHONE, "height": 800})
        visit.page.wait_for_function("() => document.querySelector('.chart .u-wrap').clientWidth < 390")
        too_wide = visit.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")

    assert too_wide <= 0
    assert visit.errors == []


def test_a_chart_follows_the_colours(browser: Browser, site: str) -> None:
    """When the scheme changes it is drawn anew: the same place has another colour."""
    drawn = "() => document.querySelector('.chart canvas').toDataURL()"
    with browser.visit(f"{site}/slos/builds") as visit:
        light = visit.page.evaluate(drawn)
        visit.page.emulate_media(color_scheme="dark")
        visit.page.wait_for_function(f"before => ({drawn})() !== before", arg=light)

    assert visit.errors == []


def test_the_pointer_is_told_what_it_is_over(browser: Browser, site: str) -> None:
    """The day on the clocks of the organisation, and what was left, as text."""
    with browser.visit(f"{site}/slos/builds") as visit:
        first = data_of(visit.page.content(), "burn-down")["text"][0]
        visit.page.locator(".chart .u-over").hover(position={"x": 1, "y": 90})
        told = visit.page.locator(".chart-tip").inner_text()

    assert told == f"10 Feb 2026\n{first}"


def test_without_script_the_numbers_are_in_the_table(browser: Browser, site: str) -> None:
    """No empty frame is shown, and the table holds every point."""
    with browser.visit(f"{site}/slos/builds", script=False) as visit:
        shown = visit.page.locator("figure.chart").is_visible()
        visit.page.locator("summary", has_text="The same as a table").click()
        rows = visit.page.locator("section:has(figure.chart) tbody tr").count()

    assert not shown
    assert rows == 29


# ---- what is remembered


def test_a_thing_is_made_once_however_many_ask() -> None:
    """Several readers at once cost one calculation."""
    numbers = count(1)
    everybody = threading.Barrier(4)
    remembered = Remembered[int](1)

    def ask(_: int) -> int:
        everybody.wait()
        return remembered("page", lambda: next(numbers))

    with ThreadPoolExecutor(4) as readers:
        assert list(readers.map(ask, range(4))) == [1, 1, 1, 1]


def test_what_was_asked_for_longest_ago_is_forgotten() -> None:
    """There is room for so many; a thing that is asked for again stays."""
    made: list[str] = []
    remembered = Remembered[None](2)

    for key in ("a", "b", "a", "c", "a", "b"):
        remembered(key, partial(made.append, key))

    assert made == ["a", "b", "c", "b"]


def test_what_fails_is_tried_again() -> None:
    """An error is not remembered."""
    remembered = Remembered[int](1)

    with pytest.raises(ZeroDivisionError):
        remembered("page", lambda: 1 // 0)

    assert remembered("page", lambda: 2) == 2


def test_what_is_not_to_be_kept_is_made_each_time() -> None:
    """A long list is made for whoever asks, and not held."""
    remembered = Remembered[int](1, lambda found: found < 10)

    assert [remembered("list", lambda: 10), remembered("list", lambda: 5)] == [10, 5]
