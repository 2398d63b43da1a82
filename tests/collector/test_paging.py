"""The ways in which lists are handed out: everything is read, and every way ends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay import Provider, Reply, Request, page_of

from collector.errors import ContractError, RetryableError, SourceError
from collector.http import Answer, ApiClient
from collector.paging import by_offset, continued, linked, numbered, side_by_side, windows

BASE = "https://api.example.com/v1"
START = datetime(2026, 1, 1, tzinfo=UTC)


def listing(items: int, *, most: int = 100, breaks_at: int = 0) -> tuple[ApiClient, Provider]:
    """A client of a list of numbers; the server gives at most so many a page, and fails on larger ones if told."""
    provider = Provider(BASE)

    @provider.route("things")
    def things(asked: Request) -> Reply:
        if breaks_at and asked.number("per_page", 30) > breaks_at:
            return Reply({}, status=502)
        found, link = page_of(asked, list(range(items)), most=most)
        return Reply(found, headers={"Link": link} if link else {})

    @provider.route("offsets")
    def offsets(asked: Request) -> Reply:
        offset, limit = asked.number("offset", 0), min(asked.number("limit", 20), most)
        return Reply(list(range(items))[offset : offset + limit])

    @provider.route("tokens")
    def tokens(asked: Request) -> Reply:
        start = asked.number("after", 0)
        following = str(start + most) if start + most < items else None
        return Reply({"items": list(range(items))[start : start + most], "next": following})

    return ApiClient(BASE, adapter=provider, sleep=lambda _: None), provider


def read(answers: Iterator[Answer]) -> list[int]:
    """The numbers of all pages."""
    return [n for answer in answers for n in answer.json()]


def count(answer: Answer) -> int:
    """How many items a page holds."""
    return len(answer.json())


@pytest.mark.parametrize("items", [0, 1, 29, 30, 31, 99, 100, 101, 250, 300])
@pytest.mark.parametrize("most", [30, 50, 100])
def test_every_size_of_list_is_read_whole(items: int, most: int) -> None:
    """Page sizes of 30, 50, 100, a server's own lower limit, an empty last page → everything is read, once."""
    client, _ = listing(items, most=most)
    whole = list(range(items))

    assert read(linked(client, "things", {"per_page": "100"})) == whole
    assert read(numbered(client, "things", {}, count)) == whole
    assert read(by_offset(client, "offsets", {}, count)) == whole
    tokens = continued(client, "tokens", {}, lambda a: a.json()["next"], parameter="after")
    assert [n for answer, _ in tokens for n in answer.json()["items"]] == whole


def test_a_token_is_handed_out_so_that_reading_can_go_on_from_it() -> None:
    """A pass that broke continues with the token of its last page."""
    client, _ = listing(5, most=2)
    pages = list(continued(client, "tokens", {}, lambda a: a.json()["next"], parameter="after"))
    later = continued(client, "tokens", {}, lambda a: a.json()["next"], parameter="after", start=pages[0][1])

    assert [answer.json()["items"] for answer, _ in later] == [[2, 3], [4]]


@pytest.mark.parametrize(
    "way", [lambda c: numbered(c, "things", {}, count), lambda c: linked(c, "things", {"per_page": "100"})]
)
def test_a_server_that_breaks_on_a_large_page_is_asked_for_smaller_ones(
    way: Callable[[ApiClient], Iterator[Answer]],
) -> None:
    """502 on a big page → smaller page, then retry; nothing is left out or read twice."""
    client, _ = listing(120, breaks_at=50)

    assert read(way(client)) == list(range(120))


def test_a_server_that_breaks_on_every_page_is_given_up() -> None:
    """502 on the smallest page too → failure: an unattended run always ends."""
    client, provider = listing(120, breaks_at=1)

    with pytest.raises(RetryableError):
        read(numbered(client, "things", {}, count))
    assert len(provider.asked) < 30


def test_a_next_page_on_another_server_is_not_followed() -> None:
    """Another host would be handed the credentials; a list that ends there would look whole."""
    provider = Provider(BASE, with_etags=False)
    provider.route("things")(lambda _: Reply([1], headers={"Link": '<https://evil.example.net/x?page=2>; rel="next"'}))
    client = ApiClient(BASE, adapter=provider)

    with pytest.raises(ContractError, match="another server"):
        list(linked(client, "things", {}))


def test_pages_that_come_again_end_the_run() -> None:
    """A server that names the same next page for ever does not hang the run."""
    provider = Provider(BASE, with_etags=False)
    provider.route("things")(lambda _: Reply([1], headers={"Link": f'<{BASE}/things?page=2>; rel="next"'}))
    provider.route("tokens")(lambda _: Reply({"next": "x"}))
    client = ApiClient(BASE, adapter=provider)

    with pytest.raises(ContractError, match="never end"):
        list(linked(client, "things", {}))
    with pytest.raises(ContractError, match="never end"):
        list(continued(client, "tokens", {}, lambda a: a.json()["next"], parameter="after"))


