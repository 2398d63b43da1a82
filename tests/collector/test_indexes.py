"""Every question that the numbers ask of stored events has its index, on both databases."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from collector.conditions import Above, Where
from collector.events import (
    EVENT_TYPES,
    Change,
    Collection,
    Commit,
    Deployment,
    DocPage,
    Event,
    Incident,
    Member,
    Milestone,
    PipelineRun,
    Probe,
    Review,
    SelfServiceAttempt,
    Ticket,
    UsageEvent,
    kind_of,
)
from collector.store import EventStore
from collector.store.tables import EVENT_TABLES
from collector.store.writing import _places_text

pytestmark = pytest.mark.both_stores

_NEW = {"revision": Above(7)}
_ASKED: list[tuple[type[Event], Mapping[str, Where]]] = [
    (Change, {"repository": "r"}),
    (Change, {"repository": "r", **_NEW}),
    (Change, {"id": ["a", "b"], "state": "merged"}),
    (Change, {"url": ["a", "b"]}),
    (Collection, {"collector": "c", "finished_at": Above(7)}),
    (Collection, {"collector": "c", **_NEW}),
    (Commit, {"repository": "r", **_NEW}),
    (Commit, {"repository": "r", "committed_at": Above(7)}),
    (Deployment, {"service": ["a", "b"], "finished_at": Above(7)}),
    (Deployment, {"service": ["a", "b"], **_NEW}),
    (Deployment, {"native_id": ["a", "b"]}),
    (Deployment, {"artifact": ["a", "b"]}),
    (Deployment, {"sha": ["a", "b"]}),
    (Deployment, {"url": ["a", "b"]}),
    (Deployment, {"repository": "r", "result": "success"}),
    (DocPage, {"repository": "r"}),
    (DocPage, _NEW),
    (Incident, {"service": "s", **_NEW}),
    (Member, _NEW),
    (Milestone, _NEW),
    (PipelineRun, {"repository": ["a", "b"], "finished_at": Above(7)}),
    (PipelineRun, {"repository": "r", **_NEW}),
    (PipelineRun, {"id": ["a", "b"]}),
    (Probe, {"service": ["a", "b"], "at": Above(7)}),
    (Probe, {"service": ["a", "b"], **_NEW}),
    (Review, {"repository": "r", "change_native_id": "1"}),
    (Review, {"repository": "r", **_NEW}),
    (SelfServiceAttempt, {"journey": "j", **_NEW}),
    (SelfServiceAttempt, {"native_id": ["a", "b"]}),
    (SelfServiceAttempt, {"url": ["a", "b"]}),
    (Ticket, {"queue": "q", "created_at": Above(7)}),
    (Ticket, {"queue": "q", **_NEW}),
    (Ticket, {"journey": ["a", "b"]}),
    (Ticket, _NEW),
    (UsageEvent, {"capability": "c", "at": Above(7)}),
    (UsageEvent, {"capability": "c", **_NEW}),
]
_NAMED: dict[type[Event], str] = {
    Change: "repository",
    Collection: "collector",
    Commit: "repository",
    Deployment: "service",
    DocPage: "repository",
    Incident: "service",
    PipelineRun: "repository",
    Probe: "service",
    Review: "repository",
    SelfServiceAttempt: "journey",
    Ticket: "queue",
    UsageEvent: "capability",
}
_READS = re.compile(r"Index (?:Only )?Scan")


class Explained:
    """A database that answers nothing, and keeps how it would find it."""

    def __init__(self, database: Any) -> None:
        self.plans: list[str] = []
        self._database = database

    def select(self, text: Callable[[Any], str], values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Explain a question."""
        with self._database.transaction() as transaction:
            self.plans.append(self.explained(transaction, text(transaction.dialect), values))
        return []

    @staticmethod
    def explained(transaction: Any, text: str, values: Sequence[Any]) -> str:
        """The plan of a statement, a line for each step."""
        if transaction.dialect.name == "sqlite":
            return "\n".join(row[-1] for row in transaction.rows(f"EXPLAIN QUERY PLAN {text}", values))
        # Empty tables are read from end to end, unless an index would do as well.
        transaction.execute(sa.text("SET LOCAL enable_seqscan = off"))
        return "\n".join(row[0] for row in transaction.rows(f"EXPLAIN {text}", values))


def _is_found(plan: str) -> bool:
    """Whether every table of events is searched by a condition on an index."""
    searched = plan.count("SEARCH event_") + len(re.findall("Index Cond", plan))
    read = len(re.findall(r"SCAN event_|Seq Scan on event_", plan))
    return searched > 0 and read == 0 and len(_READS.findall(plan)) <= plan.count("Index Cond")


@pytest.fixture(scope="module")
def indexed(shared_benches: tuple[Any, Any]) -> Any:
    """A store whose tables of events have their indexes, as once each has had an event."""
    with shared_benches[0].database.transaction() as transaction:
        for table in EVENT_TABLES.values():
            transaction.begin(table, 0)
    return shared_benches[0]


@pytest.mark.parametrize(("event_type", "where"), _ASKED, ids=lambda one: kind_of(one) if isinstance(one, type) else "")
def test_events_are_found_by_an_index(indexed: Any, event_type: type[Event], where: Mapping[str, Where]) -> None:
    """A question with a condition that an index is promised for reads no whole table."""
    explained: Any = Explained(indexed.database)

    EventStore(explained).columns(event_type, "id", **where)

    assert [plan for plan in explained.plans if not _is_found(plan)] == []


@pytest.mark.parametrize("since", [-1, 7])
def test_names_are_found_by_an_index(indexed: Any, since: int) -> None:
    """The different names of a kind are hopped to, not counted out of all events."""
    explained: Any = Explained(indexed.database)

    for event_type, name in _NAMED.items():
        EventStore(explained).distinct(event_type, name, since)

    assert len(explained.plans) == len(_NAMED)
    assert [plan for plan in explained.plans if not _is_found(plan)] == []


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=kind_of)
def test_what_is_stored_of_written_events_is_found_by_its_key(indexed: Any, event_type: type[Event]) -> None:
    """Writing looks up by their ids which events are known, and reads no whole table."""
    with indexed.database.transaction() as transaction:
        text = _places_text(event_type, False, transaction.dialect)
        plan = Explained.explained(transaction, text, ('["a", "b"]',))

    assert _is_found(plan), plan


@pytest.mark.sqlite
def test_every_index_answers_a_question(new_bench: Any) -> None:
    """Each index of events costs every write: one that no question uses is none."""
    explained: Any = Explained(new_bench("own").database)
    store = EventStore(explained)

    for event_type, where in _ASKED:
        store.columns(event_type, "id", **where)
    for event_type, name in _NAMED.items():
        store.distinct(event_type, name, 7)

    made = {str(index.name) for table in EVENT_TABLES.values() for index in table.indexes}
    assert made - set(re.findall(r"INDEX (ix_\w+)", "\n".join(explained.plans))) == set()
