"""Incidents of a status page: what becomes of each, and how what a page shows and what its API holds are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from providers.statuspage import PAGE, START, TOKEN, World, provider, shown
from providers.statuspage import at as written
from pydantic import ValidationError
from replay import Provider, Reply

from collector.errors import ContractError, SourceError
from collector.events import Incident, IncidentState, Transition
from collector.http import Wire
from collector.source import Page, SourceContext
from collector.sources.statuspage import StatuspageConfig

DAY = 86_400


def at(seconds: float) -> datetime:
    """Seconds after the world's start."""
    return START + timedelta(seconds=seconds)


@dataclass
class Reader:
    """Reads a page run after run."""

    api: Provider
    config: StatuspageConfig
    context: SourceContext
    cursor: str | None = None
    pages: tuple[Page, ...] = ()

    def run(self) -> list[Incident]:
        """The incidents of a run; its cursor is the next one's."""
        self.pages = tuple(self.config.build(self.context).pull(self.cursor))
        self.cursor = self.pages[-1].cursor
        return [e for page in self.pages for e in page.events if isinstance(e, Incident)]

    def said(self, of: str) -> list[str]:
        """The warnings or truncations of the last run."""
        return [text for page in self.pages for text in getattr(page, of)]


@pytest.fixture
def site() -> World:
    """A page without an incident."""
    return World()


@pytest.fixture
def reader_of(context: SourceContext, site: World) -> Callable[..., Reader]:
    """A reader of what the page shows; arguments are settings."""

    def make(**settings: Any) -> Reader:
        api = provider(site) if "page" in settings else shown(site)
        wire = Wire(adapter=api, sleep=lambda _: None, chance=lambda: 0.0)
        fields = {"name": "status", "type": "statuspage", "parallel": 1, **settings}
        return Reader(api, StatuspageConfig.model_validate(fields), replace(context, wire=wire))

    return make


@pytest.fixture
def reader(reader_of: Callable[..., Reader]) -> Reader:
    """A reader of what the page shows to everybody."""
    return reader_of(url=PAGE)


@pytest.fixture
def whole(reader_of: Callable[..., Reader]) -> Reader:
    """A reader of all that the API holds."""
    return reader_of(page="kctbh9vrtdwd", token=TOKEN)


# ---- what an incident becomes


def test_an_incident_is_told_whole(site: World, reader: Reader) -> None:
    """An incident has its component, times in UTC, impact and transitions; of people it has nothing."""
    one = site.incident(0, "API")
    site.update(one, "identified", 60)
    site.update(one, "resolved", 600.5)

    assert reader.run() == [
        Incident(
            source="status",
            native_id="p1/c-api",
            updated_at=at(600.5),
            url="https://stspg.io/p1",
            service="API",
            state=IncidentState.RESOLVED,
            started_at=at(0),
            severity="major",
            title="Checkout fails",
            detected_at=at(0),
            acknowledged_at=at(60),
            restored_at=at(600.5),
            transitions=(
                Transition(at=at(0), state="detected"),
                Transition(at=at(60), state="acknowledged"),
                Transition(at=at(600.5), state="resolved"),
            ),
        )
    ]


@pytest.mark.parametrize(
    ("status", "state", "restored_at"),
    [
        ("investigating", IncidentState.DETECTED, None),
        ("identified", IncidentState.ACKNOWLEDGED, None),
        ("monitoring", IncidentState.ACKNOWLEDGED, None),
        ("resolved", IncidentState.RESOLVED, at(60)),
    ],
)
def test_each_status_has_its_meaning(
    site: World, reader: Reader, status: str, state: IncidentState, restored_at: datetime | None
) -> None:
    """A fix that is watched is none yet: only what is resolved is restored."""
    site.update(site.incident(0), status, 60)

    assert [(i.state, i.restored_at) for i in reader.run()] == [(state, restored_at)]


def test_a_postmortem_changes_nothing(site: World, reader: Reader) -> None:
    """What is written weeks later is no second resolution."""
    one = site.incident(0)
    site.update(one, "resolved", 60)
    site.update(one, "postmortem", 6_000)

    assert [(i.state, i.restored_at, len(i.transitions)) for i in reader.run()] == [(IncidentState.RESOLVED, at(60), 2)]


