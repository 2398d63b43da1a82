"""The service over HTTP: every route, from memory, before and after the first snapshot."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from paceline.explanations import ExplanationView
from paceline.service import Service
from paceline.web import create_app
from paceline.wiring import Running, build, configuration
from slo_engine.explain import Explanation

pytestmark = pytest.mark.long

RESTATEMENTS = "/api/v1/restatements"
ROUTES = ["/", "/definitions", "/metrics", "/healthz", "/readyz", "/api/v1/slos", "/openapi.json"]
READING = ["/sources", "/weekly", "/weekly/2026-W10"]
"""Pages that read the store."""
EXPLAIN = "/api/v1/explain/{indicator}"
EXPLAINED = ["/explain/deployment_frequency", "/api/v1/explain/deployment_frequency"]


@pytest.fixture
def before(service: Service) -> Iterator[TestClient]:
    """A client of a service without a snapshot."""
    with TestClient(create_app(service)) as client:
        yield client


@pytest.fixture
def client(collected: Service) -> Iterator[TestClient]:
    """A client of a service with a snapshot."""
    with TestClient(create_app(collected)) as client:
        yield client


@pytest.fixture(scope="module")
def shared(collected_once: Service) -> Iterator[TestClient]:
    """A client of a service with a snapshot, for the tests that change nothing."""
    with TestClient(create_app(collected_once)) as client:
        yield client


@pytest.mark.parametrize("path", [*ROUTES, *READING, RESTATEMENTS, *EXPLAINED])
def test_a_route_answers_with_safe_headers(shared: TestClient, path: str) -> None:
    """Every route answers, runs no script of others, and is not guessed to be another type."""
    answer = shared.get(path)

    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/definitions", "/metrics", "/explain/deployment_frequency", *READING])
def test_head_answers_as_get_does(shared: TestClient, path: str) -> None:
    """Monitors that only ask for the head get the same status and type."""
    assert shared.head(path).status_code == 200
    assert shared.head(path).headers["content-type"] == shared.get(path).headers["content-type"]


@pytest.mark.parametrize(
    ("path", "status"), [(p, 503) for p in ("/metrics", "/readyz", "/api/v1/slos", "/sources", "/weekly", *EXPLAINED)]
)
def test_before_the_first_snapshot_nothing_is_claimed(before: TestClient, path: str, status: int) -> None:
    """Without a snapshot there are no metrics and no SLOs to show: 503, not an empty success."""
    assert before.get(path).status_code == status


def test_the_process_and_the_page_answer_from_the_start(before: TestClient) -> None:
    """Liveness does not wait for data, and the page says what it waits for."""
    assert before.get("/healthz").json() == {"status": "ok", "problems": []}
    assert "The first numbers are being computed." in before.get("/").text


def test_a_scrape_needs_no_store(running: Running, collected: Service, settings_file: Path) -> None:
    """A scrape makes no network or SQL call: it answers with the store closed and its file gone."""
    with TestClient(create_app(collected)) as client:
        first = client.get("/metrics")
        running.database.close()
        (settings_file.parent / ".paceline" / "paceline.db").unlink()

        assert client.get("/metrics").content == first.content
        assert {client.get(path).status_code for path in ROUTES} == {200}


def test_metrics_are_the_published_bytes(client: TestClient, collected: Service) -> None:
    """Text and OpenMetrics, plain and compressed, are the snapshot's own bytes, and after them the process's."""
    assert collected.published is not None
    exposition = collected.told(collected.published)
    plain = client.get("/metrics", headers={"accept-encoding": "identity"})
    open_metrics = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    packed = client.get("/metrics", headers={"accept-encoding": "gzip"})

    assert plain.content == exposition.text
    assert plain.content.startswith(collected.published.exposition.text)
    assert open_metrics.content == exposition.openmetrics
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert (packed.headers["content-encoding"], packed.content) == ("gzip", gzip.decompress(exposition.text_gzip))
    assert plain.headers["vary"] == "Accept, Accept-Encoding"


def test_the_slos_are_json(shared: TestClient) -> None:
    """An SLO that cannot be judged is null where it has no value, and says why."""
    (slo,) = shared.get("/api/v1/slos").json()["slos"]

    assert (slo["name"], slo["target"], slo["window"], slo["status"]) == ("fast", 0.9, "28d", "insufficient_data")
    assert (slo["attainment"], slo["error_budget_remaining_ratio"]) == (None, None)
    assert slo["why"] == "0 events in 28d, at least 10 are needed"


def test_an_slo_says_whose_it_is_and_what_it_measures(shared: TestClient) -> None:
    """Programs find the owner and the definition beside the state."""
    (slo,) = shared.get("/api/v1/slos").json()["slos"]

    assert (slo["service"], slo["indicator"], slo["measured"]) == (
        "shop",
        "change_delivery_time",
        "change_delivery_time ≤ 1h",
    )
    assert (slo["sla_target"], slo["sla_error_budget_remaining_ratio"], slo["raw_events"]) == (None, None, {})


def test_a_stale_source_is_a_problem_but_not_an_outage(collected: Service, clock: Any) -> None:
    """A stale source shows in /readyz by name; the service still answers."""
    clock.move(timedelta(hours=2))
    collected.refresh()

    with TestClient(create_app(collected)) as client:
        answer = client.get("/readyz")

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "source events is not fresh" in answer.json()["problems"]


def test_the_page_shows_numbers_and_sources(shared: TestClient) -> None:
    """The status page has the frequency with its n, the SLO, and the source's state."""
    page = shared.get("/").text

    assert "0.07 per day" in page
    assert "insufficient data" in page
    assert "fresh" in page


