"""Deleting a source and erasing a person: as if they had never been there, on both databases, with proof."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from histories import PEOPLE, START, History

from collector.erasure import Erased, mark_of
from collector.errors import BadRecord
from collector.events import Commit, Event
from collector.run import Runner
from collector.source import Page
from collector.store import Arrival, Database, DerivationStore, EventStore, InboxStore, Series, SourceRun, packed
from collector.store.tables import METADATA, OBSERVATION, SERIES
from paceline.deleting import delete_source, erase
from slo_engine.derive import derive
from slo_engine.indicator import families

pytestmark = [pytest.mark.both_stores, pytest.mark.long]


@dataclass(frozen=True)
class Stored:
    """A store in a folder."""

    database: Database

    @property
    def events(self) -> EventStore:
        """Its events."""
        return EventStore(self.database)

    def derive(self) -> None:
        """Derive what changed."""
        derive(families(), self.events, DerivationStore(self.database))

    def told(self, *parts: Sequence[Event]) -> Stored:
        """The same after some batches of events, each derived from."""
        for part in parts:
            with self.database.transaction() as transaction:
                self.events.write(transaction, part)
            self.derive()
        return self

    def judged(self) -> dict[Series, list[tuple[Any, ...]]]:
        """All observations, by series."""
        numbers = sa.select(SERIES, OBSERVATION).join(OBSERVATION, OBSERVATION.c.series_id == SERIES.c.id)
        found: dict[Series, list[tuple[Any, ...]]] = {}
        with self.database.reading() as connection:
            for _, *rest in connection.execute(numbers):
                found.setdefault(Series(*rest[:8]), []).append(tuple(rest[9:]))
        return {series: sorted(rows, key=repr) for series, rows in found.items()}

    def holds(self, text: str) -> dict[str, int]:
        """In which tables a text stands, looked for in everything that is stored, and in how many rows."""
        found: dict[str, int] = {}
        with self.database.reading() as connection:
            for table in METADATA.sorted_tables:
                rows = sum(any(text in _plain(cell) for cell in row) for row in connection.execute(sa.select(table)))
                found |= {table.name: rows} if rows else {}
        return found


def _plain(cell: Any) -> str:
    return cell.decode("latin-1") if isinstance(cell, bytes) else str(cell)


@pytest.fixture
def store(tmp_path: Path, store_kind: str) -> Iterator[Callable[[str], Stored]]:
    """Makes stores of their own."""
    with contextlib.ExitStack() as stack:
        yield lambda name: Stored(stack.enter_context(closing(Database.open(tmp_path / name))))


def _without(events: Sequence[Event], source: str) -> list[Event]:
    return [e for e in events if source not in {e.source, getattr(e, "collector", None)}]


# --- a source -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_without_a_source_all_is_as_if_it_had_never_been(store: Callable[[str], Stored], seed: int) -> None:
    """Whatever a source reported, once it is deleted every judgement is that of a store which never knew it."""
    history = History(seed)
    deleted = store("deleted").told(*history.batches())
    never = store("never").told(_without(history.events, "other"))

    proof = delete_source(deleted.database, deleted.derive, "other")

    assert deleted.judged() == never.judged()
    assert deleted.events.counts() == never.events.counts()
    assert [one for one in proof if one.after] == []
    assert {one.table for one in proof} > {"event_commit", "event_probe", "event_collection"}


def _known(stored: Stored) -> Stored:
    """A store that knows a source in every table."""
    removed = History(1, 20).commit(START)
    with stored.database.transaction() as transaction:
        stored.events.write(transaction, [msgspec.structs.replace(removed, source="old-ci")])
        stored.events.set_cursor(transaction, "old-ci", "7")
        stored.events.reject(transaction, "old-ci", [BadRecord("line 3", "no date")])
        stored.events.remove_missing(
            transaction, Commit, [], source="old-ci", where={}, dated="committed_at", span=(-(2**62), 2**62), at=1
        )
    stored.events.record_run(SourceRun(source="old-ci", started_at=1, finished_at=2, succeeded=True))
    inbox = InboxStore(stored.database, stored.events)
    inbox.keep(
        [
            Arrival(
                source="old-ci",
                delivery="d",
                received_at=3,
                events=packed([msgspec.structs.replace(removed, source="old-ci")]),
            )
        ]
    )
    return stored


def test_no_table_names_a_deleted_source(store: Callable[[str], Stored]) -> None:
    """Cursor, runs, waiting deliveries, records set aside and tombstones of a source go with it."""
    known = _known(store("known"))
    before = set(known.holds("old-ci"))

    delete_source(known.database, known.derive, "old-ci")

    assert before >= {"source_cursor", "source_run", "quarantine", "event_removed", "inbox"}
    assert known.holds("old-ci") == {}


def test_a_run_of_a_deleted_source_keeps_nothing_more(store: Callable[[str], Stored]) -> None:
    """A run that is on its way while its source is deleted fails: it would go on after what is gone."""
    known = store("known")
    events = [e for e in History(2).events if e.source == "other"]
    runner = Runner(known.database, known.events, lambda: START, sleep=lambda _: None)
    runner.run("other", _Pages([Page(events=events[:5], cursor="5")]))

    def meanwhile() -> None:
        delete_source(known.database, known.derive, "other")

    outcome = runner.run("other", _Pages([Page(events=events[5:], cursor="9")], meanwhile))
    again = runner.run("other", _Pages([Page(events=events, cursor="9")]))

    assert outcome.error == "other was deleted while it was read; the next run reads it anew"
    assert (outcome.changed, again.changed) == (0, len(events))


@dataclass
class _Pages:
    """A source with some pages; something happens before the first."""

    pages: list[Page]
    first: Callable[[], None] = lambda: None

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """The pages."""
        del cursor
        self.first()
        yield from self.pages


# --- a person -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_without_a_person_all_is_as_if_sources_had_named_nobody(store: Callable[[str], Stored], seed: int) -> None:
    """Once somebody is erased every judgement is that of a store whose sources never said who it was."""
    history = History(seed)
    erased = store("erased").told(*history.batches())
    never = store("never").told(Erased([mark_of(PEOPLE[0])]).among(history.events))
    digits = PEOPLE[0].partition(":")[2]
    before = set(erased.holds(digits))

    proof = erase(erased.database, erased.derive, [PEOPLE[0]])

    assert erased.judged() == never.judged()
    assert before > {"event_commit", "event_member", "event_ticket", "observation", "piece"}
    assert erased.holds(digits) == {}
    assert {one.table for one in proof if one.before} == before
    assert [one for one in proof if one.after] == []


def test_who_was_erased_does_not_come_back(store: Callable[[str], Stored]) -> None:
    """A source that reports somebody again, and a delivery that waits meanwhile, bring nothing of them back."""
    history, digits = History(5), PEOPLE[1].partition(":")[2]
    erased = store("erased").told(history.events)
    inbox = InboxStore(erased.database, erased.events)
    waiting = [Arrival(source="kept", delivery="d", received_at=3, events=packed(history.events[:40]))]
    inbox.keep(waiting)

    proof = erase(erased.database, erased.derive, [PEOPLE[1]])
    drained = inbox.drain({}, 4)
    erased.told(history.events)

    assert {p.table for p in proof if p.before} >= {"inbox"}
    assert [one.events for one in drained] != []
    assert erased.holds(digits) == {}


def test_what_was_deleted_at_its_source_forgets_them_too(store: Callable[[str], Stored]) -> None:
    """Tombstones are kept without whoever is erased."""
    history, digits = History(6), PEOPLE[2].partition(":")[2]
    erased = store("erased").told(history.events)
    with erased.database.transaction() as transaction:
        erased.events.remove_missing(
            transaction, Commit, [], source="kept", where={}, dated="committed_at", span=(-(2**62), 2**62), at=1
        )
    before = len(erased.events.removed())

    proof = erase(erased.database, erased.derive, [PEOPLE[2]])

    assert "event_removed" in {one.table for one in proof if one.before}
    assert len(erased.events.removed()) == before
    assert erased.holds(digits) == {}


@pytest.mark.sqlite
def test_no_byte_of_an_erased_person_is_left_in_the_file(store: Callable[[str], Stored], tmp_path: Path) -> None:
    """SQLite leaves what was deleted in free pages and in its log: neither holds it afterwards."""
    digits = PEOPLE[0].partition(":")[2].encode()
    erased = store("erased").told(History(7).events)
    files = [tmp_path / "erased" / name for name in ("paceline.db", "paceline.db-wal")]
    before = any(digits in file.read_bytes() for file in files)

    erase(erased.database, erased.derive, [PEOPLE[0]])

    assert before
    assert not any(digits in file.read_bytes() for file in files if file.exists())


# --- while others run ---------------------------------------------------------------------------------


def _meanwhile(stored: Stored, events: Sequence[Event], deletes: Callable[[], object]) -> None:
    """Delete while another connection writes and derives."""

    def works() -> None:
        for start in range(0, len(events), 20):
            stored.told(events[start : start + 20])

    with ThreadPoolExecutor(2) as pool:
        others = pool.submit(works)
        pool.submit(deletes).result()
        others.result()
    stored.derive()


def test_a_source_goes_while_a_service_writes_and_derives(store: Callable[[str], Stored], tmp_path: Path) -> None:
    """What another one writes and derives meanwhile ends in the numbers of a store that never knew the source."""
    history = History(11, 150)
    mine, more = history.events[:100], _without(history.events[100:], "other")
    known, never = store("known").told(mine), store("never").told(_without(history.events, "other"))
    with closing(Database.open(tmp_path / "known")) as other:
        beside = Stored(other)
        _meanwhile(beside, more, lambda: delete_source(known.database, known.derive, "other"))

    assert known.judged() == never.judged()
    assert known.events.counts() == never.events.counts()


def test_a_person_goes_while_a_service_writes_and_derives(store: Callable[[str], Stored], tmp_path: Path) -> None:
    """What another one writes of them meanwhile is nobody's; a second erasure finds nothing, or takes the rest."""
    history, digits = History(12, 150), PEOPLE[3].partition(":")[2]
    known = store("known").told(history.events[:100])
    never = store("never").told(Erased([mark_of(PEOPLE[3])]).among(history.events))
    with closing(Database.open(tmp_path / "known")) as other:
        beside = Stored(other)
        _meanwhile(beside, history.events[100:], lambda: erase(known.database, known.derive, [PEOPLE[3]]))

    proof = erase(known.database, known.derive, [PEOPLE[3]])

    assert [one for one in proof if one.after] == []
    assert known.holds(digits) == {}
    assert known.judged() == never.judged()