def test_a_reopened_incident_is_restored_at_its_last_resolution(site: World, reader: Reader) -> None:
    """Reopened → restored at the last resolution, and until then not at all."""
    one = site.incident(0)
    site.update(one, "resolved", 60)
    site.update(one, "investigating", 120)
    between = [i.restored_at for i in reader.run()]
    site.update(one, "resolved", 180)

    assert (between, [i.restored_at for i in reader.run()]) == ([None], [at(180)])


def test_updates_count_for_when_they_happened(site: World, reader: Reader) -> None:
    """An update that is written late says by what time it was so."""
    one = site.incident(0)
    site.update(one, "identified", 600, display_at=written(60))

    assert [i.acknowledged_at for i in reader.run()] == [at(60)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [("p1/c-api", "API"), ("p1/c-website", "Website")]),
        ({"components": []}, [("p1", None)]),
        ({"components": None, "incident_updates": None}, [("p1", None)]),
        (
            {"components": [{"id": "g", "name": "Europe", "group": True}, {"id": "c", "name": "API"}]},
            [("p1/c", "API")],
        ),
        ({"components": [{"id": "g", "name": "Europe", "group": True}]}, [("p1/g", "Europe")]),
        (
            {
                "components": [],
                "incident_updates": [
                    {
                        "status": "investigating",
                        "created_at": written(0),
                        "affected_components": [{"code": "c", "name": "API", "new_status": "major_outage"}],
                    }
                ],
            },
            [("p1/c", "API")],
        ),
    ],
    ids=["two", "none", "nothing", "in a group", "a group", "of an update"],
)
def test_each_component_has_the_incident(
    site: World, reader: Reader, fields: dict[str, Any], expected: Sequence[tuple[str, str | None]]
) -> None:
    """An incident of several components is one for each, by their names; one of none is told once."""
    site.incident(0, "API", "Website")
    site.incidents[0] |= fields

    assert [(i.native_id, i.service) for i in reader.run()] == expected


def test_maintenance_is_no_incident(site: World, whole: Reader) -> None:
    """Scheduled maintenance stands in the same list, and is left out without a word."""
    site.incident(0, status="completed", scheduled_for=written(0))
    site.incident(10, status="in_progress")
    site.incident(20, status="resolved", scheduled_for=written(20))

    assert (whole.run(), whole.said("warnings")) == ([], [])


def test_an_unknown_status_is_open_and_named(site: World, reader: Reader) -> None:
    """A status that nobody documented → record survives; the unknown value is counted and named."""
    site.incident(0, status="puzzled")

    assert [i.state for i in reader.run()] == [IncidentState.DETECTED]
    assert reader.said("warnings") == ["status 'puzzled' is not known here; it is taken as open"]


def test_missing_fields_cost_nothing(site: World, reader: Reader) -> None:
    """Missing optional fields → record survives, dated by its creation."""
    site.incident(0, **dict.fromkeys(("started_at", "impact", "shortlink", "components")))
    site.incidents[0]["updated_at"] = None

    assert [(i.started_at, i.severity, i.url) for i in reader.run()] == [(at(0), None, None)]


def test_what_updates_say_names_the_cause(site: World, reader: Reader) -> None:
    """Addresses in updates are links; nobody's words are kept."""
    body = 'Wilhelmina wrote: <a href="https://git.example.com/acme/shop/pull/7">a fix</a> for OPS-7'
    site.update(site.incident(0), "monitoring", 60, body=body)

    assert [i.links for i in reader.run()] == [("https://git.example.com/acme/shop/pull/7", "OPS-7")]


@pytest.mark.parametrize(
    ("settings", "read"),
    [({"impacts": ["critical"]}, ["p2"]), ({"services": "A*"}, ["p1/c-api"]), ({"services": "none"}, [])],
)
def test_the_settings_choose_what_is_read(
    site: World, reader_of: Callable[..., Reader], settings: dict[str, Any], read: Sequence[str]
) -> None:
    """`impacts` and `services` choose what is an incident here."""
    site.incident(0, "API", "Website")
    site.incident(1, impact="critical")

    assert [i.native_id for i in reader_of(url=PAGE, **settings).run()] == read


