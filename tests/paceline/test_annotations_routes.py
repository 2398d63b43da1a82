"""What is marked on charts, over HTTP: deployments, incidents and exclusions with their own times."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from paceline.web import create_app
from paceline.wiring import build, configuration

NOW = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)
WEEK = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-09T00:00:00Z"}
PATH = "/api/v1/annotations"
SLO = Path(__file__).parent / "good" / "slos" / "fast.yaml"
SETTINGS = """
sources:
  - {type: files, name: events, path: events.jsonl}
slos: [fast.yaml]
exclusions: [exclusions.yaml]
logs: {level: error}
"""
EXCLUSIONS = """
exclusions:
  - {service: shop, reason: maintenance, author: operations, ticket: OPS-18,
     from: 2026-03-05T22:00Z, until: 2026-03-06T01:00Z}
"""
Ask = Callable[..., list[dict[str, Any]]]


def millis(text: str) -> int:
    """A time of March 2026, `05T10:00`, in milliseconds since 1970."""
    return int(datetime.fromisoformat(f"2026-03-{text}:00+00:00").timestamp() * 1000)


def incident(number: int, started: str, restored: str = "", service: str = "shop") -> str:
    """An incident as a line of a file; without an end it is open."""
    ended = {"restored_at": f"2026-03-{restored}:00Z", "state": "resolved"} if restored else {"state": "detected"}
    return json.dumps(
        {
            "kind": "incident",
            "native_id": f"inc-{number}",
            "title": "Ada Lovelace broke it <script>",
            "service": service,
            "environment": "production",
            "started_at": f"2026-{started if len(started) > 8 else f'03-{started}'}:00Z",
            "url": f"https://pager.example/{number}",
            **ended,
        }
    )


def deployment(number: int, finished: str, version: str) -> str:
    """A deployment of the shop as a line of a file."""
    return json.dumps(
        {
            "kind": "deployment",
            "native_id": f"dep-{number}",
            "service": "shop",
            "environment": "production",
            "finished_at": f"2026-03-{finished}:00Z",
            "result": "success",
            "version": version,
        }
    )


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Two deployments of the shop, incidents, and a night of maintenance; read once, and changed by no test."""
    folder = tmp_path_factory.mktemp("marked")
    events = (
        deployment(1, "03T10:00", "v1.2"),
        deployment(2, "04T10:00", ""),
        incident(1, "03T11:00", "03T12:30"),
        incident(2, "06T08:00"),
        incident(3, "02-27T08:00", "02T09:00"),
        incident(4, "02-27T08:00", "01T09:00"),
        incident(5, "05T08:00", "05T09:00", service="<b>till</b>, old"),
    )
    (folder / "events.jsonl").write_text("\n".join(events) + "\n", encoding="utf-8")
    (folder / "fast.yaml").write_text(SLO.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "exclusions.yaml").write_text(EXCLUSIONS, encoding="utf-8")
    settings = folder / "paceline.yaml"
    settings.write_text(SETTINGS, encoding="utf-8")
    found = build(configuration(settings, {}, folder), lambda: NOW, {})
    assert found.service.collect(found.service.configuration.sources[0]).error is None
    found.service.refresh()
    with TestClient(create_app(found.service)) as client:
        yield client
    found.close()


@pytest.fixture
def ask(client: TestClient) -> Ask:
    """Asks for the marks of a week."""

    def asked(**chosen: str | list[str]) -> list[dict[str, Any]]:
        answer = client.get(PATH, params={**WEEK, **chosen})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["annotations"]
        return found

    return asked


def test_a_deployment_is_marked_at_the_time_at_which_it_finished(ask: Ask) -> None:
    """One moment, and whose it is, where, and how it ended."""
    first, second = ask(kind="deployment")

    assert (first["time"], first["timeEnd"]) == (millis("03T10:00"), None)
    assert first["title"] == "Deployment of shop"
    assert (first["text"], second["text"]) == ("v1.2: success in production", "success in production")
    assert first["tags"] == "deployment,shop,production,success"
    assert second["time"] == millis("04T10:00")


def test_an_incident_is_a_region_from_its_start_to_its_end(ask: Ask) -> None:
    """It says whose it is, with a link to where it is told."""
    found = next(m for m in ask(kind="incident", service="shop") if m["url"] == "https://pager.example/1")

    assert (found["time"], found["timeEnd"]) == (millis("03T11:00"), millis("03T12:30"))
    assert found["title"] == "Incident of shop"
    assert found["text"] == "restored, in production"


def test_an_open_incident_lasts_until_the_published_numbers(ask: Ask) -> None:
    """Nobody knows its end: the region reaches as far as what is published."""
    found = next(m for m in ask(kind="incident", service="shop") if "open" in m["tags"])

    assert (found["time"], found["timeEnd"]) == (millis("06T08:00"), int(NOW.timestamp() * 1000))


