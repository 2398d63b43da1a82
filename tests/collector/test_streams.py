"""Streams of lists: where each stands, what a refusal costs, and that a broken run resumes exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collector.errors import AuthError, BadRecord, ContractError, RetryableError, SourceError
from collector.events import Probe
from collector.source import Page
from collector.streams import Notes, Part, State, Stream, pull

AT = datetime(2026, 3, 2, tzinfo=UTC)


def probe(name: str) -> Probe:
    """An event."""
    return Probe(source="s", native_id=name, service="shop", at=AT, passed=1)


def counting(key: str, last: int, fails: Sequence[Exception | None] = ()) -> Stream:
    """A stream of numbered events that stands at the number it read last, and may fail at one."""

    def read(state: State, notes: Notes) -> Iterator[Part]:
        del notes
        for number in range(int(state.after or 0) + 1, last + 1):
            error = fails[number - 1] if number <= len(fails) else None
            if error is not None:
                raise error
            yield Part([probe(f"{key}{number}")], State(after=str(number)))

    return Stream(key, read)


def ids(pages: Sequence[Page]) -> list[str]:
    """The native ids of the events of pages."""
    return [e.native_id for page in pages for e in page.events]


def test_streams_are_read_one_after_another_and_each_goes_on_where_it_stood() -> None:
    """A page's cursor continues exactly after it, in its own stream and in those not begun."""
    streams = [counting("a", 2), counting("b", 2)]
    pages = list(pull(None, streams, Notes()))

    assert ids(pages) == ["a1", "a2", "b1", "b2"]
    assert [ids(list(pull(page.cursor, streams, Notes()))) for page in pages] == [
        ["a2", "b1", "b2"],
        ["b1", "b2"],
        ["b2"],
        [],
    ]


def test_a_stream_that_is_refused_is_cut_and_the_others_go_on() -> None:
    """One repository is gone or not allowed → that is said as a truncation, and the others are read."""
    gone, secret = SourceError("GET x: answered 404", status=404), AuthError("GET y: answered 403", status=403)
    pages = list(pull(None, [counting("a", 1, [gone]), counting("b", 1, [secret]), counting("c", 1)], Notes()))

    assert ids(pages) == ["c1"]
    assert [t for p in pages for t in p.truncations] == ["a: GET x: answered 404", "b: GET y: answered 403"]


def test_where_everything_is_refused_the_run_fails() -> None:
    """No stream can be read → the run is failed; it must not look like "no data"."""
    refused = [counting(key, 1, [SourceError(key, status=404)]) for key in ("a", "b")]

    with pytest.raises(SourceError, match="a"):
        list(pull(None, refused, Notes()))


@pytest.mark.parametrize("error", [AuthError("401", status=401), RetryableError("429", status=429)])
def test_refused_credentials_and_limits_end_the_run_at_once(error: Exception) -> None:
    """A token that is no longer good, or a limit, concerns every stream: the next one is not even asked."""
    found: list[Page] = []

    with pytest.raises(type(error)):
        found.extend(pull(None, [counting("a", 1, [error]), counting("b", 1)], Notes()))

    assert found == []


def test_answers_that_are_not_as_documented_fail_the_run_after_the_others() -> None:
    """A ContractError of one stream is the run's, but the other streams are read and kept first."""
    pages: list[Page] = []

    with pytest.raises(ContractError, match="no list"):
        pages.extend(
            iter_into(pages, pull(None, [counting("a", 1, [ContractError("no list")]), counting("b", 2)], Notes()))
        )

    assert ids(pages) == ["b1", "b2"]


def iter_into(pages: list[Page], found: Iterator[Page]) -> list[Page]:
    """Collect pages one by one, so that those before an error stay; returns none more."""
    for page in found:
        pages.append(page)  # noqa: PERF402 - an error must find those before it
    return []


def test_what_is_noted_goes_out_with_the_next_page_and_at_the_end() -> None:
    """Rejected records, warnings and truncations are told once, even where no event follows them."""
    notes = Notes()

    def read(state: State, notes: Notes) -> Iterator[Part]:
        notes.reject([BadRecord("x", "no time")])
        notes.unknown("status", "frozen", "pending")
        notes.unknown("status", "frozen", "pending")
        yield Part([probe("1")], state)
        notes.cut("40 000 of 50 000 runs")

    first, last = pull(None, [Stream("a", read)], notes)

    assert [str(r) for r in first.rejected] == ["x: no time"]
    assert first.warnings == ["status 'frozen' is not known here; it is taken as pending (2 times)"]
    assert (last.events, last.truncations) == ((), ["40 000 of 50 000 runs"])


@pytest.mark.parametrize("value", ["x" * 41, "a\nb", "somebody@people.example"])
def test_an_unknown_value_is_shown_only_where_it_can_be_one(value: str) -> None:
    """Long or unprintable text, or an address, is no value of an enumeration, so it is not repeated."""
    notes = Notes()
    notes.unknown("status", value, "pending")

    assert notes.taken()[1] == ["status '…' is not known here; it is taken as pending"]


@pytest.mark.parametrize("cursor", ["", "{", '{"version": 2, "streams": {}}', '{"streams": 7}'])
def test_a_cursor_of_another_version_reads_everything_again(cursor: str) -> None:
    """What cannot be understood is no reason to stop: reading again is harmless."""
    assert ids(list(pull(cursor, [counting("a", 1)], Notes()))) == ["a1"]


def test_a_pass_moves_on_to_the_newest_time_it_met() -> None:
    """The next pass starts from data, never from a clock; a pass that met nothing new moves nothing."""
    state = State(since=AT).begun(AT + timedelta(hours=2)).begun(AT + timedelta(hours=1)).begun(None)

    assert state.reached == AT + timedelta(hours=2)
    assert state.ended() == State(since=AT + timedelta(hours=2))
    assert State(since=AT).begun(AT - timedelta(hours=1)).ended().since == AT
    assert State().ended() == State()


def test_pages_are_kept_up_to_the_last_checkpoint_of_a_run_that_breaks(bench: Any) -> None:
    """A limit that ends a long first read costs its last page: the next run goes on from there."""

    class Breaking:
        def __init__(self, streams: list[Stream]) -> None:
            self.streams = streams

        def pull(self, cursor: str | None) -> Iterator[Page]:
            yield from pull(cursor, self.streams, Notes())

    limit = RetryableError("429", retry_after_seconds=3_600.0)
    failed = bench.runner.run("s", Breaking([counting("a", 3, [None, None, limit])]))
    kept = [p.native_id for p in bench.store.events(Probe)]
    resumed = bench.runner.run("s", Breaking([counting("a", 3)]))

    assert (failed.failure, failed.events, kept) == ("unavailable", 2, ["a1", "a2"])
    assert (resumed.succeeded, resumed.events) == (True, 1)


def test_a_long_run_is_kept_in_parts(bench: Any, scripted: Callable[..., Any]) -> None:
    """Beyond what waits in memory each checkpoint ends a transaction, so that others can write meanwhile."""
    pages = [
        Page(events=[probe(f"{n}-{i}") for i in range(3_000)], cursor=str(n), checkpoint=n % 2 == 0)
        for n in range(1, 7)
    ]
    defect = RuntimeError("a defect after the fifth page")
    outcome = bench.runner.run("s", scripted([*pages[:5], defect]))

    assert outcome.failure == "defect"
    assert bench.store.cursor("s") == "4"
    assert len(list(bench.store.events(Probe))) == 12_000