# ---- what a page shows


def test_all_that_is_shown_is_read_each_time(site: World, reader: Reader) -> None:
    """An incident of last month that is edited today is seen."""
    one = site.incident(-5 * DAY)
    site.incident(0)
    reader.run()
    site.update(one, "resolved", -5 * DAY + 60)

    assert [(i.native_id, i.restored_at) for i in reader.run()] == [("p2", None), ("p1", at(-5 * DAY + 60))]


def test_what_is_not_shown_any_more_is_said(site: World, reader: Reader) -> None:
    """50 incidents came back and the oldest is newer than what was asked for → what is missing is said."""
    for number in range(51):
        site.incident(number)

    assert len(reader.run()) == 50
    assert reader.said("truncations") == [
        "the page shows 50 incidents, and none before 2026-02-20; `page` and `token` read all"
    ]


def test_fifty_incidents_that_reach_back_are_enough(site: World, reader: Reader) -> None:
    """Where the oldest shown was known before, nothing was missed."""
    site.incident(-200 * DAY, status="resolved")
    for number in range(49):
        site.incident(number)
    first, cut = len(reader.run()), reader.said("truncations")
    site.incident(100)
    reader.run()

    assert (first, cut, reader.said("truncations")) == (50, [], [])


def test_an_open_incident_that_is_not_shown_any_more_is_said(site: World, reader: Reader) -> None:
    """The end of an incident that the page no longer shows cannot be known."""
    for number in range(50):
        site.incident(number, status="resolved" if number else "investigating")
    reader.run()
    site.incident(100)
    reader.run()

    assert reader.said("truncations") == [
        "incidents that were open are not shown any more, so that their end is not known: 1"
    ]


# ---- what the API holds


def test_all_pages_of_the_api_are_read(site: World, whole: Reader) -> None:
    """Pages are read until one reaches back further than `history`."""
    site.largest = 10
    for number in range(25):
        site.incident((number - 100) * DAY)

    assert len(whole.run()) == 25
    assert len(whole.api.asked) == 4


def test_no_page_is_read_beyond_history(site: World, reader_of: Callable[..., Reader]) -> None:
    """The page that is wholly older than `history` is the last one that is asked for."""
    site.largest = 10
    for number in range(60):
        site.incident((number - 60) * DAY)
    reader = reader_of(page="kctbh9vrtdwd", token=TOKEN, history="15d")
    reader.run()

    assert len(reader.api.asked) == 2


def test_an_old_incident_is_read_until_it_is_over(site: World, reader_of: Callable[..., Reader]) -> None:
    """What was open is asked for by its id once the list does not reach it."""
    site.largest = 1
    one = site.incident(-DAY)
    reader = reader_of(page="kctbh9vrtdwd", token=TOKEN, history="15d")
    reader.run()
    one |= {"created_at": written(-30 * DAY)}
    site.incident(-20 * DAY)
    site.update(one, "resolved", 60)

    assert [(i.native_id, i.restored_at) for i in reader.run()] == [("p2", None), ("p1", at(60))]
    assert [i.native_id for i in reader.run()] == ["p2"]


@pytest.mark.parametrize("reader_name", ["reader", "whole"])
def test_what_was_deleted_is_forgotten(
    site: World, bench: Any, request: pytest.FixtureRequest, reader_name: str
) -> None:
    """Deleted at the source → kept as a tombstone; so is what is of another component now."""
    site.incident(0, "API")
    site.incident(10, "API", "Website")
    reader: Reader = request.getfixturevalue(reader_name)
    source = reader.config.build(reader.context)
    bench.runner.run("status", source)
    site.incidents.pop()
    site.incidents[0]["components"].pop()

    assert bench.runner.run("status", source).removed == 2
    assert sorted(e.native_id for e in bench.store.removed()) == ["p1/c-api", "p2/c-website"]


