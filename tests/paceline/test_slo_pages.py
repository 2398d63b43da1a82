"""The pages of SLOs: the list, and of each what became of its error budget."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from promises import HOSTILE, NOW, data_of
from promises import published as organisation

from collector.store import to_micros
from paceline.pages.slos import Over
from paceline.service import Service
from paceline.web import create_app

FEBRUARY = datetime(2026, 2, 10, tzinfo=UTC)
COUNTED = ("builds", "monthly", "hours", "shares", "hostile", "both-builds")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The small organisation with an SLO of every kind."""
    with organisation(tmp_path_factory.mktemp("organisation")) as found:
        yield found


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[TestClient]:
    """A client of it."""
    with TestClient(create_app(service)) as found:
        yield found


def names_in(page: str) -> list[str]:
    """The SLOs that a list leads to, in its order."""
    return re.findall(r'<th scope="row"><a href="/slos/([^"]+)">', page)


def published(service: Service, name: str) -> float:
    """The share of an SLO's budget that /metrics gives."""
    assert service.published is not None
    (value,) = re.findall(
        rf'^platform_slo_error_budget_remaining_ratio{{slo="{name}"}} (\S+)$',
        service.published.exposition.text.decode(),
        re.MULTILINE,
    )
    return float(value)


def test_the_list_has_every_slo_the_worst_first(client: TestClient) -> None:
    """All ten stand in one list; of those of which too little is known the one that overspent comes first."""
    assert names_in(client.get("/slos").text) == [
        *("hours", "shares", "requests"),
        *("monthly", "builds", "both", "both-builds", "both-waits", "busy", "hostile"),
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("status=healthy&service=bank", ["monthly"]),
        ("team=/finance", ["monthly"]),
        ("team=finance", ["monthly"]),
        ("team=/commerce&status=insufficient_data", ["hours", "shares", "requests"]),
        ("service=nobody", []),
    ],
)
def test_the_list_is_chosen_from_by_address(client: TestClient, query: str, names: list[str]) -> None:
    """A plain form asks for a status, a team with those below it, and a service; all must fit."""
    assert names_in(client.get(f"/slos?{query}").text) == names


def test_a_choice_that_nothing_fits_says_so(client: TestClient) -> None:
    """An empty list is no answer to a reader who mistyped."""
    assert "None of the 10 SLOs is like this." in client.get("/slos?team=/nobody").text


@pytest.mark.parametrize("name", COUNTED)
def test_the_last_point_is_the_exported_share(client: TestClient, service: Service, name: str) -> None:
    """Of every SLO that Paceline counts the chart ends with what the metrics say."""
    assert data_of(client.get(f"/slos/{name}").text, "burn-down")["value"][-1] == published(service, name)


def test_the_chart_is_told_with_the_days_it_draws(client: TestClient) -> None:
    """The first point is the tenth of February in Berlin, though UTC still has the ninth."""
    assert "in 28d, from 2026-02-10 to 2026-03-09:" in client.get("/slos/builds").text


def test_the_table_holds_what_the_chart_draws(client: TestClient) -> None:
    """Each point has a row with its counts, so nobody needs the picture."""
    page = client.get("/slos/builds").text
    points = data_of(page, "burn-down")
    table = page.split("the newest first; times in UTC</caption>")[1].split("</table>")[0]

    assert table.count('<th scope="row">') == len(points["at"]) == 29
    assert points["text"][-1] == "63.3% left: 11 of 150 runs bad"
    assert '<td class="n">11</td><td class="n">150</td>' in table


def test_a_calendar_window_is_drawn_from_its_start(client: TestClient) -> None:
    """The month of Berlin begins an hour before midnight UTC, and the page says when it ends."""
    page = client.get("/slos/monthly").text

    assert data_of(page, "burn-down")["at"][0] == datetime(2026, 2, 28, 23, tzinfo=UTC).timestamp()
    assert "it ends at 2026-03-31 22:00 UTC" in page


@pytest.mark.parametrize(
    ("name", "why"),
    [("requests", "Prometheus counts its events"), ("both", "It is made of other SLOs")],
)
def test_what_is_not_counted_here_has_no_chart_and_says_why(client: TestClient, name: str, why: str) -> None:
    """PromQL and composites are no empty picture."""
    page = client.get(f"/slos/{name}").text

    assert "burn-down-data" not in page
    assert f"There is no chart over time. {why}" in page


def test_a_page_says_what_is_promised_and_by_whom(client: TestClient) -> None:
    """What is measured, the target and the window, the owning service with its team, and where to look."""
    page = client.get("/slos/builds").text

    assert "pipeline_success" in page
    assert "80.0% of runs in 28d" in page
    assert "shop, /commerce/basket" in page
    assert 'href="https://runbooks.example/builds"' in page
    assert 'href="/explain/pipeline_success?window=28d"' in page
    assert 'href="/definitions#pipeline_success"' in page
    assert 'href="/api/v1/gate?service=shop"' in page


def test_the_budget_is_told_in_its_own_units(client: TestClient) -> None:
    """Eleven of the thirty bad runs that a hundred and fifty allow are spent."""
    page = client.get("/slos/builds").text

    assert "30.0 bad runs of 150" in page
    assert "11 bad runs" in page
    assert "19.0 of 30.0 runs left (63.3%)" in page