def test_an_unchanged_first_page_is_all_there_is_to_read() -> None:
    """With the ETag of last time a server may say that nothing is new; nothing more is asked."""
    client, provider = listing(250)
    first = next(linked(client, "things", {"per_page": "100"}))
    before = len(provider.asked)
    again = list(linked(client, "things", {"per_page": "100"}, etag=first.etag))

    assert [a.unchanged for a in again] == [True]
    assert len(provider.asked) == before + 1


@given(st.lists(st.integers(0, 86_400 * 3), max_size=200), st.integers(1, 50))
def test_windows_hold_at_most_what_a_server_hands_out_and_leave_no_gap(seconds: list[int], most: int) -> None:
    """A capped list is split until each span fits; the spans follow each other and hold every item once."""
    end = START + timedelta(days=4)
    times = [START + timedelta(seconds=s) for s in seconds]

    def total(start: datetime, stop: datetime) -> int:
        return sum(start <= t < stop for t in times)

    found = list(windows(START, end, total, most))

    assert [w.start for w in found] == [START, *(w.end for w in found[:-1])]
    assert found[-1].end == end
    assert sum(w.total for w in found) == len(times)
    assert all(w.total <= most or w.end - w.start <= timedelta(seconds=1) for w in found)


@pytest.mark.parametrize(
    "read_on",
    [
        lambda client: numbered(client, "same", {}, count),
        lambda client: by_offset(client, "same", {}, count),
        lambda client: (a for a, _ in continued(client, "same", {}, lambda _: f"{len(client.asked)}", parameter="t")),
        lambda client: linked(client, "linked", {}),
    ],
    ids=["numbered", "by offset", "continued", "linked"],
)
def test_a_server_that_gives_the_same_page_again_ends_the_list(read_on: Callable[[Any], Iterator[Answer]]) -> None:
    """Whatever is asked for, the same page comes, always with another next one: that is no list, and is said."""
    provider = Provider(BASE, with_etags=False)

    @provider.route("same|linked")
    def same(asked: Request) -> Reply:
        link = f'<{BASE}/linked?n={len(provider.asked)}>; rel="next"'
        return Reply([1, 2, 3], headers={"Link": link})

    class Counting(ApiClient):
        asked = provider.asked

    with pytest.raises(ContractError, match="its pages never end: it gives the same one again"):
        list(read_on(Counting(BASE, adapter=provider, sleep=lambda _: None)))
    assert len(provider.asked) == 2


def test_who_reads_no_further_may_be_one_of_the_threads() -> None:
    """Left alone, a list may be closed by one of its own threads, as where garbage is collected there: it just ends."""
    errors: list[BaseException | None] = []
    made: Iterator[int]
    begun, read = threading.Event(), threading.Event()

    def ask(n: int) -> int:
        if n == 1:
            begun.set()
            read.wait(timeout=10)
            try:
                made.close()  # type: ignore[attr-defined] # a generator
            except RuntimeError as error:
                errors.append(error)
            else:
                errors.append(None)
        return n

    made = side_by_side(ask, range(50), 2)
    first = next(made)
    begun.wait(timeout=10)
    read.set()
    until = time.monotonic() + 10
    while not errors and time.monotonic() < until:
        time.sleep(0.01)

    assert (first, errors) == (0, [None])


def test_details_are_asked_for_side_by_side_and_come_in_order() -> None:
    """Several requests run at the same time; the first error ends them all."""
    client, provider = listing(3)
    provider.route(r"things/(?P<number>\d+)")(lambda _, number: Reply(int(number)))

    def ask(number: int) -> Any:
        return client.get(f"things/{number}").json()

    assert list(side_by_side(ask, range(50), 4)) == list(range(50))
    provider.faults = {len(provider.asked) + 10: Reply({}, status=404)}
    with pytest.raises(SourceError, match="404"):
        list(side_by_side(ask, range(50), 4))


def test_what_is_sent_as_a_time_is_rfc_3339() -> None:
    """A stand-in refuses a time that a real server would ignore, silently reading everything."""
    provider = Provider(BASE)
    provider.route("since")(lambda asked: Reply(json.dumps(str(asked.time("since")))))
    client = ApiClient(BASE, adapter=provider)

    assert client.get("since", {"since": "2026-01-01T00:00:00Z"}).json() == '"2026-01-01 00:00:00+00:00"'
    with pytest.raises(AssertionError):
        client.get("since", {"since": "2026-01-01 00:00:00"})
