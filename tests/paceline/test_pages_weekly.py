"""The archive of weekly summaries, the page of a week, and that it is ready before it is asked for."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fastapi.testclient import TestClient

from paceline.pages.archive import MOST_WEEKS, archive_of
from paceline.service import Service
from paceline.web import create_app
from paceline.weeklies import Weeklies, inputs_of
from slo_engine.weekly import Audience, Week, WeeklySummary

BERLIN = ZoneInfo("Europe/Berlin")
W10, W11 = (Week.parse(label, ZoneInfo("UTC")) for label in ("2026-W10", "2026-W11"))


@pytest.fixture
def client(collected: Service) -> Iterator[TestClient]:
    """A client of a service with a snapshot."""
    with TestClient(create_app(collected)) as found:
        yield found


# --- the archive -----------------------------------------------------------------------------------------


def test_the_archive_has_each_week_since_the_first_event(client: TestClient) -> None:
    """From the last whole week back; each with its days, pages and formats."""
    page = client.get("/weekly").text

    assert re.findall(r'<th scope="row"><a href="([^"]+)">', page) == ["/weekly/2026-W10"]
    assert "02 Mar to 08 Mar 2026" in page
    assert '<a href="/weekly/2026-W10?audience=sre">' in page
    assert '<a href="/weekly/2026-W10?format=slack">' in page


def test_before_a_week_there_are_only_earlier_ones(client: TestClient) -> None:
    """Nothing was known before the first event's week."""
    assert "Nothing is known of a week that is over." in client.get("/weekly?before=2026-W10").text


def test_a_week_to_come_is_in_no_archive(client: TestClient) -> None:
    """However late one asks for."""
    page = client.get("/weekly?before=2027-W10").text

    assert re.findall(r'<th scope="row"><a href="([^"]+)">', page) == ["/weekly/2026-W10"]


def test_what_is_no_week_is_refused(client: TestClient) -> None:
    """With what was expected."""
    answer = client.get("/weekly?before=today")

    assert (answer.status_code, "expected an ISO week" in answer.text) == (404, True)


def test_a_year_is_on_a_page() -> None:
    """Older weeks are on the next; it begins where this one ends."""
    newest = Week.parse("2026-W10", BERLIN)
    first = archive_of(newest, date(2020, 1, 1))
    assert first.before is not None
    second = archive_of(Week.parse(first.before, BERLIN).before, date(2020, 1, 1))

    assert (len(first.weeks), first.weeks[-1][0].label) == (MOST_WEEKS, first.before)
    assert second.weeks[0][0] == first.weeks[-1][0].before


def test_the_first_event_s_own_week_is_the_last() -> None:
    """Whatever its day."""
    found = archive_of(Week.parse("2026-W10", BERLIN), date(2026, 2, 22))

    assert [week.label for week, _ in found.weeks] == ["2026-W10", "2026-W09", "2026-W08"]
    assert found.before is None


def test_without_an_event_there_is_no_week() -> None:
    """An empty archive, not one of a week that nobody knows."""
    assert archive_of(Week.parse("2026-W10", BERLIN), None).weeks == ()


# --- the page of a week ----------------------------------------------------------------------------------


def test_the_page_says_what_the_summary_says(client: TestClient) -> None:
    """The same sentences as the plain text, in the look of all pages, with styles from a file."""
    page, text = client.get("/weekly/2026-W10"), client.get("/weekly/2026-W10?format=text").text
    said = unescape(page.text)

    assert '<a href="/weekly" aria-current="page">' in page.text
    assert "style=" not in page.text
    assert "'unsafe-inline'" not in page.headers["content-security-policy"]
    assert [line for line in re.findall(r"^[A-Z][^|\n]{30,}\.$", text, re.MULTILINE) if line not in said] == []


def test_the_page_leads_to_its_neighbours(client: TestClient) -> None:
    """To the week before; to the one after only where it is over."""
    newest, older = client.get("/weekly/2026-W10?audience=sre").text, client.get("/weekly/2026-W09").text

    assert '<a href="/weekly/2026-W09?audience=sre" rel="prev">' in newest
    assert 'rel="next"' not in newest
    assert '<a href="/weekly/2026-W10" rel="next">' in older


# --- ready before it is asked for ------------------------------------------------------------------------


class Counted(Weeklies):
    """Weeklies of a service that counts what it makes."""

    def __init__(self, service: Service) -> None:
        self.made: list[tuple[str, Audience]] = []
        self.is_made = threading.Event()
        super().__init__(service)
        service.summary = self._made_for(service.summary)  # type: ignore[method-assign] # told apart from none

    def _made_for(self, summary: Any) -> Any:
        def made(week: Week, audience: Audience, team: str) -> WeeklySummary:
            self.made.append((week.label, audience))
            found: WeeklySummary = summary(week, audience, team)
            self.is_made.set()
            return found

        return made


def test_a_summary_is_made_once(collected: Service) -> None:
    """For each week and audience, however often it is asked for, and for every new snapshot that changes nothing."""
    weeklies = Counted(collected)

    first = weeklies(W10, Audience.LEADER)
    collected.refresh()

    assert weeklies(W10, Audience.LEADER) is first
    assert weeklies(W10, Audience.SRE) is not first
    assert weeklies.made == [("2026-W10", Audience.LEADER), ("2026-W10", Audience.SRE)]


def test_a_run_that_finds_nothing_new_changes_no_week_that_is_over(collected: Service, clock: Any) -> None:
    """Sources run all the time; once they all cover a week, that says nothing new about it."""
    before = inputs_of(collected, W10)
    clock.move(timedelta(minutes=10))
    collected.collect(collected.configuration.sources[0])
    collected.refresh()

    assert inputs_of(collected, W10) == before


def test_a_week_that_is_not_over_is_told_anew(collected: Service, clock: Any) -> None:
    """It is told as of the snapshot."""
    before = inputs_of(collected, W11)
    clock.move(timedelta(minutes=10))
    collected.refresh()

    assert inputs_of(collected, W11) != before


@pytest.mark.parametrize("week", [W10, W11])
def test_a_late_event_changes_the_week(week: Week, collected: Service, settings_file: Path) -> None:
    """What is remembered is not told any more, also where the clock stands."""
    before = inputs_of(collected, week)
    with (settings_file.parent / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(
            '{"kind": "deployment", "native_id": "late", "service": "shop", "environment": "production", '
            '"finished_at": "2026-03-05T10:00:00Z", "result": "success"}\n'
        )
    collected.collect(collected.configuration.sources[0])
    collected.refresh()

    assert inputs_of(collected, week) != before


def test_a_source_that_did_not_cover_the_week_is_waited_for(collected: Service) -> None:
    """Its next success changes how much of the week is known."""
    published = collected.published
    assert published is not None
    (source,) = published.snapshot.sources
    behind = replace(source, last_success_at=W10.end - timedelta(hours=1))
    whole = inputs_of(collected, W10)
    collected.published = replace(published, snapshot=replace(published.snapshot, sources=(behind,)))

    assert inputs_of(collected, W10) != whole


def test_the_newest_week_is_made_before_it_is_asked_for(collected: Service) -> None:
    """In the background, after a publication; then it rests, and ends when told to."""
    weeklies, stop = Counted(collected), threading.Event()
    maker = threading.Thread(target=weeklies.keep_ready, args=(stop,))
    maker.start()
    ready = weeklies.is_made.wait(30)
    stop.set()
    started = time.perf_counter()
    maker.join(30)

    assert (ready, maker.is_alive()) == (True, False)
    assert weeklies.made == [("2026-W10", Audience.LEADER)]
    assert time.perf_counter() - started < 10
