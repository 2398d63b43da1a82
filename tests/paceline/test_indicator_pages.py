"""The pages of indicators: what there is, and of each the numbers of whoever is chosen, now and week by week."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from promises import NOW, data_of
from promises import published as organisation

from paceline.pages.indicators import FEW, WEEKS
from paceline.service import Service
from paceline.web import create_app
from slo_engine.explain import Selection
from slo_engine.number_words import leading
from slo_engine.observation import Subject
from slo_engine.weekly import Week
from slo_engine.weeks_of import weeks_before, weeks_of

WHOLE, SHOP, FINANCE = Subject("", "", "/"), Subject("shop", "", "/commerce/basket"), Subject("", "", "/finance")
_LATE = {
    "kind": "pipeline_run",
    "repository": "forge.example/shop",
    "pipeline": "ci",
    "run_kind": "pipeline",
    "state": "completed",
    "result": "failure",
}
"""A run of the shop that failed."""
CHOSEN = {"": WHOLE, "service=shop": SHOP, "team=/finance": FINANCE, "service=shop&team=/commerce": SHOP}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The small organisation with half a year of runs."""
    with organisation(tmp_path_factory.mktemp("organisation")) as found:
        yield found


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[TestClient]:
    """A client of it."""
    with TestClient(create_app(service)) as found:
        yield found


@pytest.fixture(scope="module")
def weeks(service: Service) -> list[Week]:
    """The weeks that a page draws, the oldest first."""
    return weeks_before(Week.last_before(NOW, service.zone), WEEKS)


@pytest.mark.parametrize("name", ["pipeline_success", "pipeline_wait", "developer_wait_time", "uptime"])
@pytest.mark.parametrize("whose", [WHOLE, SHOP, FINANCE])
def test_the_weeks_are_those_that_explaining_gives(
    service: Service, weeks: list[Week], name: str, whose: Subject
) -> None:
    """The n and statistics of a week are what `paceline explain --week` adds up from its units, or both have none."""
    indicator = service.indicators[name]
    asked = Selection(service=whose.service, team="" if whose.service else whose.team)
    some = weeks[1::3]
    explained = [service.explain(name, replace(asked, week=week.label)).numbers for week in some]

    found = weeks_of(indicator, whose, "", some, service.observations, service.configuration.organisation)

    assert [[(n.n, dict(n.stats)) for n in one.numbers] for one in found] == [
        [(n.n, dict(n.stats)) for n in numbers if n.subject == whose and n.n is not None] for numbers in explained
    ]


@pytest.mark.parametrize("query", CHOSEN)
def test_the_page_draws_the_weeks_of_whoever_is_chosen(
    client: TestClient, service: Service, weeks: list[Week], query: str
) -> None:
    """The chart's values are the leading statistic of each week; where there is none there is a gap, never zero."""
    indicator = service.indicators["pipeline_success"]
    found = weeks_of(indicator, CHOSEN[query], "", weeks, service.observations, service.configuration.organisation)

    drawn = data_of(client.get(f"/indicators/pipeline_success?{query}").text, "weeks")

    assert drawn["value"] == [one.whole.stats.get(leading(indicator)) if one.whole else None for one in found]
    assert drawn["at"] == [week.start.timestamp() for week in weeks]


def test_weeks_that_are_over_are_read_once(tmp_path: Path) -> None:
    """A later snapshot asks the store for none of them; of a number that nobody asked for they are read."""
    with organisation(tmp_path) as own, TestClient(create_app(own)) as client:
        before = data_of(client.get("/indicators/pipeline_success").text, "weeks")
        assert own.published is not None
        later = replace(own.published.snapshot, at=NOW + timedelta(hours=1))
        own.published = replace(own.published, snapshot=later)
        engine = sa.create_engine(f"sqlite:///{tmp_path / '.paceline' / 'paceline.db'}")
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE observation RENAME TO lost"))
        engine.dispose()

        assert data_of(client.get("/indicators/pipeline_success").text, "weeks") == before
        assert client.get("/indicators/pipeline_wait").status_code == 503


def test_a_late_run_changes_its_week(tmp_path: Path, weeks: list[Week]) -> None:
    """What is remembered of a week is not told any more when something of it came to be known."""
    with organisation(tmp_path) as own, TestClient(create_app(own)) as client:
        before = data_of(client.get("/indicators/pipeline_success").text, "weeks")["text"]
        late = {"native_id": "late", "finished_at": (weeks[-2].end - timedelta(hours=9)).isoformat(), **_LATE}
        with (tmp_path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(late) + "\n")
        own.collect(own.configuration.sources[0])
        own.refresh()

        after = data_of(client.get("/indicators/pipeline_success").text, "weeks")["text"]

    assert [n for n, (old, new) in enumerate(zip(before, after, strict=True)) if old != new] == [WEEKS - 2]