@pytest.mark.parametrize("path", ["/slos", "/slos/monthly"])
def test_it_is_told_how_fast_the_budget_burns(client: TestClient, path: str) -> None:
    """One of eighteen runs failed in three days, and a fifth may; told as on the home page."""
    assert "0.28 in 3d" in client.get(path).text


def test_alerts_stand_with_their_thresholds(client: TestClient) -> None:
    """Of a busy SLO each alert that can fire is told with both its windows; one that cannot says why."""
    page = client.get("/slos/busy").text

    assert "Steady (ticket)" in page
    assert "0.278 over 3d" in page
    assert "is out of reach: with a target of 0.8 total failure burns at 5" in page


def test_of_few_events_nobody_is_paged(client: TestClient) -> None:
    """The page of such an SLO says so instead."""
    assert "nobody is paged for its burn rate" in client.get("/slos/builds").text


def test_a_stale_source_withholds_the_chart(tmp_path: Path) -> None:
    """What the newest points rest on may be missing: the page names the source instead of drawing them."""
    with organisation(tmp_path) as own, TestClient(create_app(own)) as client:
        assert own.published is not None
        stale = [replace(source, fresh=False) for source in own.published.snapshot.sources]
        own.published = replace(own.published, snapshot=replace(own.published.snapshot, sources=tuple(stale)))
        page = client.get("/slos/builds").text

    assert "burn-down-data" not in page
    assert "There is no chart over time. There was no recent success of events." in page


def test_exclusions_stand_with_raw_and_adjusted_numbers(client: TestClient) -> None:
    """Who excluded what and why is told by team, and both attainments stand together."""
    page = client.get("/slos/builds").text

    assert "92.7% (raw 92.9%)" in page
    assert "2026-02-20 00:00 to 2026-02-23 00:00 UTC" in page
    assert "<td>platform</td><td>OPS-1</td>" in page


def test_what_spent_the_budget_leads_to_its_events(client: TestClient) -> None:
    """The newest bad runs lead to their own pages, and to the week that explains them, at their row."""
    page = client.get("/slos/builds").text
    path, anchor = re.findall(r'<a href="(/explain/[^"#]+week=2026-W10)#([^"]+)">explain 2026-W10</a>', page)[0]

    assert '<a href="https://ci.example/' in page
    assert f'<tr id="{anchor}">' in client.get(unescape(path)).text


def test_windows_that_are_over_say_whether_the_promise_was_kept(client: TestClient) -> None:
    """Months from the first with runs on, the newest first."""
    page = client.get("/slos/monthly").text.split("Windows that are over</h2>")[1]

    assert re.findall(r"(\d{4}-\d\d-\d\d) 2\d:00 to", page)[0] == "2026-01-31"
    assert re.findall(r"(\d{4}-\d\d-\d\d) 2\d:00 to", page)[-1] == "2025-08-31"
    assert '<b class="healthy">met</b>' in page


def test_windows_that_are_over_are_told_once(service: Service) -> None:
    """A later snapshot of the same month tells the same, unless a source has gone stale or that month changed."""
    published = service.published
    assert published is not None
    snapshot, over = published.snapshot, Over(service)
    state = next(s for s in snapshot.slos if s.slo.name == "builds")
    first = over(state.slo, service.indicators["pipeline_success"], snapshot)

    def again(**changed: Any) -> Any:
        return over(state.slo, service.indicators["pipeline_success"], replace(snapshot, **changed))

    assert again(at=NOW + timedelta(hours=1)) is first
    assert again(at=NOW + timedelta(days=31)) is not first
    service.changes.apply(dict.fromkeys(service.observations.series("pipeline_success"), to_micros(NOW)))
    assert again() is first
    service.changes.apply(dict.fromkeys(service.observations.series("pipeline_success"), to_micros(FEBRUARY)))
    assert again() is not first
    assert again(sources=()) is not first


def test_an_unknown_slo_is_not_found(client: TestClient) -> None:
    """A name that nobody gave has no page."""
    assert client.get("/slos/nobody").status_code == 404


@pytest.mark.parametrize("path", ["/slos", "/slos/hostile", "/slos?team=%3C/script%3E%3Cscript%3Ealert(1)"])
def test_titles_from_outside_are_text(client: TestClient, path: str) -> None:
    """A title like a script is shown as text, in attributes, texts and data alike."""
    page = client.get(path).text

    assert "<script>alert" not in page


def test_a_hostile_title_is_shown_as_it_is(client: TestClient) -> None:
    """Escaping changes nothing for whoever reads."""
    assert HOSTILE in unescape(client.get("/slos/hostile").text)


def test_a_store_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """What is remembered is shown; what must be read first is refused in words."""
    with organisation(tmp_path) as own, TestClient(create_app(own)) as client:
        remembered = client.get("/slos/builds").text
        engine = sa.create_engine(f"sqlite:///{tmp_path / '.paceline' / 'paceline.db'}")
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE observation RENAME TO lost"))
        engine.dispose()

        assert client.get("/slos/builds").text == remembered
        assert client.get("/slos/monthly").status_code == 503


def test_before_the_first_numbers_nothing_is_claimed(tmp_path: Path) -> None:
    """Without a snapshot there is no list, and no page."""
    with organisation(tmp_path) as own, TestClient(create_app(own)) as client:
        own.published = None

        assert {client.get(path).status_code for path in ("/slos", "/slos/builds")} == {503}