def test_a_source_that_fails_says_why_while_others_go_on(tmp_path: Path, clock: Any) -> None:
    """The reason stands on the page and in the metrics, per source; the other one's events are there."""
    (tmp_path / "events.jsonl").write_text(
        '{"kind": "deployment", "native_id": "1", "service": "shop", "environment": "production", '
        '"finished_at": "2026-03-03T10:00:00Z", "result": "success"}\n',
        encoding="utf-8",
    )
    (tmp_path / "paceline.yaml").write_text(
        "logs: {level: error}\nsources:\n  - {type: files, name: events, path: events.jsonl}\n"
        "  - {type: git, name: gone, repository: 'file:///nowhere/gone.git'}\n",
        encoding="utf-8",
    )
    running = build(configuration(tmp_path / "paceline.yaml", {}, tmp_path), clock, {})
    outcomes = {s.name: running.service.collect(s) for s in running.service.configuration.sources}
    running.service.refresh()
    with TestClient(create_app(running.service)) as client:
        page, metrics = unescape(client.get("/").text), client.get("/metrics").text
    running.close()

    assert outcomes["gone"].error
    assert outcomes["gone"].error in page
    assert 'platform_collector_last_run_failure{kind="refused",source="gone"} 1.0' in metrics
    assert 'platform_collector_last_run_success{source="gone"} 0.0' in metrics
    assert 'platform_collector_last_run_success{source="events"} 1.0' in metrics


