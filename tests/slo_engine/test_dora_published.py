"""Traps that show only in what was published: a fact that is posted again, and one repository behind two services."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from source_states import source_state

from collector.events import Change, ChangeState, Commit, Deployment, Event, Result
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore, ObservationStore, Restatement, to_micros
from slo_engine.derive import derive
from slo_engine.evaluate import evaluate
from slo_engine.indicator import indicators
from slo_engine.indicators.delivery import FAMILY
from slo_engine.observation import Subject
from slo_engine.organisation import Organisation, Service
from slo_engine.snapshot import Snapshot, SourceState

START = datetime(2026, 4, 6, tzinfo=UTC)
ASKED_AT = START + timedelta(days=10)
PRODUCTS = Organisation(
    services=tuple(
        Service(name=name, team=f"/commerce/{name}", repositories=patterns(("o/shop",))) for name in ("app", "web")
    ),
)
LEVELS = (
    Subject("app", "production", "/commerce/app"),
    Subject("web", "production", "/commerce/web"),
    Subject("", "production", "/commerce"),
    Subject("", "production", "/"),
)
"""The two products, their team, and all."""


def at(hours: float) -> datetime:
    """A time in hours after the start."""
    return START + timedelta(hours=hours)


def sha(name: str) -> str:
    """The id of a commit of that name."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def commit(name: str, hours: float, *parents: str) -> Commit:
    """A commit on the default branch."""
    return Commit(
        source="git",
        native_id=name,
        repository="o/shop",
        sha=sha(name),
        parents=tuple(map(sha, parents)),
        authored_at=at(hours),
        committed_at=at(hours),
        on_default_branch=True,
    )


def release(name: str, hours: float, service: str = "app", **more: Any) -> Deployment:
    """A successful deployment of a commit to production."""
    fields: dict[str, Any] = {"native_id": f"{service}@{hours}", "finished_at": at(hours), "sha": sha(name)}
    place = {"service": service, "environment": "production", "repository": "o/shop"}
    return Deployment(**({"source": "cd", "result": Result.SUCCESS} | place | fields | more))


HISTORY = (commit("a", 0), commit("b", 10, "a"), commit("c", 12, "b"), release("a", 1), release("b", 15))


@dataclass
class Published:
    """A store that is derived, and what was published of it."""

    database: Database

    def after(self, *events: Event) -> Snapshot:
        """What is published after some events came in."""
        store, derivations = EventStore(self.database), DerivationStore(self.database)
        with self.database.transaction() as transaction:
            store.write(transaction, events)
        derive([FAMILY], store, derivations, PRODUCTS, ASKED_AT)
        states = [_fresh(name) for name in ("cd", "git", "hub")]
        observations = ObservationStore(self.database)
        snapshot = evaluate(observations, indicators(), (), states, ASKED_AT, organisation=PRODUCTS)
        derivations.published(to_micros(ASKED_AT))
        return snapshot

    def restated(self) -> list[Restatement]:
        """The log of what changed after it was published."""
        return DerivationStore(self.database).restatements()


def _fresh(name: str) -> SourceState:
    return source_state(
        name, last_success_at=ASKED_AT, last_run_at=ASKED_AT, last_duration_seconds=1.0, newest_event_at=ASKED_AT
    )


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Published]:
    """An empty store."""
    database = Database.open(tmp_path)
    yield Published(database)
    database.close()


def test_the_same_id_with_another_commit_replaces_and_is_logged(published: Published) -> None:
    """Re-posting an id with another commit → replaces, and is logged."""
    first = published.after(*HISTORY)
    again = published.after(release("c", 15, updated_at=at(30)))
    app = Subject("app", "production", "/commerce/app")

    numbers = [s.number("change_lead_time", app, "28d") for s in (first, again)]
    log = published.restated()
    assert [n.n for n in numbers if n is not None] == [1, 2]
    assert {r.unit for r in log if r.indicator == "change_lead_time"} == {commit("c", 12, "b").id}
    assert {r.why for r in log} == {"new or changed events: deployment"}


def test_the_same_events_again_are_no_restatement(published: Published) -> None:
    """What is posted again as it was changes nothing and is not logged."""
    first = published.after(*HISTORY)
    again = published.after(*HISTORY)

    assert (first.numbers, published.restated()) == (again.numbers, [])


def test_a_late_request_restates_its_commit(published: Published) -> None:
    """A merge request that arrives after its deployment was published: its change replaces the commit's, in the log."""
    published.after(*HISTORY)
    request = Change(
        source="hub",
        native_id="pr",
        repository="o/shop",
        state=ChangeState.MERGED,
        created_at=at(5),
        merged_at=at(10),
        merge_sha=sha("b"),
    )
    published.after(request)

    log = {(r.unit, r.was == "", r.now == "") for r in published.restated() if r.indicator == "change_lead_time"}
    assert log == {(commit("b", 10, "a").id, False, True), (request.id, True, False)}


def test_one_repository_of_two_products_counts_a_change_for_each_and_once_in_all(published: Published) -> None:
    """One repository mapped to two products → each product counts the change, the total counts it once."""
    web = (release("a", 2, "web"), release("b", 18, "web"))
    snapshot = published.after(*HISTORY, *web)

    found = [snapshot.number("change_lead_time", s, "28d") for s in LEVELS]

    assert [(n.n, n.stats["p50"] / 3600) for n in found if n is not None] == [(1, 5), (1, 8), (1, 5), (1, 5)]


def test_the_same_week_of_two_services_is_two_service_weeks(published: Published) -> None:
    """Work waited in one week for two services of a team → the team counts two service-weeks, not one week."""
    commits = commit("before", -220), commit("a", 0, "before")
    deployed = [(release("before", -200, one), release("a", 15, one)) for one in ("app", "web")]
    snapshot = published.after(*commits, *chain.from_iterable(deployed))

    found = [snapshot.number("deploy_cadence", s, "28d") for s in LEVELS]

    assert [n.n for n in found if n is not None] == [1, 1, 2, 2]