# --- the commands -------------------------------------------------------------------------------------

Run = Callable[..., tuple[object, str, str]]


@pytest.mark.sqlite
def test_a_source_in_the_settings_is_only_deleted_to_be_read_anew(run: Run, settings_file: Path) -> None:
    """It would come back by itself, which is refused; told so, it is read from its beginning again."""
    run("collect")

    refused = run("db", "delete-source", "events", "--yes")
    code, said, _ = run("db", "delete-source", "events", "--yes", "--again", "--output", "json")
    run("collect")

    assert (refused[0], "is still in the settings" in refused[2]) == (2, True)
    assert (code, json.loads(said)["tables"]["event_deployment"]) == (0, {"before": 2, "after": 0})
    with closing(Database.open(settings_file.parent / ".paceline")) as database:
        assert EventStore(database).counts()["deployment"] == 2


@pytest.mark.sqlite
def test_who_is_erased_is_told_on_standard_input(
    run: Run, settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logins come in lines; the proof counts rows by table and names nobody."""
    events = settings_file.parent / "events.jsonl"
    text = events.read_text(encoding="utf-8").replace('"result"', '"actor": "ada-lovelace", "result"')
    events.write_text(text, encoding="utf-8")
    run("collect")
    monkeypatch.setattr(sys, "stdin", io.StringIO("\nAda-Lovelace\n"))

    code, said, errors = run("privacy", "erase", "--output", "json")
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    nobody = run("privacy", "erase")

    assert (code, json.loads(said)["clean"]) == (0, True)
    assert json.loads(said)["tables"]["event_deployment"] == {"before": 2, "after": 0}
    assert "lovelace" not in (said + errors).casefold()
    assert (nobody[0], "nobody was told" in nobody[2]) == (2, True)
