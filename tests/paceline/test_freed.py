"""What a page was made from is freed once the page is made, and does not wait until circles are looked for."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import requests
from small_site import Site, opened_site

from slo_engine.reading import Group, Reader
from slo_engine.units import Columns, Rows


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service whose every page has something to show."""
    with opened_site(tmp_path_factory.mktemp("site")) as found:
        yield found


def in_circles(work: Callable[[], object]) -> set[str]:
    """What holds units of the store and is left in circles by some work: it would stay as long as nobody looks."""
    gc.collect()
    gc.disable()
    try:
        work()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return {type(one).__name__ for one in gc.garbage if isinstance(one, Columns | Group | Reader | Rows)}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_pages_leave_no_units_in_circles(site: Site) -> None:
    """A service looks for circles of old objects once an hour; by then a page for each minute would be sixty."""
    left = {page: in_circles(partial(requests.get, site.url + page, timeout=60)) for page in site.pages}

    assert {page: found for page, found in left.items() if found} == {}