def test_the_page_escapes_what_comes_from_outside(settings_file: Path, collected: Service) -> None:
    """A service named like a script is text on the page."""
    with (settings_file.parent / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(
            '{"kind": "deployment", "native_id": "x", "service": "<script>alert(1)</script>", '
            '"environment": "production", "finished_at": "2026-03-05T10:00:00Z", "result": "success"}\n'
        )
    collected.collect(collected.configuration.sources[0])
    collected.refresh()

    with TestClient(create_app(collected)) as client:
        page = client.get("/").text

    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page


def test_the_api_describes_itself(shared: TestClient) -> None:
    """OpenAPI lists the routes for programs, each once, and what they answer before the first snapshot."""
    described = shared.get("/openapi.json").json()

    assert described["openapi"].startswith("3.")
    assert set(described["paths"]) == {
        *("/metrics", "/healthz", "/readyz"),
        *("/api/v1/slos", "/api/v1/slos/{name}/history", "/api/v1/gate", RESTATEMENTS, EXPLAIN),
        *("/api/v1/annotations", "/api/v1/deliveries"),
    }
    assert {tuple(p) for p in described["paths"].values()} == {("get",)}
    assert set(described["paths"]["/api/v1/slos"]["get"]["responses"]) == {"200", "503"}
    assert set(described["paths"][RESTATEMENTS]["get"]["responses"]) == {"200", "422", "503"}
    assert set(described["paths"][EXPLAIN]["get"]["responses"]) == {"200", "404", "422", "503"}
    assert {p["name"] for p in described["paths"][EXPLAIN]["get"]["parameters"]} == {
        *("indicator", "window", "week", "service", "environment", "team", "dimension", "label", "limit", "offset")
    }


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
@pytest.mark.parametrize("path", [*ROUTES, *READING, RESTATEMENTS, *EXPLAINED])
def test_nothing_can_be_written(shared: TestClient, method: str, path: str) -> None:
    """No route takes a write."""
    assert shared.request(method, path).status_code == 405


def test_an_unknown_path_is_not_found(shared: TestClient) -> None:
    """What is not there answers 404, with the same headers."""
    assert shared.get("/nothing").status_code == 404
    assert shared.get("/nothing").headers["x-content-type-options"] == "nosniff"


# --- the events behind a number --------------------------------------------------------------------------


def add(service: Service, settings_file: Path, *records: dict[str, Any]) -> None:
    """Report more events, and publish what follows from them."""
    with (settings_file.parent / "events.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    outcome = service.collect(service.configuration.sources[0])
    assert (outcome.error, outcome.rejected) == (None, ())
    service.refresh()


def release(native_id: str, **more: Any) -> dict[str, Any]:
    """A record of a deployment of the shop."""
    return {
        "kind": "deployment",
        "native_id": native_id,
        "service": "shop",
        "environment": "production",
        "finished_at": "2026-03-05T10:00:00Z",
        "result": "success",
        **more,
    }


def test_a_number_is_explained_as_json(client: TestClient, collected: Service) -> None:
    """Definition, window, both sides, the exported number, the age of the data, and every unit with its event."""
    found = client.get("/api/v1/explain/platform_deployments_per_day?window=7d&service=shop").json()
    (number,) = found["numbers"]
    (source,) = found["sources"]

    assert (found["indicator"], found["version"], found["metric"]) == (
        "deployment_frequency",
        "1",
        "platform_deployments_per_day",
    )
    assert (found["after"], found["until"]) == ("2026-03-02T06:00:00Z", "2026-03-09T06:00:00Z")
    assert (number["n"], number["numerator"], number["denominator"]) == (2, 2, 7)
    assert number["stats"] == number["exported"] == {"per_day": 2 / 7}
    assert (number["agrees"], number["stale"]) == (True, [])
    assert (source["name"], source["fresh"], source["age_seconds"]) == ("events", True, 0)
    assert [(u["at"], u["role"], u["unit"]["kind"]) for u in found["units"]] == [
        ("2026-03-03T10:00:00Z", "count", "deployment"),
        ("2026-03-04T10:00:00Z", "count", "deployment"),
    ]
    assert (found["total"], found["offset"]) == (2, 0)


def test_an_empty_label_takes_in_all_its_values(shared: TestClient) -> None:
    """A board's link that has no value for a label asks for the number of all of them together."""
    path = "/api/v1/explain/self_service_success"
    assert shared.get(f"{path}?label=journey=").json() == shared.get(path).json()


def test_the_answer_is_the_one_it_describes(shared: TestClient) -> None:
    """What the API gives is what its description says."""
    answer = shared.get("/api/v1/explain/deployment_frequency")

    assert answer.headers["content-type"] == "application/json"
    assert ExplanationView.model_validate_json(answer.content).total == 2


def test_explaining_writes_nothing(client: TestClient, settings_file: Path) -> None:
    """An explanation reads what is stored: events that arrived since are not derived on the way."""
    store = settings_file.parent / ".paceline"
    before = {p.name: p.read_bytes() for p in store.iterdir()}

    answers = [client.get(path) for path in EXPLAINED]

    assert [a.status_code for a in answers] == [200, 200]
    assert {p.name: p.read_bytes() for p in store.iterdir() if p.suffix != ".db-shm"} == {
        name: data for name, data in before.items() if not name.endswith("-shm")
    }


def test_an_slo_leads_to_the_events_that_it_counts(shared: TestClient) -> None:
    """A board knows the SLO's name alone; its indicator, filters and window are Paceline's to say."""
    (slo,) = shared.get("/api/v1/slos").json()["slos"]

    asked = shared.get(f"/slos/{slo['name']}/explain", follow_redirects=False)

    assert (asked.status_code, asked.headers["location"]) == (302, "/explain/change_delivery_time?window=28d")
    assert shared.get(asked.headers["location"]).status_code == 200


def test_an_slo_without_events_of_its_own_is_refused_in_words(shared: TestClient) -> None:
    """Prometheus measures some, others consist of others, and some names are unknown."""
    answer = shared.get("/slos/nobody-knows/explain")

    assert answer.status_code == 404
    assert "Paceline counts no events for this SLO" in answer.text


def test_before_the_first_numbers_an_slo_leads_nowhere(before: TestClient) -> None:
    """It is said that nothing is published yet, not that the SLO is unknown."""
    assert before.get("/slos/fast/explain").status_code == 503


def test_an_explanation_is_that_of_the_published_number(client: TestClient, clock: Any) -> None:
    """However late it is asked for, the window ends with the published numbers, and the list gives them."""
    clock.move(timedelta(days=3))

    found = client.get("/api/v1/explain/deployment_frequency?window=7d").json()

    assert found["until"] == found["at"] == "2026-03-09T06:00:00Z"
    assert found["numbers"][0]["agrees"] is True


def test_a_week_is_explained(shared: TestClient) -> None:
    """A calendar week ends where the next begins; it is in the summary, not among the exported windows."""
    found = shared.get("/api/v1/explain/deployment_frequency?week=2026-W10").json()

    assert (found["window"], found["after"], found["until"]) == (
        "2026-W10",
        "2026-03-01T23:59:59.999999Z",
        "2026-03-08T23:59:59.999999Z",
    )
    assert (found["numbers"][0]["n"], found["numbers"][0]["exported"]) == (2, None)


@pytest.mark.parametrize("start", ["/explain", "/api/v1/explain"])
@pytest.mark.parametrize(
    ("rest", "status", "said"),
    [
        ("/lead_time", 404, "is no indicator; there are active_users, active_users_retention, capability_adoption"),
        ("/deployment_frequency?window=1M", 422, "is no duration; expected a number and one of s m h d w"),
        ("/deployment_frequency?week=2026-99", 422, "is no week; expected an ISO week, for example 2026-W14"),
        ("/deployment_frequency?dimension=ok", 422, "expected one of success, failure"),
        ("/deployment_frequency?limit=0", 422, "greater than or equal to 1"),
        ("/deployment_frequency?limit=10001", 422, "less than or equal to 10000"),
        ("/deployment_frequency?offset=-1", 422, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_explained_is_answered(
    shared: TestClient, start: str, rest: str, status: int, said: str
) -> None:
    """An unknown name is not found, and a selection that means nothing is refused: both say what was expected."""
    answer = shared.get(start + rest)

    assert answer.status_code == status
    assert said in answer.text


@pytest.mark.parametrize("path", EXPLAINED)
def test_without_its_store_nothing_is_explained(running: Running, client: TestClient, path: str) -> None:
    """A store that cannot be read is a failure of the server, and says nothing of where it lies."""
    with running.database.transaction() as transaction:
        transaction.execute(sa.text("ALTER TABLE observation RENAME TO elsewhere"))

    answer = client.get(path)

    assert answer.status_code == 503
    assert "the store cannot be read" in answer.text
    assert "observation" not in answer.text


def test_a_list_is_cut_only_with_a_word(collected: Service, settings_file: Path) -> None:
    """Both pages of a list say how many units there are, and the page leads from one to the next."""
    add(collected, settings_file, *(release(f"r{n}") for n in range(4)))
    with TestClient(create_app(collected)) as client:
        first, second = (client.get(f"/api/v1/explain/deployment_frequency?limit=4&offset={n}").json() for n in (0, 4))
        page = client.get("/explain/deployment_frequency?limit=4").text
        last = client.get("/explain/deployment_frequency?limit=4&offset=4").text

    assert [(f["total"], len(f["units"])) for f in (first, second)] == [(6, 4), (6, 2)]
    assert "1 to 4 of 6" in page
    assert 'href="/explain/deployment_frequency?window=28d&amp;limit=4&amp;offset=4" rel="next"' in page
    assert 'href="/explain/deployment_frequency?window=28d&amp;limit=4" rel="prev"' in last
    assert 'rel="next"' not in last


def test_a_stale_source_withholds_the_number_but_not_the_units(collected: Service, clock: Any) -> None:
    """The page names the source because of which nothing is exported, and still lists the facts."""
    clock.move(timedelta(hours=2))
    collected.refresh()

    with TestClient(create_app(collected)) as client:
        page = client.get("/explain/deployment_frequency").text
        found = client.get("/api/v1/explain/deployment_frequency").json()

    assert "withheld: no recent success of events" in page
    assert (found["numbers"][0]["exported"], found["numbers"][0]["stale"], found["total"]) == (None, ["events"], 2)


def test_the_page_shows_the_number_both_ways(shared: TestClient) -> None:
    """Added up from the units, and as it is exported."""
    page = shared.get("/explain/deployment_frequency?window=7d").text

    assert "per_day 0.2857142857142857" in page
    assert "the same" in page
    assert "1 to 2 of 2" in page
    assert "Successful deployments of the service to the environment per day of the window." in page


def test_the_home_page_leads_on(collected: Service, settings_file: Path) -> None:
    """Whatever it links to is there, and each number links to its own units, whatever its service is called."""
    add(collected, settings_file, release("odd", service='a&b "c"/d'))

    with TestClient(create_app(collected)) as client:
        links = re.findall(r'<a [^>]*href="(/[^"]*)"', client.get("/").text)
        answers = {link: client.get(unescape(link)) for link in links}
        odd = next(a for link, a in answers.items() if link.startswith("/explain/deployment_frequency?service=a%26b+"))

    assert {a.status_code for a in answers.values()} == {200}
    assert "1 to 1 of 1" in odd.text


def test_a_level_of_teams_is_explained_as_it_is_exported(settings_file: Path, clock: Any) -> None:
    """Where the catalogue knows teams, the numbers of services and of levels are found among the published ones."""
    with settings_file.open("a", encoding="utf-8") as settings:
        settings.write("services:\n  - {name: shop, team: /commerce/checkout}\n")
    running = build(configuration(settings_file, {}, settings_file.parent), clock, {})
    running.service.collect(running.service.configuration.sources[0])
    running.service.refresh()

    with TestClient(create_app(running.service)) as client:
        found = [
            client.get("/api/v1/explain/deployment_frequency", params=chosen).json()["numbers"]
            for chosen in ({"service": "shop"}, {"team": "/commerce"})
        ]
    running.close()

    assert [[(n["service"], n["team"], n["n"], n["agrees"]) for n in numbers] for numbers in found] == [
        [("shop", "/commerce/checkout", 2, True)],
        [("", "/commerce", 2, True)],
    ]


def test_events_are_linked_where_they_have_an_address(collected: Service, settings_file: Path) -> None:
    """Web addresses become links that do not hand over this window; others stay text."""
    add(
        collected,
        settings_file,
        release("good", url="https://ci.example.com/1?a=1&b=2"),
        release("bad", url="javascript:alert(1)"),
    )

    with TestClient(create_app(collected)) as client:
        page = client.get("/explain/deployment_frequency").text

    assert re.findall(r'<a href="(?!/)([^"]+)" rel="([^"]+)"', page) == [
        ("https://ci.example.com/1?a=1&amp;b=2", "noopener noreferrer")
    ]
    assert "javascript" not in page


def test_the_page_of_events_escapes_what_comes_from_outside(collected: Service, settings_file: Path) -> None:
    """Names, versions and addresses that look like markup are text, in the page and in what it refuses."""
    hostile = '"><script>alert(1)</script>'
    add(
        collected,
        settings_file,
        release("x", service=hostile, version=hostile, url=f"https://ci.example.com/{hostile}"),
    )

    with TestClient(create_app(collected)) as client:
        pages = [
            client.get("/explain/deployment_frequency").text,
            client.get("/explain/deployment_frequency", params={"service": hostile, "team": hostile}).text,
            client.get("/explain/" + quote(hostile.replace("/", ""))).text,
            client.get("/explain/deployment_frequency", params={"window": hostile}).text,
        ]

    assert "&lt;script&gt;alert(1)" in pages[0]
    assert [page for page in pages if "<script" in page or 'rel=""' in page] == []


def test_nobody_is_named_in_an_explanation(collected: Service, settings_file: Path) -> None:
    """Neither who deployed nor a title, which may say a name, is in the page or in the API."""
    add(
        collected,
        settings_file,
        release("x", actor="planted@example.org"),
        {
            "kind": "incident",
            "native_id": "i",
            "service": "shop",
            "environment": "production",
            "state": "resolved",
            "started_at": "2026-03-05T11:00:00Z",
            "restored_at": "2026-03-05T12:00:00Z",
            "title": "planted broke it",
        },
    )

    with TestClient(create_app(collected)) as client:
        said = [
            client.get(f"{start}/{name}").text.lower()
            for start in ("/explain", "/api/v1/explain")
            for name in ("deployment_frequency", "incident_time_to_restore", "change_fail_rate")
        ]

    assert "incident" in said[1]
    assert [text for text in said if "planted" in text or "person:" in text] == []


# --- what changed afterwards -----------------------------------------------------------------------------

OUTAGE = {
    "kind": "incident",
    "native_id": "i",
    "service": "shop",
    "environment": "production",
    "state": "resolved",
    "started_at": "2026-03-04T11:00:00Z",
    "restored_at": "2026-03-04T12:00:00Z",
    "title": "planted broke it",
}


def test_what_was_restated_is_json(collected: Service, settings_file: Path) -> None:
    """A late incident makes a published good deployment bad: when, which, from what to what, why; and nobody's name."""
    add(collected, settings_file, OUTAGE)

    with TestClient(create_app(collected)) as client:
        answer = client.get(RESTATEMENTS)
    (found,) = (r for r in answer.json()["restatements"] if r["indicator"] == "change_fail_rate")

    assert (found["at"], found["change"]) == ("2026-03-09T06:00:00Z", "good → bad")
    assert (found["service"], found["environment"], found["unit"]["kind"]) == ("shop", "production", "deployment")
    assert found["why"] == "new or changed events: incident"
    assert "planted" not in answer.text


@pytest.mark.parametrize(
    ("query", "empty"),
    [
        ("since=2026-03-09", False),
        ("since=2026-03-09T06:00:01", True),
        ("since=2026-03-09T07:00:01%2B02:00", False),
        ("since=2026-03-10", True),
    ],
)
def test_restatements_are_asked_for_since_a_time(
    collected: Service, settings_file: Path, query: str, *, empty: bool
) -> None:
    """Only what was noticed after a time, which is UTC unless it says otherwise."""
    add(collected, settings_file, OUTAGE)

    with TestClient(create_app(collected)) as client:
        found = client.get(f"{RESTATEMENTS}?{query}").json()["restatements"]

    assert (found == []) is empty


def test_restatements_are_limited(collected: Service, settings_file: Path) -> None:
    """The newest come first, and no more than asked for."""
    add(collected, settings_file, OUTAGE)

    with TestClient(create_app(collected)) as client:
        everything, one = (client.get(f"{RESTATEMENTS}?limit={n}").json()["restatements"] for n in (1_000, 1))

    assert len(everything) > 1
    assert one == everything[:1]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "since=soon"])
def test_a_wrong_question_about_restatements_is_refused(shared: TestClient, query: str) -> None:
    """What means nothing is answered with what was expected."""
    assert shared.get(f"{RESTATEMENTS}?{query}").status_code == 422


def test_without_its_store_no_restatement_is_claimed(running: Running, client: TestClient) -> None:
    """A log that cannot be read is a failure, not an empty list."""
    with running.database.transaction() as transaction:
        transaction.execute(sa.text("ALTER TABLE restatement RENAME TO elsewhere"))

    answer = client.get(RESTATEMENTS)

    assert (answer.status_code, answer.json()["problems"]) == (503, ["the store cannot be read"])


# --- what a person may want to configure -----------------------------------------------------------------


def configured(settings_file: Path, clock: Any, settings: str) -> Running:
    """The service with more settings, after one run and one evaluation."""
    with settings_file.open("a", encoding="utf-8") as file:
        file.write(settings)
    running = build(configuration(settings_file, {}, settings_file.parent), clock, {})
    running.service.collect(running.service.configuration.sources[0])
    running.service.refresh()
    return running


def test_the_page_has_quick_check_scores(shared: TestClient) -> None:
    """Scores of production, then their means; what has no score has no value, and no letter is given."""
    page = shared.get("/").text
    section = page.partition('<h2 id="delivery">Delivery</h2>')[2].partition("</section>")[0]
    rows = [re.sub(r"<[^>]+>", "|", row).split("|") for row in re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)]
    told = [[cell.strip() for cell in row if cell.strip()] for row in rows]

    assert [row[-2:] for row in told] == [
        ["Score", "Industry 2025"],
        ["no value", "5.5"],
        ["4", "4.8"],
        ["no value", "7.4"],
        ["10", "8.1"],
        ["10", "7.8"],
        ["4", "5.9"],
        ["10", "7.95"],
        ["8", "6.72"],
    ]
    assert ["Deployments", "0.07 per day", "none", "2", "4", "4.8"] in told


def test_the_page_is_that_of_the_newest_numbers(collected: Service, settings_file: Path) -> None:
    """What is remembered of the numbers before is not shown, also where the clock stands."""
    with TestClient(create_app(collected)) as client:
        before = client.get("/").text
        add(collected, settings_file, release("another"))
        after = client.get("/").text

    assert ("0.07 per day" in before, "0.11 per day" in after) == (True, True)


def test_a_number_on_the_page_leads_to_its_definition_and_its_events(shared: TestClient) -> None:
    """The title to the indicator, the value to the events behind it, the SLO to its page."""
    page = shared.get("/").text

    assert '<a href="/indicators/deployment_frequency">Deployments</a>' in page
    assert '<a href="/explain/deployment_frequency?service=shop&amp;environment=production&amp;window=28d">' in page
    assert '<a href="/slos/fast">' in page


def test_a_summary_that_could_not_be_delivered_is_on_the_page(collected: Service) -> None:
    """By the delivery's name and the week, with where to read why."""
    assert collected.published is not None
    collected.published = replace(collected.published, undelivered={"leaders": "2026-W10"})

    with TestClient(create_app(collected)) as client:
        page = client.get("/").text

    assert "could not be delivered: leaders, week" in page


def test_unmatched_names_are_on_the_page(settings_file: Path, clock: Any) -> None:
    """Names that no rule knows are counted and shown, the first twenty of them, as text."""
    with (settings_file.parent / "events.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(release(f"r{n}", service=f"<b>{n:02}")) + "\n" for n in range(30))
    running = configured(settings_file, clock, "services:\n  - {name: other, team: /a}\n")

    with TestClient(create_app(running.service)) as client:
        page = client.get("/").text
    running.close()

    assert "deployment: 31 names: &lt;b&gt;00, &lt;b&gt;01, " in page
    assert "&lt;b&gt;19 and 11 more" in page


def test_that_nothing_is_production_is_said(settings_file: Path, clock: Any) -> None:
    """No rule for production matches → nothing is production, and the page says so and what to do."""
    running = configured(settings_file, clock, "environments: {production: [live]}\n")

    with TestClient(create_app(running.service)) as client:
        page = client.get("/").text
    running.close()

    assert (
        "No deployment goes to a production environment: the environments seen are production, and production is live. "
        "Name yours in the setting environments.production."
    ) in page


def test_without_a_catalogue_nothing_is_noted(shared: TestClient) -> None:
    """Deployments to production and no catalogue: neither note is on the page."""
    page = shared.get("/").text

    assert "Unmatched names" not in page
    assert "No deployment goes to a production environment" not in page


def test_cut_metrics_are_a_problem(settings_file: Path, clock: Any) -> None:
    """A metric with more series than the limit is named in /readyz."""
    running = configured(settings_file, clock, "metrics: {series_limit: 1}\n")

    with TestClient(create_app(running.service)) as client:
        answer = client.get("/readyz").json()
    running.close()

    assert answer["status"] == "degraded"
    assert [p for p in answer["problems"] if re.fullmatch(r"\d+ series of platform_deployments_per_day are cut", p)]


def test_the_page_of_many_services_stays_short(settings_file: Path, clock: Any) -> None:
    """Of many services twenty are shown, levels of teams first; the page says how many more, and where.

    The platform's own promises have a table of their own.
    """
    with (settings_file.parent / "events.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(release(f"r{n}", service=f"s{n:03}")) + "\n" for n in range(100))
    running = configured(settings_file, clock, "services:\n  - {name: shop, team: /commerce/checkout}\n")

    with TestClient(create_app(running.service)) as client:
        page = client.get("/").text
    running.close()
    delivery, promises = page.split('<h2 id="promises">')
    shown = re.findall(r'<tr><th scope="row">([^<]+)</th>', delivery.partition("<caption>Teams by")[2])

    assert "The organisation, production" in delivery
    assert shown[:4] == ["/commerce, production", "/commerce/checkout, production", *shown[2:4]]
    assert len(shown) == 20
    assert '<a href="/explain/source_freshness?' in promises
    assert 'And 83 more: <a href="/indicators">' in delivery


class Waiting:
    """A service whose explanations wait until they are let go."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.asked, self.let_go = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def explain_published(self, *arguments: Any) -> Explanation:
        """As the service itself, later."""
        self.asked.set()
        assert self.let_go.wait(30)
        return self._service.explain_published(*arguments)


@pytest.mark.parametrize("path", EXPLAINED)
def test_an_explanation_does_not_hold_up_a_scrape(collected: Service, path: str) -> None:
    """While a list is read from the store, the metrics answer."""
    waiting = Waiting(collected)
    with TestClient(create_app(waiting)) as client, ThreadPoolExecutor() as pool:  # type: ignore[arg-type] # as one
        explained = pool.submit(client.get, path)
        assert waiting.asked.wait(30)

        scraped = pool.submit(client.get, "/metrics").result(30)

        assert not explained.done()
        waiting.let_go.set()
        assert (scraped.status_code, explained.result(30).status_code) == (200, 200)