def test_an_incident_that_reaches_into_the_time_is_told_whole(ask: Ask) -> None:
    """It began before the week; one that was over before it is not told."""
    began = [m["time"] for m in ask(kind="incident") if m["time"] < millis("02T00:00")]

    assert began == [int(datetime(2026, 2, 27, 8, tzinfo=UTC).timestamp() * 1000)]


def test_an_exclusion_tells_what_it_leaves_out_and_not_who_asked(ask: Ask) -> None:
    """Reason, SLOs and ticket; the author stays in the file."""
    (found,) = ask(kind="exclusion")

    assert (found["time"], found["timeEnd"]) == (millis("05T22:00"), millis("06T01:00"))
    assert (found["title"], found["text"]) == ("Left out: maintenance", "fast (OPS-18)")
    assert "operations" not in str(found)


def test_a_title_of_an_incident_is_not_told(ask: Ask) -> None:
    """What people write into a title may name somebody."""
    assert "Ada" not in str(ask())


def test_texts_are_escaped_and_tags_stay_apart(ask: Ask) -> None:
    """Grafana shows texts as HTML, and tells tags apart by commas."""
    found = next(m for m in ask(kind="incident") if "till" in m["title"])

    assert found["title"] == "Incident of &lt;b&gt;till&lt;/b&gt;, old"
    assert found["tags"] == "incident,<b>till</b>  old,production,restored"


def test_everything_is_told_oldest_first(ask: Ask) -> None:
    """Without a kind all are told, in the order of their beginning."""
    times = [m["time"] for m in ask()]

    assert times == sorted(times)
    assert {m["kind"] for m in ask()} == {"deployment", "incident", "exclusion"}


def test_kinds_may_be_named_together(ask: Ask) -> None:
    """A chart of two kinds needs one question."""
    assert {m["kind"] for m in ask(kind=["deployment", "exclusion"])} == {"deployment", "exclusion"}


def test_only_what_is_of_a_service_is_told(ask: Ask) -> None:
    """Of a service: its deployments and incidents, and the exclusions of its SLOs."""
    assert {m["kind"] for m in ask(service="shop")} == {"deployment", "incident", "exclusion"}
    assert ask(service="nobody") == []


def test_an_environment_has_deployments_and_incidents(ask: Ask) -> None:
    """An exclusion belongs to none."""
    assert {m["kind"] for m in ask(environment="production")} == {"deployment", "incident"}
    assert ask(environment="staging") == []


def test_answers_come_in_pages(client: TestClient) -> None:
    """Each says how many marks there are in all, and where it begins."""
    pages = [client.get(PATH, params={**WEEK, "limit": 3, "offset": n}).json() for n in (0, 3, 6)]

    ids = [m["id"] for page in pages for m in page["annotations"]]
    assert [len(page["annotations"]) for page in pages] == [3, 3, 1]
    assert len(set(ids)) == 7
    assert {page["total"] for page in pages} == {7}


def test_times_may_be_milliseconds_as_grafana_sends_them(client: TestClient, ask: Ask) -> None:
    """`${__from}` is milliseconds since 1970."""
    asked = {"from": millis("02T00:00"), "to": millis("09T00:00")}

    assert client.get(PATH, params=asked).json()["annotations"] == ask()


@pytest.mark.parametrize("until", ["2026-03-02T00:00:00Z", "2026-09-01T00:00:00Z"])
def test_a_time_without_an_end_or_too_long_is_refused(client: TestClient, until: str) -> None:
    """The answer says what was expected."""
    answer = client.get(PATH, params={**WEEK, "to": until})

    assert answer.status_code == 422
    assert answer.json()["detail"] == "`to` must be after `from`, and at most 100 days"


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("-1", "0"),
        ("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T01:00:00Z"),
        ("9999-12-31T00:00:00Z", "9999-12-31T23:59:59-14:00"),
        ("2900-01-01T00:00:00Z", "2900-01-02T00:00:00Z"),
    ],
)
def test_a_time_that_nobody_reckons_with_is_refused(client: TestClient, since: str, until: str) -> None:
    """A calendar has its ends; the answer is a refusal, no failure."""
    answer = client.get(PATH, params={"from": since, "to": until})

    assert (answer.status_code, answer.json()["detail"]) == (422, "a time lies outside the years 1971 to 2200")


def test_before_the_first_snapshot_there_is_no_answer(settings_file: Path) -> None:
    """An empty list would read as "nothing happened"."""
    found = build(configuration(settings_file, {}, settings_file.parent), lambda: NOW, {})
    with TestClient(create_app(found.service)) as client:
        assert client.get(PATH, params=WEEK).status_code == 503
    found.close()