def test_what_is_open_from_long_ago_hides_no_deletion(
    site: World, bench: Any, reader_of: Callable[..., Reader]
) -> None:
    """Incidents that are asked for by their ids come in no order; the list has its own."""
    site.largest = 1
    for seconds in (-19 * DAY, -18 * DAY, -17 * DAY, 0, 10):
        site.incident(seconds, "API")
    reader = reader_of(page="kctbh9vrtdwd", token=TOKEN, history="30d")
    bench.runner.run("status", reader.config.build(reader.context))
    later = reader_of(page="kctbh9vrtdwd", token=TOKEN, history="15d")
    site.incidents.pop(1)

    assert bench.runner.run("status", later.config.build(later.context)).removed == 1


def test_what_was_told_late_and_then_deleted_is_forgotten(site: World, bench: Any, reader: Reader) -> None:
    """When an incident was told counts for what a list of 50 reaches, not when it began."""
    for number in range(51):
        site.incident(number, status="resolved")
    site.incident(60, started_at=written(-DAY))
    source = reader.config.build(reader.context)
    bench.runner.run("status", source)
    site.incidents.pop(0)

    assert bench.runner.run("status", source).removed == 1


def test_a_list_in_another_order_deletes_nothing(site: World, bench: Any, reader: Reader) -> None:
    """Only a list that has the newest first tells by its end what is not in it."""
    for seconds in (0, 10, 20):
        site.incident(seconds)
    source = reader.config.build(reader.context)
    bench.runner.run("status", source)
    site.incidents[:] = [site.incidents[2], site.incidents[0]]

    assert bench.runner.run("status", source).removed == 0


def test_a_list_with_a_broken_item_deletes_nothing(site: World, bench: Any, whole: Reader) -> None:
    """One record that cannot be used, in the list and by itself, is set aside; it is not taken for deleted."""
    site.incident(0, "API")
    source = whole.config.build(whole.context)
    bench.runner.run("status", source)
    site.incidents[0]["status"] = 4

    outcome = bench.runner.run("status", source)

    assert (outcome.succeeded, outcome.removed, outcome.rejected_total) == (True, 0, 2)


def test_an_incident_that_vanishes_between_two_requests_costs_nothing(site: World, whole: Reader) -> None:
    """An open incident that was deleted is asked for once more, and no further."""
    site.incident(0)
    whole.run()
    site.incidents.clear()

    assert [whole.run(), whole.run()] == [[], []]
    assert [one.path.rpartition("/")[2] for one in whole.api.asked].count("p1") == 1


def test_the_key_is_shown_to_the_api_alone(reader_of: Callable[..., Reader]) -> None:
    """A page is asked without the key, whatever is set."""
    whole, reader = reader_of(page="kctbh9vrtdwd", token=TOKEN), reader_of(url=PAGE, token=TOKEN)
    whole.run()
    reader.run()

    assert {one.headers.get("authorization") for one in whole.api.asked} == {f"OAuth {TOKEN}"}
    assert {one.headers.get("authorization") for one in reader.api.asked} == {None}


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ({}, ["url"]),
        ({"url": PAGE}, []),
        ({"url": PAGE, "token": TOKEN}, ["page"]),
        ({"page": "kctbh9vrtdwd", "token": TOKEN}, []),
    ],
)
def test_settings_that_name_no_page_are_a_mistake(
    reader_of: Callable[..., Reader], settings: dict[str, str], paths: list[str]
) -> None:
    """Neither an address nor an id, or a token without its page → said at start, at the setting."""
    reader = reader_of(**settings)

    assert [m.path for m in reader.config.check(reader.context)] == paths


def test_an_address_that_is_no_status_page_says_so(site: World, reader: Reader) -> None:
    """A page of HTML, or no such path, is an error that names the request."""
    reader.api.faults = {1: Reply(body=b"<html>Acme</html>"), 2: Reply({}, status=404)}

    with pytest.raises(ContractError, match=r"api/v2/incidents\.json: the answer is no JSON"):
        reader.run()
    with pytest.raises(SourceError, match=r"api/v2/incidents\.json: answered 404"):
        reader.run()


def test_nobody_may_deliver(reader_of: Callable[..., Reader]) -> None:
    """Webhooks of status pages show no secret: there is none to set."""
    with pytest.raises(ValidationError, match="webhook_secret"):
        reader_of(url=PAGE, webhook_secret=TOKEN)
