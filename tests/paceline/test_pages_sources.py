"""The page of the sources: how each fares, what rules took, what the catalogue does not know, and how to mend it."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from collector.events import Deployment
from collector.findings import Findings
from collector.run import Failure
from collector.sources.github import GitHubConfig
from paceline.pages.counting import Counting
from paceline.pages.sources import source_rows
from paceline.service import Service
from paceline.web import create_app
from paceline.wiring import Running, build, configuration

_COUNTED_WITHIN_SECONDS = 30


@pytest.fixture
def client(collected: Service) -> Iterator[TestClient]:
    """A client of a service with a snapshot."""
    with TestClient(create_app(collected)) as found:
        yield found


def words(client: TestClient) -> str:
    """The page as text on one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", client.get("/sources").text)).split())


def changed(service: Service, **fields: Any) -> None:
    """Publish the first source otherwise than it is."""
    published = service.published
    assert published is not None
    first, *others = published.snapshot.sources
    snapshot = replace(published.snapshot, sources=(replace(first, **fields), *others))
    service.published = replace(published, snapshot=snapshot)


def test_a_source_tells_its_state_and_its_events(client: TestClient) -> None:
    """Type, freshness, last success with its age, and the stored events by kind, once they are counted."""
    said = words(client)
    asked_until = time.monotonic() + _COUNTED_WITHIN_SECONDS
    while "being counted" in said and time.monotonic() < asked_until:
        said = words(client)

    assert "State fresh" in said
    assert "Last success 2026-03-09 06:00:00 , 0 s ago" in said
    assert "Newest event 2026-03-04 10:00:00" in said
    assert "Stored events deployment 2" in said


def test_what_a_source_lacks_is_told(client: TestClient, collected: Service) -> None:
    """The failure, what was cut off, set aside and removed, warnings, and what is left of quotas."""
    changed(
        collected,
        fresh=False,
        last_succeeded=False,
        error="<b>refused</b>",
        rejected_total=3,
        truncations=("only 100 jobs",),
        warnings=("no paths",),
        removed_total=2,
        requests_total=12,
        quota={"core": (7, 5000), "search": (1, None)},
    )

    said = words(client)

    assert "not fresh after 60 min without a success" in said
    assert "failed: <b>refused</b>" in said
    assert "3 records that could not be read; paceline collect names them" in said
    assert "Cut off only 100 jobs" in said
    assert "2 events that the source no longer has" in said
    assert "12; 7 of 5000 left of core; 1 left of search" in said
    assert "Warnings no paths" in said


def test_what_no_rule_took_is_told_with_how_to_mend_it(client: TestClient, collected: Service) -> None:
    """Names of pipelines that sound like a deployment, from the last run."""
    collected.findings["events"] = Findings(lookalikes=Counter({"shop: <deploy> / prod": 4}), runs=9)

    said = words(client)

    assert "Sounds like a deployment, and no rule took it shop: <deploy> / prod: 4 runs" in said
    assert "paceline doctor --source events" in said


def test_what_no_setting_maps_is_told(client: TestClient, collected: Service) -> None:
    """A tracker's status that nobody mapped, and what it was taken as."""
    collected.findings["events"] = Findings(unmapped=Counter({("status", "<Parked>", "open"): 2}))

    assert "Words that no setting maps status <Parked>, taken as open: 2 times" in words(client)


@pytest.fixture
def forge() -> GitHubConfig:
    """The settings of a forge with two rules for deployments."""
    rules = [{"pipeline": "Deploy*"}, {"environment": "live"}]
    return GitHubConfig.model_validate(
        {"type": "github", "name": "events", "repositories": ["a/b"], "deployments": rules}
    )


def with_source(service: Service, config: GitHubConfig) -> None:
    """Let the service's source be another."""
    service.configuration = replace(service.configuration, sources=(config,))


def test_what_each_rule_took_is_told(collected: Service, forge: GitHubConfig) -> None:
    """How many runs, and by which names."""
    with_source(collected, forge)
    collected.findings["events"] = Findings(matched={0: Counter({"Deploy / prod": 5})}, runs=9)
    assert collected.published is not None

    (row,) = source_rows(collected, collected.published.snapshot.sources)

    assert [(rule.runs, rule.names) for rule in row.rules] == [(5, (("Deploy / prod", 5),)), (0, ())]