def test_weeks_without_data_are_gaps(client: TestClient) -> None:
    """In the holidays nothing ran: the chart has a gap there, and the table says no data."""
    page = client.get("/indicators/pipeline_success").text
    drawn = data_of(page, "weeks")
    gaps = [text for text, value in zip(drawn["text"], drawn["value"], strict=True) if value is None]

    assert gaps == ["2025-W37: no data", "2025-W52: no data", "2026-W01: no data"]
    assert page.count("<td>no data</td>") == 3


def test_a_week_stands_between_the_ends_of_its_interval(client: TestClient) -> None:
    """The band is the 95 % interval, and each week says its n."""
    drawn = data_of(client.get("/indicators/pipeline_success").text, "weeks")

    assert drawn["low"][-1] < drawn["value"][-1] < drawn["high"][-1]
    assert drawn["text"][-1].endswith(", n 42")


def test_complete_weeks_alone_are_drawn(client: TestClient) -> None:
    """The week that has begun is not among them; weeks are those of the organisation's zone."""
    drawn = data_of(client.get("/indicators/pipeline_success").text, "weeks")

    assert (len(drawn["at"]), drawn["zone"]) == (26, "Europe/Berlin")
    assert drawn["text"][-1].startswith("2026-W10: ")


def test_few_units_are_marked(client: TestClient) -> None:
    """The shop began on a Saturday: its first week has six runs, is drawn hollow, and says so."""
    page = client.get("/indicators/pipeline_success?service=shop").text
    drawn = data_of(page, "weeks")

    assert [n for n, value in enumerate(drawn["few"]) if value is not None] == [1]
    assert drawn["text"][1].endswith(", n 6, few")
    assert page.count(f"<td>few: fewer than {FEW}</td>") == 1


def test_the_table_leads_to_the_week_s_events(client: TestClient) -> None:
    """Each week's row leads to the explanation of just this number, which has the same n."""
    page = client.get("/indicators/pipeline_success?service=shop").text
    (path,) = re.findall(r'href="(/explain/[^"]*week=2026-W10[^"]*)"', page)

    assert unescape(path) == "/explain/pipeline_success?service=shop&week=2026-W10"
    assert '<td class="n">21</td>' in client.get(unescape(path)).text


def test_the_published_numbers_stand_first(client: TestClient) -> None:
    """Each window has its value, interval, n, coverage and what was left out, and leads to its explanation."""
    page = client.get("/indicators/pipeline_success?service=bank").text

    assert [w for w in ("7d", "28d", "90d") if f"Explain {w}" in page] == ["7d", "28d", "90d"]
    assert 'href="/explain/pipeline_success?service=bank&amp;window=28d"' in page
    assert "95 % interval" in page


def test_the_index_has_every_indicator_once(client: TestClient, service: Service) -> None:
    """Each is listed under its family, with the organisation's number or why there is none."""
    page = client.get("/indicators").text
    listed = re.findall(r'<a href="/indicators/([a-z0-9_]+)">', page)

    assert sorted(listed) == sorted(service.indicators)
    assert "nothing is known, or no source of it is fresh" in page
    assert "the whole organisation" in page


@pytest.mark.parametrize("query", ["service=nobody", "team=/nobody", "environment=moon"])
def test_a_selection_of_which_nothing_is_known_is_not_found(client: TestClient, query: str) -> None:
    """It says so, and keeps the form."""
    answer = client.get(f"/indicators/pipeline_success?{query}")

    assert answer.status_code == 404
    assert "Nothing is known of this selection" in answer.text
    assert "<form" in answer.text


def test_an_indicator_without_a_number_has_a_page(client: TestClient) -> None:
    """Nothing was ever probed here: the page says so, and what it would mean."""
    answer = client.get("/indicators/uptime")

    assert answer.status_code == 200
    assert "Nothing is known of this selection" in answer.text


def test_an_unknown_indicator_is_not_found(client: TestClient) -> None:
    """A name that nobody gave has no page."""
    assert client.get("/indicators/nobody").status_code == 404


@pytest.mark.parametrize("field", ["service", "team", "environment", "label"])
def test_what_is_asked_for_is_text(client: TestClient, field: str) -> None:
    """An address that holds a script gives a page without it."""
    page = client.get("/indicators/pipeline_success", params={field: "x=</script><script>alert(1)</script>"}).text

    assert "<script>alert" not in page
