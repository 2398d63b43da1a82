"""What the collector's tests share: a store, a runner, events of any kind, a sample of every source type."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import providers
import psycopg
import pytest
import stores
from hypothesis import strategies as st
from msgspec import inspect
from names import PLANTED_MAIL, PLANTED_NAME
from replay import Sample

from collector.events import EVENT_TYPES, Event, Probe, person_fields
from collector.people import People
from collector.registry import source_types
from collector.run import Runner
from collector.source import Page, SourceContext
from collector.store import Database, EventStore

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


# --- store and runner ---------------------------------------------------------------------------------


@dataclass
class Bench:
    """A store in a folder, and a runner whose clock stands and whose sleeps are only noted."""

    folder: Path
    database: Database
    slept: list[float] = field(default_factory=list)

    @property
    def store(self) -> EventStore:
        """The events."""
        return EventStore(self.database)

    @property
    def runner(self) -> Runner:
        """Runs without waiting; jitter makes the n-th wait exactly 2, 4, 8 seconds."""
        return Runner(self.database, self.store, lambda: NOW, sleep=self.slept.append, jitter=lambda: 0.5)

    def write(self, *events: Event) -> int:
        """Write events in one transaction."""
        with self.database.transaction() as transaction:
            return self.store.write(transaction, events)

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """What the tables hold, without what tells of clocks and attempts."""
        return _dump(self.folder)


_OF_RUNS = {"source_run", "kind_revision", "event_collection"}


def _dump(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    if (mark := folder / stores.MARK).exists():
        return _dump_shared(mark.read_text())
    with contextlib.closing(sqlite3.connect(folder / "paceline.db")) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = sorted(name for (name,) in found if name not in _OF_RUNS)
        rows = {t: sorted(connection.execute(f"SELECT * FROM {t}"), key=repr) for t in tables}  # noqa: S608
        return _without_revisions(rows)


def _dump_shared(url: str) -> dict[str, list[tuple[Any, ...]]]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        tables = sorted(name for (name,) in found if name not in _OF_RUNS)
        read = {t: connection.execute(f'SELECT * FROM "{t}"'.encode()).fetchall() for t in tables}  # noqa: S608
    return _without_revisions({t: sorted(rows, key=repr) for t, rows in read.items()})


def _without_revisions(tables: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """When an event was written is no part of what it says; it is the last column of its table."""
    return {t: [r[:-1] for r in rows] if t.startswith("event_") else rows for t, rows in tables.items()}


@pytest.fixture(scope="session")
def dumped() -> Callable[[Path], dict[str, list[tuple[Any, ...]]]]:
    """All rows of the store in a folder, as `Bench.dump` gives them."""
    return _dump


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without any event, to be copied: migrating takes longer than most tests."""
    folder = tmp_path_factory.mktemp("empty")
    Database.open(folder).close()
    return folder / "paceline.db"


@pytest.fixture
def new_bench(empty_database: Path, tmp_path: Path) -> Iterator[Callable[[str], Bench]]:
    """Makes benches with stores of their own."""
    with contextlib.ExitStack() as stack:

        def make(name: str) -> Bench:
            (tmp_path / name).mkdir()
            database = _copied(empty_database, tmp_path / name)
            stack.callback(database.close)
            return Bench(tmp_path / name, database)

        yield make


@pytest.fixture(scope="module")
def shared_benches(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bench, Bench]]:
    """Two stores for the many examples of property tests, which keep apart by their native ids."""
    folders = [tmp_path_factory.mktemp(name) for name in ("left", "right")]
    benches = [Bench(folder, _copied(empty_database, folder)) for folder in folders]
    yield benches[0], benches[1]
    for one in benches:
        one.database.close()


def _copied(empty: Path, folder: Path) -> Database:
    shutil.copy(empty, folder / "paceline.db")
    return Database.open(folder)


@pytest.fixture
def bench(new_bench: Callable[[str], Bench]) -> Bench:
    """One bench."""
    return new_bench("data")


