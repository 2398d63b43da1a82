"""The ways in which APIs hand out long lists. Each is a generator of answers that ends, whatever the server says.

A server that gives or names a page twice, or another server as its next one, gets a ContractError: a list that is cut
short must not look like a whole one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from collector.errors import ContractError, RetryableError
from collector.http import Answer, ApiClient

T = TypeVar("T")
R = TypeVar("R")

_NEXT = re.compile(r"<([^>]*)>[^,<]*\brel=\"?next\"?", re.IGNORECASE)
_MOST_PAGES = 100_000
_SERVER_ERRORS = 500
_SMALLEST_PAGE = 10
_SMALLEST_WINDOW = timedelta(seconds=1)


def linked(
    client: ApiClient, path: str, parameters: Mapping[str, str], *, etag: str | None = None, size: str = "per_page"
) -> Iterator[Answer]:
    """Pages that name the next one in a `Link` header. The first may be `unchanged` where an `etag` is given.

    A server that fails on a large first page (`size` names its parameter) is asked for smaller ones.
    """
    answer = _first(client, path, dict(parameters), etag, size)
    seen: set[str] = set()
    yield answer
    if answer.unchanged:
        return  # of a list that has the newest first: nothing is new
    while following := _NEXT.search(answer.headers.get("link", "")):
        url = following[1]
        if url in seen or len(seen) >= _MOST_PAGES:
            raise ContractError(f"{answer.asked}: its pages never end: one comes again as the next")
        seen.add(url)
        answer = other_than(answer, client.follow(url, answer))
        yield answer


def other_than(before: Answer | None, answer: Answer) -> Answer:
    """A page that is not the one before. Raises ContractError for a server that gives the same one again."""
    if before is not None and answer.body == before.body:
        raise ContractError(f"{answer.asked}: its pages never end: it gives the same one again")
    return answer


def _first(client: ApiClient, path: str, parameters: dict[str, str], etag: str | None, size: str) -> Answer:
    while True:
        try:
            return client.get(path, parameters, etag=etag)
        except RetryableError as error:
            if not _too_large(error) or int(parameters.get(size, "0")) // 2 < _SMALLEST_PAGE:
                raise
            parameters[size] = str(int(parameters[size]) // 2)


def _too_large(error: RetryableError) -> bool:
    """Whether a smaller page may help: the server broke, and did not ask for patience."""
    return error.status is not None and error.status >= _SERVER_ERRORS and error.retry_after_seconds is None


def numbered(  # noqa: PLR0913 - each names a parameter of the API
    client: ApiClient,
    path: str,
    parameters: Mapping[str, str],
    count: Callable[[Answer], int],
    *,
    size: int = 100,
    page_parameter: str = "page",
    size_parameter: str = "per_page",
    etag: str | None = None,
) -> Iterator[Answer]:
    """Pages by their number, from 1, until one is empty: `count` tells how many items an answer holds.

    A short page ends nothing: servers give fewer than asked for. One that fails is asked for again in smaller parts.
    """
    page, whole, before = 1, size, None
    for _ in range(_MOST_PAGES):
        asked = {**parameters, page_parameter: str(page), size_parameter: str(size)}
        try:
            answer = client.get(path, asked, etag=etag if page == 1 else None)
        except RetryableError as error:
            read = (page - 1) * whole
            if not _too_large(error) or size // 2 < _SMALLEST_PAGE or read % (size // 2):
                raise
            size //= 2
            page, whole = read // size + 1, min(whole, size)
            continue
        yield answer
        found = 0 if answer.unchanged else count(answer)
        if not found:
            return
        before = other_than(before, answer)
        if page == 1:
            whole = found  # the server's own limit may be lower than what was asked for
        page += 1
    raise ContractError(f"GET {path}: its pages never end")


def by_offset(  # noqa: PLR0913 - each names a parameter of the API
    client: ApiClient,
    path: str,
    parameters: Mapping[str, str],
    count: Callable[[Answer], int],
    *,
    size: int = 100,
    offset_parameter: str = "offset",
    size_parameter: str = "limit",
) -> Iterator[Answer]:
    """Pages by how many items come before them, until one is empty."""
    read, before = 0, None
    for _ in range(_MOST_PAGES):
        answer = client.get(path, {**parameters, offset_parameter: str(read), size_parameter: str(size)})
        yield answer
        found = count(answer)
        if not found:
            return
        before = other_than(before, answer)
        read += found
    raise ContractError(f"GET {path}: its pages never end")


def continued(
    client: ApiClient,
    path: str,
    parameters: Mapping[str, str],
    token: Callable[[Answer], str | None],
    *,
    parameter: str,
    start: str | None = None,
) -> Iterator[tuple[Answer, str | None]]:
    """Pages that hand out a token for the next one, and with each that token; `start` continues with an earlier one."""
    following, seen, before = start, set[str](), None
    while True:
        answer = client.get(path, {**parameters, **({parameter: following} if following else {})})
        before = other_than(before, answer)
        following = token(answer)
        if following is not None and (following in seen or len(seen) >= _MOST_PAGES):
            raise ContractError(f"{answer.asked}: its pages never end: one comes again as the next")
        yield answer, following
        if not following:
            return
        seen.add(following)


@dataclass(frozen=True)
class Window:
    """A span of time, its end left out, and how many items the server says it holds."""

    start: datetime
    end: datetime
    total: int


def windows(start: datetime, end: datetime, total: Callable[[datetime, datetime], int], most: int) -> Iterator[Window]:
    """Spans of at most `most` items each that make up a whole span, in order: for lists that a server cuts off.

    A second that alone holds more stays whole: its `total` says so, and what cannot be read of it must be reported.
    """
    found = total(start, end)
    if found <= most or end - start <= _SMALLEST_WINDOW:
        yield Window(start, end, found)
        return
    middle = (start + (end - start) / 2).replace(microsecond=0)
    if middle <= start:
        middle = start + _SMALLEST_WINDOW
    yield from windows(start, middle, total, most)
    yield from windows(middle, end, total, most)


def side_by_side(ask: Callable[[T], R], many: Sequence[T], parallel: int) -> Iterator[R]:
    """The results of asking for many things, in their order, `parallel` at a time. The first error ends it."""
    if parallel <= 1 or len(many) <= 1:
        yield from map(ask, many)
        return
    waiting, threads, left_alone = iter(many), ThreadPoolExecutor(min(parallel, len(many))), False
    try:
        pending = [threads.submit(ask, one) for one in islice(waiting, 2 * parallel)]
        while pending:
            yield pending.pop(0).result()
            pending += [threads.submit(ask, one) for one in islice(waiting, 1)]
    except GeneratorExit:
        left_alone = True
        raise
    finally:
        # Who reads no further may be the garbage collector, in any thread: also in one of these, which cannot wait for
        # its own end.
        threads.shutdown(wait=not left_alone, cancel_futures=True)