def test_a_run_without_anything_new_says_nothing_of_rules(collected: Service, forge: GitHubConfig) -> None:
    """That a rule took nothing of nothing is no finding."""
    with_source(collected, forge)
    collected.findings["events"] = Findings()
    assert collected.published is not None

    (row,) = source_rows(collected, collected.published.snapshot.sources)

    assert (row.rules, row.lookalikes) == ((), ())


@pytest.mark.parametrize(("failure", "is_told"), [(Failure.CREDENTIALS, True), (Failure.UNAVAILABLE, False)])
def test_a_refused_token_is_told_what_it_needs(
    collected: Service, forge: GitHubConfig, failure: Failure, *, is_told: bool
) -> None:
    """What it must be allowed, and what for; another failure needs no other token."""
    with_source(collected, forge)
    changed(collected, failure=failure.value)
    assert collected.published is not None

    (row,) = source_rows(collected, collected.published.snapshot.sources)

    assert bool(row.scopes) is is_told


def test_sources_that_need_a_look_come_first(collected: Service) -> None:
    """Those that are not fresh before those whose last run failed, and these before the others."""
    published = collected.published
    assert published is not None
    (config,), (one,) = collected.configuration.sources, published.snapshot.sources
    names: dict[str, dict[str, Any]] = {"fine": {}, "failing": {"last_succeeded": False}, "stale": {"fresh": False}}
    sources = tuple(config.model_copy(update={"name": name}) for name in names)
    collected.configuration = replace(collected.configuration, sources=sources)

    rows = source_rows(collected, tuple(replace(one, name=name, **fields) for name, fields in names.items()))

    assert [row.state.name for row in rows] == ["stale", "failing", "fine"]


def test_unmatched_names_are_told_with_how_to_mend_them(settings_file: Path, clock: Any) -> None:
    """By kind, with the setting of the catalogue that would know them."""
    with settings_file.open("a", encoding="utf-8") as file:
        file.write("services:\n  - {name: other, team: /a}\n")
    running = build(configuration(settings_file, {}, settings_file.parent), clock, {})
    running.service.collect(running.service.configuration.sources[0])
    running.service.refresh()
    with TestClient(create_app(running.service)) as client:
        said = words(client)
    running.close()

    assert "deployment: 1 name: shop. Name it in a service's `deployed_as`." in said


def test_nobody_is_named(client: TestClient, collected: Service, settings_file: Path) -> None:
    """Neither who deployed nor what a title says is on the page."""
    record = {"kind": "deployment", "native_id": "x", "service": "shop", "environment": "production"}
    with (settings_file.parent / "events.jsonl").open("a", encoding="utf-8") as file:
        done = {"finished_at": "2026-03-05T10:00:00Z", "result": "success", "actor": "planted@example.org"}
        file.write(json.dumps(record | done) + "\n")
    collected.collect(collected.configuration.sources[0])
    collected.refresh()

    assert "planted" not in client.get("/sources").text


# --- counting --------------------------------------------------------------------------------------------


def test_events_are_counted_again_when_they_change(collected: Service, settings_file: Path) -> None:
    """What arrived since is in the next count."""
    counting = Counting(collected.events)
    asked_until = time.monotonic() + _COUNTED_WITHIN_SECONDS
    while (first := counting()) is None and time.monotonic() < asked_until:
        pass  # each question waits a moment for the answer
    with (settings_file.parent / "events.jsonl").open("a", encoding="utf-8") as file:
        record = {"kind": "deployment", "native_id": "x", "service": "shop", "environment": "production"}
        file.write(json.dumps(record | {"finished_at": "2026-03-05T10:00:00Z", "result": "success"}) + "\n")
    collected.collect(collected.configuration.sources[0])
    counting()
    counting.close()

    assert first == {"events": {"deployment": 2}}
    assert counting.counts == {"events": {"deployment": 3}}


def test_events_of_a_kind_are_counted_by_source(collected: Service) -> None:
    """Sources without any of the kind are absent."""
    assert collected.events.by_source(Deployment) == {"events": 2}


def test_without_its_store_the_page_is_there(running: Running, client: TestClient) -> None:
    """What memory knows is told; events are not counted."""
    with running.database.transaction() as transaction:
        transaction.execute(sa.text("ALTER TABLE kind_revision RENAME TO elsewhere"))

    assert "being counted" in words(client)