@dataclass
class Scripted:
    """A source that does what a test tells it: yields pages, raises what is no page."""

    script: list[Any]
    seen: list[str | None] = field(default_factory=list)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Play the script; an exception in it is raised once and then forgotten."""
        self.seen.append(cursor)
        for step in list(self.script):
            if isinstance(step, BaseException):
                self.script.remove(step)
                raise step
            yield step


@pytest.fixture(scope="session")
def scripted() -> type[Scripted]:
    """The scripted source."""
    return Scripted


@pytest.fixture(scope="session")
def probe() -> Callable[..., Probe]:
    """Makes a small event."""

    def make(native_id: str = "1", **fields: Any) -> Probe:
        return Probe(**{"source": "s", "native_id": native_id, "service": "api", "at": NOW, "passed": 1, **fields})

    return make


# --- events of any kind -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def event_strategies(store_kind: str) -> dict[type[Event], st.SearchStrategy[Event]]:
    """For each kind a strategy of events with any valid values; PostgreSQL keeps no character 0."""
    if store_kind == "sqlite":
        return {t: _struct(t) for t in EVENT_TYPES}
    return {t: _struct(t).filter(_has_no_zero) for t in EVENT_TYPES}


def _has_no_zero(event: Event) -> bool:
    return not any(isinstance(value, str) and "\0" in value for value in msgspec.structs.astuple(event))


@pytest.fixture(scope="module")
def any_event(event_strategies: dict[type[Event], st.SearchStrategy[Event]]) -> st.SearchStrategy[Event]:
    """Events of all kinds."""
    return st.one_of(*event_strategies.values())


def _struct(struct: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    people = person_fields(struct)
    values = {f.name: _PERSON_OR_NONE if f.name in people else _values(f.type) for f in info.fields}
    required = {f.name: values[f.name] for f in info.fields if f.required}
    for name in people:
        kind = next(f.type for f in info.fields if f.name == name)
        if isinstance(kind, inspect.VarTupleType):
            values[name] = st.lists(_PERSON, max_size=2).map(tuple)
        elif name in required:
            values[name] = required[name] = _PERSON
    optional = {name: value for name, value in values.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: struct(**fields))


_PERSON = st.integers(0, 2**128 - 1).map(lambda n: f"person:{n:032x}")
_PERSON_OR_NONE = st.none() | _PERSON
_SHA = st.integers(0, 2**160 - 1).map(lambda n: f"{n:040x}")


def _values(info: inspect.Type) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911 - one line per type
    match info:
        case inspect.Metadata():
            return _values(info.type)
        case inspect.UnionType():
            return st.one_of(*map(_values, info.types))
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(-(2**63), 2**63 - 1)
        case inspect.FloatType():
            return st.floats(min_value=info.ge, allow_nan=False, allow_infinity=False)
        case inspect.DateTimeType():
            return st.datetimes(timezones=st.just(UTC))
        case inspect.EnumType():
            return st.sampled_from(list(info.cls))
        case inspect.StrType():
            return _SHA if info.pattern else st.text(min_size=info.min_length or 0, max_size=8)
        case inspect.VarTupleType():
            return st.lists(_values(info.item_type), max_size=2).map(tuple)
        case inspect.StructType():
            return _struct(info.cls)
    raise NotImplementedError(info)


# --- published files ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def published() -> Callable[[str, str], str]:
    """What a published file of the project says; with UPDATE_GOLDEN=1 it is first written anew."""

    def read(name: str, current: str) -> str:
        path = ROOT / name
        if os.environ.get("UPDATE_GOLDEN") == "1":
            path.write_text(current, encoding="utf-8")
        return path.read_text(encoding="utf-8")

    return read


# --- a sample of every source type --------------------------------------------------------------------


def _files_sample(folder: Path) -> Sample:
    commit: dict[str, object] = {
        "kind": "commit",
        "repository": "o/r",
        "committed_at": "2026-01-02 03:04:05 UTC",
    }
    records = [
        {
            **commit,
            "native_id": n,
            "sha": n * 40,
            "authored_at": "2026-01-02T03:04:05+01:00",
            "author": author,
        }
        for n, author in {"1": PLANTED_NAME, "2": PLANTED_MAIL, "3": "renovate[bot]"}.items()
    ]
    reply = {"at": "2026-01-02T10:00:00Z", "author": PLANTED_MAIL}
    ticket: dict[str, object] = {
        "kind": "ticket",
        "native_id": "7",
        "queue": "help",
        "state": "open",
        "replies": [reply],
    }
    records.append({**ticket, "created_at": "2026-01-02T09:00:00Z", "author": PLANTED_NAME})
    records.append({"kind": "member", "native_id": "8", "person": PLANTED_MAIL, "member_kind": PLANTED_NAME})
    path = folder / "events.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    config_type = source_types().by_key["files"]
    return Sample(config_type.model_validate({"name": "sample", "type": "files", "path": path.name}), path.unlink)


def _git_sample(folder: Path) -> Sample:
    repository = folder / "repository"
    repository.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_NAME": PLANTED_NAME for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": PLANTED_MAIL for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_DATE": "2026-01-02T03:04:05+01:00" for who in ("AUTHOR", "COMMITTER")},
    }

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=repository, env=environment, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    for n in range(3):
        git("commit", "--allow-empty", "-m", f"Step {n}\n\nCo-authored-by: {PLANTED_NAME} <{PLANTED_MAIL}>")
    git("tag", "v1.0.0")
    settings = {
        "name": "sample",
        "type": "git",
        "repository": repository.name,
        "deployments": {"rule": "tags"},
    }
    config_type = source_types().by_key["git"]
    return Sample(config_type.model_validate(settings), lambda: shutil.rmtree(repository))


SAMPLES: dict[str, Callable[[Path], Sample]] = {
    "files": _files_sample,
    "git": _git_sample,
    **{m.name: importlib.import_module(f"providers.{m.name}").sample for m in pkgutil.iter_modules(providers.__path__)},
}
"""A new source type adds `tests/lib/providers/<type>.py` with its sample; the contract suite does the rest."""


@pytest.fixture(scope="session")
def samples() -> dict[str, Callable[[Path], Sample]]:
    """The samples by source type."""
    return SAMPLES


@pytest.fixture
def context(tmp_path: Path) -> SourceContext:
    """What the service lends a source; the configuration stands in the test's own folder."""
    data_dir = tmp_path / "service"
    data_dir.mkdir()
    return SourceContext(data_dir=data_dir, base_dir=tmp_path, people=People(b"k" * 32), clock=lambda: NOW)
