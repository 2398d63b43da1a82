"""What every source type must do, built-in or not. A new type adds its sample to conftest.py and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from collector.errors import ContractError, PacelineError
from collector.events import Event, event_id, time_fields
from collector.registry import source_types
from collector.source import Page, Source, SourceContext

PLANTED = ("wilhelmina", "quarterstaff")


@pytest.fixture(params=sorted(source_types().by_key))
def sample(request: pytest.FixtureRequest, samples: dict[str, Callable[[Path], Any]], tmp_path: Path) -> Any:
    """A small sample of each registered type."""
    return samples[request.param](tmp_path)


@pytest.fixture
def source(sample: Any, context: SourceContext) -> Source:
    """The source of the sample."""
    built: Source = sample.config.build(context)
    return built


def everything(source: Source) -> list[Event]:
    """All events of a first run."""
    return list(chain.from_iterable(page.events for page in source.pull(None)))


class BreaksAtTheEnd:
    """A source whose last page fails: the one way in which all sources can break."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """All pages, then the failure."""
        yield from self.source.pull(cursor)
        raise ContractError("page 7 of 9 is no page")


def test_every_registered_type_has_a_sample(samples: dict[str, Any]) -> None:
    """A new source type cannot forget its contract: without a sample this fails."""
    assert set(source_types().by_key) <= set(samples)


def test_a_sample_configuration_has_no_mistakes(sample: Any, context: SourceContext) -> None:
    """A correct configuration passes its own check."""
    assert list(sample.config.check(context)) == []


def test_two_first_runs_give_the_same_events(source: Source) -> None:
    """The same input gives the same events, ids included."""
    first, second = everything(source), everything(source)

    assert first
    assert [(e.id, e) for e in first] == [(e.id, e) for e in second]


def test_a_second_run_changes_nothing(source: Source, bench: Any) -> None:
    """A run after which nothing happened changes and moves nothing; what is read once more was known."""
    first = bench.runner.run("sample", source)
    before = bench.dump()

    second = bench.runner.run("sample", source)

    assert (first.succeeded, first.changed > 0) == (True, True)
    assert (second.succeeded, second.changed, second.removed, second.rejected) == (True, 0, 0, ())
    assert bench.dump() == before


def test_a_broken_last_page_keeps_nothing(source: Source, bench: Any) -> None:
    """Page 7 of 9 fails → nothing of this run is kept and the cursor stays."""
    before = bench.dump()

    outcome = bench.runner.run("sample", BreaksAtTheEnd(source))

    assert outcome.error == "page 7 of 9 is no page"
    assert bench.dump() == before
    assert bench.store.cursor("sample") is None


def test_the_run_after_a_broken_one_catches_up(source: Source, new_bench: Callable[[str], Any]) -> None:
    """After a broken run the next one gives the same store as an unbroken one."""
    broken, whole = new_bench("broken"), new_bench("whole")
    broken.runner.run("sample", BreaksAtTheEnd(source))

    broken.runner.run("sample", source)
    whole.runner.run("sample", source)

    assert broken.dump() == whole.dump()


def test_ids_follow_from_kind_source_and_native_id(source: Source) -> None:
    """An id is the same on every machine, and no two events of a run share one."""
    events = everything(source)

    assert [e.id for e in events] == [event_id(e.kind, "sample", e.native_id) for e in events]
    assert len({e.id for e in events}) == len(events)


def test_all_times_are_in_utc(source: Source) -> None:
    """Every time of every event is aware and in UTC."""
    times = [getattr(e, name) for e in everything(source) for name in time_fields(type(e))]

    assert {at.tzinfo for at in times if at is not None} == {UTC}


def test_no_person_reaches_the_store(source: Source, bench: Any) -> None:
    """No name and no address of a person stands in any stored column, nor in what a run says."""
    outcome = bench.runner.run("sample", source)

    kept = f"{bench.dump()} {outcome} {bench.store.runs()}".lower()
    assert "person:" in kept
    assert [word for word in PLANTED if word in kept] == []


def test_missing_input_is_an_error_of_ours(sample: Any, source: Source) -> None:
    """Input that is gone fails the run in our own words: it must not look like "no data"."""
    sample.take_away()

    with pytest.raises(PacelineError):
        everything(source)


def test_input_that_vanishes_later_keeps_events_and_cursor(sample: Any, source: Source, bench: Any) -> None:
    """A source that is gone costs its own run, not what was kept before."""
    bench.runner.run("sample", source)
    before = bench.dump()
    sample.take_away()

    outcome = bench.runner.run("sample", source)

    assert not outcome.succeeded
    assert bench.dump() == before


def test_check_names_the_setting_of_missing_input(sample: Any, context: SourceContext) -> None:
    """Missing input is a mistake at start, at a setting that exists."""
    sample.take_away()

    mistakes = sample.config.check(context)

    assert {m.path for m in mistakes} <= set(type(sample.config).model_fields)
    assert mistakes
